# The network over Ethernet: nothing to join, and the port mends it by itself.


class Wire:
    """An interface of network.LAN, made by the board with its pins."""

    def __init__(self, nic):
        self._nic = nic

    def begin(self):
        """Switch the interface on; the address comes by DHCP."""
        self._nic.active(True)

    def mend(self):
        """Nothing to do."""

    def address(self):
        """Our IP address (str), None while there is no link."""
        return self._nic.ifconfig()[0] if self._nic.isconnected() else None

    def end(self):
        """Switch the interface off."""
        self._nic.active(False)
