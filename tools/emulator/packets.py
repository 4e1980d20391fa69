"""IPv4 packets over a stream of bytes, as the access point of an emulated radio has them (radio/air.mjs): length
(2 bytes, big endian), packet. Length 0 says that the board can be reached. Ethernet is the access point's business.
"""

from collections.abc import Callable

LENGTH_BYTES = 2


class Packets:
    """The host's end: what ppp.Ppp is for a UART."""

    def __init__(
        self, *, send: Callable[[bytes], None], deliver: Callable[[bytes], None], up: Callable[[], None]
    ) -> None:
        """send(bytes) writes to the stream, deliver(packet) gets the board's packets, up() is called each time the
        board has its address."""
        self._send, self._deliver, self._up = send, deliver, up
        self._unread = b""

    def feed(self, data: bytes) -> None:
        """Takes what the stream delivers."""
        self._unread += data
        while len(self._unread) >= LENGTH_BYTES:
            end = LENGTH_BYTES + int.from_bytes(self._unread[:LENGTH_BYTES], "big")
            if len(self._unread) < end:
                return
            packet, self._unread = self._unread[LENGTH_BYTES:end], self._unread[end:]
            if packet:
                self._deliver(packet)
            else:
                self._up()

    def send_ip(self, packet: bytes) -> None:
        """Sends an IP packet; the access point drops it while nobody is there."""
        self._send(len(packet).to_bytes(LENGTH_BYTES, "big") + packet)

    def tick(self) -> None:
        """Nothing is repeated here."""
