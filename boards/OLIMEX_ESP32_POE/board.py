# Olimex ESP32-POE: the network is Ethernet through a LAN8720 that has its clock from GPIO17 and its power from GPIO12.

import network as ports
from machine import Pin

from device.lan import Wire

BUTTON = 34  # BUT1


def network(config):
    """The link that device.service brings up."""
    return Wire(
        ports.LAN(
            mdc=Pin(23),
            mdio=Pin(18),
            power=Pin(12),
            phy_type=ports.PHY_LAN8720,
            phy_addr=0,
            ref_clk=Pin(17),
            ref_clk_mode=Pin.OUT,
        ),
        config.get("address"),
    )
