"""Contacts: how two members meet (PROTOCOL §12), and the book of those who have.

Owns the invite, answer and confirm cards, the meetings that are under way and the facts about each contact. The key
chains that a meeting ends in are `records`' business. Whatever is refused here has changed nothing.

Three messages, because the inviter commits to its X25519 key before it sees the other's: six words would otherwise be
few enough to search for a key that makes them agree.
"""

import secrets
from dataclasses import asdict
from typing import Any, NamedTuple

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from mnemonic import Mnemonic

from tessera import curve, hashes

from . import cards
from .errors import IntegrityError, InvalidInput, NotPermitted, UsageError
from .federation import Federation
from .records import ReceivingChain, SendingChain

WORDS = 6
WORD_BITS = 11

_RAW = (serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption())


class Identity(NamedTuple):
    """The member itself: its name, its secret and x-only key (32 bytes each), its mailbox id (16)."""

    name: str
    secret: bytes
    key: bytes
    mailbox: bytes

    def __repr__(self) -> str:
        return f"Identity({self.name!r}, {self.key.hex()})"

    def sign(self, message: bytes) -> bytes:
        signature: bytes = curve.sign(self.secret, message, secrets.token_bytes(32))
        return signature


class Meeting(NamedTuple):
    """What both sides know once the confirm card is made: all that the roots and the words follow from."""

    transcript: bytes
    shared: bytes

    def roots(self) -> tuple[bytes, bytes]:
        """(root inviter → answerer, root answerer → inviter)."""
        out = hashes.hkdf(self.transcript, self.shared, b"roots", 64)
        return out[:32], out[32:]

    def words(self, digest: bytes) -> list[str]:
        """The six words to compare; they also cover the parameter digest (32 bytes)."""
        number = int.from_bytes(hashes.tagged("contact-words", self.transcript + digest), "big")
        bits = f"{number:0256b}"
        wordlist = Mnemonic("english").wordlist
        return [wordlist[int(bits[at : at + WORD_BITS], 2)] for at in range(0, WORDS * WORD_BITS, WORD_BITS)]


def commitment(x: bytes, nonce: bytes) -> bytes:
    digest: bytes = hashes.tagged("contact-commit", x + nonce)
    return digest


def first_transcript(invite: bytes, answer: dict[str, Any]) -> bytes:
    """T1: what the answerer signs."""
    digest: bytes = hashes.tagged("contact-answer", invite + cards.without_signature(answer))
    return digest


def second_transcript(first: bytes, answer: dict[str, Any], x: bytes, nonce: bytes) -> bytes:
    """T2: what the inviter signs, and what everything else follows from."""
    digest: bytes = hashes.tagged("contact-confirm", first + answer["sig"] + x + nonce)
    return digest


def agree(secret: bytes, x: bytes) -> bytes:
    """X25519. Raises IntegrityError for a key of small order."""
    try:
        return X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(x))
    except ValueError:
        raise IntegrityError("the card's X25519 key makes a secret everyone knows", "do not go on; tell IT") from None


def _fresh_x() -> tuple[bytes, bytes]:
    """(secret, public) X25519 keys for one meeting."""
    secret = X25519PrivateKey.generate()
    return secret.private_bytes(*_RAW), public_x(secret.private_bytes(*_RAW))


def public_x(secret: bytes) -> bytes:
    public = X25519PrivateKey.from_private_bytes(secret).public_key()
    return public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


class ContactBook:
    """A view of the keystore's map `{"book", "invites", "answers"}`: contacts by name, open meetings by card hash."""

    def __init__(self, state: dict[str, Any], identity: Identity, federation: Federation) -> None:
        self._state = state
        self._identity = identity
        self._federation = federation

    @property
    def book(self) -> dict[str, dict[str, Any]]:
        """name → {key, mailbox, relay, words, verified, send, receive}."""
        contacts: dict[str, dict[str, Any]] = self._state["book"]
        return contacts

    def get(self, name: str) -> dict[str, Any]:
        """Raises UsageError."""
        if name not in self.book:
            known = ", ".join(sorted(self.book)) or "none yet; see 'tessera contact invite'"
            raise UsageError(f"there is no contact '{name}'", f"known: {known}")
        return self.book[name]

    def meetings(self) -> list[dict[str, str]]:
        """For people: whom this member is about to meet, and which card is next."""
        kinds = (("invites", "answer"), ("answers", "confirm"))
        return [
            {"name": meeting["name"], "waiting_for": card}
            for kind, card in kinds
            for meeting in self._state[kind].values()
        ]

    def verify(self, name: str) -> None:
        """The user says that the words are the same on both sides."""
        self.get(name)["verified"] = True

    def remove(self, name: str) -> None:
        """Forget a contact and its keys, or a meeting that is under way, for good."""
        kinds = ("invites", "answers")
        meetings = [(kind, key) for kind in kinds for key, open_ in self._state[kind].items() if open_["name"] == name]
        for kind, key in meetings:
            del self._state[kind][key]
        if not meetings:
            self.get(name)
        self.book.pop(name, None)

    # -- the inviter's side

    def invite(self, name: str, epoch: int) -> str:
        """The invite card for someone to be called `name` here."""
        self._check_name(name)
        secret, x = _fresh_x()
        nonce = secrets.token_bytes(32)
        terms = {"federation": self._federation.id, "digest": self._federation.digest, "epoch": epoch}
        text = cards.encode("invite", {**terms, "commit": commitment(x, nonce), **self._own_fields()})
        self._remember("invite", text, {"name": name, "x": secret, "nonce": nonce})
        return text

    def confirm(self, text: str) -> tuple[str, str]:
        """Take the answer to an invite: (name of the new contact, confirm card)."""
        card = cards.decode(text, "answer")
        answer, meeting = card.fields, self._meeting("invite", card.fields["invite"])
        invite = cards.decode_payload("invite", meeting["payload"])
        self._check_same_parameters(invite["digest"])
        self._check_peer(answer, meeting["name"])
        first = first_transcript(meeting["payload"], answer)
        _check_signature(answer["sig"], first, answer["key"])
        x = public_x(meeting["x"])
        met = Meeting(second_transcript(first, answer, x, meeting["nonce"]), agree(meeting["x"], answer["x"]))
        confirm = self._confirm_card(card.payload, x, meeting["nonce"], met.transcript)
        sending, receiving = met.roots()
        self._enrol(meeting["name"], answer, met, invite["epoch"], sending, receiving)
        del self._state["invites"][answer["invite"]]
        return meeting["name"], confirm

    def _confirm_card(self, answer: bytes, x: bytes, nonce: bytes, transcript: bytes) -> str:
        fields = {"answer": hashes.tagged("answer", answer), "x": x, "nonce": nonce}
        return cards.encode("confirm", {**fields, "sig": self._identity.sign(transcript)})

    # -- the answerer's side

    def answer(self, text: str, name: str | None, epoch: int, round_: int) -> tuple[str, str]:
        """Answer an invite: (name the inviter gets here, answer card). The name in the card is the default."""
        card = cards.decode(text, "invite")
        invite = card.fields
        name = name or str(invite["name"])
        self._check_invite(invite, epoch)
        self._check_peer(invite, name)
        if any(meeting["invite"] == card.payload for meeting in self._state["answers"].values()):
            raise InvalidInput("you have answered this invite already", "pass that answer on, or ask for a new invite")
        self._check_name(name)
        secret, x = _fresh_x()
        answer = self._answer_card(card.payload, x)
        self._remember("answer", answer, {"name": name, "x": secret, "invite": card.payload, "round": round_})
        return name, answer

    def _answer_card(self, invite: bytes, x: bytes) -> str:
        answer = {"v": cards.VERSION, "invite": hashes.tagged("invite", invite), "x": x, **self._own_fields()}
        return cards.encode("answer", {**answer, "sig": self._identity.sign(first_transcript(invite, answer))})

    def accept(self, text: str) -> tuple[str, int]:
        """Take the confirm card: (name of the new contact, round from which it may have written)."""
        confirm = cards.decode(text, "confirm").fields
        meeting = self._meeting("answer", confirm["answer"])
        invite = cards.decode_payload("invite", meeting["invite"])
        answer = cards.decode_payload("answer", meeting["payload"])
        self._check_same_parameters(invite["digest"])
        self._check_peer(invite, meeting["name"])
        if commitment(confirm["x"], confirm["nonce"]) != invite["commit"]:
            raise IntegrityError(
                "the confirm card does not open the invite's commitment", "start again with a new invite"
            )
        first = first_transcript(meeting["invite"], answer)
        second = second_transcript(first, answer, confirm["x"], confirm["nonce"])
        _check_signature(confirm["sig"], second, invite["key"])
        met = Meeting(second, agree(meeting["x"], confirm["x"]))
        receiving, sending = met.roots()
        self._enrol(meeting["name"], invite, met, invite["epoch"], sending, receiving)
        del self._state["answers"][confirm["answer"]]
        return meeting["name"], int(meeting["round"])

    # -- both

    def _own_fields(self) -> dict[str, Any]:
        me = self._identity
        return {"name": me.name, "key": me.key, "mailbox": me.mailbox, "relay": self._federation.home.key}

    def _check_name(self, name: str) -> None:
        meetings = [*self._state["invites"].values(), *self._state["answers"].values()]
        if name in self.book:
            raise UsageError(f"you have a contact '{name}' already", "choose another name for the new one")
        if any(meeting["name"] == name for meeting in meetings):
            raise UsageError(
                f"you are meeting a '{name}' already", f"finish that, or 'tessera contact remove {name}' first"
            )

    def _remember(self, kind: str, card: str, meeting: dict[str, Any]) -> None:
        """Keep what the next card of this meeting is checked against, under the hash that card names."""
        payload = cards.decode(card).payload
        self._state[kind + "s"][hashes.tagged(kind, payload)] = {**meeting, "payload": payload}

    def _meeting(self, kind: str, card_hash: bytes) -> dict[str, Any]:
        meeting: dict[str, Any] | None = self._state[kind + "s"].get(card_hash)
        if meeting is None:
            raise InvalidInput(
                f"this card belongs to no open {kind} of yours", "it was used already, or it is for someone else"
            )
        return meeting

    def _check_invite(self, invite: dict[str, Any], epoch: int) -> None:
        if invite["federation"] != self._federation.id:
            raise InvalidInput("this invite is from another federation", "only members of one federation can meet")
        self._check_same_parameters(invite["digest"])
        if invite["epoch"] > epoch + 1:
            raise InvalidInput("this invite is from a later epoch", "one of the two computers' clocks is wrong")

    def _check_same_parameters(self, digest: bytes) -> None:
        if digest != self._federation.digest:
            raise InvalidInput(
                "the two sides hold different parameters", "both run 'tessera status', then begin with a new invite"
            )

    def _check_peer(self, peer: dict[str, Any], name: str) -> None:
        self._federation.relay_with_key(peer["relay"])
        if peer["key"] == self._identity.key:
            raise InvalidInput("this card is your own", "it is for the other side")
        if name in self.book:
            raise UsageError(f"you have a contact '{name}' already", "choose another name for the new one")
        for known, contact in self.book.items():
            if contact["key"] == peer["key"]:
                raise NotPermitted(f"this is your contact '{known}'", f"'tessera contact remove {known}' to meet again")

    def _enrol(
        self, name: str, peer: dict[str, Any], met: Meeting, epoch: int, sending: bytes, receiving: bytes
    ) -> None:
        self.book[name] = {
            "key": peer["key"],
            "mailbox": peer["mailbox"],
            "relay": peer["relay"],
            "words": met.words(self._federation.digest),
            "verified": False,
            "send": asdict(SendingChain.start(epoch, sending)),
            "next_message": 0,
            "receive": asdict(ReceivingChain(epoch, receiving)),
            "received": {"next": 0, "parts": {}, "text": b"", "lost": 0},
        }


def _check_signature(signature: bytes, message: bytes, key: bytes) -> None:
    if not curve.verify(signature, message, key):
        raise IntegrityError("the card's signature does not hold", "start again; if it recurs, tell IT")
