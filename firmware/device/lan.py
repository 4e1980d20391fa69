# The network over Ethernet. There is nothing to join, and MicroPython's port keeps the link up by itself.

from device.link import Link


class Wire(Link):
    """nic: a network.LAN that board.py made with its pins. address: "address" in relay.json, None for DHCP."""

    def __init__(self, nic, address=None):
        self._nic = nic
        self._address = address

    def begin(self):
        """Switch the interface on."""
        self._nic.active(True)
        if self._address:
            self._nic.ifconfig(tuple(self._address[name] for name in ("ip", "netmask", "gateway", "dns")))

    def address(self):
        """Our IP address (str), None while there is no link."""
        return self._nic.ifconfig()[0] if self._nic.isconnected() else None

    def end(self):
        """Switch the interface off."""
        self._nic.active(False)
