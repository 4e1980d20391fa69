"""Six words that two people read to each other: 66 bits of a digest in the BIP-39 English list (PROTOCOL §12)."""

from mnemonic import Mnemonic

_WORDS = 6
_WORD_BITS = 11


def words(digest: bytes) -> list[str]:
    """Make six words of the first 66 bits of a digest of 32 bytes."""
    bits = f"{int.from_bytes(digest, 'big'):0{8 * len(digest)}b}"
    wordlist = Mnemonic("english").wordlist
    return [wordlist[int(bits[at : at + _WORD_BITS], 2)] for at in range(0, _WORDS * _WORD_BITS, _WORD_BITS)]
