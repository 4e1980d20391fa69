# A module with an ESP32-C3 and 4 MiB of flash: the network is Wi-Fi, with the names that relay.json has under "wifi".

from machine import Pin

from device import chip_esp32
from device.wlan_esp32 import Station

prepare = chip_esp32.radio_on  # before storage is opened
sessions = chip_esp32.sessions
random = chip_esp32.drawn

BUTTON = Pin(9, Pin.IN, Pin.PULL_UP)  # the boot button of every module


def network(config):
    """The link that device.service brings up."""
    return Station(config["wifi"], config.get("address"))
