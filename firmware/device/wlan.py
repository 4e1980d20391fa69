# The network over Wi-Fi, as a station, and the LED of boards whose radio switches it. Power save is off, because it
# delays frames by up to 100 ms, and answers have to leave at fixed times.
#
# This is written for a Pico W; wlan_esp32.py has what an ESP32 does differently. On a Pico W, MicroPython 1.25 behaves
# as follows. disconnect() ends a join some time later, and with it another join that was begun meanwhile.
# active(False) does nothing. If the radio hangs, no call fails, but each question takes a second and a join eleven. If
# the radio never started, each attempt uses up some of its driver's few resources. deinit() hangs now and then. So a
# radio that does not answer is left alone, and the board restarts.

import network

from device.link import Link
from tessera.runtime import const, ticks_diff, ticks_ms

_JOINED = const(2)  # joined, but no address yet; this status of a Pico W has no name in `network`
_LONG_MS = const(15_000)
_PATIENCE_MS = {network.STAT_CONNECTING: _LONG_MS, _JOINED: 120_000}  # DHCP asks again after 2, 4, … 60 s
_TROUBLE = {network.STAT_WRONG_PASSWORD: "wrong password", network.STAT_NO_AP_FOUND: "no such network"}
_LATE = {network.STAT_CONNECTING: "no answer", _JOINED: "no address by DHCP"}
_SLOW_MS = const(500)  # a working radio answers sooner
_SLOW = const(2)  # slow answers in a row, after which the radio counts as dead


class Station(Link):
    """A station of the network in relay.json.

    wifi: {"ssid", "password"?, "country"?, "security"?: "wpa3" or "wpa2-wpa3"}. address: {"ip", "netmask", "gateway",
    "dns"}, None for DHCP. KeyError without an ssid, ValueError for any other security.
    """

    def __init__(self, wifi, address=None):
        if "country" in wifi:
            network.country(wifi["country"])
        self._access = (wifi["ssid"], wifi.get("password"))
        self._options = {}
        if "security" in wifi:
            kinds = {"wpa3": network.WLAN.SEC_WPA3, "wpa2-wpa3": network.WLAN.SEC_WPA2_WPA3}
            if wifi["security"] not in kinds:
                raise ValueError
            self._options["security"] = kinds[wifi["security"]]
        self._address = address
        self._nic = network.WLAN(network.WLAN.IF_STA)
        self._leaving = False

    def begin(self):
        """Switch the radio on and begin to join, which takes seconds."""
        if self.dead and _started(self._nic):
            return  # the radio hangs
        self._nic.active(True)
        Station.dead = not _started(self._nic)
        if self.dead:
            return
        self._nic.config(pm=network.WLAN.PM_NONE)
        try:
            self._join()
        except OSError:  # the radio did not start completely
            Station.dead = True

    def _join(self):
        if self._address:
            self._nic.ifconfig(tuple(self._address[name] for name in ("ip", "netmask", "gateway", "dns")))
        self._nic.connect(*self._access, **self._options)

    def mend(self, waited_ms):
        if self.dead:
            return False
        status = self._nic.status()
        if self._leaving or status == network.STAT_IDLE:
            self._leaving = False
            self._join()
            return True
        if waited_ms >= _PATIENCE_MS.get(status, 0):
            self.renew()
        return False

    def renew(self):
        """Leave the network. mend() joins it again when that is done."""
        self._leaving = True
        self._nic.disconnect()

    def trouble(self, waited_ms):
        if self.dead:
            return "the radio does not answer"
        status = self._nic.status()
        return _TROUBLE.get(status) or (_LATE.get(status) if waited_ms >= _LONG_MS else None)

    def address(self):
        """Our IP address (str), None while there is no link."""
        if self.dead or self._leaving or not self._nic.isconnected():
            return None
        return self._nic.ifconfig()[0]

    def end(self):
        """Leave the network."""
        if not self.dead:
            self._nic.disconnect()


class Lamp:
    """An LED (a Pin) that the radio switches. It uses the radio every few seconds, so it notices when the radio is dead
    and then shows nothing."""

    def __init__(self, pin):
        self._pin = pin
        self._slow = 0
        Station.dead = not _started(network.WLAN(network.WLAN.IF_STA))  # making the pin has started it

    def value(self, lit):
        """Switch it: 0 or 1."""
        if not Station.dead:
            start = ticks_ms()
            self._pin.value(lit)
            self._slow = self._slow + 1 if ticks_diff(ticks_ms(), start) >= _SLOW_MS else 0
            Station.dead = self._slow >= _SLOW


def _started(nic):
    """Whether the radio ever answered. If not, its MAC address is all zeros."""
    return any(nic.config("mac"))
