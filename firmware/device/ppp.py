# The network over a serial line: PPP (RFC 1661) on a UART. The peer gives the address. lwIP's pools must hold whole
# windows of all connections (boards/lwip_sizes.h), otherwise a full send buffer is an error.

from network import PPP

from device.link import Link

_LOST = -1  # statuses from here downward are errors of lwIP that ended the link


class PointToPoint(Link):
    """uart: a machine.UART whose transmit buffer holds all that lwIP may send at once; PPP drops packets that do not
    fit."""

    def __init__(self, uart):
        self._link = PPP(uart)

    def begin(self):
        """Offer the link to the peer. It comes up by itself as soon as there is a peer."""
        self._link.connect()

    def mend(self, waited_ms):
        """Offer the link again if it was lost."""
        if self._link.status() > _LOST:
            return False
        self._link.connect()
        return True

    def address(self):
        """Our IP address (str), None while there is no link."""
        return self._link.ifconfig()[0] if self._link.isconnected() else None

    def end(self):
        """Close the link. lwIP has only one control block for PPP, which the next begin() needs."""
        self._link.disconnect()
