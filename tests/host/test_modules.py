"""The rounds of AES in C (firmware/modules/aes), compiled for this computer: what every chip runs that is no RP2040."""

import ctypes
import random
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

AES = Path(__file__).resolve().parents[2] / "firmware" / "modules" / "aes"
OPTIONS = ("-O1", "-Wall", "-Wextra", "-Werror", "-fsanitize=undefined", "-fno-sanitize-recover=all")


class RoundKeys(ctypes.Structure):
    _fields_ = (("rounds", ctypes.c_uint32), ("words", ctypes.c_uint32 * 60))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("aes")
    subprocess.run([sys.executable, AES / "aes_rp2040.py", folder / "aes_tables.h"], check=True)
    built = folder / "aes.so"
    command = ["gcc", *OPTIONS, "-shared", "-fPIC", f"-I{folder}", AES / "aes.c", "-o", built]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(built))


def round_keys(library: ctypes.CDLL, kind: str, key: bytes) -> RoundKeys:
    made = RoundKeys()
    assert library[f"tessera_aes_{kind}ion_key"](ctypes.byref(made), key, ctypes.c_size_t(len(key))) == 0
    return made


@pytest.mark.parametrize("length", [16, 24, 32])
def test_chains_are_those_of_cryptography_by_any_pieces(library: ctypes.CDLL, length: int) -> None:
    dice = random.Random(length)
    for blocks in (1, 2, 16, 33):
        key, iv, message = dice.randbytes(length), dice.randbytes(16), dice.randbytes(16 * blocks)
        cipher = Cipher(algorithms.AES(key), modes.CBC(iv))
        encrypted = cipher.encryptor().update(message)
        for kind, given, expected in (("encrypt", message, encrypted), ("decrypt", encrypted, message)):
            made, chain = round_keys(library, kind, key), ctypes.create_string_buffer(iv, 16)
            first = 16 * dice.randint(0, blocks)
            result = b""
            for piece in (given[:first], given[first:]):
                place = ctypes.create_string_buffer(piece, max(1, len(piece)))
                library[f"tessera_aes_cbc_{kind}"](ctypes.byref(made), chain, place, place, len(piece) // 16)
                result += place.raw[: len(piece)]
            assert result == expected
            assert chain.raw == encrypted[-16:]


def test_blocks_are_those_of_the_standard(library: ctypes.CDLL) -> None:
    """FIPS 197, appendix C."""
    example = bytes.fromhex("00112233445566778899aabbccddeeff")
    for length, expected in (
        (16, "69c4e0d86a7b0430d8cdb78070b4c55a"),
        (24, "dda97ca4864cdfe06eaf70a0ec0d7191"),
        (32, "8ea2b7ca516745bfeafc49904b496089"),
    ):
        made = round_keys(library, "encrypt", bytes(range(length)))
        block = ctypes.create_string_buffer(16)
        library.tessera_aes_encrypt(ctypes.byref(made), example, block)
        assert block.raw.hex() == expected
        made = round_keys(library, "decrypt", bytes(range(length)))
        library.tessera_aes_decrypt(ctypes.byref(made), block, block)
        assert block.raw == example


def test_keys_have_16_24_or_32_bytes(library: ctypes.CDLL) -> None:
    for length in (0, 15, 17, 31, 33):
        for kind in ("encrypt", "decrypt"):
            made = RoundKeys()
            function = library[f"tessera_aes_{kind}ion_key"]
            assert function(ctypes.byref(made), bytes(64), ctypes.c_size_t(length)) == -1
