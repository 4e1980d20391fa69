"""What gateways ask each other: who may, who can read it, and that everything else is refused at one check."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import office
from dice import Dice
from tessera import curve
from tessera_host.errors import IntegrityError, InvalidInput, Unreachable
from tessera_host.fleet import exchange, join_codes
from tessera_host.fleet.exchange import JOINING, MOST_QUESTION_BYTES, Asker, Carry, NodeExchange, ask_by_code
from tessera_host.fleet.join_codes import Code, JoinCodes
from tessera_host.fleet.keys import NodeSecrets
from tests.patience import PATIENCE_SECONDS

SECRET = b"what nobody else may read"


@dataclass
class Node:
    """What an exchange has of a gateway."""

    number: int
    secrets: NodeSecrets
    nodes: dict[int, bytes]

    def __post_init__(self) -> None:
        self.random = Dice(b"exchange" + bytes((self.number,))).bytes


def two_nodes() -> tuple[Node, Node]:
    dice, secrets = Dice(b"nodes"), (NodeSecrets(), NodeSecrets())
    nodes = {number: each.renew(dice.bytes) for number, each in enumerate(secrets, 1)}
    return Node(1, secrets[0], dict(nodes)), Node(2, secrets[1], dict(nodes))


@dataclass
class Wire:
    """A transport in memory that shows what it carries, and may change it."""

    answering: dict[int, Carry] = field(default_factory=dict)
    carried: list[bytes] = field(default_factory=list)
    question: Callable[[bytes], bytes] = lambda message: message
    answered: Callable[[bytes], bytes] = lambda message: message

    async def ask(self, gateway: int, message: bytes) -> bytes:
        self.carried.append(self.question(message))
        self.carried.append(self.answered(await self.answering[gateway](self.carried[-1])))
        return self.carried[-1]

    def answer(self, gateway: int, carry: Carry) -> None:
        self.answering[gateway] = carry

    async def close(self) -> None:
        pass


async def echo(asker: Asker, request: bytes) -> bytes:
    return bytes((asker.number,)) + asker.key + request + SECRET


class Pair:
    """Gateway 2 answers, gateway 1 asks."""

    def __init__(self) -> None:
        self.asking, self.asked = two_nodes()
        self.wire = Wire()
        self.clock = 0.0
        self.codes = JoinCodes(2, office.STATIC, self.asked.random, lambda: self.clock)
        self.answering = NodeExchange(self.asked, self.wire, self.codes)
        self.answering.answer(echo)
        self._exchange = NodeExchange(self.asking, self.wire)

    async def ask(self, request: bytes) -> bytes:
        return await self._exchange.ask(2, request)

    async def join(self, code: Code, node_secret: bytes, static: bytes = office.STATIC) -> bytes:
        return await ask_by_code(self.wire, code, static, node_secret, b"let me in", self.asking.random)


@pytest.fixture
def pair() -> Pair:
    return Pair()


async def test_a_gateway_is_asked_and_knows_who_asked(pair: Pair) -> None:
    assert await pair.ask(b"how do you do") == b"\1" + pair.asking.nodes[1] + b"how do you do" + SECRET
    assert all(word not in message for message in pair.wire.carried for word in (b"how do you do", SECRET))


async def test_the_same_question_is_never_carried_in_the_same_bytes(pair: Pair) -> None:
    for _ in range(3):
        await pair.ask(b"again")
    assert len(set(pair.wire.carried)) == len(pair.wire.carried)


@pytest.mark.parametrize("at", [0, 1, 2, 17, 18, 33, 34, 66, 67, -1])
async def test_a_question_of_which_a_bit_is_changed_is_not_answered(pair: Pair, at: int) -> None:
    pair.wire.question = lambda message: flipped(message, at)
    with pytest.raises(Unreachable, match="does not know"):
        await pair.ask(b"how do you do")


@pytest.mark.parametrize("at", [1, 2, 33, 34, -1])
async def test_an_answer_of_which_a_bit_is_changed_is_noticed(pair: Pair, at: int) -> None:
    pair.wire.answered = lambda message: flipped(message, at)
    with pytest.raises(IntegrityError, match="not sealed by the gateway"):
        await pair.ask(b"how do you do")


def flipped(message: bytes, at: int) -> bytes:
    changed = bytearray(message)
    changed[at] ^= 1
    return bytes(changed)


async def test_an_answer_to_another_question_is_noticed(pair: Pair) -> None:
    await pair.ask(b"one")
    earlier = pair.wire.carried[-1]
    pair.wire.answered = lambda _: earlier
    with pytest.raises(IntegrityError):
        await pair.ask(b"two")


async def test_a_gateway_that_is_not_in_force_is_not_answered_and_asks_nobody(pair: Pair) -> None:
    del pair.asked.nodes[1]
    with pytest.raises(Unreachable, match="does not know"):
        await pair.ask(b"still here")
    del pair.asking.nodes[1]
    with pytest.raises(Unreachable, match="not in force"):
        await pair.ask(b"still here")


async def test_a_gateway_with_a_key_that_no_epoch_was_sealed_to_yet_is_answered_under_the_one_before(
    pair: Pair,
) -> None:
    for node in (pair.asking, pair.asked):
        node.secrets.renew(node.random)
        assert (await pair.ask(b"?")).endswith(SECRET)


async def test_a_longer_question_than_there_may_be_is_not_asked(pair: Pair) -> None:
    longest = MOST_QUESTION_BYTES - 67 - 16  # head and tag
    assert (await pair.ask(bytes(longest))).endswith(SECRET)
    with pytest.raises(ValueError, match="at most"):
        await pair.ask(bytes(longest + 1))


async def test_an_answer_that_was_recorded_stays_shut_when_both_node_keys_are_stolen_later(pair: Pair) -> None:
    """With the asked one's a question can be read; an answer needs one of two keys that were made for it."""
    await pair.ask(b"how do you do")
    question, answer = pair.wire.carried
    asker, _, shared, head, request = pair.answering._taken(question)
    assert request == b"how do you do"
    point, sealed = answer[1:34], answer[34:]
    (mine,) = pair.asking.secrets.secrets
    (theirs,) = pair.asked.secrets.secrets
    known = [curve.dh(a, b) for a in (mine, theirs) for b in (point, head[-33:], asker.key, pair.asked.nodes[2])]
    for one in (b"", *known):
        for two in (b"", *known):
            with pytest.raises(ValueError, match="not sealed"):
                exchange._unseal(shared + one + two, b"fleet-answer", head + point, sealed)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_with_one_byte(message: bytes) -> None:
    pair = Pair()
    for prefix in (b"", b"\0\0", b"\0\1"):
        assert asyncio.run(pair.answering._carried(prefix + message, echo)) == b"\1"


# -- join codes


def test_a_code_is_read_as_it_was_written_also_in_capitals_and_a_slip_is_noticed() -> None:
    code = Code(7, bytes(range(16)))
    text = str(code)
    assert len(text.replace("-", "")) == 32
    for typed in (text, text.upper(), text.replace("-", " "), f" {text}\n"):
        assert Code.read(typed) == code
    for wrong in (text[:-1], text + "a", text.replace(text[0], "z", 1), "", "ü" * 32, text[1:] + text[0]):
        with pytest.raises(InvalidInput, match="no join code"):
            Code.read(wrong)


async def test_a_code_is_good_for_one_gateway_which_may_ask_again(pair: Pair) -> None:
    code, mine, thief = pair.codes.make(), bytes(31) + b"\1", bytes(31) + b"\2"
    for _ in range(2):
        assert await pair.join(code, mine) == bytes((JOINING,)) + curve.public(mine) + b"let me in" + SECRET
    with pytest.raises(Unreachable, match="code is good once"):
        await pair.join(code, thief)
    assert code.secret not in b"".join(pair.wire.carried) and office.STATIC not in b"".join(pair.wire.carried)


async def test_neither_the_code_nor_the_relays_secret_is_enough(pair: Pair) -> None:
    code, mine = pair.codes.make(), bytes(31) + b"\1"
    with pytest.raises(Unreachable):
        await pair.join(code, mine, static=bytes(31) + b"\1")
    with pytest.raises(Unreachable):
        await pair.join(Code(2, bytes(16)), mine)
    assert (await pair.join(code, mine)).endswith(SECRET)


async def test_a_code_ends_after_its_time_and_with_the_process(pair: Pair) -> None:
    code, mine = pair.codes.make(), bytes(31) + b"\1"
    pair.clock = join_codes.GOOD_SECONDS - 1
    assert (await pair.join(code, mine)).endswith(SECRET)
    pair.clock += 1
    with pytest.raises(Unreachable, match="does not know"):
        await pair.join(code, mine)
    again = Pair()
    with pytest.raises(Unreachable, match="does not know"):
        await again.join(code, mine)


async def test_a_gateway_without_codes_lets_nobody_join(pair: Pair) -> None:
    code = pair.codes.make()
    NodeExchange(pair.asked, pair.wire).answer(echo)
    with pytest.raises(Unreachable):
        await pair.join(code, bytes(31) + b"\1")


async def test_who_used_a_code_with_anothers_key_cannot_read_the_answer(pair: Pair) -> None:
    """It would have the code, and with it a gateway of somebody's who does not know of it."""
    code, mine, other = pair.codes.make(), bytes(31) + b"\1", bytes(31) + b"\2"
    pair.wire.question = lambda message: message  # what goes out stays as it is: the head is bound by the AEAD
    changed = curve.public(other)
    pair.wire.question = lambda message: message[:67] + changed + message[100:]
    with pytest.raises(Unreachable):
        await pair.join(code, mine)


# -- over the engine


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Three nodes of NATS."""
    pytest.importorskip("nats")
    from tests.support.nats_nodes import NatsNodes

    made = NatsNodes(tmp_path_factory.mktemp("nats"))
    made.start()
    yield made
    made.stop()


async def test_gateways_on_nats_ask_each_other_also_without_a_quorum(engine: Any) -> None:
    from tests.fleet.logs import RELAY
    from tests.fleet.nats import open_when_led

    asking, asked = two_nodes()
    whole = [engine.listen(number) for number in range(3)]
    logs = [await open_when_led(nodes, "berlin", RELAY) for nodes in (whole[:1], whole[1:] + whole[:1])]
    asker, answering = (NodeExchange(node, log.transport()) for node, log in zip((asking, asked), logs, strict=True))
    with pytest.raises(Unreachable, match="gateway 2 does not answer"):
        await asker.ask(2, b"nobody is there yet")
    long = bytes(range(256)) * 8192  # 2 MB: in pieces

    async def answer(_: Asker, request: bytes) -> bytes:
        return request + long

    answering.answer(answer)
    assert await until_answered(asker, b"?") == b"?" + long
    engine.kill(1, 2)
    assert await until_answered(asker, b"no quorum") == b"no quorum" + long
    for exchange_ in (asker, answering):
        await exchange_.close()
    for log in logs:
        await log.close()


async def until_answered(asker: NodeExchange, question: bytes) -> bytes:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                return await asker.ask(2, question)
            except Unreachable:
                await asyncio.sleep(0.2)
