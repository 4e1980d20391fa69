"""What a directory of a gateway has beside that of a relay alone: fleet.json, and in its database the state that was
replayed and the keys that belong to it.

Owns both, and how a directory becomes a gateway's: the first one's (found), or another one's (join). Leaves to others:
who may join and how questions travel (exchange.py), what is asked (questions.py), the gateway that runs (gateway.py).
"""

import json
import os
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from tessera import cover
from tessera.page import PageCipher

from .. import files
from ..errors import IntegrityError, InvalidInput, UsageError
from ..issuer.relay_directory import CONFIGURATION
from ..relay.server_relay import ServerRelay, read_configuration
from ..relay.sqlite_device import Database
from . import questions
from .entry import VERSION, Random
from .exchange import NodeExchange, Transport, ask_by_code
from .join_codes import Code
from .keys import LogKeys, NodeSecrets, Welcome, node_name
from .seat import Keys
from .state import NodeInForce, Rule, State

FILE = "fleet.json"
FIRST = 1  # the number of the gateway that founds a fleet
_VERSION = 1
_STATE, _KEYS, _LIVES = "fleet state", "fleet keys", "fleet lives"  # values of the database
_LIVES_BYTES = 4


@dataclass(frozen=True)
class FleetFile:
    """gateway: its number. storage: nats://HOST,HOST,HOST/NAME with user and password, ca being the path of a file with
    certificates if the engine speaks TLS; or sqlite:///PATH, of one process."""

    gateway: int
    storage: str
    user: str | None = None
    password: str | None = None
    ca: str | None = None

    @property
    def is_for_one(self) -> bool:
        """Whether no other gateway reaches this log."""
        return self.storage.startswith("sqlite:")

    def write(self, directory: Path) -> None:
        files.write(directory / FILE, (json.dumps({"version": _VERSION} | asdict(self), indent=2) + "\n").encode())

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Raises InvalidInput."""
        try:
            said = json.loads(files.read_text(directory / FILE))
            if said.pop("version") == _VERSION:
                found = cls(**said)
                texts = (found.user, found.password, found.ca)
                fits = type(found.gateway) is int and isinstance(found.storage, str)
                if fits and all(text is None or isinstance(text, str) for text in texts):
                    return found
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            pass
        raise InvalidInput(f"{directory / FILE} is damaged", "let this gateway join again: tessera fleet join")


def is_gateway(directory: Path) -> bool:
    """Raises UsageError if it cannot be looked into."""
    return FILE in names_in(directory)


def names_in(directory: Path) -> set[str]:
    """Of its files. Raises UsageError if there is no such directory, or this user may not read it."""
    try:
        return {each.name for each in directory.iterdir()}
    except FileNotFoundError:
        raise UsageError(f"there is no directory {directory}", "check its name") from None
    except NotADirectoryError:
        raise UsageError(f"{directory} is a file, not a directory", "name the directory that it lies in") from None
    except PermissionError:
        raise _not_for(directory) from None
    except (OSError, ValueError) as error:  # the second for a name with a zero byte in it
        reason = getattr(error, "strerror", "no directory has such a name")
        raise UsageError(f"{directory} cannot be read: {reason}", "check its name, and the disk") from None


def _not_for(path: Path) -> UsageError:
    return UsageError(f"this user may not read {path}", "type the command as root, or as the user of the gateway")


def require_gateway(directory: Path) -> None:
    """Raises UsageError, which says what the directory is instead."""
    names = names_in(directory)
    if FILE not in names and CONFIGURATION in names:
        raise UsageError(
            f"{directory} is a relay's directory, and this relay is in no fleet",
            f"tessera serve --storage {directory} runs it alone; tessera fleet init makes it the first gateway of a "
            "fleet, tessera fleet join another one",
        )
    if FILE not in names:
        raise UsageError(
            f"{directory} is no gateway's directory: it has no {FILE}",
            "name the directory that tessera fleet init or tessera fleet join made on this host",
        )
    if not os.access(directory / FILE, os.R_OK):
        raise _not_for(directory / FILE)


# -- in the database


def keep(database: Database, state: State, keys: Keys) -> None:
    """Durable with the next commit, together."""
    database.keep(_STATE, state.encoded())
    database.keep(_KEYS, keys.encoded())


def kept(database: Database) -> tuple[State, Keys]:
    """Raises InvalidInput, IntegrityError."""
    state, keys = database.kept(_STATE), database.kept(_KEYS)
    if state is None or keys is None:
        raise InvalidInput(
            f"{database.path} has nothing of a fleet",
            "name the one that this gateway ran with, or let it join again",
        )
    return State.decoded(state), Keys.decoded(keys)


def keep_lives(database: Database, start: int) -> None:
    """Durable with the next commit: after its start of this number the gateway writes entries. A start that is refused
    does not count, or a storage from a backup would be taken when it is started often enough."""
    database.keep(_LIVES, start.to_bytes(_LIVES_BYTES, "big"))


def kept_lives(database: Database) -> int | None:
    """The newest of them; None if there was none."""
    kept = database.kept(_LIVES)
    return None if kept is None else int.from_bytes(kept, "big")


# -- becoming a gateway


def found(directory: Path, file: FleetFile, database: Path | None = None) -> None:
    """Make of a relay, which ran alone or never, the first gateway of a fleet, and the only one; by this computer's
    clock. Raises InvalidInput, UsageError, Unreachable."""
    if is_gateway(directory):
        raise UsageError(f"{directory} is a gateway's already", "tessera serve runs it")
    opened = ServerRelay(directory, database)
    try:
        opened.start()
        relay: Any = opened.relay
        if not relay.clock.known:
            raise UsageError("this computer's clock is too early for this relay", "set it first")
        with opened.database.transaction():
            relay.turn()
            relay._rounds.accept_clock()
            keys = Keys()
            node_key = keys.secrets.renew(relay.random)
            state = _first_state(relay, {file.gateway: NodeInForce(VERSION, node_key)})
            keys.renewed = state.epoch
            keys.log_keys.keep(state.epoch, relay.random(32))
            keep(opened.database, state, keys)
    finally:
        opened.close()
    file.write(directory)


def _first_state(relay: Any, nodes: dict[int, NodeInForce]) -> State:
    """Of a relay that ran alone until now."""
    keyring, store, newest = relay._keyring, relay.parameters, relay.parameters.newest
    epoch = keyring.sealed_next // newest.epoch_rounds
    commitment = cover.commitment(cover.cover_key(keyring.epochs[epoch][1]))
    last = relay._ledger._last()
    known: dict[str, Any] = {} if last is None else {"checkpoint_epoch": last.epoch, "checkpoint_link": last.link()}
    state = State.fresh(
        relay.static_key,
        newest,
        keyring.sealed_next,
        commitment,
        nodes=nodes,
        sealed_count=keyring.sealed_count,
        flags=keyring.flags,
        commissioned=keyring.commissioned,
        **known,
    )
    state.rules = [Rule.of(rule.parameters, rule.first) for rule in store._rules if rule.parameters is not None]
    return state


Ask = Callable[[bytes], Awaitable[bytes]]  # one question to the gateway that is asked


class _Joiner:
    """Whose exchange it is (exchange.Owner), before there is a gateway."""

    def __init__(self, number: int, secrets: NodeSecrets, nodes: dict[int, bytes], random: Random) -> None:
        self.number = number
        self.secrets = secrets
        self.nodes = nodes
        self.random = random


async def join(directory: Path, file: FleetFile, transport: Transport, code: Code, database: Path | None = None) -> int:
    """Make of a relay's directory that never ran (relay.json, parameters, and a seed of its own) another gateway of a
    fleet that runs; its number, which is written into fleet.json in place of that of `file`. Raises InvalidInput,
    UsageError, Unreachable, IntegrityError; then the directory is to be made anew, and another code."""
    if is_gateway(directory):
        raise UsageError(f"{directory} is a gateway's already", "tessera serve runs it")
    static_secret = bytes.fromhex(read_configuration(directory)["static_secret"])
    opened = ServerRelay(directory, database)
    try:
        opened.start()
        relay: Any = opened.relay
        keys = Keys()
        node_key = keys.secrets.renew(relay.random)
        node_secret = keys.secrets.secrets[-1]
        asked = questions.join(VERSION)
        joined = questions.Joined.read(
            await ask_by_code(transport, code, static_secret, node_secret, asked, relay.random)
        )
        nodes = {joined.asked: joined.asked_key, joined.number: node_key}
        exchange = NodeExchange(_Joiner(joined.number, keys.secrets, nodes, relay.random), transport)

        async def ask(question: bytes) -> bytes:
            return await exchange.ask(joined.asked, question)

        snapshot = questions.Snapshot.read(await ask(questions.snapshot()))
        state = State.decoded(snapshot.state)
        welcome = Welcome.open(snapshot.welcome, node_secret)
        _check(relay, state, joined.number, node_key, welcome)
        with opened.database.deferred():
            ciphers = _take_epochs(relay, state, welcome, keys)
            await _take_records(relay, state, ask, ciphers)
        for name, content in snapshot.files.items():
            relay._directory.replace(name, content)
        keep(opened.database, state, keys)
        opened.database.commit()
    finally:
        opened.close()
    replace(file, gateway=joined.number).write(directory)
    return joined.number


def _check(relay: Any, state: State, number: int, key: bytes, welcome: Welcome) -> None:
    node = state.nodes.get(number)
    if state.relay_key != relay.static_key or node is None or node_name(node.key) != node_name(key):
        raise IntegrityError("what came is no snapshot of this gateway's fleet", "join with another code")
    if state.epoch not in welcome.log_keys or state.epoch not in welcome.cover_states:
        raise IntegrityError("the gateway that was asked left out keys of the open epoch", "ask another gateway")


def _take_epochs(relay: Any, state: State, welcome: Welcome, keys: Keys) -> dict[int, PageCipher]:
    """Kept epochs into the key ring, those to come beside it; page keys are this gateway's own."""
    keys.log_keys = LogKeys(dict(welcome.log_keys))
    keys.covers = {epoch: each for epoch, each in welcome.cover_states.items() if epoch > state.epoch}
    keys.renewed = state.epoch
    first = max(0, state.epoch - state.head.retention_epochs)
    states = {epoch: each for epoch, each in welcome.cover_states.items() if first <= epoch <= state.epoch}
    made = {epoch: (relay.random(32), each) for epoch, each in sorted(states.items())}
    keyring = relay._keyring
    keyring.open_epoch(state.epoch, made, first, relay._generator.new_seed())
    keyring.mark(state.open_round, state.sealed_count)
    keyring._set_flags(state.flags, state.commissioned)
    return {epoch: _cipher(made[epoch][0]) for epoch in made}


def _cipher(page_key: bytes) -> PageCipher:
    return PageCipher(page_key)


async def _take_records(relay: Any, state: State, ask: Ask, ciphers: dict[int, PageCipher]) -> None:
    """Of kept rounds, up to the one that was open; what the open one has more of by now is in the log, too."""
    rounds = state.head.epoch_rounds
    at = min(ciphers) * rounds
    while at <= state.open_round:
        answered = questions.Records.read(await ask(questions.records(at, state.open_round)))
        if answered.following <= at:
            raise IntegrityError("the gateway that was asked gives no records", "ask another gateway")
        for round_, bucket, record in answered.records:
            relay._log.append(round_, bucket, record, ciphers[round_ // rounds])
        at = answered.following
