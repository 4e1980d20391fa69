# Raspberry Pi Pico 2 W: the network is Wi-Fi, with the names that relay.json has under "wifi".

from device.wlan import Lamp, Station

lamp = Lamp  # switches the LED


def network(config):
    """The link that device.service brings up."""
    return Station(config["wifi"], config.get("address"))
