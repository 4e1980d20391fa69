"""Calls of libsecp256k1 as an image has it: what each takes and where its result is. Layout of the memory is ours."""

from pathlib import Path

from tools.emulator.calls import SCRATCH, Call, curve_functions

# Objects of the library are opaque bytes: a public key 64, a key pair 96.
KEY, PAIR, RESULT, SECRET, MESSAGE, RANDOM, INPUT = (SCRATCH + 128 * i for i in range(7))
TABLE = SCRATCH + 1024  # a prepared key: its x coordinate, then the points of firmware/modules/secp256k1/prepared_key.h
CHUNKS, CHUNK_BITS, POINTS = 4, 32, 8
TABLE_BYTES = 32 + 64 * CHUNKS * POINTS
CONTEXT_NONE = 1


class Library:
    """The library of one image."""

    def __init__(self, image: Path) -> None:
        functions = curve_functions(image)
        self.static = functions["secp256k1_context_static_"]["address"]
        self.own = functions["modsecp256k1_context"]["address"]

    def make_context(self) -> Call:
        """Must come before what multiplies the generator by a secret."""
        return Call("secp256k1_context_preallocated_create", (self.own, CONTEXT_NONE))

    def parse(self, point: bytes) -> Call:
        return Call("secp256k1_ec_pubkey_parse", (self.static, KEY, INPUT, len(point)), ((INPUT, point),))

    def dh(self, secret: bytes) -> Call:
        """With the parsed point."""
        arguments = (self.static, RESULT, KEY, SECRET, 0, 0)
        return Call("secp256k1_ecdh", arguments, ((SECRET, secret),), ((RESULT, 32),))

    def public(self, secret: bytes) -> Call:
        return Call("secp256k1_ec_pubkey_create", (self.own, KEY, SECRET), ((SECRET, secret),), ((KEY, 64),))

    def key_pair(self, secret: bytes) -> Call:
        return Call("secp256k1_keypair_create", (self.own, PAIR, SECRET), ((SECRET, secret),))

    def sign(self, message: bytes, random: bytes) -> Call:
        """With the key pair made before."""
        memory = ((MESSAGE, message), (RANDOM, random))
        return Call("secp256k1_schnorrsig_sign32", (self.own, RESULT, MESSAGE, PAIR, RANDOM), memory, ((RESULT, 64),))

    def parse_x(self, key: bytes) -> Call:
        return Call("secp256k1_xonly_pubkey_parse", (self.static, KEY, INPUT), ((INPUT, key),))

    def verify(self, signature: bytes, message: bytes) -> Call:
        """Under the key parsed before; the result is in r0."""
        memory = ((INPUT, signature), (MESSAGE, message))
        return Call("secp256k1_schnorrsig_verify", (self.static, INPUT, MESSAGE, len(message), KEY), memory)

    def prepare(self, key: bytes) -> Call:
        """The result is in r0 and the table."""
        return Call("prepared_key_make", (TABLE, INPUT), ((INPUT, key),), ((TABLE, TABLE_BYTES),))

    def verify_prepared(self, signature: bytes, message: bytes) -> Call:
        """Under the key prepared before; the result is in r0."""
        memory = ((INPUT, signature), (MESSAGE, message))
        return Call("prepared_key_verify", (TABLE, INPUT, MESSAGE), memory)


def coordinates(key: bytes) -> bytes:
    """The uncompressed point of a parsed key: on this processor, its coordinates' words with the lowest byte first."""
    return b"\x04" + key[31::-1] + key[:31:-1]
