# The air of a fake radio (network_rp2.py, network_esp32.py): the access point there, and time, which only the test lets
# pass.


class Air:
    """An access point. join_ms: what an attempt takes; dhcp_ms: DHCP, None for no answer ever; in_reach: whether it is
    there; leave_ms: from the answer to a request to leave until the event that tells of it. now: milliseconds."""

    def __init__(self, ssid="office", password="the password", join_ms=1500, dhcp_ms=20):
        self.ssid = ssid
        self.password = password
        self.join_ms = join_ms
        self.dhcp_ms = dhcp_ms
        self.in_reach = True
        self.leave_ms = 10
        self.now = 0
        self._due = []

    def later(self, milliseconds, what):
        """Call what() then; a list of one that the test may clear."""
        entry = [what]
        self._due.append((self.now + milliseconds, entry))
        return entry

    def after(self, milliseconds):
        """Let time pass, and what is due happen in its order."""
        end = self.now + milliseconds
        while True:
            due = [one for one in self._due if one[0] <= end]
            if not due:
                break
            first = min(due, key=lambda one: one[0])
            self._due.remove(first)
            self.now = max(self.now, first[0])
            for what in first[1]:
                what()
        self.now = end
