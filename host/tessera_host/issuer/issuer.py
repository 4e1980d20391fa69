"""The issuer: what IT and members may ask of a federation's keys, roster and relays (DESIGN §6, §10).

Owns which change belongs to which request, and which needs which kind of new set: each is one transaction of the
directory (store.py), saved and published when the method returns. Leaves to others: the rules of each part (roster.py,
relay_list.py, invitations.py), what the next set is (renewal.py) and what is signed (signer.py), who gets tokens
(issuance.py), which numbers are good (plan.py), a relay's directory (relay_directory.py).
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

from tessera.params import Parameters

from .. import files
from ..clock import Clock, unix_now
from ..errors import IntegrityError, InvalidInput, KeystoreError, UsageError
from ..keys.keystore import Secret
from ..kinds_of_cover import CONSTANT, DELIVERY, kind_of
from ..planning import boards
from ..planning.plan import MEMBERS_FLOOR, Choice, Plan, check_kind, make
from ..privacy import noise
from ..protocol import addresses, blind, cards, releases, sealed_reading_key
from ..protocol.federation import FIXED, IssuerService, Relay, parsed
from ..protocol.invitation import Invitation
from ..protocol.limits import check_name
from ..protocol.sets_beside import SetBeside, SetsBeside
from ..protocol.topology import Topology
from ..protocol.welcome import Welcome
from ..text import count
from . import backup, relay_directory, renewal, summary
from .operator import Operator
from .renewal import Change
from .roster import not_on_roster
from .sets import KeyOf
from .signer import LIFELONG, ParameterSigner, planned_rules
from .store import IssuerStore, new_data

EPOCHS_DEFAULT = 90
SERVICE_PORT = 8101

_GENESIS_END = 1 << 40
_COUNTED_ZEROS = Fraction(1, 1000)  # a number below is read more easily with an exponent


@dataclass(frozen=True)
class Restored:
    """What `Issuer.restored` found: when the backup was made (unix seconds; None if somebody copied the keystore's
    file), how many sessions it closed, and the names of those whose invitations it voided."""

    made: int | None
    closed_sessions: int
    void_invitations: list[str]


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
        now: Clock = unix_now,
    ) -> Self:
        """A new federation: its keys, and parameters of serial 1 without relays.

        epochs is the length of the key schedule; genesis (unix seconds) is the start of round 0, by default now rounded
        down to a whole round. Raises UsageError; KeystoreError if there is an issuer in the directory already.
        """
        check_name("the federation's name", name)
        IssuerStore.check_new(directory)
        moment = now()
        start = moment - moment % plan.choice.round_seconds if genesis is None else genesis
        if not 0 <= start < _GENESIS_END:
            raise UsageError(f"genesis {start} is not a time in unix seconds", f"use --genesis {moment}, which is now")
        signer = ParameterSigner.fresh()
        data = new_data(name, signer, epochs, plan.board.name, _budget_of(plan), topology_of(plan))
        epoch = max(0, (moment - start) // plan.choice.epoch_seconds)
        renewal.sign_first(data, signer.first_rules(plan, start), epoch, moment)
        return cls(IssuerStore.create(directory, passphrase, data, _open_epoch(now)), now)

    @classmethod
    def open(cls, directory: Path, secret: Secret, now: Clock = unix_now) -> Self:
        """Raises KeystoreError, WrongPassphrase."""
        return cls(IssuerStore.open(directory, secret, _open_epoch(now)), now)

    def close(self) -> None:
        self._store.close()

    def release(self) -> None:
        """Let other commands use the keystore; `held` takes it for one request. For the service."""
        self._store.release()

    @property
    def stamp(self) -> tuple[int, ...]:
        """A value that changes with every new set, also while this issuer is released."""
        return self._store.stamp

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
    def parameters(self) -> Parameters:
        """The newest parameter set."""
        return self._store.parameters

    @property
    def current_epoch(self) -> int:
        """0 before genesis."""
        return _open_epoch(self._now)(self.parameters)

    def epoch_end(self, epoch: int) -> int:
        """Unix seconds."""
        parameters = self.parameters
        return int(parameters.genesis + (epoch + 1) * parameters.epoch_rounds * parameters.round_seconds)

    @property
    def roster(self) -> list[dict[str, Any]]:
        """Members as `{name, key(32)}`."""
        return self._store.roster.listed()

    @property
    def members_count(self) -> int:
        return len(self._store.roster)

    @property
    def relays(self) -> list[dict[str, Any]]:
        """Relays as `{id, name, key(33), ledger(32), host, port}`."""
        return self._store.relays.listed()

    @property
    def invitations(self) -> list[dict[str, Any]]:
        """`{name, home, until, state}` of each; state is open, used or expired."""
        return self._store.invitations.listed(self._now())

    @property
    def federation_card(self) -> str:
        """The card every member gets. It carries the access key: for members, not for the notice board. The reading
        key is not in it."""
        return self._store.federation_card

    @property
    def budget(self) -> dict[str, str]:
        """`{"epsilon", "delta"}` of a member's day: what members' programs keep to."""
        return self._store.budget

    @property
    def topology(self) -> Topology:
        """On how many relays each record is, and which those are; while an office has fewer, on all that there are."""
        return self._store.topology

    @property
    def service(self) -> IssuerService | None:
        """Where members reach `tessera issuer serve`; None until IT has said so."""
        return self._store.service

    def told_service(self) -> IssuerService:
        """`service`, for whoever needs one. Raises UsageError if there is none."""
        found = self.service
        if found is None:
            raise UsageError(
                "members have not been told the address of the issuer's service",
                "tell them once: tessera issuer service DIR HOST",
            )
        return found

    @property
    def service_secret(self) -> bytes:
        """The service's static secret (32 bytes). Raises UsageError if there is no service."""
        self.told_service()
        return bytes(self._store.data["service"]["secret"])

    def summary(self) -> dict[str, Any]:
        """Everything that is not secret, for people and --json."""
        return summary.summary(self._store, self.current_epoch, self._now())

    # -- service and relays

    def set_service(self, host: str, port: int) -> None:
        """Set the address at which members reach the service. Its key stays; earlier invitations name the old address.

        Raises UsageError.
        """
        addresses.check(host, port, "tessera issuer service", SERVICE_PORT)
        with self._store.change():
            data = self._store.data
            known = data["service"] or {"secret": blind.random_scalar().to_bytes(32, "big")}
            data["service"] = known | {"host": host, "port": port}
            self._sign(Change())

    def set_topology(self, topology: Topology) -> bool:
        """Set on how many relays each record is from the next set on, and which of them follow a mailbox's home; False
        if it is so already. Raises UsageError if there are fewer relays."""
        self.check_topology(topology)
        if topology == self.topology:
            return False
        with self._store.change():
            self._store.data["topology"] = topology.said()
            self._sign(Change())
        return True

    def check_topology(self, topology: Topology) -> None:
        """Raises UsageError if this office has too few relays for it."""
        check_kind(topology.kind)
        places, directory = self._store.relays.places, self._store.directory
        if not 1 <= topology.copies <= places:
            fitting = f"use --copies {max(1, min(topology.copies, places))}"
            more = f"; or make more relays first: tessera relay new NAME RELAYDIR --issuer {directory} --host HOST"
            raise UsageError(
                f"{topology.copies} copies of each record are not possible with {count(places, 'relay')}",
                fitting + (more if topology.copies > places else ""),
            )

    @property
    def governs_from(self) -> int:
        """The first epoch in which the newest set is in force at a relay that got it in time."""
        return self._store.sets.newest.since

    def check_relay(self, name: str, host: str, port: int, time_server: str | None = None) -> None:
        """Raises UsageError unless a relay may be added under this name and address."""
        self._store.relays.check(name, host, port, time_server)

    def add_relay(
        self, name: str, host: str, port: int, directory: Path, time_server: str | None = None
    ) -> relay_directory.RelaySecrets:
        """Make a relay's keys, write its directory (new or empty), and list it in the next parameter set. It takes the
        number of a relay that was vacated under this name, if one was. Members can write there in the open epoch.

        time_server: host name or address of the network clock (SNTP) that a board asks.

        Nothing is listed unless the relay's secrets are on disk. Raises UsageError.
        """
        self.check_relay(name, host, port, time_server)
        return self._add_relay(name, host, port, directory, time_server, Change(relay=True))

    def replace_relay(self, name: str, directory: Path, time_server: str | None = None) -> relay_directory.RelaySecrets:
        """Put a new relay, with its own keys and directory, into the place of one that broke or was stolen. It takes
        over number, name and address. Members can write there in the open epoch. The reading key that the old relay
        held opens nothing at the other relays from the next epoch on. Raises UsageError."""
        change = Change(rotate=True, relay=True)
        before = self._store.relays.named(name)
        return self._add_relay(name, before["host"], before["port"], directory, time_server, change, vacate=True)

    def _add_relay(
        self,
        name: str,
        host: str,
        port: int,
        directory: Path,
        time_server: str | None,
        change: Change,
        vacate: bool = False,
    ) -> relay_directory.RelaySecrets:
        board = boards.board(self._store.data["board"])
        relay = relay_directory.RelaySecrets.fresh(name, host, port, board, time_server, self.parameters)
        with self._store.change():
            if vacate:
                self._store.relays.vacate(name)
            self._store.relays.add(name, host, port, relay.key, relay.ledger_key)
            self._sign(change)
            files.make_directory(directory)
            relay.write(directory)
        relay_directory.write_parameters(directory, self.copy_for(name))
        return relay

    def add_relay_keys(self, name: str, host: str, port: int, static_key: bytes, ledger_key: bytes) -> bool:
        """List a relay that made its keys itself: static_key (33 bytes), ledger_key (x-only, 32). It takes the number
        of a relay that was vacated under this name, if one was. False if it is listed so already: then nothing changes.
        Raises UsageError, InvalidInput for keys that are not valid.
        """
        with self._store.change():
            added = self._store.relays.add(name, host, port, static_key, ledger_key)
            if added:
                self._sign(Change(relay=True))
        return added

    def remove_relay(self, name: str, at_once: bool = False) -> None:
        """Take a relay off the list, because it was reset, broke, or was stolen. Raises UsageError if no relay has that
        name, or if fewer would be left than each record has copies."""
        with self._store.change():
            self._store.relays.remove(name)
            self._check_left(name)
            self._sign(Change(generation=True, rotate=True, at_once=at_once))

    def _check_left(self, name: str) -> None:
        left, copies, directory = self._store.relays.places, self.topology.copies, self._store.directory
        if copies > max(1, left):
            raise UsageError(
                f"each record is kept on {copies} relays, and only {left} would be left",
                f"put a new relay in its place: tessera relay replace '{name}' --issuer {directory}; or first keep "
                f"fewer copies: tessera issuer cluster {directory} --copies {max(1, left)}",
            )

    def vacate_relay(self, name: str) -> dict[str, Any]:
        """Take a relay off the list and keep its number for the next relay of this name; the entry that was listed.
        Raises UsageError."""
        with self._store.change():
            gone = self._store.relays.vacate(name)
            self._sign(Change(rotate=True))
        return gone

    def copy_for(self, name: str) -> bytes:
        """The set that the relay of this name starts with: the newest that has keys for the open epoch, as bytes.
        Raises UsageError."""
        return self.first_set_for(self._store.relays.named(name)["key"])

    def first_set_for(self, static_key: bytes) -> bytes:
        """As `copy_for`, for the relay of this static key (33 bytes). Raises UsageError."""
        for found in (self._store.sets.running(self.current_epoch).parameters, self.parameters):
            entry = found.relay_with(static_key)
            if entry is not None and found.column(entry.id) is not None:
                return bytes(found.copy_for(entry.id))
        raise UsageError("this relay is not in the newest parameters", "repeat the command")

    # -- sets

    def renew(
        self,
        plan: Plan | None = None,
        epochs: int | None = None,
        retention_days: int | None = None,
        at_once: bool = False,
        new_keys: bool = False,
    ) -> None:
        """Sign the next set: its schedule of keys begins with the open epoch. With a plan its rules are that plan's; if
        it has other numbers of members or tokens, there is a new generation of keys. new_keys: access key, reading key
        and epoch keys are all others. Raises UsageError."""
        data, rules = self._store.data, None
        if retention_days is not None and not 1 <= retention_days <= cards.RETENTION_DAYS_MAX:
            raise UsageError(
                f"members can keep messages for 1 to {cards.RETENTION_DAYS_MAX} days, not {retention_days}",
                "for example: --retention-days 90",
            )
        if plan is not None:
            rules = self._rules(plan)
        counted = ("members", "tokens_per_epoch")
        changed = rules is not None and any(rules[name] != getattr(self.parameters, name) for name in counted)
        with self._store.change():
            data["budget"] = data["budget"] if plan is None else _budget_of(plan)
            data["retention_days"] = retention_days or data["retention_days"]
            generation = changed or new_keys
            change = Change(generation=generation, rotate=new_keys, at_once=at_once, rules=rules, epochs=epochs)
            self._sign(change)

    def plan_for(
        self,
        members: int | None = None,
        day: tuple[Fraction, Fraction] | None = None,
        topology: Topology | None = None,
    ) -> Plan:
        """The plan of the newest set, changed to this number of members, this day (ε, δ) of each, or these copies.
        Raises UsageError if the board cannot carry it, or if a day is given and batches are constant."""
        present = self.parameters
        kind = kind_of(present)
        if day and kind == CONSTANT:
            raise UsageError(
                "this office's batches are constant and show nothing of a member's day, so there is nothing to set",
                "leave --day-epsilon and --day-delta out",
            )
        day_epsilon, day_delta = day or (Fraction(self.budget["epsilon"]), Fraction(self.budget["delta"]))
        one = present.epsilon * noise.EPSILON_UNIT, Fraction(present.delta, noise.DRAWS)
        floor = MEMBERS_FLOOR << present.log2_buckets
        placed, relays = topology or self.topology, max(1, self._store.relays.places)
        return make(
            Choice(
                members=members or present.members,
                cover=kind,
                epsilon=one[0] if kind == DELIVERY else None,
                delta=one[1] if kind == DELIVERY else None,
                deliveries=present.deliveries,
                day_epsilon=day_epsilon,
                day_delta=day_delta,
                buckets=1 << present.log2_buckets,
                tokens_per_epoch=present.tokens_per_epoch,
                posts_per_token=present.posts_per_token,
                board=self._store.data["board"],
                allow_small=present.members < floor,  # who planned it accepted that
                relays=relays,
                topology=placed.kind,
                copies=min(placed.copies, relays),
                **{name: getattr(present, name) for name in LIFELONG},
            )
        )

    def _rules(self, plan: Plan) -> dict[str, Any]:
        for name in LIFELONG:
            wanted, present = getattr(plan.choice, name), getattr(self.parameters, name)
            if wanted != present:
                option = name.replace("_", "-")
                raise UsageError(
                    f"the plan has --{option} {wanted}, but this federation has {present} for as long as it exists",
                    f"plan with --{option} {present}, or make a new federation",
                )
        if topology_of(plan) != self.topology:
            kind, copies = self.topology.kind, self.topology.copies
            raise UsageError(
                f"the plan keeps each record on {_placed(topology_of(plan))}, this office on {_placed(self.topology)}",
                f"plan with --topology {kind} --copies {copies}, or first: tessera issuer cluster "
                f"{self._store.directory} --topology {plan.choice.topology} --copies {plan.choice.copies}",
            )
        if (present := len(self._store.roster)) > plan.choice.members:
            raise UsageError(
                f"the plan is for {plan.choice.members} members, but {present} are on the roster",
                "plan for more members, or remove somebody first: tessera issuer remove",
            )
        return planned_rules(plan)

    def renew_if_due(self) -> bool:
        """Sign the next set if a third of the schedule is left, or less; True if it did."""
        due = renewal.is_due(self.parameters, self.current_epoch)
        if due:
            with self._store.change():
                self._sign(Change())
        return due

    def back_up(self, path: Path) -> None:
        """Write a new backup file, which opens with the keystore's passphrase. Raises KeystoreError."""
        self.check_not_restored()
        backup.write(self._store.keystore, self._store.directory, path, self._now())

    def restored(self, known: Iterable[bytes] = ()) -> Restored:
        """The keystore was restored from a backup: what it says of sessions, tokens and invitations may be less than
        was said since, and there may be sets that it does not know. Go on after the newest of `known` (sets, or
        relays' copies of them): a new generation, new access and reading keys, no open session or invitation. Raises
        IntegrityError for a set that is not this federation's."""
        beside = self._store.newer_set()
        sets = [self.parameters.blob, *known, *([beside] if beside else [])]
        newest = max(map(self._own, sets), key=lambda each: each.serial)
        with self._store.change():
            store, now = self._store, self._now()
            store.sets.accept_access_keys(newest.access_key, self._access_key_of(), now)
            reading_key = store.signer.reading_key(newest.federation_id, store.sets.rotations)
            store.sets.take_found(newest.blob, reading_key)
            number = store.data["generation"]["number"] = max(newest.generation, store.data["generation"]["number"])
            store.data["generation"]["first_epoch"] = int(newest.first_epoch)
            made, store.data["restored"] = store.data["restored"], None
            found = Restored(made, store.issuance.restored(number), store.invitations.revoke_all(now))
            change = Change(generation=True, rotate=True)
            renewal.sign_next(store, change, self.current_epoch, now, after=(newest.serial, newest.digest))
        return found

    def _own(self, blob: bytes) -> Parameters:
        found = parsed(blob, "take it from a relay or a member of this federation")
        if any(getattr(found, name) != getattr(self.parameters, name) for name in FIXED):
            raise IntegrityError(
                "this set belongs to another federation", "take it from a relay or a member of this federation"
            )
        return found

    def _sign(self, change: Change) -> None:
        """The next set; within a change. Raises KeystoreError if the keystore was restored."""
        self.check_not_restored()
        renewal.sign_next(self._store, change, self.current_epoch, self._now())

    def check_not_restored(self) -> None:
        """Raises KeystoreError if the keystore is from a backup and `restored` has not run yet, or if a newer set lies
        beside it: the next set would have a serial that was already used."""
        if self._store.was_restored:
            raise KeystoreError(
                "this keystore was restored from a backup, so relays and members may know newer sets than it does",
                f"before anything else: tessera issuer restored {self._store.directory}",
            )

    # -- what relays and members are told

    @property
    def access_keys(self) -> list[bytes]:
        """The access keys (32 bytes each) of the last 400 days, the newest first."""
        return self._store.sets.accepted_access_keys(self._now())

    def time_statement(self) -> bytes:
        """The time, signed by the root key: 92 bytes (PROTOCOL §2)."""
        return self._store.signer.time_statement(self.parameters.federation_id, self._now())

    def operator(self, restored: bool = False) -> Operator:
        """What a command needs to act as IT at the relays, also when this issuer is closed. restored: the keystore is
        from a backup, so relays may have later access keys than it has."""
        relays = [Relay(each["name"], each["id"], each["key"], each["host"], each["port"]) for each in self.relays]
        later = self._store.sets.later_access_keys(self._access_key_of()) if restored else []
        return Operator(self.parameters, relays, [*self.access_keys, *later], self._store.signer, self._now)

    def _access_key_of(self) -> KeyOf:
        return renewal.access_key_of(self._store.data, self.parameters.federation_id)

    def welcome(self, member: bytes) -> Welcome:
        """Everything that IT tells the member of this key (32 bytes). Raises NotOnRoster."""
        self.check_not_restored()
        self._check_member(member)
        return Welcome(self.federation_card, self._chain_of_sets(), self._reading_keys(), self.time_statement())

    @property
    def sets_card(self) -> str:
        """The card that goes with the federation card: from when its set is in force, and which sets relays may have
        until then."""
        return self._chain_of_sets().card()

    def _chain_of_sets(self) -> SetsBeside:
        sets = self._store.sets
        beside = [SetBeside(each.since, each.parameters.blob) for each in sets.beside_newest(self.current_epoch)]
        return SetsBeside(self.parameters.digest, sets.newest.since, beside)

    def reading_card(self, member: bytes) -> str:
        """The reading keys for the member of this key (32 bytes), sealed to it. Raises NotOnRoster."""
        self._check_member(member)
        return sealed_reading_key.card(self._reading_keys(), self.parameters.federation_id, member)

    def _reading_keys(self) -> list[bytes]:
        sets = self._store.sets
        newest_first = [sets.newest, *reversed(sets.beside_newest(self.current_epoch))]
        return list(dict.fromkeys(each.reading_key for each in newest_first))

    def _check_member(self, key: bytes) -> None:
        if not self._store.roster.is_member(key):
            raise not_on_roster()

    # -- code

    def approve(self, folder: Path) -> list[releases.Approved]:
        """Sign every artifact in an image's folder for this federation's relays. Raises InvalidInput, UsageError."""
        return releases.approve(folder, self.parameters.federation_id, self._store.signer.sign)

    # -- members

    def admit(self, card_text: str) -> str:
        """Add the member of a member card to the roster; its name. Raises InvalidInput, NotPermitted."""
        fields = cards.decode(card_text, "member").fields
        roster = self._store.roster
        roster.check_card(fields)
        with self._store.change():
            roster.add(fields["name"], fields["key"])
        return str(fields["name"])

    def invite(self, name: str, home: str | None = None, days: int = 7, by_files: bool = False) -> Invitation:
        """Make an invitation for one person, whose name on the roster will be `name` and whose mailbox is on the relay
        `home`. home may be None if there is one relay, if the newest invitations all have the same, or in a cluster.
        Raises UsageError, NotPermitted.

        days: how long it is valid; by_files: for a person whose computer cannot reach the issuer's service.
        """
        self.check_not_restored()
        check_name("the member's name", name)
        relay = self._store.relays.home(home or self._usual_home())
        if not by_files and self.service is None:
            raise UsageError(
                "members have not been told the address of the issuer's service",
                "tell them once: tessera issuer service DIR HOST; or invite with --files",
            )
        invitations, now = self._store.invitations, self._now()
        self._store.roster.check_new(name, invitations.open(now))
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

    def _usual_home(self) -> str | None:
        """The relay of all who were invited lately, if it is one and in service; of a cluster, where every relay has
        what others have, the one with the fewest of them."""
        homes = self._store.invitations.homes()
        named = [str(relay["name"]) for relay in self.relays]
        if self.topology.copies > 1:
            return min(named, key=homes.count)
        return homes[0] if len(set(homes)) == 1 and homes[0] in named else None

    def revoke(self, name: str, at_once: bool = False) -> None:
        """Revoke an invitation that was not used yet, and replace the keys that it names. Raises NotPermitted if there
        is no such invitation."""
        with self._store.change():
            self._store.invitations.revoke(name)
            self._sign(Change(generation=True, rotate=True, at_once=at_once))

    def join(self, card_text: str) -> str:
        """Admit the member of a join card and use up its invitation; the member's name. The same card again changes
        nothing. The caller checks that whoever shows the card has its key. Raises InvalidInput, NotPermitted."""
        self.check_not_restored()
        fields = cards.decode(card_text, "join").fields
        roster = self._store.roster
        roster.check_card(fields)
        with self._store.change():
            self._store.invitations.take(fields, roster.is_member, roster.add, self._now())
        return str(fields["name"])

    def remove(self, name: str, at_once: bool = False) -> None:
        """Take a member off the roster. It gets no new tokens or keys from now on, and those that it has stop working
        with the first epoch of the new generation, which begins at the earliest half an epoch from now.

        Tokens that were issued cannot be told from others and stay valid until then. Raises NotPermitted.
        """
        with self._store.change():
            self._store.issuance.abort(self._store.roster.remove(name))
            self._sign(Change(generation=True, rotate=True, at_once=at_once))

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
        self.check_not_restored()
        card = cards.decode(card_text, "tokens-request")
        return self._store.issuance.offer(card, self._store.roster.is_member, self._now(), online)

    def answer(self, card_text: str) -> str:
        """tokens-challenge → tokens-answer, once. Raises InvalidInput, NotPermitted."""
        self.check_not_restored()
        card = cards.decode(card_text, "tokens-challenge")
        store = self._store
        signer, federation_id = store.signer, store.parameters.federation_id

        def epoch_secret(generation: int, epoch: int, relay_id: int, static_key: bytes, cohort: int) -> bytes:
            return signer.epoch_secret(federation_id, generation, epoch, relay_id, static_key, cohort)

        return store.issuance.answer(card, store.roster.is_member, epoch_secret, self._now())

    def offer_unasked(self, member: bytes) -> str:
        """A tokens-offer for the member of this key (32 bytes) who has not asked. Raises NotPermitted."""
        self.check_not_restored()
        self._check_member(member)
        return self._store.issuance.offer_unasked(member, self._now())


def _open_epoch(now: Clock) -> Callable[[Parameters], int]:
    return lambda parameters: max(0, int(parameters.epoch_of(parameters.round_at(now()))))


def _budget_of(plan: Plan) -> dict[str, str]:
    """A member's day as the federation card says it."""
    return {"epsilon": _decimal(plan.choice.day_epsilon), "delta": _decimal(plan.choice.day_delta)}


def topology_of(plan: Plan) -> Topology:
    """Where records are by a plan."""
    return Topology(plan.choice.topology, plan.choice.copies)


def _placed(topology: Topology) -> str:
    return f"{count(topology.copies, 'relay')} ({topology.kind})"


def _decimal(value: Fraction) -> str:
    """As PROTOCOL §12 has it; with an exponent where people, or the digits that there may be, ask for it."""
    plain, exponent = noise.decimal(value), 0
    if value >= _COUNTED_ZEROS and cards.is_decimal(plain):
        return plain
    while value < 1:
        value, exponent = 10 * value, exponent + 1
    return noise.decimal(value) + (f"e-{exponent}" if exponent else "")
