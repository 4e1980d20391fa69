# Wi-Fi and Ethernet over what stands for MicroPython's module `network`, one for each port: what is asked of the radio,
# when it joins again, and what is said of what is wrong.

import sys

from air import Air
from check import not_on_a_board, raises
from device.link import Keeper
from device.log import Log
from network_esp32 import Network as Esp32
from network_rp2 import Network as Rp2
from network_rp2 import Pin
from office import RamDirectory

_WIFI = {"ssid": "office", "password": "the password"}
_STATIC = {"ip": "10.0.0.9", "netmask": "255.255.255.0", "gateway": "10.0.0.1", "dns": "10.0.0.2"}
_STATIC_TUPLE = ("10.0.0.9", "255.255.255.0", "10.0.0.1", "10.0.0.2")


def _imported(name, network):
    """A module of device.wlan's, imported anew over a stand-in for `network`."""
    not_on_a_board("it has the real module")
    before = sys.modules.get("network")
    sys.modules["network"] = network
    try:
        for stale in ("device.wlan", "device.wlan_esp32"):
            sys.modules.pop(stale, None)
        return getattr(__import__("device." + name), name)
    finally:
        for stale in ("device.wlan", "device.wlan_esp32"):
            sys.modules.pop(stale, None)
        sys.modules.pop("network")
        if before is not None:
            sys.modules["network"] = before


class _Relay:
    """A station on a port, with the keeper of its link and, on a Pico W, its LED."""

    def __init__(self, port, wifi=_WIFI, address=None, **air):
        self.air = Air(**air)
        network = port(self.air)
        self.radio = network.radio
        self.module = _imported("wlan" if port is Rp2 else "wlan_esp32", network)
        self.module.ticks_ms = lambda: self.air.now
        self.log = Log(RamDirectory())
        self.station = self.module.Station(wifi, address)
        self.keeper = Keeper(self.station, self.log, lambda: self.air.now, lambda later, earlier: later - earlier)

    def begin(self):
        self.station.begin()
        return self

    def seconds(self, count):
        """Live as keep() does."""
        end = self.air.now + 1000 * count
        while self.air.now < end:
            self.keeper.look()
            self.air.after(1000 if self.keeper.address else 250)
        return self

    def seconds_to_an_address(self, most=600):
        start = self.air.now
        self.keeper.look()
        while self.keeper.address is None:
            assert self.air.now - start < 1000 * most, self.radio.told
            self.air.after(250)
            self.keeper.look()
        return (self.air.now - start) / 1000

    def count(self, what):
        return self.radio.told.count(what)

    def said(self, words):
        return [line for line in self.log.lines() if words in line]


# -- on every port


def test_a_station_joins_without_power_save():
    for port in (Rp2, Esp32):
        relay = _Relay(port).begin()
        assert relay.radio.told == ["on", ("pm", 0), "join"]
        assert relay.radio.access[:2] == ("office", "the password")
        assert relay.station.address() is None
        assert relay.seconds_to_an_address() <= 2 and relay.keeper.address.startswith("10.77.")


def test_an_open_network_is_right_too():
    for port in (Rp2, Esp32):
        relay = _Relay(port, {"ssid": "guests"}, ssid="guests", password=None).begin()
        assert relay.radio.access[:2] == ("guests", None)
        assert relay.seconds_to_an_address() <= 2


def test_a_static_address_is_set_before_it_joins():
    for port in (Rp2, Esp32):
        relay = _Relay(port, address=_STATIC, dhcp_ms=None).begin()
        assert relay.radio.told[2:] == [_STATIC_TUPLE, "join"]
        relay.seconds_to_an_address()
        assert relay.keeper.address == "10.0.0.9"


def test_a_join_that_waits_for_dhcp_is_left_alone():
    for port in (Rp2, Esp32):
        relay = _Relay(port, dhcp_ms=20_000).begin()
        assert relay.seconds_to_an_address() <= 1.5 + 20 + 1
        assert relay.count("join") == 1 and relay.count("leave") == 0


def test_dhcp_that_never_answers_is_named_and_the_join_made_anew_now_and_then():
    for port, words in ((Rp2, "no address by DHCP"), (Esp32, "no answer")):
        relay = _Relay(port, dhcp_ms=None).begin().seconds(600)
        assert 3 <= relay.count("join") <= 11
        assert relay.keeper.trouble == words and relay.said("no network: " + words)


def test_a_wrong_password_and_a_network_that_is_not_there_are_named_once_in_log_and_status():
    for port in (Rp2, Esp32):
        for wifi, words in (
            ({"ssid": "office", "password": "another one"}, "wrong password"),
            ({"ssid": "elsewhere", "password": "the password"}, "no such network"),
        ):
            relay = _Relay(port, wifi).begin().seconds(300)
            assert relay.keeper.trouble == words
            assert len(relay.said("no network: ")) == 1 and relay.said("no network: " + words)
            assert int(relay.said(words)[0].split(" ")[0]) == 0, "noted again and again"


def test_what_was_wrong_is_forgotten_when_the_link_is_there():
    for port in (Rp2, Esp32):
        relay = _Relay(port)
        relay.air.in_reach = False
        relay.begin().seconds(10)
        assert relay.keeper.trouble == "no such network"
        relay.air.in_reach = True
        assert relay.seconds_to_an_address() <= 90
        assert relay.keeper.trouble is None


def test_an_access_point_that_comes_back_is_joined_within_a_minute_and_a_half():
    for port in (Rp2, Esp32):
        relay = _Relay(port).begin()
        relay.seconds_to_an_address()
        for away in (2, 50, 700, 3600):
            relay.air.in_reach = False
            if port is Rp2:
                relay.radio.disassociated()
            else:
                relay.radio.disconnected()
            relay.seconds(away)
            assert relay.keeper.address is None
            relay.air.in_reach = True
            assert relay.seconds_to_an_address() <= 90


def test_a_link_on_which_nobody_answers_is_joined_anew():
    for port in (Rp2, Esp32):
        relay = _Relay(port).begin()
        relay.seconds_to_an_address()
        joins = relay.count("join")
        for _ in range(5):
            relay.keeper.silent()
        assert relay.keeper.address is None
        assert relay.seconds_to_an_address() <= 5 and relay.count("join") == joins + 1


# -- a Pico W


def test_a_country_is_told_before_the_radio_joins():
    assert _Relay(Rp2, {"ssid": "office", "country": "DE"}).radio.country == "DE"
    assert _Relay(Rp2).radio.country is None


def test_security_is_what_relay_json_names():
    for named, told in ((None, None), ("wpa3", 0x1000004), ("wpa2-wpa3", 0x1400004)):
        wifi = dict(_WIFI, security=named) if named else _WIFI
        assert _Relay(Rp2, wifi).begin().radio.access == ("office", "the password", told)
    raises(ValueError, _Relay, Rp2, dict(_WIFI, security="wep"))


def test_a_join_does_not_end_with_what_was_there_before():
    relay = _Relay(Rp2, {"ssid": "office", "password": "another one"}).begin().seconds(60)
    told = [what for what in relay.radio.told if what in ("leave", "join")]
    assert told[:4] == ["join", "leave", "join", "leave"]
    relay.air.password = "another one"
    assert relay.seconds_to_an_address() <= 90


def test_an_attempt_without_end_is_not_waited_for():
    relay = _Relay(Rp2).begin()
    relay.seconds_to_an_address()
    relay.radio.link_down()
    assert relay.station._nic.status() == 1
    assert relay.seconds_to_an_address() <= 25


def test_an_access_point_that_never_says_no_is_tried_again_and_named():
    relay = _Relay(Rp2, join_ms=10**9).begin().seconds(120)
    assert relay.count("join") >= 4 and relay.keeper.trouble == "no answer"


def test_a_radio_that_does_not_start_is_asked_twice_and_then_left_alone():
    relay = _Relay(Rp2)
    relay.radio.dead = True
    lamp = relay.module.Lamp(Pin(relay.radio))
    for step in range(200):
        lamp.value(step % 2)
    assert relay.air.now < 1000 and relay.radio.failed_starts == 1
    relay.begin()
    for step in range(200):
        lamp.value(step % 2)
        relay.seconds(0.25)
    assert relay.radio.failed_starts == 2 and relay.count("join") == 0
    assert relay.station.dead and relay.keeper.address is None
    assert len(relay.said("no network: the radio does not answer")) == 1
    relay.station.end()


def test_a_radio_that_starts_by_halves_is_dead():
    relay = _Relay(Rp2)
    relay.radio.half = True
    relay.begin().seconds(10)
    assert relay.station.dead and relay.keeper.trouble == "the radio does not answer"
    assert relay.count("join") == 0


def test_a_radio_that_starts_at_the_second_try_serves_and_its_led_shines():
    relay = _Relay(Rp2)
    relay.radio.dead = True
    pin = Pin(relay.radio)
    lamp = relay.module.Lamp(pin)
    relay.radio.dead = False
    relay.begin().seconds_to_an_address()
    lamp.value(1)
    assert pin.lit == 1 and not relay.station.dead


def test_a_radio_that_hangs_is_noticed_by_its_led_and_costs_two_answers():
    relay = _Relay(Rp2)
    pin = Pin(relay.radio)
    lamp = relay.module.Lamp(pin)
    relay.begin().seconds_to_an_address()
    relay.radio.hung = True
    start = relay.air.now
    for step in range(100):
        lamp.value(step % 2)
    assert relay.air.now - start == 2000
    relay.seconds(60)
    assert relay.station.dead and relay.keeper.address is None and relay.count("leave") == 0
    assert relay.keeper.trouble == "the radio does not answer"
    asked = list(relay.radio.told)
    relay.begin()
    relay.station.end()
    assert relay.radio.told == asked


def test_one_late_answer_is_no_dead_radio():
    relay = _Relay(Rp2)
    lamp = relay.module.Lamp(Pin(relay.radio))
    relay.begin()
    for step in range(20):
        relay.radio.hung = step % 2 == 0
        lamp.value(step % 2)
    assert not relay.station.dead


# -- an ESP32


def test_the_ports_own_attempts_are_left_alone_for_a_minute():
    relay = _Relay(Esp32)
    relay.air.in_reach = False
    relay.begin().seconds(55)
    assert relay.count("join") == 1 and relay.count("leave") == 0
    relay.air.in_reach = True
    assert relay.seconds_to_an_address() <= 3 and relay.count("join") == 1


def test_after_that_the_radio_is_started_anew():
    relay = _Relay(Esp32)
    relay.air.in_reach = False
    relay.begin().seconds(200)
    assert relay.radio.told[3:7] == ["off", "on", ("pm", 0), "join"]
    assert 3 <= relay.count("join") <= 4


def test_what_the_port_cannot_choose_is_refused():
    raises(ValueError, _Relay, Esp32, dict(_WIFI, country="DE"))
    raises(ValueError, _Relay, Esp32, dict(_WIFI, security="wpa3"))


def test_the_end_switches_the_radio_off_where_that_is_possible():
    relay = _Relay(Esp32).begin()
    relay.station.end()
    assert not relay.radio.started
    relay = _Relay(Rp2).begin().seconds(3)
    relay.station.end()
    relay.air.after(1000)
    assert relay.station.address() is None and relay.count("leave") == 1


# -- Ethernet


class _Wire:
    """An interface of network.LAN that notes what it is told."""

    def __init__(self):
        self.told = []
        self.joined = False

    def active(self, on):
        self.told.append("on" if on else "off")

    def ifconfig(self, address=None):
        if address is None:
            return "10.0.0.7", "255.255.255.0", "10.0.0.1", "10.0.0.1"
        self.told.append(address)
        return None

    def isconnected(self):
        return self.joined


def test_ethernet_takes_a_static_address_or_dhcp():
    not_on_a_board("it has no Ethernet")
    from device.lan import Wire

    for address in (None, _STATIC):
        nic = _Wire()
        wire = Wire(nic, address)
        wire.begin()
        assert nic.told == ["on"] + ([] if address is None else [_STATIC_TUPLE])
        assert wire.address() is None
        nic.joined = True
        assert wire.address() == "10.0.0.7"
        assert not wire.mend(10**6) and wire.trouble(10**6) is None and not wire.dead
        wire.end()
        assert nic.told[-1] == "off"
