"""Contacts: how two members meet (PROTOCOL §12), and the book of those who have.

Owns the invite, answer and confirm cards, the meetings that are under way and the facts about each contact. The key
chains that a meeting ends in are `records`' business. Whatever is refused here has changed nothing.

Three messages, because the inviter commits to its X25519 key before it sees the other's: six words would otherwise be
few enough to search for a key that makes them agree.
"""

import secrets
from typing import Any, NamedTuple, TypeVar

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from tessera import curve, hashes

from ..errors import IntegrityError, InvalidInput, NotPermitted, UsageError
from ..protocol import cards
from ..protocol.federation import Federation
from ..protocol.identity import Identity
from ..protocol.limits import check_name
from ..protocol.records import ReceivingChain, SendingChain
from ..protocol.words import words
from .names import known_name, unknown
from .schema import AnswerMeeting, Contact, Contacts, FinishedMeeting, InviteMeeting, Received

T = TypeVar("T")

_RAW = (serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption())


class OtherSettings(InvalidInput):
    """One of the two sides does not have the office's newest settings. A visit to the issuer may help."""


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
        return words(hashes.tagged("contact-words", self.transcript + digest))


def commitment(x: bytes, nonce: bytes) -> bytes:
    """Commit to an X25519 key (32 bytes) with a nonce (32 bytes): 32 bytes (PROTOCOL §12)."""
    return hashes.tagged("contact-commit", x + nonce)


def first_transcript(invite: bytes, answer: dict[str, Any]) -> bytes:
    """Compute T1 (32 bytes): what the answerer signs."""
    return hashes.tagged("contact-answer", invite + cards.without_signature(answer))


def second_transcript(first: bytes, answer: dict[str, Any], x: bytes, nonce: bytes) -> bytes:
    """Compute T2 (32 bytes): what the inviter signs, and what roots and words follow from."""
    return hashes.tagged("contact-confirm", first + answer["sig"] + x + nonce)


def agree(secret: bytes, x: bytes) -> bytes:
    """Compute the X25519 shared secret (32 bytes, RFC 7748). Raises IntegrityError for a key of small order."""
    try:
        return X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(x))
    except ValueError:
        raise IntegrityError(
            "the key in this card protects nothing: somebody tampered with it", "do not go on; tell IT"
        ) from None


def _fresh_x() -> tuple[bytes, bytes]:
    """(secret, public) X25519 keys for one meeting."""
    secret = X25519PrivateKey.generate()
    return secret.private_bytes(*_RAW), public_x(secret.private_bytes(*_RAW))


def public_x(secret: bytes) -> bytes:
    """Compute the public X25519 key (32 bytes) of a secret one (32 bytes)."""
    public = X25519PrivateKey.from_private_bytes(secret).public_key()
    return public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


class ContactBook:
    """A view of the keystore's contacts and meetings."""

    def __init__(self, state: Contacts, identity: Identity, federation: Federation) -> None:
        self._state = state
        self._identity = identity
        self._federation = federation

    @property
    def book(self) -> dict[str, Contact]:
        """The contacts by name."""
        return self._state.book

    @property
    def split(self) -> list[str]:
        """The names of the contacts that were given settings different from this member's (`views.alarm`)."""
        return sorted(name for name, contact in self.book.items() if contact.split)

    def get(self, name: str) -> Contact:
        """Find a contact by its exact name. Raises UsageError."""
        if name not in self.book:
            raise unknown(name, self.book)
        return self.book[name]

    def meant(self, typed: str) -> str:
        """Find the name of the contact that was typed, whatever the capitals. Raises UsageError."""
        return known_name(typed, self.book)

    def check_recipient(self, name: str) -> None:
        """Check that one may write to this name. Raises UsageError if no contact has it, NotPermitted if the contact is
        blocked."""
        if self.get(name).blocked:
            raise NotPermitted(f"{name} is blocked", f"unblock it first: tessera contact unblock {name}")

    def meetings(self) -> list[dict[str, str]]:
        """List, for people, whom this member is about to meet and which card is next."""
        return [
            {"name": meeting.name, "waiting_for": "answer" if isinstance(meeting, InviteMeeting) else "confirm"}
            for meeting in self.open_meetings()
        ]

    def verify(self, name: str) -> None:
        """Note that the user found the words the same on both sides."""
        self.get(name).verified = True

    def block(self, name: str, blocked: bool) -> None:
        """Set whether this contact's records are ignored."""
        contact = self.get(name)
        contact.blocked = blocked
        if not blocked:
            contact.received.resync = True  # what came meanwhile is not lost, it was not wanted
            for each in contact.received.missing:
                each.counts = False

    def rename(self, name: str, new: str) -> None:
        """Give a contact another name; nobody else learns of it."""
        self.get(name)
        self._check_name(new)
        self.book[new] = self.book.pop(name)
        for meeting in [*self.open_meetings(contact=name), *self._finished.values()]:
            meeting.name = new if meeting.name == name else meeting.name

    def remove(self, name: str) -> None:
        """Forget a contact and its keys, and every meeting with it, for good."""
        if not self.abandon(name):
            self.get(name)
        self.book.pop(name, None)
        self._forget_finished(name)

    def abandon(self, name: str) -> bool:
        """Forget the meetings under way with this name, and tell whether there were any."""
        state, found = self._state, bool(self.open_meetings(contact=name))
        state.invites = {key: meeting for key, meeting in state.invites.items() if meeting.name != name}
        state.answers = {key: meeting for key, meeting in state.answers.items() if meeting.name != name}
        return found

    # -- what meetings there are, for `meeting`

    @property
    def _finished(self) -> dict[bytes, FinishedMeeting]:
        return self._state.finished

    def open_meetings(self, contact: str | None = None) -> list[InviteMeeting | AnswerMeeting]:
        """List the open meetings; with `contact`, only those with this name."""
        meetings: list[InviteMeeting | AnswerMeeting] = [*self._state.invites.values(), *self._state.answers.values()]
        return [meeting for meeting in meetings if contact in (None, meeting.name)]

    def finished_by_answer(self, answer_hash: bytes) -> FinishedMeeting | None:
        """Find the finished meeting whose answer card has this hash (32 bytes)."""
        return self._finished.get(answer_hash)

    def finished_by_invite(self, invite_hash: bytes) -> FinishedMeeting | None:
        """Find the finished meeting whose invite card has this hash (32 bytes)."""
        return next((meeting for meeting in self._finished.values() if meeting.invite == invite_hash), None)

    def _finish(self, name: str, answer_hash: bytes, invite_hash: bytes, confirm: str | None) -> None:
        """Remember the meeting, in case a card is passed again: one meeting for each contact."""
        self._forget_finished(name)
        self._finished[answer_hash] = FinishedMeeting(name, invite_hash, confirm)

    def _forget_finished(self, name: str) -> None:
        self._state.finished = {key: old for key, old in self._finished.items() if old.name != name}

    # -- the inviter's side

    def invite(self, name: str, epoch: int, rekey: bool = False) -> str:
        """Make the invite card for someone who is to be called `name` here. With `rekey` it is for a contact, who gets
        new keys and has to sign for them with the identity that it was met by."""
        self._check_name(name, rekey)
        secret, x = _fresh_x()
        nonce = secrets.token_bytes(32)
        terms = {"federation": self._federation.id, "digest": self._federation.digest, "epoch": epoch}
        text = cards.encode("invite", {**terms, "commit": commitment(x, nonce), **self._own_fields()})
        payload = cards.decode(text).payload
        self._state.invites[hashes.tagged("invite", payload)] = InviteMeeting(name, payload, secret, nonce, rekey)
        return text

    def confirm(self, text: str) -> tuple[str, str]:
        """Take the answer to an invite, and return (name of the new contact, confirm card)."""
        card = cards.decode(text, "answer")
        answer, meeting = card.fields, _expected("invite", self._state.invites.get(card.fields["invite"]))
        invite = cards.decode_payload("invite", meeting.payload)
        self._check_same_parameters(invite["digest"])
        self._check_peer(answer, meeting.name, meeting.rekey)
        first = first_transcript(meeting.payload, answer)
        _check_signature(answer["sig"], first, answer["key"])
        x = public_x(meeting.x)
        met = Meeting(second_transcript(first, answer, x, meeting.nonce), agree(meeting.x, answer["x"]))
        confirm = self._confirm_card(card.payload, x, meeting.nonce, met.transcript)
        sending, receiving = met.roots()
        self._enrol(meeting.name, answer, met, invite["epoch"], sending, receiving)
        del self._state.invites[answer["invite"]]
        self._finish(meeting.name, hashes.tagged("answer", card.payload), answer["invite"], confirm)
        return meeting.name, confirm

    def _confirm_card(self, answer: bytes, x: bytes, nonce: bytes, transcript: bytes) -> str:
        fields = {"answer": hashes.tagged("answer", answer), "x": x, "nonce": nonce}
        return cards.encode("confirm", {**fields, "sig": self._identity.sign(transcript)})

    # -- the answerer's side

    def answer(self, text: str, name: str | None, epoch: int, round_: int, rekey: bool = False) -> tuple[str, str]:
        """Answer an invite, and return (name that the inviter gets here, answer card). The name in the card is the
        default. With `rekey` the inviter is the contact of that name, who gets new keys."""
        card = cards.decode(text, "invite")
        invite = card.fields
        name = name or str(invite["name"])
        self._check_invite(invite, epoch)
        self._check_peer(invite, name, rekey)
        if any(meeting.invite == card.payload for meeting in self._state.answers.values()):
            raise InvalidInput("you have answered this invite already", "pass that answer on, or ask for a new invite")
        self._check_name(name, rekey)
        secret, x = _fresh_x()
        answer = self._answer_card(card.payload, x)
        payload = cards.decode(answer).payload
        meeting = AnswerMeeting(name, payload, secret, card.payload, round_, rekey)
        self._state.answers[hashes.tagged("answer", payload)] = meeting
        return name, answer

    def _answer_card(self, invite: bytes, x: bytes) -> str:
        answer = {"v": cards.version("answer"), "invite": hashes.tagged("invite", invite), "x": x, **self._own_fields()}
        return cards.encode("answer", {**answer, "sig": self._identity.sign(first_transcript(invite, answer))})

    def accept(self, text: str) -> tuple[str, int]:
        """Take the confirm card, and return (name of the new contact, round from which it may have written)."""
        confirm = cards.decode(text, "confirm").fields
        meeting = _expected("answer", self._state.answers.get(confirm["answer"]))
        invite = cards.decode_payload("invite", meeting.invite)
        answer = cards.decode_payload("answer", meeting.payload)
        self._check_same_parameters(invite["digest"])
        self._check_peer(invite, meeting.name, meeting.rekey)
        if commitment(confirm["x"], confirm["nonce"]) != invite["commit"]:
            raise IntegrityError(
                "this confirm card does not match the invite: one of the two was changed on its way",
                "start again with a new invite",
            )
        first = first_transcript(meeting.invite, answer)
        second = second_transcript(first, answer, confirm["x"], confirm["nonce"])
        _check_signature(confirm["sig"], second, invite["key"])
        met = Meeting(second, agree(meeting.x, confirm["x"]))
        receiving, sending = met.roots()
        self._enrol(meeting.name, invite, met, invite["epoch"], sending, receiving)
        del self._state.answers[confirm["answer"]]
        self._finish(meeting.name, confirm["answer"], hashes.tagged("invite", meeting.invite), None)
        return meeting.name, meeting.round

    # -- both

    def _own_fields(self) -> dict[str, Any]:
        me = self._identity
        return {"name": me.name, "key": me.key, "mailbox": me.mailbox, "relay": self._federation.home_id}

    def _check_name(self, name: str, rekey: bool = False) -> None:
        check_name("the contact's name", name)
        if rekey:
            self.get(name)
        elif name in self.book:
            raise UsageError(
                f"you have a contact '{name}' already",
                f"choose another name, or make new keys with this one: tessera contact rekey {name}",
            )
        if self.open_meetings(contact=name):
            raise UsageError(
                f"a meeting with '{name}' is already under way",
                f"finish it, or drop it: tessera contact remove {name} --meeting",
            )

    def _check_invite(self, invite: dict[str, Any], epoch: int) -> None:
        if invite["federation"] != self._federation.id:
            raise InvalidInput("this invite is from another federation", "only members of one federation can meet")
        self._check_same_parameters(invite["digest"])
        if invite["epoch"] > epoch + 1:
            raise InvalidInput(
                "this invite is dated in the future", "check the clocks of both computers: one of them is wrong"
            )

    def _check_same_parameters(self, digest: bytes) -> None:
        if digest != self._federation.digest:
            raise OtherSettings(
                "the two of you have different settings of the office",
                "both type tessera renew; then tessera contact add NAME makes a new invite",
            )

    def _check_peer(self, peer: dict[str, Any], name: str, rekey: bool) -> None:
        if peer["key"] == self._identity.key:
            raise InvalidInput("this card is your own", "give it to the other person")
        for known, contact in self.book.items():
            if contact.key == peer["key"] and not (rekey and known == name):
                raise NotPermitted(
                    f"this card is from your contact '{known}'", f"to make new keys: tessera contact rekey {known} CARD"
                )
        if name in self.book and not rekey:
            raise UsageError(f"you have a contact '{name}' already", "choose another name for the new one, with --as")
        if rekey and peer["key"] != self.get(name).key:
            raise NotPermitted(
                f"this card is not from the '{name}' whom you met: a different identity signed it",
                f"if {name} has lost the old identity, meet again under another name: tessera contact "
                f"add NAME; what waits for {name} stays until you type tessera contact remove {name}",
            )

    def _enrol(
        self, name: str, peer: dict[str, Any], met: Meeting, epoch: int, sending: bytes, receiving: bytes
    ) -> None:
        before = self.book.get(name)  # the same identity, with other keys for its records (`_check_peer`)
        self.book[name] = Contact(
            key=peer["key"],
            mailbox=peer["mailbox"],
            relay=peer["relay"],
            words=met.words(self._federation.digest),
            verified=False,
            blocked=False,
            send=SendingChain.start(epoch, sending),
            next_message=before.next_message if before else 0,  # what waits has its number already
            receive=ReceivingChain(epoch, receiving),
            received=Received(resync=before is not None),
        )


def _expected(kind: str, meeting: T | None) -> T:
    if meeting is None:
        raise InvalidInput(
            f"this card does not belong to any open {kind} of yours", "it was used already, or it is for someone else"
        )
    return meeting


def _check_signature(signature: bytes, message: bytes, key: bytes) -> None:
    if not curve.verify(signature, message, key):
        raise IntegrityError(
            "this card's signature is not valid: the card was changed on its way, or is not from the "
            "person whom it names",
            "start again; if it recurs, tell IT",
        )
