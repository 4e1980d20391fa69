# Stands for MicroPython's module `network` on an ESP32: what MicroPython 1.25 does there, by its source
# (ports/esp32/network_wlan.c). Nobody ran it on one.

_NO_AP_FOUND, _AUTH_FAIL, _ASSOC_LEAVE, _BEACON_TIMEOUT = 201, 202, 8, 200


class Network:
    """The module over an Air. radio: the port's state."""

    STAT_IDLE, STAT_CONNECTING, STAT_GOT_IP = 1000, 1001, 1010
    STAT_NO_AP_FOUND, STAT_WRONG_PASSWORD, STAT_CONNECT_FAIL = _NO_AP_FOUND, _AUTH_FAIL, 203

    def __init__(self, air):
        self.radio = radio = _Radio(air)

        class WLAN(_Interface):
            def __init__(self, kind=0):
                assert kind == self.IF_STA
                self._radio = radio

        self.WLAN = WLAN

    def country(self, code):
        raise AssertionError("the port keeps it and does nothing with it")


class _Radio:
    def __init__(self, air):
        self.air = air
        self.told = []
        self.started = False
        self.requested = False  # by connect(): the port joins again by itself until disconnect()
        self.trying = False
        self.linked = False
        self.connected = False  # with an address
        self.static = None
        self.reason = 0  # of the last event that the station is not connected
        self.access = None
        self._attempt = 0

    def attempt(self):
        self.trying = True
        self._attempt = attempt = self._attempt + 1
        self.air.later(self.air.join_ms, lambda: self._outcome(attempt))

    def _outcome(self, attempt):
        if attempt != self._attempt:
            return
        ssid, password = self.access
        if not self.air.in_reach or ssid != self.air.ssid:
            self.disconnected(_NO_AP_FOUND)
        elif password != self.air.password:
            self.disconnected(_AUTH_FAIL)
        else:
            self.trying, self.linked = False, True
            if self.static:
                self._leased(attempt)
            elif self.air.dhcp_ms is not None:
                self.air.later(self.air.dhcp_ms, lambda: self._leased(attempt))

    def _leased(self, attempt):
        if attempt == self._attempt and self.linked:
            self.connected, self.reason = True, 0

    def disconnected(self, reason=_BEACON_TIMEOUT):
        """The event. The port begins another attempt at once, if one was asked for."""
        self.trying = self.linked = self.connected = False
        self._attempt += 1
        self.reason = reason
        if self.requested and self.started:
            self.attempt()


class _Interface:
    IF_STA = 0
    PM_NONE = 0
    SEC_WPA3, SEC_WPA2_WPA3 = 6, 7

    def active(self, on=None):
        radio = self._radio
        if on is None:
            return radio.started
        radio.told.append("on" if on else "off")
        if on != radio.started:
            radio.started = on
            if not on:
                radio.disconnected(_ASSOC_LEAVE)
        return None

    def config(self, name=None, pm=None):
        if name == "mac":
            return b"\x24\x0a\xc4\x00\x00\x01"
        assert name is None
        self._radio.told.append(("pm", pm))
        return None

    def ifconfig(self, address=None):
        radio = self._radio
        if address is None:
            here = radio.static or ("10.77.0.3" if radio.connected else "0.0.0.0")
            return here, "255.255.255.0", "10.77.0.1", "10.77.0.1"
        radio.told.append(address)
        radio.static = address[0]
        return None

    def connect(self, ssid, key=None):
        radio = self._radio
        if not radio.started:
            raise OSError("Wifi Not Started")
        if radio.trying:
            raise OSError("Wifi Internal State Error")
        radio.told.append("join")
        radio.access = (ssid, key)
        radio.requested = True
        radio.attempt()

    def disconnect(self):
        radio = self._radio
        radio.told.append("leave")
        radio.requested = False
        radio.air.later(radio.air.leave_ms, lambda: radio.disconnected(_ASSOC_LEAVE))

    def isconnected(self):
        return self._radio.connected

    def status(self):
        radio = self._radio
        if radio.connected:
            return Network.STAT_GOT_IP
        if radio.reason in (_NO_AP_FOUND, _AUTH_FAIL):
            return radio.reason
        if radio.reason == _ASSOC_LEAVE:
            return Network.STAT_IDLE
        return Network.STAT_CONNECTING if radio.requested else Network.STAT_IDLE
