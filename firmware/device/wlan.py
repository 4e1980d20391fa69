# The network over Wi-Fi, as a station. Power save is off: it holds frames back for up to 100 ms, which no schedule of
# answers bears.

import network


class Station:
    """A station of the network that relay.json names: "wifi": {"ssid", "password"?, "country"?}; DHCP, or "address":
    {"ip", "netmask", "gateway", "dns"}."""

    def __init__(self, wifi, address=None):
        if "country" in wifi:
            network.country(wifi["country"])
        self._access = (wifi["ssid"], wifi.get("password"))
        self._address = address
        self._nic = network.WLAN(network.WLAN.IF_STA)

    def begin(self):
        """Switch the radio on and join; that takes seconds and goes on by itself."""
        self._nic.active(True)
        self._nic.config(pm=network.WLAN.PM_NONE)
        self._join()

    def mend(self):
        """Join again if the attempt failed or the access point went away."""
        if not self._nic.isconnected() and self._nic.status() != network.STAT_CONNECTING:
            self._nic.disconnect()
            self._join()

    def _join(self):
        if self._address:
            self._nic.ifconfig(tuple(self._address[name] for name in ("ip", "netmask", "gateway", "dns")))
        self._nic.connect(*self._access)

    def address(self):
        """Our IP address (str), None while there is no link."""
        return self._nic.ifconfig()[0] if self._nic.isconnected() else None

    def end(self):
        """Leave, and switch the radio off."""
        self._nic.disconnect()
        self._nic.active(False)
