"""The issuer: what IT and members may ask of a federation's keys, roster and relays (DESIGN §6, §10).

Owns which change belongs to which request: each is one transaction of the directory (store.py), saved and published
when the method returns. Leaves to others: the rules of each part (roster.py, relay_list.py, invitations.py), what is
signed (signer.py), who gets tokens (issuance.py), which numbers are good (plan.py), a relay's directory
(relay_directory.py).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

from .. import files
from ..clock import Clock, unix_now
from ..errors import InvalidInput, UsageError
from ..keys.keystore import Secret
from ..planning import boards
from ..planning.plan import Plan
from ..protocol import blind, cards, releases
from ..protocol.federation import DEFAULT_BUDGET, IssuerService
from ..protocol.invitation import Invitation
from ..protocol.limits import check_name
from . import relay_directory, summary
from .relay_list import check_host, check_port
from .signer import ParameterSigner
from .store import IssuerStore, new_data

EPOCHS_DEFAULT = 90
SERVICE_PORT = 8101

_GENESIS_END = 1 << 40


class Issuer:
    """An open issuer directory; a context manager, because it holds the keystore's lock.

    Every method that changes anything has saved it when it returns; one that raises has changed nothing.
    """

    def __init__(self, store: IssuerStore, now: Clock) -> None:
        """Not for callers: use `create` or `open`."""
        self._store = store
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
        IssuerStore.check_new(directory)
        moment = now()
        start = moment - moment % plan.choice.round_seconds if genesis is None else genesis
        if not 0 <= start < _GENESIS_END:
            raise UsageError(f"genesis {start} is not a time in unix seconds", f"use --genesis {moment}, which is now")
        made_epoch = max(0, (moment - start) // plan.choice.epoch_seconds)
        signer = ParameterSigner.fresh()
        parameters = signer.first_set(plan, start, made_epoch, epochs)
        data = new_data(name, signer, parameters, made_epoch, plan.board.name, dict(budget))
        return cls(IssuerStore.create(directory, passphrase, data), now)

    @classmethod
    def open(cls, directory: Path, secret: Secret, now: Clock = unix_now) -> Self:
        """Raises KeystoreError, WrongPassphrase."""
        return cls(IssuerStore.open(directory, secret), now)

    def close(self) -> None:
        self._store.close()

    def release(self) -> None:
        """Let other commands use the keystore; `held` takes it for one request. For the service."""
        self._store.release()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Raises KeystoreError if a command has the keystore for longer than usual."""
        with self._store.held():
            yield

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- what it is

    @property
    def name(self) -> str:
        return str(self._store.data["name"])

    @property
    def parameters(self) -> Any:
        """The newest parameter set (tessera.params.Parameters)."""
        return self._store.parameters

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
        return self._store.roster.listed()

    @property
    def relays(self) -> list[dict[str, Any]]:
        """Relays as `{name, key(33), ledger(32), host, port}`."""
        return self._store.relays.listed()

    @property
    def invitations(self) -> list[dict[str, Any]]:
        """`{name, home, until, state}` of each; state is open, used or expired."""
        return self._store.invitations.listed(self._now())

    @property
    def federation_card(self) -> str:
        """The card every member gets. It carries the access key: for members, not for the notice board."""
        return self._store.federation_card

    @property
    def budget(self) -> dict[str, str]:
        """`{"epsilon", "delta"}` of a member's day: what members' programs keep to."""
        return self._store.budget

    @property
    def service(self) -> IssuerService | None:
        """Where members reach `tessera issuer serve`; None until IT has said so."""
        return self._store.service

    @property
    def service_secret(self) -> bytes:
        """The service's static secret (32 bytes). Raises UsageError if there is no service."""
        known = self._store.data.get("service")
        if not known:
            raise UsageError(
                "members were never told where this service is", "say it once: tessera issuer service DIR HOST"
            )
        return bytes(known["secret"])

    def summary(self) -> dict[str, Any]:
        """For people and --json: everything that is not secret."""
        return summary.summary(self._store, self.current_epoch, self._now())

    # -- service and relays

    def set_service(self, host: str, port: int) -> None:
        """Say where members reach the service. Its key stays; invitations made before name the old address.

        Raises UsageError.
        """
        check_host(host, "issuer.example.org")
        check_port(port, f"the usual one is {SERVICE_PORT}")
        with self._store.change():
            data = self._store.data
            known = data.get("service") or {"secret": blind.random_scalar().to_bytes(32, "big")}
            data["service"] = known | {"host": host, "port": port}

    def check_relay(self, name: str, host: str, port: int, time_server: str | None = None) -> None:
        """Raises UsageError unless a relay may be added under this name and address."""
        self._store.relays.check(name, host, port, time_server)

    def add_relay(
        self, name: str, host: str, port: int, directory: Path, time_server: str | None = None
    ) -> relay_directory.RelaySecrets:
        """Make a relay's keys, write its directory (new or empty), list it in a parameter set with the next serial.

        time_server: host name or address of the network clock (SNTP) that a board asks.

        Nothing is listed unless the relay's secrets are on disk. Raises UsageError.
        """
        self.check_relay(name, host, port, time_server)
        board = boards.board(self._store.data["board"])
        relay = relay_directory.RelaySecrets.fresh(name, host, port, board, time_server)
        with self._store.change():
            self._store.relays.add(_entry(name, host, port, relay.key, relay.ledger_key))
            self._sign_relays()
            files.make_directory(directory)
            relay.write(directory)
        relay_directory.write_parameters(directory, self.parameters.blob)
        return relay

    def add_relay_keys(self, name: str, host: str, port: int, static_key: bytes, ledger_key: bytes) -> bool:
        """List a relay that made its keys itself: static_key (33 bytes), ledger_key (x-only, 32). False if it is listed
        so already: listing it again changes nothing. Raises UsageError, InvalidInput for what are no keys.
        """
        entry = _entry(name, host, port, static_key, ledger_key)
        if entry in self.relays:
            return False
        with self._store.change():
            self._store.relays.add(entry)
            self._sign_relays()
        return True

    def remove_relay(self, name: str) -> None:
        """List a relay no more: it was reset, broke, or was stolen. Raises UsageError if there is none of that name."""
        with self._store.change():
            self._store.relays.remove(name)
            self._sign_relays()

    def _sign_relays(self) -> None:
        """A parameter set with the next serial that lists the relays as they are; within a change."""
        store = self._store
        store.data["parameters"] = store.signer.next_set(store.parameters, store.relays.keys())

    # -- code

    def approve(self, folder: Path) -> list[releases.Approved]:
        """Sign every artifact in an image's folder for this federation's relays. Raises InvalidInput, UsageError."""
        return releases.approve(folder, self.parameters.federation_id, self._store.signer.sign)

    # -- members

    def admit(self, card_text: str) -> str:
        """Put the member of a member card on the roster; its name. Raises InvalidInput, NotPermitted."""
        fields = cards.decode(card_text, "member").fields
        roster = self._store.roster
        roster.check_card(fields)
        with self._store.change():
            roster.add(fields["name"], fields["key"])
        return str(fields["name"])

    def invite(self, name: str, home: str | None = None, days: int = 7, by_files: bool = False) -> Invitation:
        """An invitation for one person, who will be called `name` on the roster and have its mailbox on the relay
        `home` (which need not be named if there is only one). Raises UsageError, NotPermitted.

        by_files: for a person whose computer cannot reach the issuer's service, or an office without one.
        """
        check_name("the member's name", name)
        relay = self._store.relays.home(home)
        if not by_files and self.service is None:
            raise UsageError(
                "members were not told yet where the issuer's service is",
                "say it once: tessera issuer service DIR HOST; or invite with --files",
            )
        invitations, now = self._store.invitations, self._now()
        self._store.roster.check_new(name, len(invitations.open(now)))
        with self._store.change():
            secret, until = invitations.add(name, relay, days, now)
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

    def revoke(self, name: str) -> None:
        """Take an invitation back before it is used. Raises NotPermitted if there is none."""
        with self._store.change():
            self._store.invitations.revoke(name)

    def join(self, card_text: str) -> str:
        """Admit the member of a join card, whose invitation is used up then; its name. The same card again changes
        nothing. Raises InvalidInput, NotPermitted."""
        fields = cards.decode(card_text, "join").fields
        roster = self._store.roster
        roster.check_card(fields)
        with self._store.change():
            self._store.invitations.take(fields, roster.is_member, roster.add, self._now())
        return str(fields["name"])

    def remove(self, name: str) -> None:
        """Take a member off the roster: no new tokens from now on, so no access after the next epoch.

        Tokens that were issued cannot be told from others and stay valid in their epoch. Raises NotPermitted.
        """
        with self._store.change():
            self._store.issuance.abort(self._store.roster.remove(name))

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
        return self._store.issuance.offer(card, self._store.roster.is_member, self._now(), online)

    def answer(self, card_text: str) -> str:
        """tokens-challenge → tokens-answer, once. Raises InvalidInput, NotPermitted."""
        card = cards.decode(card_text, "tokens-challenge")
        store = self._store
        signer, federation_id = store.signer, store.parameters.federation_id

        def epoch_secret(epoch: int) -> bytes:
            return signer.epoch_secret(federation_id, epoch)

        return store.issuance.answer(card, store.roster.is_member, epoch_secret, self._now())

    def abort_sessions(self) -> int:
        """Close every open session (they stay charged) and void every open invitation (it may have been used since), as
        after a restore from a backup; how many sessions there were."""
        with self._store.change():
            count = self._store.issuance.abort_all()
            self._store.invitations.revoke_all(self._now())
        return count


def _entry(name: str, host: str, port: int, static_key: bytes, ledger_key: bytes) -> dict[str, Any]:
    return {"name": name, "key": static_key, "ledger": ledger_key, "host": host, "port": port}


def _check_budget(budget: Mapping[str, str]) -> None:
    """Raises UsageError unless a federation card can carry it."""
    for name, most in (("epsilon", 100), ("delta", 1)):
        text = budget[name]
        if not cards.is_decimal(text) or Fraction(text) >= most:
            raise UsageError(
                f"{name} of a member's day is '{text[:40]}', not a decimal between 0 and {most}",
                f"write --day-{name} {DEFAULT_BUDGET[name]} or the like",
            )
