# Raspberry Pi Pico W: the network is Wi-Fi, with the names that relay.json has under "wifi".

from device.wlan import Lamp, Station

lamp = Lamp  # switches the LED
MHZ = (200, 125)  # clocks that relay.json may ask for; the image starts with the first (clock200.c)


def network(config):
    """The link that device.service brings up."""
    return Station(config["wifi"], config.get("address"))
