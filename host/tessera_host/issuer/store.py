"""The issuer's directory: issuer.keystore, and beside it parameters.tpr and federation.card, which follow from it.

Owns what the keystore's map holds, and the one transaction: what was changed is saved, and what was saved is published.
Leaves to others: the rules of each part (roster.py, relay_list.py, invitations.py, issuance.py), what is signed
(signer.py), the file itself (keystore.py).
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from tessera import curve
from tessera.params import Parameters

from .. import files
from ..errors import UsageError
from ..keys.keystore import Keystore, Secret
from ..protocol import cards
from ..protocol.federation import DEFAULT_BUDGET, IssuerService
from .invitations import Invitations
from .issuance import Issuance
from .relay_list import RelayList
from .roster import Roster
from .signer import ParameterSigner

VERSION = 1
KIND = "issuer"
KEYSTORE = "issuer.keystore"
PARAMETERS = "parameters.tpr"
FEDERATION_CARD = "federation.card"


def new_data(
    name: str, signer: ParameterSigner, parameters: bytes, made_epoch: int, board: str, budget: dict[str, str]
) -> dict[str, Any]:
    """What the keystore of a new federation holds."""
    return {
        "version": VERSION,
        "name": name,
        "root_secret": signer.root_secret,
        "master": signer.master,
        "made_epoch": made_epoch,
        "board": board,
        "relays": [],
        "roster": [],
        "issuance": Issuance.empty(),
        "budget": budget,
        "service": None,
        "invitations": [],
        "parameters": parameters,
    }


class IssuerStore:
    """An open issuer directory. It holds the keystore's lock. The views that it gives are of `data` as it is now: they
    are taken anew after `change` and `held`."""

    def __init__(self, directory: Path, keystore: Keystore) -> None:
        """Not for callers: use `create` or `open`."""
        self.directory = directory
        self._keystore = keystore

    @staticmethod
    def check_new(directory: Path) -> None:
        """Raises UsageError if files of another issuer would be written over."""
        for stale in (PARAMETERS, FEDERATION_CARD):
            if (directory / stale).exists() and not (directory / KEYSTORE).exists():
                raise UsageError(f"{directory / stale} is there without its issuer", "name a new directory")

    @classmethod
    def create(cls, directory: Path, passphrase: str, data: dict[str, Any]) -> Self:
        """Raises KeystoreError if there is an issuer in the directory already."""
        store = cls(directory, Keystore.create(directory / KEYSTORE, passphrase, KIND, data))
        store._publish()
        return store

    @classmethod
    def open(cls, directory: Path, secret: Secret) -> Self:
        """Raises KeystoreError, WrongPassphrase."""
        store = cls(directory, Keystore.open(directory / KEYSTORE, secret, KIND))
        try:
            store._publish()
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        self._keystore.close()

    def release(self) -> None:
        """Let other commands use the keystore; `held` takes it for one request."""
        self._keystore.release()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Raises KeystoreError if a command has the keystore for longer than usual."""
        with self._keystore.held():
            self._publish()
            yield

    # -- the transaction

    @contextmanager
    def change(self) -> Iterator[None]:
        """What the block changes is saved, then published. If the block or saving fails, `data` is as it was before:
        no later change saves half of this one."""
        before = copy.deepcopy(self.data)
        try:
            yield
            if self.data != before:
                self.save()
        except BaseException:
            self.data.clear()
            self.data.update(before)
            raise
        self._publish()

    def save(self) -> None:
        """For what has to be durable in the middle of an answer: issuance spends a session before it answers."""
        self._keystore.save()

    def _publish(self) -> None:
        """Bring the two files beside the keystore up to date, if they are not."""
        published = {PARAMETERS: self.parameters.blob, FEDERATION_CARD: self.federation_card.encode() + b"\n"}
        for name, content in published.items():
            path = self.directory / name
            try:
                current = path.read_bytes()
            except OSError:
                current = None
            if current != content:
                files.write(path, content)

    # -- what it holds

    @property
    def data(self) -> dict[str, Any]:
        return self._keystore.data

    @property
    def parameters(self) -> Any:
        """The newest parameter set (tessera.params.Parameters)."""
        return Parameters(self.data["parameters"])

    @property
    def signer(self) -> ParameterSigner:
        return ParameterSigner(self.data["root_secret"], self.data["master"])

    @property
    def roster(self) -> Roster:
        return Roster(self.data["roster"], self.parameters)

    @property
    def relays(self) -> RelayList:
        return RelayList(self.data["relays"])

    @property
    def invitations(self) -> Invitations:
        return Invitations(self.data.setdefault("invitations", []), self.parameters.federation_id)

    @property
    def issuance(self) -> Issuance:
        return Issuance(self.data["issuance"], self.parameters, self.data["made_epoch"], self.save)

    @property
    def budget(self) -> dict[str, str]:
        return dict(self.data.get("budget", DEFAULT_BUDGET))

    @property
    def service(self) -> IssuerService | None:
        known = self.data.get("service")
        return IssuerService(known["host"], known["port"], curve.public(known["secret"])) if known else None

    @property
    def federation_card(self) -> str:
        fields = {"name": self.data["name"], "params": self.parameters.blob, "relays": self.relays.addresses()}
        service = asdict(self.service) if self.service else None
        return cards.encode("federation", fields | {"budget": self.budget, "issuer": service})
