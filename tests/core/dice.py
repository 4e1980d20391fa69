# Numbers for tests that look random and are the same in every run and on both runtimes.

from tessera.hashes import sha256


class Dice:
    """A SHA-256 counter from a seed (bytes)."""

    def __init__(self, seed):
        self._seed = seed
        self._throws = 0

    def bytes(self, length):
        data = b""
        while len(data) < length:
            self._throws += 1
            data += sha256(self._seed, self._throws.to_bytes(4, "big"))
        return data[:length]

    def below(self, limit):
        """An integer in 0 … limit - 1."""
        return int.from_bytes(self.bytes(4), "big") % limit
