# Wi-Fi on an ESP32: its port joins again by itself when a join fails or the access point went away, and goes by the
# security and the country that the access point tells.

from device.wlan import Station as _Station
from tessera.runtime import const

_PATIENCE_MS = const(60_000)  # the port's, then the radio is started anew


class Station(_Station):
    """As wlan's; ValueError for what cannot be chosen here."""

    def __init__(self, wifi, address=None):
        if "country" in wifi or "security" in wifi:
            raise ValueError
        super().__init__(wifi, address)

    def mend(self, waited_ms):
        if waited_ms < _PATIENCE_MS:
            return False
        self.renew()
        return True

    def renew(self):
        """Switch the radio off and on: while the port tries, a join is an error."""
        self.end()
        self.begin()

    def end(self):
        """Switch the radio off."""
        self._nic.active(False)
