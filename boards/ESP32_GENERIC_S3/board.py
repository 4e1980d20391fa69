# A module with an ESP32-S3 and 8 MiB of flash: the network is Wi-Fi, with the names that relay.json has under "wifi".

from device.wlan_esp32 import Station

BUTTON = 0  # GPIO0, the boot button of every module


def network(config):
    """The link that device.service brings up."""
    return Station(config["wifi"], config.get("address"))
