# Wi-Fi and Ethernet over a fake of MicroPython's module network: what is asked of the radio, and when it joins again.

import sys

from check import not_on_a_board

_WIFI = {"ssid": "office", "password": "the password", "country": "DE"}
_STATIC = {"ip": "10.0.0.9", "netmask": "255.255.255.0", "gateway": "10.0.0.1", "dns": "10.0.0.2"}


class _Nic:
    """An interface that notes what it is told."""

    IF_STA = 0
    PM_NONE = 0

    def __init__(self, kind=None):
        self.told = []
        self.joined = False
        self.state = _Network.STAT_IDLE

    def active(self, on):
        self.told.append("on" if on else "off")

    def config(self, pm):
        self.told.append(("pm", pm))

    def ifconfig(self, address=None):
        if address is None:
            return "10.0.0.7", "255.255.255.0", "10.0.0.1", "10.0.0.1"
        self.told.append(address)
        return None

    def connect(self, *access):
        self.told.append(("connect",) + access)
        self.state = _Network.STAT_CONNECTING

    def disconnect(self):
        self.told.append("disconnect")

    def isconnected(self):
        return self.joined

    def status(self):
        return self.state


class _Network:
    """The module."""

    STAT_IDLE, STAT_CONNECTING, STAT_NO_AP_FOUND = 0, 1, -2
    WLAN = _Nic

    def __init__(self):
        self.told = None

    def country(self, code):
        self.told = code


def _station(wifi=_WIFI, address=None):
    """(station, its fake interface, the fake module)"""
    not_on_a_board("it has the real module")
    module, before = _Network(), sys.modules.get("network")
    sys.modules["network"] = module
    try:
        sys.modules.pop("device.wlan", None)
        from device.wlan import Station

        station = Station(wifi, address)
    finally:
        sys.modules.pop("device.wlan", None)
        sys.modules.pop("network")
        if before is not None:
            sys.modules["network"] = before
    return station, station._nic, module


def test_a_station_joins_with_its_country_and_without_power_save():
    station, nic, module = _station()
    station.begin()
    assert module.told == "DE"
    assert nic.told == ["on", ("pm", _Nic.PM_NONE), ("connect", "office", "the password")]


def test_an_open_network_and_a_country_that_is_not_told_are_right_too():
    station, nic, module = _station({"ssid": "guests"})
    station.begin()
    assert module.told is None and nic.told[-1] == ("connect", "guests", None)


def test_a_static_address_is_set_before_it_joins():
    station, nic, _ = _station(address=_STATIC)
    station.begin()
    assert nic.told[2:] == [
        ("10.0.0.9", "255.255.255.0", "10.0.0.1", "10.0.0.2"),
        ("connect", "office", "the password"),
    ]


def test_an_attempt_that_goes_on_is_left_alone_and_one_that_failed_is_made_again():
    station, nic, _ = _station()
    station.begin()
    nic.told.clear()
    station.mend()
    assert nic.told == []
    nic.state = _Network.STAT_NO_AP_FOUND
    station.mend()
    assert nic.told == ["disconnect", ("connect", "office", "the password")]
    nic.told.clear()
    nic.state, nic.joined = _Network.STAT_IDLE, True
    station.mend()
    assert nic.told == []


def test_there_is_an_address_only_with_a_link_and_the_end_switches_off():
    station, nic, _ = _station()
    station.begin()
    assert station.address() is None
    nic.joined = True
    assert station.address() == "10.0.0.7"
    station.end()
    assert nic.told[-2:] == ["disconnect", "off"]


def test_ethernet_takes_a_static_address_or_dhcp():
    not_on_a_board("it has no Ethernet")
    from device.lan import Wire

    for address in (None, _STATIC):
        nic = _Nic()
        wire = Wire(nic, address)
        wire.begin()
        assert nic.told[0] == "on" and len(nic.told) == (1 if address is None else 2)
        assert wire.address() is None
        nic.joined = True
        assert wire.address() == "10.0.0.7"
        wire.mend()
        wire.end()
        assert nic.told[-1] == "off"
