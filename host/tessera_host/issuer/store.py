"""The issuer's directory: issuer.keystore, and beside it what follows from it and is for others: parameters.tpr,
federation.card, the digests of all sets, and the sets themselves, which auditors need for as long as there are relays.

Owns what the keystore holds, and the one transaction: what was changed is durable, and what is durable is published.
Leaves to others: the rules of each part (roster.py, relay_list.py, invitations.py, issuance.py, sets.py), what is
signed (signer.py), when (renewal.py), the file itself (keystore_database.py), copies of it (backup.py).

What grows with members is in rows, so that a request costs as much in an office of a hundred thousand as in one of
ten: the roster, invitations, counts, requests that were answered, sessions and answers. All else is kept once.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from tessera import curve
from tessera.errors import InvalidObject
from tessera.params import Head, Parameters

from .. import files
from ..errors import KeystoreError, UsageError
from ..keys.keystore import Secret
from ..keys.keystore_database import KeystoreDatabase
from ..protocol import cards
from ..protocol.federation import DEFAULT_RETENTION_DAYS, IssuerService
from ..protocol.topology import Topology
from .invitations import Invitations
from .issuance import Issuance, Terms
from .relay_list import RelayList
from .roster import Roster
from .sets import Kept, Sets
from .signer import ParameterSigner

VERSION = 5
KIND = "issuer"
KEYSTORE = "issuer.keystore"
PARAMETERS = "parameters.tpr"
FEDERATION_CARD = "federation.card"
DIGESTS = "digests.txt"
SETS = "sets"
INVENTORY = "inventory.json"  # which relay is on which board: `provisioning` writes it
TABLES = (*Roster.TABLES, *Invitations.TABLES, *Issuance.TABLES)


def new_data(
    name: str, signer: ParameterSigner, epochs: int, board: str, budget: dict[str, str], topology: Topology
) -> dict[str, Any]:
    """The values that the keystore of a new federation begins with, before its first set is signed."""
    return {
        "version": VERSION,
        "name": name,
        "root_secret": signer.root_secret,
        "master": signer.master,
        "board": board,
        "epochs": epochs,
        "relays": RelayList.empty(),
        "roster": Roster.empty(),
        "lost": 0,
        "budget": budget,
        "retention_days": DEFAULT_RETENTION_DAYS,
        "topology": topology.said(),
        "service": None,
        "sets": Sets.empty(),
        "chain": [],
        "restored": None,
    }


def check_version(keystore: KeystoreDatabase, where: Path) -> None:
    """Raises KeystoreError if another version of this program wrote the keystore. where: for the text."""
    if keystore.data["version"] != VERSION:
        raise KeystoreError(
            f"{where} has an issuer of another version of tessera",
            "use that version, or make a new issuer in another directory; this one is left as it is",
        )


class IssuerStore:
    """An open issuer directory. It holds the keystore's lock. The views that it gives are of the keystore as it is now:
    they are taken anew after `change` and `held`."""

    def __init__(self, directory: Path, keystore: KeystoreDatabase, epoch: Callable[[Parameters], int]) -> None:
        """Not for callers: use `create` or `open`. epoch() is the open one."""
        self.directory = directory
        self.keystore = keystore
        self._epoch = epoch
        self._published: tuple[bytes, tuple[int, ...]] | None = None

    @staticmethod
    def check_new(directory: Path) -> None:
        """Raises UsageError if files of another issuer would be written over."""
        for stale in (PARAMETERS, FEDERATION_CARD, DIGESTS, SETS):
            if (directory / stale).exists() and not (directory / KEYSTORE).exists():
                raise UsageError(
                    f"{directory / stale} exists, but the issuer's keystore is missing",
                    "name a new directory; or bring the issuer back: tessera issuer restore",
                )

    @classmethod
    def create(cls, directory: Path, passphrase: str, data: dict[str, Any], epoch: Callable[[Parameters], int]) -> Self:
        """Make the directory's keystore from `data`, which has a signed set. Raises KeystoreError if the directory has
        one already."""

        def fill(keystore: KeystoreDatabase) -> None:
            for name, value in data.items():
                keystore.data[name] = value

        store = cls(directory, KeystoreDatabase.create(directory / KEYSTORE, passphrase, KIND, TABLES, fill), epoch)
        store._publish()
        return store

    @classmethod
    def open(cls, directory: Path, secret: Secret, epoch: Callable[[Parameters], int]) -> Self:
        """Open the directory's keystore. Raises KeystoreError, WrongPassphrase."""
        store = cls(directory, KeystoreDatabase.open(directory / KEYSTORE, secret, KIND), epoch)
        try:
            check_version(store.keystore, directory)
            store._publish()
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        self.keystore.close()

    def release(self) -> None:
        """Let other commands use the keystore; `held` takes it for one request."""
        self.keystore.release()

    @property
    def stamp(self) -> tuple[int, ...]:
        """A value that changes whenever any program publishes a set; it does not read the keystore. It is taken from
        the published file, which is replaced as a whole: a database's file may have the same times for two changes."""
        try:
            found = (self.directory / PARAMETERS).stat()
        except OSError:
            return ()
        return found.st_mtime_ns, found.st_ino, found.st_size

    @contextmanager
    def held(self) -> Iterator[None]:
        """Raises KeystoreError if a command has the keystore for longer than usual."""
        with self.keystore.held():
            self._publish()
            yield

    # -- the transaction

    @contextmanager
    def change(self) -> Iterator[None]:
        """A transaction: what the block changes is durable and published when it ends. If the block fails, or its
        changes cannot be written, all of them are undone."""
        with self.keystore.change():
            yield
        self._publish()

    def _publish(self) -> None:
        """Bring the files beside the keystore up to date, if they are not; but those of a newer state stay. All of them
        are what the newest set says, or what is signed with it."""
        present = self.parameters.digest, self.stamp
        if present != self._published and not self.was_restored:
            self._publish_all()
            self._published = self.parameters.digest, self.stamp

    def _publish_all(self) -> None:
        published = {
            **{f"{SETS}/{name}": blob for name, blob in self.sets.files().items()},
            PARAMETERS: self.parameters.blob,
            FEDERATION_CARD: self.federation_card.encode() + b"\n",
            DIGESTS: self._digests().encode(),
        }
        for name, content in published.items():
            path = self.directory / name
            try:
                current = path.read_bytes()
            except OSError:
                current = None
            if current != content:
                path.parent.mkdir(exist_ok=True, mode=0o700)
                files.write(path, content)

    @property
    def was_restored(self) -> bool:
        """Whether the keystore is older than what was once published: its sessions and counts cannot be relied on, and
        its newest set is not the newest."""
        if self.data["restored"] is not None:
            return True
        return (self.parameters.digest, self.stamp) != self._published and self.newer_set() is not None

    def newer_set(self) -> bytes | None:
        """The published set, if it is newer than the keystore's newest one, as after a restore from a backup; else
        None."""
        present = self.parameters
        try:
            blob = (self.directory / PARAMETERS).read_bytes()
            found = Head(blob)
            if found.serial <= present.serial:
                return None
            found.verify()
        except (OSError, InvalidObject):
            return None
        ours = (found.federation_id, found.root_key) == (present.federation_id, present.root_key)
        return blob if ours else None

    def _digests(self) -> str:
        """A line for every set ever signed: its serial and its digest. For a notice board: who was told of another set
        than everybody finds it missing."""
        return "".join(f"{place['serial']} {place['digest'].hex()}\n" for place in self.sets.chain)

    # -- what it holds

    @property
    def data(self) -> Kept:
        return self.keystore.data

    @property
    def sets(self) -> Sets:
        return Sets(self.data)

    @property
    def parameters(self) -> Parameters:
        """The newest parameter set."""
        return self.sets.newest.parameters

    @property
    def signer(self) -> ParameterSigner:
        return ParameterSigner(self.data["root_secret"], self.data["master"])

    @property
    def roster(self) -> Roster:
        return Roster(self.data["roster"], self.keystore.table, self.parameters)

    @property
    def relays(self) -> RelayList:
        return RelayList(self.data["relays"])

    @property
    def invitations(self) -> Invitations:
        return Invitations(self.keystore.table, self.parameters.federation_id)

    @property
    def issuance(self) -> Issuance:
        return Issuance(self.keystore, self._terms())

    def _terms(self) -> list[Terms]:
        """The newest set's generation; until that begins, the one that is running."""
        newest, first = self.parameters, self.data["generation"]["first_epoch"]
        terms = [Terms(newest, range(max(first, newest.first_epoch), newest.end_epoch))]
        before = self.sets.running(self._epoch(newest)).parameters
        if before.generation != newest.generation:
            terms.append(Terms(before, range(before.first_epoch, min(first, before.end_epoch))))
        return terms

    @property
    def budget(self) -> dict[str, str]:
        return dict(self.data["budget"])

    @property
    def topology(self) -> Topology:
        return Topology.of(self.data["topology"])

    @property
    def service(self) -> IssuerService | None:
        return _service(self.data)

    @property
    def federation_card(self) -> str:
        return cards.encode("federation", {"params": self.parameters.blob, "said": said(self.data)})


def said(data: Kept) -> bytes:
    """What a federation card has beside its set (PROTOCOL §12), encoded, from what the keystore holds."""
    service = _service(data)
    return cards.said(
        {
            "name": data["name"],
            "relays": RelayList(data["relays"]).addresses(),
            "budget": data["budget"],
            "issuer": asdict(service) if service else None,
            "retention_days": data["retention_days"],
            "partners": [],
            "topology": data["topology"],
        }
    )


def _service(data: Kept) -> IssuerService | None:
    known = data["service"]
    return IssuerService(known["host"], known["port"], curve.public(known["secret"])) if known else None
