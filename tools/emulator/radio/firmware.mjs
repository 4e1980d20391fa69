// What the chip's firmware does for its host once it runs: commands and variables, joining and leaving a network, what
// it says of both, Ethernet frames. Of Wi-Fi there is only what becomes of a request to join: no radio waves, no
// handshake, no roaming, and nothing that the real firmware does of its own accord.
//
// Commands and events are those of Linux, brcmfmac (fwil.h, fweh.h). Which come in which order was seen on boards:
//   joined          AUTH, LINK (up), SET_SSID; PSK_SUP 6 (keyed) where there is a password   embassy-rs/embassy #5020
//   wrong password  the same, but after 4 s PSK_SUP 8 (waits for the third message), reason 14 (deauthenticated), and
//                   DEAUTH_IND, LINK down   embassy-rs/embassy #3723, embassy-rs/cyw43 #77 (the join itself succeeds)
//   WPA3, wrong     AUTH with status 1: the exchange of SAE tells before anything is joined
//   no such network SET_SSID with status 3   embassy-rs/cyw43 #75
//   no more beacons LINK down, reason 1   embassy-rs/embassy #5129
//   turned away     PSK_SUP 6, reason 14, DEAUTH_IND, LINK down   the same; or DISASSOC   cyw43-driver #161

import { CHANNEL, EVENT, LINK_UP, control, data, event, parseControl, parseData } from './sdpcm.mjs';

const COMMAND = {
  UP: 2, DOWN: 3, GET_BSSID: 23, GET_SSID: 25, SET_SSID: 26, DISASSOC: 52, GET_RSSI: 127, SET_WSEC: 134,
  SET_WPA_AUTH: 165, GET_VAR: 262, SET_VAR: 263, SET_WSEC_PMK: 268,
};
// What is set by a command and read by the one before it (infrastructure, authentication, power saving …).
const KEPT = [20, 22, 64, 78, 86, 110, COMMAND.SET_WSEC, 142, COMMAND.SET_WPA_AUTH];
const UNSUPPORTED = -23; // BCME_UNSUPPORTED
const NOT_UP = -4; // BCME_NOTUP
const NOT_ASSOCIATED = -17; // BCME_NOTASSOCIATED

const WPA2_PSK = 0x80; // of SET_WPA_AUTH
const WPA_PSK = 0x04;
const WPA3_SAE = 0x40000;
const STATUS = { SUCCESS: 0, FAIL: 1, NO_NETWORKS: 3 };
const SUPPLICANT = { KEYED: 6, WAITS_FOR_THIRD: 8 }; // the status of PSK_SUP
const SUPPLICANT_DEAUTHENTICATED = 14; // its reason
const BEACONS_LOST = 1; // the reason of LINK
const LINK_LEFT = 2;
const REASON_LEAVING = 3; // IEEE 802.11-2020, table 9-49
const REASON_HANDSHAKE_TIMEOUT = 15;

const HANDSHAKE_NANOS = 4e9; // an access point sends its message four times, a second apart
const LED = 1; // the chip's pin 0
const ADDRESS_BYTES = 6;

export class Firmware {
  /**
   * `later(nanos, call)` is the chip's time, `send(channel, content)` the way to the host, `air` what there is around
   * (radio.mjs), `led(lit)` is told of the pin.
   */
  constructor({ version, later, send, air, led }) {
    Object.assign(this, { version, later, send, air, led });
    this.up = false;
    this.ioctls = 0;
    this.address = air.address;
    this.variables = new Map();
    this.settings = new Map();
    this.events = Buffer.alloc(0); // a bit for each event that the host wants
    this.pins = 0;
    this.keys = {};
    this.attempt = 0;
    this.network = null; // {ssid, security} that it is on
  }

  /** A frame of the host: {channel, content}. */
  take({ channel, content }) {
    if (channel === CHANNEL.CONTROL) this.command(content);
    else if (channel === CHANNEL.DATA && this.network) this.air.send(Buffer.from(parseData(content)));
  }

  /** An Ethernet frame from the network: for this station, for everybody, or for a group that the host is in. */
  receive(frame) {
    const to = frame.subarray(0, ADDRESS_BYTES);
    if (!(to[0] & 1) ? to.equals(this.address) : this.isBroadcast(to) || this.inGroup(to)) {
      this.send(CHANNEL.DATA, data(frame));
      return true;
    }
    return false;
  }

  isBroadcast(to) {
    return to.every((byte) => byte === 0xff);
  }

  inGroup(to) {
    const list = this.variables.get('mcast_list');
    if (!list) return false;
    for (let i = 0, at = 4; i < list.readUInt32LE(0); i++, at += ADDRESS_BYTES) {
      if (to.equals(list.subarray(at, at + ADDRESS_BYTES))) return true;
    }
    return false;
  }

  // -- commands

  command(content) {
    const request = parseControl(content);
    if (!request) return;
    this.ioctls++;
    const status = this.obey(request) ?? 0;
    this.send(CHANNEL.CONTROL, control(request, status, request.data));
  }

  /** Changes `data` into the answer; returns a status that is not 0. */
  obey({ command, set, data }) {
    if (command === COMMAND.GET_VAR || command === COMMAND.SET_VAR) return this.variable(set, data);
    if (command === COMMAND.UP || command === COMMAND.DOWN) {
      this.up = command === COMMAND.UP;
      return 0;
    }
    if (command === COMMAND.SET_SSID) return this.join(data.toString('utf8', 4, 4 + data.readUInt32LE(0)));
    if (command === COMMAND.DISASSOC) return this.leave();
    if (command === COMMAND.SET_WSEC_PMK) {
      this.keys.psk = data.toString('utf8', 4, 4 + data.readUInt16LE(0));
      return 0;
    }
    if (command === COMMAND.GET_BSSID || command === COMMAND.GET_SSID || command === COMMAND.GET_RSSI) {
      return this.sayOfNetwork(command, data);
    }
    if (set && KEPT.includes(command)) {
      if (command === COMMAND.SET_WSEC) this.keys = {}; // a new request to join begins with it
      this.settings.set(command, data.readUInt32LE(0));
      return 0;
    }
    if (!set && KEPT.includes(command + 1)) {
      data.fill(0).writeUInt32LE(this.settings.get(command + 1) ?? 0);
      return 0;
    }
    return UNSUPPORTED;
  }

  sayOfNetwork(command, data) {
    if (!this.network) return NOT_ASSOCIATED;
    if (command === COMMAND.GET_RSSI) data.writeInt32LE(this.air.settings.rssi);
    else if (command === COMMAND.GET_BSSID) this.air.accessPoint.copy(data.fill(0));
    else data.fill(0).writeUInt32LE(data.write(this.network.ssid, 4), 0);
    return 0;
  }

  // -- variables: a name, 0, a value

  variable(set, data) {
    const end = data.indexOf(0);
    const name = data.toString('latin1', 0, end < 0 ? data.length : end);
    if (set) return this.setVariable(name, Buffer.from(data.subarray(end + 1)));
    const value = this.getVariable(name);
    data.fill(0);
    if (!value) return UNSUPPORTED;
    value.copy(data);
    return 0;
  }

  setVariable(name, value) {
    if (name === 'bsscfg:event_msgs') this.events = value.subarray(4);
    else if (name === 'cur_etheraddr') this.address = value.subarray(0, ADDRESS_BYTES);
    else if (name === 'gpioout') this.setPins(value.readUInt32LE(0), value.readUInt32LE(4));
    else if (name === 'sae_password') this.keys.sae = value.toString('utf8', 2, 2 + value.readUInt16LE(0));
    else if (name === 'join') return this.join(value.toString('utf8', 4, 4 + value.readUInt32LE(0)));
    this.variables.set(name, value);
    return 0;
  }

  getVariable(name) {
    if (name === 'cur_etheraddr') return this.address;
    if (name === 'ccgpioin') return word(this.pins);
    if (name === 'clmload_status') return word(this.variables.has('clmload') ? 0 : 1);
    if (name === 'ver' || name === 'clmver') return Buffer.from(`${this.version}\0`);
    return this.variables.get(name) ?? (name === 'mcast_list' ? word(0) : null);
  }

  setPins(mask, values) {
    const { lit } = this;
    this.pins = (this.pins & ~mask) | (values & mask);
    if (lit !== this.lit) this.led(this.lit);
  }

  get lit() {
    return (this.pins & LED) !== 0;
  }

  // -- the network

  event(kind, details = {}) {
    if (!(this.events[kind >> 3] & (1 << (kind & 7)))) return;
    const ends = { station: this.address, accessPoint: this.air.accessPoint };
    this.send(CHANNEL.EVENT, event(ends, kind, details));
  }

  join(ssid) {
    if (!this.up) return NOT_UP;
    const attempt = ++this.attempt;
    const { psk, sae } = this.keys;
    const auth = this.settings.get(COMMAND.SET_WPA_AUTH) ?? 0;
    // A station that has the keys of both is one of the mixed kind: it joins either.
    const wpa2 = auth & (WPA2_PSK | WPA_PSK | WPA3_SAE) ? psk : undefined;
    const wpa3 = auth & WPA3_SAE ? sae : undefined;
    const offer = { ssid, open: auth === 0, wpa2, wpa3 };
    this.drop();
    this.air.attempted(offer);
    this.later(1e9 * this.air.settings.join_seconds, () => {
      if (attempt === this.attempt) this.decided(offer, attempt);
    });
    return 0;
  }

  decided(offer, attempt) {
    const { verdict, security } = this.air.judge(offer);
    if (verdict === 'none') {
      this.event(EVENT.SET_SSID, { status: STATUS.NO_NETWORKS });
      return;
    }
    if (verdict === 'refused' && security === 'wpa3') {
      this.event(EVENT.AUTH, { status: STATUS.FAIL });
      this.event(EVENT.SET_SSID, { status: STATUS.FAIL });
      return;
    }
    this.event(EVENT.AUTH);
    this.event(EVENT.LINK, { flags: LINK_UP });
    this.event(EVENT.SET_SSID);
    if (verdict === 'refused') {
      this.later(HANDSHAKE_NANOS, () => {
        if (attempt === this.attempt) this.deauthenticated(SUPPLICANT.WAITS_FOR_THIRD, REASON_HANDSHAKE_TIMEOUT);
      });
      return;
    }
    if (security !== 'open') this.event(EVENT.PSK_SUP, { status: SUPPLICANT.KEYED });
    this.network = { ssid: offer.ssid, security };
  }

  deauthenticated(supplicant, reason) {
    this.drop();
    this.event(EVENT.PSK_SUP, { status: supplicant, reason: SUPPLICANT_DEAUTHENTICATED });
    this.event(EVENT.DEAUTH_IND, { reason });
    this.event(EVENT.LINK, { reason: LINK_LEFT });
  }

  /** The host wants to leave; the event comes when the answer has. */
  leave() {
    this.attempt++;
    const { network } = this;
    this.drop();
    this.later(1e9 * this.air.settings.leave_seconds, () => {
      if (network) this.event(EVENT.LINK, { reason: LINK_LEFT });
      this.event(EVENT.DISASSOC);
    });
    return 0;
  }

  /** The access point went away: what the firmware makes of it (wifi.py). */
  lose(parting) {
    if (!this.network || parting === 'silence') return;
    if (parting === 'deauthenticated') {
      this.deauthenticated(SUPPLICANT.KEYED, REASON_LEAVING);
    } else {
      this.drop();
      this.event(EVENT.LINK, { reason: parting === 'link-down' ? BEACONS_LOST : LINK_LEFT });
      if (parting === 'disassociated') this.event(EVENT.DISASSOC, { reason: REASON_LEAVING });
    }
  }

  /** It is on no network any more. */
  drop() {
    const { network } = this;
    this.network = null;
    if (network) this.air.left(network);
  }
}

function word(value) {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
