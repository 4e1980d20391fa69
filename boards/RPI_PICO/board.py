# Raspberry Pi Pico: the network is PPP over UART0, TX on GP0 and RX on GP1, at 3 Mbaud, the highest rate with a
# peripheral clock of 48 MHz. The transmit buffer holds all that lwIP sends at once, as PPP drops packets that do not
# fit.

from machine import UART, Pin

from device.ppp import PointToPoint

MHZ = (200, 125)  # clocks that relay.json may ask for; the image starts with the first (clock200.c)


def network(config):
    """The link that device.service brings up."""
    return PointToPoint(UART(0, 3_000_000, tx=Pin("GP0"), rx=Pin("GP1"), txbuf=16384, rxbuf=8192))
