# Olimex ESP32-POE: the network is Ethernet through a LAN8720 that has its clock from GPIO17 and its power from GPIO12.

import network as ports
from machine import Pin

from device import chip_esp32
from device.lan import Wire

sessions = chip_esp32.sessions
random = chip_esp32.drawn  # the board has a radio, too, which is on only while keys are made

BUTTON = Pin(34, Pin.IN)  # BUT1: pulled up on the board, as pins from 34 on cannot


def prepare():
    """Let Ethernet take its memory before the storage is opened."""
    _interface()


def network(config):
    """The link that device.service brings up."""
    return Wire(_interface(), config.get("address"))


def _interface():
    """The board's only interface, which the first call makes."""
    return ports.LAN(
        mdc=Pin(23),
        mdio=Pin(18),
        power=Pin(12),
        phy_type=ports.PHY_LAN8720,
        phy_addr=0,
        ref_clk=Pin(17),
        ref_clk_mode=Pin.OUT,
    )
