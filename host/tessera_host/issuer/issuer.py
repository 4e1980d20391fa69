"""The issuer: the federation's keys, its relays, its roster, and the documents signed with them (DESIGN §6, §10).

Owns the issuer's directory: issuer.keystore, and beside it parameters.tpr and federation.card, which follow from the
keystore and are written anew whenever they are not its own. Leaves to others: which numbers are good (plan.py), who
gets tokens (issuance.py), a relay's directory (relay_directory.py).

A relay added later needs a set with a larger serial that lists it. Before any relay runs, first_epoch may stay as it
is and the file is simply copied; a relay that runs takes a set by PUSH, and only if first_epoch lies ahead (PROTOCOL
§2): renewing the set of running relays is a job of its own, with a new first_epoch.
"""

import re
import secrets
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

from tessera import curve, hashes
from tessera.errors import InvalidObject
from tessera.params import Parameters, digest, encode

from .. import files
from ..clock import Clock, unix_now
from ..errors import InvalidInput, NotPermitted, UsageError
from ..keys.keystore import Keystore, Secret
from ..planning import boards
from ..planning.plan import Plan
from ..privacy import noise
from ..protocol import blind, cards, releases
from ..protocol.federation import DEFAULT_BUDGET, IssuerService
from ..protocol.invitation import Invitation
from ..protocol.limits import check_name
from . import relay_directory
from .invitations import Invitations
from .issuance import Issuance

VERSION = 1
KIND = "issuer"
KEYSTORE = "issuer.keystore"
PARAMETERS = "parameters.tpr"
FEDERATION_CARD = "federation.card"
EPOCHS_DEFAULT = 90
SERVICE_PORT = 8101

_GENESIS_END = 1 << 40
_HOST = re.compile(r"[0-9A-Za-z][0-9A-Za-z.:_%-]{0,252}|:[0-9A-Fa-f:.]{1,44}")

# Fields of PROTOCOL §2 that a plan decides, and those that a set with another list of relays takes over.
_PLANNED_FIELDS = (
    "round_seconds",
    "epoch_rounds",
    "retention_epochs",
    "buckets",
    "members",
    "tokens_per_epoch",
    "posts_per_token",
)
_KEPT_FIELDS = (
    "federation_id",
    "root_key",
    "access_key",
    "genesis",
    *_PLANNED_FIELDS,
    "epsilon",
    "delta",
    "first_epoch",
)


class Issuer:
    """An open issuer directory; a context manager, because it holds the keystore's lock.

    Every method that changes anything has saved it when it returns.
    """

    def __init__(self, directory: Path, keystore: Keystore, now: Clock) -> None:
        """Not for callers: use `create` or `open`."""
        self.directory = directory
        self._keystore = keystore
        self._now = now

    @classmethod
    def create(
        cls,
        directory: Path,
        passphrase: str,
        plan: Plan,
        name: str,
        *,
        epochs: int = EPOCHS_DEFAULT,
        genesis: int | None = None,
        budget: Mapping[str, str] = DEFAULT_BUDGET,
        now: Clock = unix_now,
    ) -> Self:
        """A new federation: its keys, and parameters of serial 1 without relays.

        epochs is the length of the key schedule; genesis (unix seconds) is the start of round 0, by default now rounded
        down to a whole round; budget is `{"epsilon", "delta"}` of a member's day, as decimals.
        Raises UsageError; KeystoreError if there is an issuer in the directory already.
        """
        check_name("the federation's name", name)
        _check_budget(budget)
        for stale in (PARAMETERS, FEDERATION_CARD):
            if (directory / stale).exists() and not (directory / KEYSTORE).exists():
                raise UsageError(f"{directory / stale} is there without its issuer", "name a new directory")
        moment = now()
        start = moment - moment % plan.choice.round_seconds if genesis is None else genesis
        if not 0 <= start < _GENESIS_END:
            raise UsageError(f"genesis {start} is not a time in unix seconds", f"use --genesis {moment}, which is now")
        root_secret = blind.even_secret(blind.random_scalar())
        made_epoch = max(0, (moment - start) // plan.choice.epoch_seconds)
        data: dict[str, Any] = {
            "version": VERSION,
            "name": name,
            "root_secret": root_secret,
            "master": secrets.token_bytes(32),
            "made_epoch": made_epoch,
            "board": plan.board.name,
            "relays": [],
            "roster": [],
            "issuance": Issuance.empty(),
            "budget": dict(budget),
            "service": None,
            "invitations": [],
        }
        federation_id = secrets.token_bytes(16)
        fields = _fields_of_plan(plan) | {
            "serial": 1,
            "federation_id": federation_id,
            "root_key": curve.public(root_secret)[1:],
            "access_key": secrets.token_bytes(32),
            "genesis": start,
            "first_epoch": made_epoch,
            "epoch_keys": _schedule(data["master"], federation_id, made_epoch, epochs),
            "relays": [],
        }
        data["parameters"] = _signed(fields, root_secret)
        issuer = cls(directory, Keystore.create(directory / KEYSTORE, passphrase, KIND, data), now)
        issuer._publish()
        return issuer

    @classmethod
    def open(cls, directory: Path, secret: Secret, now: Clock = unix_now) -> Self:
        """Raises KeystoreError, WrongPassphrase."""
        issuer = cls(directory, Keystore.open(directory / KEYSTORE, secret, KIND), now)
        try:
            issuer._publish()
        except BaseException:
            issuer.close()
            raise
        return issuer

    def close(self) -> None:
        self._keystore.close()

    def release(self) -> None:
        """Let other commands use the keystore; `held` takes it for one request. For the service."""
        self._keystore.release()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Raises KeystoreError if a command has the keystore for longer than usual."""
        with self._keystore.held():
            self._publish()
            yield

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- what it is

    @property
    def name(self) -> str:
        return str(self._keystore.data["name"])

    @property
    def parameters(self) -> Any:
        """The newest parameter set (tessera.params.Parameters)."""
        return Parameters(self._keystore.data["parameters"])

    @property
    def current_epoch(self) -> int:
        """Negative before genesis."""
        parameters = self.parameters
        return int(parameters.epoch_of(parameters.round_at(self._now())))

    def epoch_end(self, epoch: int) -> int:
        """Unix seconds."""
        parameters = self.parameters
        return int(parameters.genesis + (epoch + 1) * parameters.epoch_rounds * parameters.round_seconds)

    @property
    def roster(self) -> list[dict[str, Any]]:
        """Members as `{name, key(32)}`."""
        return [dict(entry) for entry in self._keystore.data["roster"]]

    @property
    def relays(self) -> list[dict[str, Any]]:
        """Relays as `{name, key(33), ledger(32), host, port}`."""
        return [dict(entry) for entry in self._keystore.data["relays"]]

    @property
    def federation_card(self) -> str:
        """The card every member gets. It carries the access key: for members, not for the notice board."""
        addresses = [{name: relay[name] for name in ("name", "key", "host", "port")} for relay in self.relays]
        fields = {"name": self.name, "params": self.parameters.blob, "relays": addresses}
        service = asdict(self.service) if self.service else None
        return cards.encode("federation", fields | {"budget": self.budget, "issuer": service})

    @property
    def service(self) -> IssuerService | None:
        """Where members reach `tessera issuer serve`; None until IT has said so."""
        known = self._keystore.data.get("service")
        return IssuerService(known["host"], known["port"], curve.public(known["secret"])) if known else None

    @property
    def service_secret(self) -> bytes:
        """The service's static secret (32 bytes). Raises UsageError if there is no service."""
        known = self._keystore.data.get("service")
        if not known:
            raise UsageError(
                "members were never told where this service is", "say it once: tessera issuer service DIR HOST"
            )
        return bytes(known["secret"])

    def set_service(self, host: str, port: int) -> None:
        """Say where members reach the service. Its key stays; invitations made before name the old address.

        Raises UsageError.
        """
        _check_host(host, "issuer.example.org")
        if not 1 <= port <= 65535:
            raise UsageError(f"port {port} is not in 1 to 65535", f"the usual one is {SERVICE_PORT}")
        known = self._keystore.data.get("service") or {"secret": blind.random_scalar().to_bytes(32, "big")}
        self._keystore.data["service"] = known | {"host": host, "port": port}
        self._keystore.save()
        self._publish()

    @property
    def budget(self) -> dict[str, str]:
        """`{"epsilon", "delta"}` of a member's day: what members' programs keep to."""
        return dict(self._keystore.data.get("budget", DEFAULT_BUDGET))

    def summary(self) -> dict[str, Any]:
        """For people and --json: everything that is not secret."""
        parameters, epoch, issuance = self.parameters, self.current_epoch, self._issuance
        return {
            "name": self.name,
            "federation_id": parameters.federation_id.hex(),
            "root_key": parameters.root_key.hex(),
            "serial": parameters.serial,
            "digest": parameters.digest.hex(),
            "genesis": parameters.genesis,
            "round_seconds": parameters.round_seconds,
            "epoch_rounds": parameters.epoch_rounds,
            "current_epoch": epoch,
            "first_epoch": parameters.first_epoch,
            "last_epoch": parameters.end_epoch - 1,
            "board": self._keystore.data["board"],
            "budget": self.budget,
            "members_max": parameters.members,
            "members": [
                {
                    "name": member["name"],
                    "key": member["key"].hex(),
                    "tokens_this_epoch": issuance.charged(member["key"], epoch),
                    "tokens_next_epoch": issuance.charged(member["key"], epoch + 1),
                }
                for member in self.roster
            ],
            "relays": [relay | {"key": relay["key"].hex(), "ledger": relay["ledger"].hex()} for relay in self.relays],
            "tokens_per_epoch": parameters.tokens_per_epoch,
            "open_sessions": issuance.open_sessions(),
            "service": {"host": self.service.host, "port": self.service.port} if self.service else None,
            "invitations": self.invitations,
        }

    # -- relays

    def add_relay(
        self, name: str, host: str, port: int, directory: Path, time_server: str | None = None
    ) -> relay_directory.RelaySecrets:
        """Make a relay's keys, write its directory (new or empty), list it in a parameter set with the next serial.

        time_server: host name or address of the network clock (SNTP) that a board asks.

        Nothing is listed unless the relay's secrets are on disk. Raises UsageError.
        """
        self.check_relay(name, host, port, time_server)
        board = boards.board(self._keystore.data["board"])
        relay = relay_directory.RelaySecrets.fresh(name, host, port, board, time_server)
        entry = {"name": name, "key": relay.key, "ledger": relay.ledger_key, "host": host, "port": port}
        relays, blob = self._set_with(entry)
        files.make_directory(directory)
        relay.write(directory)
        self._list(relays, blob)
        relay_directory.write_parameters(directory, blob)
        self._publish()
        return relay

    def add_relay_keys(self, name: str, host: str, port: int, static_key: bytes, ledger_key: bytes) -> bool:
        """List a relay that made its keys itself: static_key (33 bytes), ledger_key (x-only, 32). False if it is listed
        so already: listing it again changes nothing. Raises UsageError, InvalidInput for what are no keys.
        """
        entry = {"name": name, "key": static_key, "ledger": ledger_key, "host": host, "port": port}
        if entry in self.relays:
            return False
        self.check_relay(name, host, port)
        _check_keys(static_key, ledger_key)
        if any(relay["key"] == static_key for relay in self.relays):
            raise UsageError("this board's relay is listed under another name", "tessera issuer show lists them")
        self._list(*self._set_with(entry))
        self._publish()
        return True

    def remove_relay(self, name: str) -> None:
        """List a relay no more: it was reset, broke, or was stolen. Raises UsageError if there is none of that name."""
        relays = [relay for relay in self.relays if relay["name"] != name]
        if len(relays) == len(self.relays):
            raise UsageError(f"there is no relay '{name}'", "tessera issuer show lists them")
        self._list(relays, self._next_set(relays=[(each["key"], each["ledger"]) for each in relays]))
        self._publish()

    def check_relay(self, name: str, host: str, port: int, time_server: str | None = None) -> None:
        """Raises UsageError unless a relay may be added under this name and address."""
        check_name("the relay's name", name)
        if any(relay["name"] == name for relay in self.relays):
            raise UsageError(f"there is a relay '{name}' already", "choose another name")
        _check_host(host, "--host relay.example.org")
        if not 1 <= port <= 65535:
            raise UsageError(f"port {port} is not in 1 to 65535", "a relay's usual port is 8100")
        if time_server is not None:
            _check_host(time_server, "--time-server pool.ntp.org")

    def _set_with(self, entry: dict[str, Any]) -> tuple[list[dict[str, Any]], bytes]:
        """The relays with one more, and the next set, which lists them."""
        relays = [*self.relays, entry]
        return relays, self._next_set(relays=[(each["key"], each["ledger"]) for each in relays])

    def _list(self, relays: list[dict[str, Any]], blob: bytes) -> None:
        self._keystore.data["relays"] = relays
        self._keystore.data["parameters"] = blob
        self._keystore.save()

    def _next_set(self, **changes: Any) -> bytes:
        """The present set with these changes and the next serial, signed."""
        present = self.parameters
        fields = {name: getattr(present, name) for name in _KEPT_FIELDS}
        keys = b"".join(present.epoch_key(epoch) for epoch in range(present.first_epoch, present.end_epoch))
        fields |= {"serial": present.serial + 1, "thresholds": bytes(present.thresholds), "epoch_keys": keys}
        return _signed(fields | changes, self._keystore.data["root_secret"])

    # -- code

    def approve(self, folder: Path) -> list[releases.Approved]:
        """Sign every artifact in an image's folder for this federation's relays. Raises InvalidInput, UsageError."""
        root_secret = self._keystore.data["root_secret"]

        def sign(message: bytes) -> bytes:
            return curve.sign(root_secret, message, secrets.token_bytes(32))

        return releases.approve(folder, self.parameters.federation_id, sign)

    # -- members

    def admit(self, card_text: str) -> str:
        """Put the member of a member card on the roster; its name. Raises InvalidInput, NotPermitted."""
        fields = cards.decode(card_text, "member").fields
        self._check_member(fields)
        self._enrol(fields["name"], fields["key"])
        self._keystore.save()
        return str(fields["name"])

    def invite(self, name: str, home: str | None = None, days: int = 7, by_files: bool = False) -> Invitation:
        """An invitation for one person, who will be called `name` on the roster and have its mailbox on the relay
        `home` (which need not be named if there is only one). Raises UsageError, NotPermitted.

        by_files: for a person whose computer cannot reach the issuer's service, or an office without one.
        """
        check_name("the member's name", name)
        relay = self._home(home)
        if not by_files and self.service is None:
            raise UsageError(
                "members were not told yet where the issuer's service is",
                "say it once: tessera issuer service DIR HOST; or invite with --files",
            )
        if any(member["name"] == name for member in self.roster):
            raise NotPermitted(f"there is another member '{name}'", "choose another name, or remove the old entry")
        self._check_room(len(self._invitations.open(self._now())))
        secret, until = self._invitations.add(name, relay, days, self._now())
        self._keystore.save()
        parameters = self.parameters
        return Invitation(
            name=name,
            office=self.name,
            federation=parameters.federation_id,
            root=parameters.root_key,
            access=parameters.access_key,
            home=relay,
            secret=secret,
            until=until,
            service=None if by_files else self.service,
            federation_card=self.federation_card if by_files else None,
        )

    @property
    def invitations(self) -> list[dict[str, Any]]:
        """`{name, home, until, state}` of each; state is open, used or expired."""
        return self._invitations.listed(self._now())

    def revoke(self, name: str) -> None:
        """Take an invitation back before it is used. Raises NotPermitted if there is none."""
        self._invitations.revoke(name)
        self._keystore.save()

    def join(self, card_text: str) -> str:
        """Admit the member of a join card, whose invitation is used up then; its name. The same card again changes
        nothing. Raises InvalidInput, NotPermitted."""
        fields = cards.decode(card_text, "join").fields
        self._check_member(fields)
        if self._invitations.take(fields, self._is_member, self._enrol, self._now()):
            self._keystore.save()
        return str(fields["name"])

    @property
    def _invitations(self) -> Invitations:
        entries = self._keystore.data.setdefault("invitations", [])
        return Invitations(entries, self.parameters.federation_id)

    def _home(self, name: str | None) -> str:
        names = [str(relay["name"]) for relay in self.relays]
        if not names:
            raise UsageError("the office has no relay yet", "make one first: tessera relay new, or tessera flash")
        if name is None and len(names) > 1:
            raise UsageError("the office has several relays", f"say whose with --relay: {', '.join(names)}")
        if name is not None and name not in names:
            raise UsageError(f"there is no relay '{name}'", f"known: {', '.join(names)}")
        return name or names[0]

    def _check_member(self, fields: dict[str, Any]) -> None:
        """Raises InvalidInput unless the owner of the key signed its name for this federation."""
        key, name = fields["key"], fields["name"]
        message = hashes.tagged("member", self.parameters.federation_id + key + name.encode())
        if not curve.verify(fields["sig"], message, key):
            raise InvalidInput(
                "the member card's signature does not hold for this federation", "make it with this federation.card"
            )
        check_name("the member's name", name)

    def _enrol(self, name: str, key: bytes) -> None:
        """Put a member on the roster; not saved here. Raises NotPermitted."""
        for member in self.roster:
            if member["key"] == key:
                raise NotPermitted(f"this key is on the roster already, as '{member['name']}'", "nothing to do")
            if member["name"] == name:
                raise NotPermitted(f"there is another member '{name}'", "choose another name, or remove the old entry")
        self._check_room(0)
        self._keystore.data["roster"].append({"name": name, "key": key})

    def _check_room(self, invited: int) -> None:
        if len(self.roster) + invited >= self.parameters.members:
            waiting = f", {invited} of them for open invitations" if invited else ""
            raise NotPermitted(
                f"the roster is full: all {self.parameters.members} places of the parameters are taken{waiting}",
                "remove someone, revoke an invitation, or plan for more",
            )

    def remove(self, name: str) -> None:
        """Take a member off the roster: no new tokens from now on, so no access after the next epoch.

        Tokens that were issued cannot be told from others and stay valid in their epoch. Raises NotPermitted.
        """
        roster = self._keystore.data["roster"]
        gone = [member for member in roster if member["name"] == name]
        if not gone:
            raise NotPermitted(f"there is no member '{name}'", "tessera issuer show lists them")
        roster.remove(gone[0])
        self._issuance.abort(gone[0]["key"])
        self._keystore.save()

    # -- tokens

    def issue(self, card_text: str, online: bool = False) -> str:
        """Answer a tokens-request or a tokens-challenge card with the card that follows it. online: the member is there
        and waits. Raises InvalidInput, NotPermitted."""
        kind = cards.decode(card_text).kind
        if kind == "tokens-request":
            return self.offer(card_text, online)
        if kind == "tokens-challenge":
            return self.answer(card_text)
        raise InvalidInput(
            f"this is a card of kind '{kind}'", "issuer issue takes tokens-request and tokens-challenge cards"
        )

    def offer(self, card_text: str, online: bool = False) -> str:
        """tokens-request → tokens-offer, by the rules of issuance.py. Raises InvalidInput, NotPermitted."""
        card = cards.decode(card_text, "tokens-request")
        return self._issuance.offer(card, self._is_member, self._now(), online)

    def answer(self, card_text: str) -> str:
        """tokens-challenge → tokens-answer, once. Raises InvalidInput, NotPermitted."""
        card = cards.decode(card_text, "tokens-challenge")
        return self._issuance.answer(card, self._is_member, self._epoch_secret, self._now())

    def abort_sessions(self) -> int:
        """Close every open session (they stay charged) and void every open invitation (it may have been used since), as
        after a restore from a backup; how many sessions there were."""
        count = self._issuance.abort_all()
        self._invitations.revoke_all(self._now())
        self._keystore.save()
        return count

    @property
    def _issuance(self) -> Issuance:
        data = self._keystore.data
        return Issuance(data["issuance"], self.parameters, data["made_epoch"], self._keystore.save)

    def _is_member(self, key: bytes) -> bool:
        return any(member["key"] == key for member in self._keystore.data["roster"])

    def _epoch_secret(self, epoch: int) -> bytes:
        return blind.epoch_secret(self._keystore.data["master"], self.parameters.federation_id, epoch)

    def _publish(self) -> None:
        """Bring the two files beside the keystore up to date, if they are not."""
        for name, content in (
            (PARAMETERS, self.parameters.blob),
            (FEDERATION_CARD, self.federation_card.encode() + b"\n"),
        ):
            path = self.directory / name
            try:
                current = path.read_bytes()
            except OSError:
                current = None
            if current != content:
                files.write(path, content)


def _check_keys(static_key: bytes, ledger_key: bytes) -> None:
    try:
        for point in (static_key, b"\2" + ledger_key):
            curve.dh(b"\1".rjust(32, b"\0"), point)  # refuses what is no point
    except ValueError:
        raise InvalidInput("the board named keys that are none", "flash it anew, or take another board") from None


def _check_budget(budget: Mapping[str, str]) -> None:
    """Raises UsageError unless a federation card can carry it."""
    for name, most in (("epsilon", 100), ("delta", 1)):
        text = budget[name]
        if not cards.is_decimal(text) or Fraction(text) >= most:
            raise UsageError(
                f"{name} of a member's day is '{text[:40]}', not a decimal between 0 and {most}",
                f"write --day-{name} {DEFAULT_BUDGET[name]} or the like",
            )


def _check_host(host: str, example: str) -> None:
    if not _HOST.fullmatch(host):
        raise UsageError(f"'{host[:40]}' is not a host name or address", f"use {example} or the like")


def _fields_of_plan(plan: Plan) -> dict[str, Any]:
    choice = asdict(plan.choice)
    return {name: choice[name] for name in _PLANNED_FIELDS} | {
        "epsilon": int(plan.choice.epsilon / noise.EPSILON_UNIT),
        "delta": -(-plan.table.exact_delta * noise.DRAWS // 1),
        "thresholds": plan.table.pack(),
    }


def _schedule(master: bytes, federation_id: bytes, first_epoch: int, epochs: int) -> bytes:
    """K_e of every epoch of the schedule, 32 bytes each. Raises UsageError."""
    if not 1 <= epochs <= 400:
        raise UsageError(
            f"a schedule of {epochs} epochs is not in 1 to 400", f"use --epochs {1 if epochs < 1 else 400}"
        )
    all_epochs = range(first_epoch, first_epoch + epochs)
    return b"".join(blind.epoch_key(blind.epoch_secret(master, federation_id, epoch)) for epoch in all_epochs)


def _signed(fields: Mapping[str, Any], root_secret: bytes) -> bytes:
    """A parameter set that a relay will take. Raises UsageError if it would not."""
    try:
        body: bytes = encode(dict(fields))
        signature = curve.sign(root_secret, digest(body), secrets.token_bytes(32))
        parameters = Parameters(body + signature)
        parameters.verify()
    except (InvalidObject, ValueError, struct.error) as error:
        raise UsageError(f"these are not valid parameters: {error}", "plan for less, or shorten the schedule") from None
    return parameters.blob
