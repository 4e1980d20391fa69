# The network over Wi-Fi, as a station; and the LED where it hangs at the radio. Power save is off: it holds frames back
# for up to 100 ms, which no schedule of answers bears.
#
# Written for a Pico W; what an ESP32 does otherwise is in wlan_esp32.py. What MicroPython 1.25 does on a Pico W: after
# disconnect() a join ends some time later, and with it one that was begun meanwhile. active(False) does nothing. With a
# radio that hangs nothing fails, but each question waits for a second and a join for eleven; one that never started
# takes some of what its driver has only a few of at each attempt; deinit() hangs now and then. So a radio that does not
# answer is left alone, and the board restarts (service.py).

import network

from device.link import Link
from tessera.runtime import const, ticks_diff, ticks_ms

_JOINED = const(2)  # without an address: this state of a Pico W has no name in `network`
_LONG_MS = const(15_000)
_PATIENCE_MS = {network.STAT_CONNECTING: _LONG_MS, _JOINED: 120_000}  # DHCP asks again after 2, 4, … 60 s
_TROUBLE = {network.STAT_WRONG_PASSWORD: "wrong password", network.STAT_NO_AP_FOUND: "no such network"}
_LATE = {network.STAT_CONNECTING: "no answer", _JOINED: "no address by DHCP"}
_SLOW_MS = const(500)  # a radio that lives answers sooner
_SLOW = const(2)  # such answers in a row, then it is dead


class Station(Link):
    """A station of the network that relay.json names: "wifi": {"ssid", "password"?, "country"?, "security"?: "wpa3" or
    "wpa2-wpa3"}; DHCP, or "address": {"ip", "netmask", "gateway", "dns"}. ValueError for another security."""

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
        """Switch the radio on and join; that takes seconds and goes on by itself."""
        if self.dead and _started(self._nic):
            return  # it hangs
        self._nic.active(True)
        Station.dead = not _started(self._nic)
        if self.dead:
            return
        self._nic.config(pm=network.WLAN.PM_NONE)
        try:
            self._join()
        except OSError:  # there is no station: it did not start whole
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
        """Leave; join when that is over."""
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
    """The LED (a Pin) at the radio. It shows nothing once that is dead, and is who notices it, as it asks something of
    the radio every few seconds."""

    def __init__(self, pin):
        self._pin = pin
        self._slow = 0
        Station.dead = not _started(network.WLAN(network.WLAN.IF_STA))  # the pin has tried

    def value(self, lit):
        """Switch it: 0 or 1."""
        if not Station.dead:
            start = ticks_ms()
            self._pin.value(lit)
            self._slow = self._slow + 1 if ticks_diff(ticks_ms(), start) >= _SLOW_MS else 0
            Station.dead = self._slow >= _SLOW


def _started(nic):
    """Whether the radio ever answered: its MAC address was asked for then."""
    return any(nic.config("mac"))
