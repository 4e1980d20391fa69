# Wi-Fi on an ESP32. Its port joins again by itself when a join fails or the access point is gone, and takes security
# and country from the access point.

from device.wlan import Station as _Station
from tessera.runtime import const

_PATIENCE_MS = const(60_000)  # for which the port tries by itself; then the radio is restarted


class Station(_Station):
    """As in wlan.py. ValueError if relay.json chooses a country or security, which is not possible here."""

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
        """Switch the radio off and on, because joining is an error while the port tries by itself."""
        self.end()
        self.begin()

    def end(self):
        """Switch the radio off."""
        self._nic.active(False)
