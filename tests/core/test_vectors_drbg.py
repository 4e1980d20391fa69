# drbg.json: HMAC_DRBG, as published and as a relay has it.

from check import unhex, vectors
from tessera import drbg
from tessera.drbg import HmacDrbg, RelayGenerator, check_known_answer


def _generator(row):
    return HmacDrbg(unhex(row["entropy"]), unhex(row["nonce"]), unhex(row["personalization"]))


def test_generator_gives_the_vectors_outputs():
    for row in vectors("drbg"):
        generator = _generator(row)
        for step in row["steps"]:
            if "reseed" in step:
                generator.reseed(unhex(step["reseed"]))
            else:
                assert generator.generate(step["generate"]) == unhex(step["output"]), row["source"]


def test_known_answer_of_the_boot_test_is_nists():
    check_known_answer()
    published = [row for row in vectors("drbg") if row["source"].startswith("NIST") and "COUNT = 0" in row["source"]]
    row = next(row for row in published if not row["personalization"] and "no_reseed" in row["source"])
    assert unhex(row["entropy"]) == drbg._KNOWN_ENTROPY and unhex(row["nonce"]) == drbg._KNOWN_NONCE
    assert unhex(row["steps"][-1]["output"])[:16] == drbg._KNOWN_OUTPUT


def test_a_relays_generator_is_seeded_as_the_protocol_says():
    # PROTOCOL §1: entropy seed ‖ os.urandom(32), nonce u32 boots ‖ chip_id, personalization "tessera/1/drbg".
    rows = [row for row in vectors("drbg") if row["source"] == "tools/spec/vectors.py" and row["personalization"]]
    assert rows
    for row in rows:
        entropy, nonce = unhex(row["entropy"]), unhex(row["nonce"])
        source = _Source(entropy[32:])
        relay = RelayGenerator(entropy[:32], int.from_bytes(nonce[:4], "big"), nonce[4:], source.read)
        step = row["steps"][0]
        assert relay.random(step["generate"]) == unhex(step["output"])


class _Source:
    """A source that passes the health test and then gives one chosen value."""

    def __init__(self, last):
        self._last = last
        self._reads = 0

    def read(self, length):
        self._reads += 1
        if self._reads > 8:
            return self._last
        return bytes((self._reads + 7 * place) & 255 for place in range(length))
