"""What a fuzz target is, and how it takes its input apart. The targets themselves are in *_targets.py."""

from collections.abc import Callable, Iterator
from random import Random


class Violation(AssertionError):
    """A target's own finding: what must hold of the product does not."""


def must(holds: object, what: str) -> None:
    """Raises Violation, which says what is wrong, unless it holds."""
    if not holds:
        raise Violation(what)


class Sink:
    """The writer of a stream of asyncio's that goes nowhere but into `data`."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> None:
        self.data += data

    async def drain(self) -> None:
        pass

    def close(self) -> None:
        pass

    async def wait_closed(self) -> None:
        pass


class Target:
    """One thing that is fed hostile bytes.

    `run(data)` makes them of any bytes and raises Violation if what came out is not what must hold. Whatever else it
    raises is a finding, too. It leaves nothing behind: an input does the same in every process and order.
    """

    name = ""
    runs = 200  # in `make test`
    share = 1  # of the time of `make fuzz MINUTES=…`
    multiple = 1  # of the executions of `make fuzz EXECUTIONS=…`: more of what is quick
    longest = 1024  # bytes of an input

    def seeds(self) -> list[bytes]:
        raise NotImplementedError

    def run(self, data: bytes) -> None:
        raise NotImplementedError


class Intake:
    """Numbers and bytes from the front of an input; zeros once it is used up."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def bytes(self, length: int) -> bytes:
        piece = self._data[self._at : self._at + length]
        self._at += length
        return piece + bytes(length - len(piece))

    def number(self, length: int) -> int:
        return int.from_bytes(self.bytes(length), "big")

    def rest(self) -> bytes:
        piece = self._data[self._at :]
        self._at = len(self._data)
        return piece


def allowed(exceptions: type[BaseException] | tuple[type[BaseException], ...], call: Callable[[], object]) -> object:
    """What the call returns, or the exception if it is one of these, which must say something.

    Any other exception of the product is a violation.
    """
    try:
        return call()
    except Violation:
        raise
    except exceptions as error:
        must(str(error), f"{type(error).__name__} without a text")
        return error
    except Exception as error:
        raise Violation(f"{type(error).__name__} came out") from error


def mutations(seeds: list[bytes], count: int, longest: int, seed: int) -> Iterator[bytes]:
    """The seeds, then changed ones, `count` inputs in all; the same ones for the same arguments."""
    yield from seeds[:count]
    random = Random(seed)
    for _ in range(count - len(seeds)):
        data = bytearray(random.choice(seeds))
        for _ in range(random.choice((1, 1, 2, 4))):
            random.choice(_CHANGES)(data, random, seeds)
        yield bytes(data[:longest])


def _change_byte(data: bytearray, random: Random, seeds: list[bytes]) -> None:
    if data:
        data[random.randrange(len(data))] = random.choice((0, 1, 2, 127, 128, 254, 255, random.randrange(256)))


def _flip_bit(data: bytearray, random: Random, seeds: list[bytes]) -> None:
    if data:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _insert(data: bytearray, random: Random, seeds: list[bytes]) -> None:
    at = random.randint(0, len(data))
    data[at:at] = random.choice((random.randbytes(random.randint(1, 8)), bytes(4), b"\xff" * 4))


def _remove(data: bytearray, random: Random, seeds: list[bytes]) -> None:
    at = random.randint(0, len(data))
    del data[at : at + random.choice((1, 2, 8, len(data)))]


def _extreme(data: bytearray, random: Random, seeds: list[bytes]) -> None:
    """Overwrite 2, 4 or 8 bytes by the largest number, or a small one."""
    width = random.choice((2, 4, 8))
    at = random.randint(0, max(0, len(data) - width))
    data[at : at + width] = random.choice(
        (b"\xff" * width, bytes(width - 1) + b"\x01", b"\x7f" + b"\xff" * (width - 1))
    )


def _splice(data: bytearray, random: Random, seeds: list[bytes]) -> None:
    other = random.choice(seeds)
    start = random.randint(0, len(other))
    at = random.randint(0, len(data))
    data[at:at] = other[start : start + random.randint(1, 64)]


_CHANGES = (_change_byte, _flip_bit, _insert, _remove, _extreme, _splice)
