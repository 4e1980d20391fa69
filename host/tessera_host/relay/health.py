"""Whether a relay on a server is well: for those who watch it, and for the program that warns."""

from .server_relay import ServerRelay, unix_ms


class Health:
    """What is wrong with a relay on a server, and by how much its clock is off."""

    def __init__(self, opened: ServerRelay) -> None:
        self._opened = opened

    @property
    def clock_off_seconds(self) -> float | None:
        """This computer's clock minus the relay's, which is never set back, in seconds; None if the relay has none."""
        clock = self._opened.relay.clock
        return (unix_ms() - clock.now_ms()) / 1000 if clock.known else None

    @property
    def clock_far_off(self) -> float | None:
        """`clock_off_seconds` if it is more than a round either way, else None."""
        off = self.clock_off_seconds
        most = self._opened.relay.parameters.newest.round_seconds
        return off if off is not None and abs(off) > most else None

    def complaints(self) -> list[str]:
        """What is wrong, a sentence each; the texts are fixed and name nobody."""
        relay = self._opened.relay
        if not relay.clock.known or relay.open_round is None:
            return ["the relay has no clock"]
        found = []
        if self.clock_far_off is not None:
            found.append("this computer's clock and the relay's do not agree")
        if relay.figures.storage_faults:
            found.append("the storage fails")
        if relay.epoch is not None and relay.epoch >= relay.parameters.newest.end_epoch:
            found.append("the schedule of keys has ended: IT has to renew it")
        return found
