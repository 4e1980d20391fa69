"""What an agent has on the wire, byte for byte: a share of the day that `make bench` measures."""

from collections import Counter

from tessera.channel import HELLO_BYTES, NONCE_BYTES, REPLY_BYTES
from tessera.wire import CELL_FRAME_BYTES, CLIENT_FRAME_BYTES
from tools.bench import day

ROUNDS, MESSAGES = 16, 3
ROUNDS_A_DAY = 720
HANDSHAKE = NONCE_BYTES + HELLO_BYTES + REPLY_BYTES
ASKED = 2 * CLIENT_FRAME_BYTES  # a request and its answer
# A round: 24 records in six frames and END; INFO and the FETCH on one connection, INFO and a POST or VOID on another.
CELL = (6 + 1) * CELL_FRAME_BYTES
OTHERS = (HANDSHAKE + ASKED + CLIENT_FRAME_BYTES) + (HANDSHAKE + ASKED + ASKED)
VISITS_A_DAY = 100_000  # to the issuer; 47,432 were measured


def test_every_round_has_the_same_bytes_and_a_day_at_most_7_3_megabytes() -> None:
    seen = day.lived(ROUNDS, MESSAGES)
    assert seen.troubles == []
    for name in day.NAMES:
        assert seen.connections[name] == Counter({day.RELAYS: 2 * ROUNDS})
        assert seen.bytes[name] == Counter({day.CELLS: ROUNDS * CELL, day.RELAYS: ROUNDS * OTHERS})
    assert ROUNDS_A_DAY * (CELL + OTHERS) + VISITS_A_DAY <= day.LIMIT_BYTES
    assert seen.unread == 0 and len(seen.from_written) == 2 * MESSAGES
    assert max(seen.from_written) <= day.LIMIT_SECONDS
