"""Cards in what mail programs, phones and text editors make of them: found by their form, accepted by their checksum.

Owns what may stand around a card and inside it: quoting, line breaks, soft hyphens, tags. Leaves to others: the text
form itself (cards.py), files with several cards (card_files.py).

A card says itself where it ends: its payload is one CBOR item, and the checksum follows. So whatever stands after it,
with or without a blank between, is not taken for a part of it.
"""

import base64
import html
import io
import re
import unicodedata

import cbor2

from ..errors import InvalidInput
from . import cards

# Quoted-printable (RFC 2045 §6.7): a card has no `=`, so these are never a part of one.
_SOFT_BREAK = re.compile(r"=[ \t]*\r?\n")
_CODED = re.compile(r"(?:=[0-9A-F]{2})+")
_TAG = re.compile(r"<(?!\s*tessera)[/!]?[a-z][^<>]{0,2000}>", re.IGNORECASE)
_QUOTED = re.compile(r"^[ \t]*(?:[>|][ \t]?)+", re.MULTILINE)
# What programs that improve typing make of hyphens.
_HYPHENS = str.maketrans({**dict.fromkeys("\u2010\u2011\u2012\u2212\ufe63\uff0d", "-"), "\u2013": "--", "\u2014": "--"})
_KINDS = "|".join(sorted(cards.FIELDS, key=len, reverse=True))
_START = re.compile(rf"tessera(?::|%3a)({_KINDS})(?::|%3a)", re.IGNORECASE)
_ANY_START = re.compile(r"tessera(?::|%3a)", re.IGNORECASE)
_BODY = re.compile(r"[A-Za-z0-9_-]*")
_SHOWN = re.compile(r"(tessera:[a-z-]+:)[A-Za-z0-9_-]+", re.IGNORECASE)
_PIECE = re.compile(r"[A-Za-z0-9_-]{40,}")


def lines(text: str) -> list[str]:
    """Restore the lines as they were written, without the marks of quoting and the codes of mail."""
    text = _CODED.sub(_decoded, _SOFT_BREAK.sub("", text))
    return _QUOTED.sub("", html.unescape(_TAG.sub("", text))).splitlines()


def find(text: str) -> list[str]:
    """Find the cards in a text, each once and in order, as `cards.encode` writes them. A damaged card is given as it
    stands there, so that `cards.decode` says what is wrong with it."""
    if len(text) > cards.MAX_TEXT:
        raise InvalidInput("this text is too long to search it for a card", "put only the card into a file")
    bare = _bare("\n".join(lines(text)))
    found = [_card_at(bare, start) for start in _START.finditer(bare)]
    return list(dict.fromkeys(found)) or _without_a_kind(bare)


def one(text: str, *kinds: str) -> str:
    """Find the card in a text; of several, the one of the last of these kinds, because an answer may quote what it
    answers. Raises InvalidInput if there is no card, or if several may be meant."""
    found = find(text)
    if not found:
        raise InvalidInput("there is no Tessera card in this text", "a card is a line that begins with 'tessera:'")
    whole = [card for card in found if _is_sound(card)]
    for kind in reversed(kinds):
        wanted = [card for card in whole if card.startswith(f"{cards.START}{kind}:")]
        whole = wanted or whole
        if wanted:
            break
    if len(whole) > 1:
        raise InvalidInput("there are several cards in this text", "put the card that you mean into a file of its own")
    return (whole or found)[0]


def is_whole(text: str) -> bool:
    """Tell whether there is a whole card in the text."""
    try:
        return any(_is_sound(card) for card in find(text))
    except InvalidInput:
        return False


def is_one(text: str) -> bool:
    """Tell whether somebody who wrote this meant a card, whole or not."""
    return _ANY_START.search(_bare(text[: cards.MAX_TEXT])) is not None


def is_piece(text: str) -> bool:
    """Tell whether this may be a part of a card, which may be a secret: no name of a file or of a person looks like
    that."""
    return is_one(text) or _PIECE.search(_bare(text[: cards.MAX_TEXT])) is not None


def without_pieces(text: str) -> str:
    """Take out of an error message whatever may be a part of a card, because an invitation is a secret."""
    return " ".join("..." if is_piece(word) else word for word in text.split(" "))


def without_cards(text: str) -> str:
    """Take out of an error message what cards in it say."""
    return _SHOWN.sub(r"\1...", text)


def _decoded(coded: re.Match[str]) -> str:
    return bytes.fromhex(coded.group().replace("=", "")).decode(errors="replace")


def _bare(text: str) -> str:
    """Without blanks, and without what cannot be seen (soft hyphens, zero-width characters, marks of direction)."""
    kept = (c for c in text if not c.isspace() and unicodedata.category(c) not in ("Cf", "Cc"))
    return "".join(kept).translate(_HYPHENS)


def _card_at(bare: str, start: re.Match[str]) -> str:
    body = _BODY.match(bare, start.end())
    assert body is not None
    kind, letters = start[1].lower(), body.group()
    length = _letters_of_card(letters)
    return f"{cards.START}{kind}:{letters[:length]}"


def _letters_of_card(letters: str) -> int | None:
    """How many of these letters belong to the card; None if that cannot be told, because it is damaged."""
    whole = letters[: len(letters) // 4 * 4]
    rest = letters[len(whole) :]
    rest += "A" * (-len(rest) % 4)
    stream = io.BytesIO(base64.urlsafe_b64decode(whole + rest))
    try:
        cbor2.CBORDecoder(stream, max_depth=8, allow_indefinite=False).decode()
    except (cbor2.CBORError, ValueError, TypeError, OverflowError):
        return None
    bits = 8 * (stream.tell() + cards.CHECKSUM_BYTES)
    return -(-bits // 6)


def _is_sound(card: str) -> bool:
    try:
        cards.decode(card)
    except InvalidInput:
        return False
    return True


def _without_a_kind(bare: str) -> list[str]:
    """What begins like a card of a kind that this version does not know, or whose kind is damaged."""
    start = _ANY_START.search(bare)
    return [] if start is None else [bare[start.start() :]]
