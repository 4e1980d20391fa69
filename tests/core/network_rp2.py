# Stands for MicroPython's module `network` on a Pico W, and for the pin of its LED: what MicroPython 1.25 and its
# driver do, by their sources (extmod/network_cyw43.c, lib/cyw43-driver).

_ANSWER_MS = 1000  # the driver waits so long for one
_FAILED_START_MS = 80  # power off, power on, ten reads of a test register
_WRONG_MS = 4000  # by which a wrong password is told later than a right one
_JOIN_QUESTIONS = 11
_STARTS = 4  # each that fails keeps what the driver has only so many of
_MAC = b"\x28\xcd\xc1\x00\x00\x01"
_ACTIVE, _FAILED, _NO_NETWORK, _WRONG_PASSWORD = 1, -1, -2, -3
_STEPS = ("auth", "link", "keyed")


class Network:
    """The module over an Air. radio: the chip and its driver, with what a test changes: dead (does not start), half
    (starts, and no station is made), hung (answers nothing any more)."""

    STAT_IDLE, STAT_CONNECTING, STAT_GOT_IP = 0, 1, 3
    STAT_CONNECT_FAIL, STAT_NO_AP_FOUND, STAT_WRONG_PASSWORD = -1, -2, -3

    def __init__(self, air):
        self.radio = radio = _Radio(air)

        class WLAN(_Interface):
            def __init__(self, kind=0):
                assert kind == self.IF_STA
                self._radio = radio

        self.WLAN = WLAN

    def country(self, code):
        self.radio.country = code


class _Radio:
    def __init__(self, air):
        self.air = air
        self.dead = self.half = self.hung = False
        self.country = None
        self.told = []  # what it was asked, in order
        self.failed_starts = 0
        self.up = False
        self.active = False
        self.station = False  # the interface exists
        self.mac = bytes(6)
        self.kind = 0  # of the join: 0 none, or one of those above
        self.steps = set()
        self.link = False
        self.ip = None
        self._attempt = 0

    def ask(self, questions=1):
        """False if the radio does not answer, after all that time."""
        if not self.up:
            self.air.after(_FAILED_START_MS if self.dead or self.failed_starts >= _STARTS else 1)
            if self.dead or self.failed_starts >= _STARTS:
                self.failed_starts += 1
                return False
            self.up = True
            self.mac = _MAC
        if self.hung:
            self.air.after(questions * _ANSWER_MS)
        return not self.hung

    # -- a join

    def join(self, ssid, password, security):
        self.told.append("join")
        self._attempt = attempt = self._attempt + 1
        answered = self.ask(_JOIN_QUESTIONS)
        self.kind, self.steps = _ACTIVE, set() if password else {"keyed"}
        if answered:
            right = password == self.air.password
            known = ssid == self.air.ssid and self.air.in_reach
            late = _WRONG_MS if known and not right else 0
            self.air.later(self.air.join_ms + late, lambda: self._outcome(attempt, ssid, right))

    def _outcome(self, attempt, ssid, right):
        if attempt != self._attempt or self.hung:
            return
        if not self.air.in_reach or ssid != self.air.ssid:
            self.kind = _NO_NETWORK
            return
        for step in ("auth", "link") + (("keyed",) if right else ()):
            self.steps.add(step)
        if not right:
            self.kind = _WRONG_PASSWORD
        if self.kind == _ACTIVE and len(self.steps) == len(_STEPS):  # not after an end that came in between
            self.steps = set()
            self.link = True
            if self.ip is None and self.air.dhcp_ms is not None:
                self.air.later(self.air.dhcp_ms, lambda: self._leased(attempt))

    def _leased(self, attempt):
        if attempt == self._attempt and self.link:
            self.ip = "10.77.0.2"

    def leave(self):
        self.told.append("leave")
        self._attempt += 1
        if self.ask():
            self.air.later(self.air.leave_ms, self.disassociated)

    def disassociated(self):
        """The event: the access point or we ended it."""
        self.link, self.kind, self.steps = False, 0, set()  # the address stays

    def hang(self):
        """From now on it answers nothing."""
        self.hung = True

    def link_down(self):
        """The event that comes alone when an access point is not heard any more."""
        self.link = False


class _Interface:
    IF_STA = 0
    PM_NONE = 0xA00000 & 0xF
    SEC_OPEN, SEC_WPA_WPA2, SEC_WPA3, SEC_WPA2_WPA3 = 0, 0x400006, 0x1000004, 0x1400004

    def active(self, on=None):
        radio = self._radio
        if on is None:
            return radio.active
        radio.active = on
        if on:  # off does nothing
            radio.told.append("on")
            radio.station = (radio.ask() and not radio.half) or radio.station
        return None

    def config(self, name=None, pm=None):
        if name == "mac":
            return self._radio.mac  # which it told when it was started
        assert name is None
        self._radio.told.append(("pm", pm))
        self._radio.ask()
        return None

    def ifconfig(self, address=None):
        radio = self._radio
        if address is None:
            return radio.ip or "0.0.0.0", "255.255.255.0", "10.77.0.1", "10.77.0.1"
        radio.told.append(address)
        radio.ip = address[0]
        return None

    def connect(self, ssid, key=None, security=None):
        radio = self._radio
        if not radio.station:
            raise OSError(1)
        radio.access = (ssid, key, security)
        radio.join(ssid, key, security)

    def disconnect(self):
        self._radio.leave()

    def isconnected(self):
        return self._radio.link and self._radio.ip is not None

    def status(self):
        radio = self._radio
        if radio.link:
            return 3 if radio.ip else 2
        return radio.kind


class Pin:
    """The LED's pin, at the radio: to make it switches it."""

    OUT = 1

    def __init__(self, radio):
        self._radio = radio
        self.lit = None
        self.value(0)

    def value(self, lit):
        if lit != self.lit:
            self._radio.ask()
        self.lit = lit


def pins(radio):
    """Stands for the class machine.Pin."""

    class Made(Pin):
        def __init__(self, name, mode, value):
            assert (name, mode, value) == ("LED", self.OUT, 0)
            Pin.__init__(self, radio)

    return Made
