# The network over a serial line: PPP (RFC 1661) on a UART, the peer gives the address. Needs lwIP pools that hold whole
# windows of every connection (boards/lwip_sizes.h), or a full send buffer is an error.

from network import PPP

from device.link import Link

_LOST = -1  # and below: the link ended with an error, the number is lwIP's


class PointToPoint(Link):
    """A link over a machine.UART whose transmit buffer holds all that lwIP may send at once: PPP drops what is cut."""

    def __init__(self, uart):
        self._link = PPP(uart)

    def begin(self):
        """Offer the link to the peer; it comes up by itself when there is one."""
        self._link.connect()

    def mend(self, waited_ms):
        """Offer it anew if it was lost."""
        if self._link.status() > _LOST:
            return False
        self._link.connect()
        return True

    def address(self):
        """Our IP address (str), None while there is no link."""
        return self._link.ifconfig()[0] if self._link.isconnected() else None

    def end(self):
        """Close the link. lwIP has one control block for PPP: without this the next begin() has none."""
        self._link.disconnect()
