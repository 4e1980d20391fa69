"""Cards as mail programs, phones and text editors hand them on: found, and nothing around them is taken for a part."""

import codecs
import json
import quopri
import random
import textwrap
from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera_host import cli
from tessera_host.cli import card_exchange
from tessera_host.errors import InvalidInput
from tessera_host.files import decoded
from tessera_host.protocol import card_files, card_finding, cards

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "contact.json").read_text())
INVITATION = next(
    card["text"]
    for joining in VECTORS["joinings"]
    for card in joining.values()
    if isinstance(card, dict) and card.get("kind") == "invitation"
)
INVITE, ANSWER = (VECTORS["enrolments"][0][kind]["text"] for kind in ("invite", "answer"))
SECRET = INVITATION.split(":")[2]


def every(text: str, letters: int, what: str) -> str:
    """The text with `what` after each so many letters."""
    return what.join(text[at : at + letters] for at in range(0, len(text), letters))


def lines_of(text: str, start: str = "", end: str = "\n") -> str:
    return end.join(start + line for line in textwrap.wrap(text, 72, break_on_hyphens=False))


def mail(content: str, transfer: str = "quoted-printable", subtype: str = "plain") -> str:
    """A message as it is saved to a file."""
    message = EmailMessage()
    message["Subject"] = "Your invitation"
    message.set_content(content, subtype=subtype, cte=transfer)
    return message.as_string()


FORMS = {
    "alone": INVITATION,
    "a line feed after it": INVITATION + "\n",
    "CR LF after it": INVITATION + "\r\n",
    "a blank before it": " " + INVITATION,
    "a byte order mark before it": "\ufeff" + INVITATION,
    "a sentence before it": f"Here is your invitation: {INVITATION}",
    "a greeting before it": f"Dear Ben,\n\nthis is for you:\n\n{INVITATION}",
    "a signature after it": f"{INVITATION}\n-- \nAnn Smith, IT\n",
    "words after it": f"{INVITATION} see you tomorrow",
    "words after it on the next line": f"{INVITATION}\nsee you tomorrow",
    "a full stop after it": f"{INVITATION}.",
    "a comma and words after it": f"{INVITATION}, as promised",
    "in quotes": f'"{INVITATION}"',
    "in single quotes": f"'{INVITATION}'",
    "in typographic quotes": f"\u201c{INVITATION}\u201d",
    "in guillemets": f"\u00ab\u00a0{INVITATION}\u00a0\u00bb",
    "in brackets": f"({INVITATION})",
    "in angle brackets": f"<{INVITATION}>",
    "in a code fence": f"```\n{INVITATION}\n```\n",
    "in backticks": f"`{INVITATION}`",
    "in stars": f"*{INVITATION}*",
    "broken over lines": lines_of(INVITATION),
    "broken over lines with CR LF": lines_of(INVITATION, end="\r\n"),
    "broken over lines, format=flowed": lines_of(INVITATION, end=" \n"),
    "indented": lines_of(INVITATION, start="    "),
    "quoted": lines_of(INVITATION, start="> "),
    "quoted twice": lines_of(INVITATION, start=">> "),
    "quoted thrice with blanks": "On Monday Ann wrote:\n" + lines_of(INVITATION, start="> > > "),
    "quoted with bars": lines_of(INVITATION, start="| "),
    "quoted-printable": quopri.encodestring(INVITATION.encode()).decode(),
    "quoted-printable with CR LF": quopri.encodestring(INVITATION.encode()).decode().replace("\n", "\r\n"),
    "a whole mail, quoted-printable": mail(f"Grüße,\n\n{INVITATION}\n-- \nAnn\n"),
    "a mail in HTML": mail(
        f"<html><body><p>Hello,<br>{every(INVITATION, 60, '<wbr>')}</p>Ann</body></html>", "8bit", "html"
    ),
    "a link in HTML": f'<p><a href="{INVITATION}">{INVITATION}</a></p>',
    "soft hyphens in HTML": every(INVITATION, 40, "&shy;"),
    "soft hyphens inside": every(INVITATION, 40, "\u00ad"),
    "zero-width blanks inside": every(INVITATION, 30, "\u200b"),
    "word joiners and marks of direction inside": "\u202a" + every(INVITATION, 50, "\u2060") + "\u202c",
    "no-break blanks inside": every(INVITATION, 70, "\u00a0"),
    "line separators inside": every(INVITATION, 70, "\u2028"),
    "a capital from a phone": "T" + INVITATION[1:],
    "blanks after the colons from a phone": INVITATION.replace(":", ": "),
    "no-break hyphens": INVITATION.replace("-", "\u2011"),
    "a coded colon": INVITATION.replace(":", "%3A"),
    "twice": f"{INVITATION}\n\n> {INVITATION}\n",
    "twice, the quoted one cut": f"{INVITATION}\n\n> {INVITATION[:200]}\n> [...]\n",
    "UTF-16 from Notepad": decoded(codecs.BOM_UTF16_LE + INVITATION.encode("utf-16-le")),
    "UTF-16, the other way round": decoded(codecs.BOM_UTF16_BE + INVITATION.encode("utf-16-be")),
    "UTF-8 with a mark": decoded(codecs.BOM_UTF8 + INVITATION.encode()),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_card_is_found_in_whatever_it_was_handed_on(form: str) -> None:
    assert card_finding.one(FORMS[form], "invitation") == INVITATION
    assert card_finding.is_whole(FORMS[form])


@pytest.mark.parametrize("form", FORMS)
def test_a_card_is_found_in_an_argument_and_in_a_file(form: str, tmp_path: Path) -> None:
    assert card_exchange.card_text(FORMS[form]) == INVITATION
    file = tmp_path / "invitation"
    file.write_bytes(FORMS[form].encode())
    assert card_exchange.card_text(str(file)) == INVITATION


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_a_file_may_be_in_any_encoding_that_people_s_programs_write(encoding: str, tmp_path: Path) -> None:
    file = tmp_path / "mail"
    file.write_bytes(f"Grüße!\r\n{INVITATION}\r\n".encode(encoding))
    assert card_exchange.card_text(str(file)) == INVITATION


def test_of_an_answer_that_quotes_what_it_answers_the_answer_is_taken() -> None:
    thread = f"{ANSWER}\n\nOn Monday Ann wrote:\n{lines_of(INVITE, start='> ')}\n"
    assert card_finding.one(thread, "invite", "answer", "confirm") == ANSWER
    assert card_finding.find(thread) == [ANSWER, INVITE]
    with pytest.raises(InvalidInput, match="several cards"):
        card_finding.one(thread)


def test_files_of_cards_are_read_as_mail_hands_them_on() -> None:
    written = card_files.write([INVITE, ANSWER], ["From Ann to IT"])
    quoted = "".join(f"> {line}\n" for line in written.splitlines())
    for text in (written, quoted, quopri.encodestring(written.encode()).decode(), f"Hello,\n{written}-- \nAnn\n"):
        assert card_files.read(text) == ([INVITE, ANSWER], ["From Ann to IT"])


@given(st.integers(0, len(INVITATION)), st.text(max_size=40))
def test_a_damaged_card_is_refused_and_not_shown(at: int, stray: str) -> None:
    damaged = INVITATION[:at] + stray + INVITATION[at + 1 :]
    if card_finding.is_whole(damaged):  # what was put in is nothing that counts
        assert cards.decode(card_finding.one(damaged)).payload == cards.decode(INVITATION).payload
        return
    with pytest.raises(InvalidInput) as refused:
        cards.decode(card_finding.one(damaged))
    assert not shows_secret(str(refused.value))


@pytest.mark.parametrize("kind", sorted(cards.FIELDS))
@given(st.integers(0, 1 << 32))
def test_a_card_of_every_kind_ends_where_it_ends(kind: str, seed: int) -> None:
    (text,) = {text for text in all_cards() if text.startswith(f"tessera:{kind}:")} & first_cards()
    after = "".join(random.Random(seed).choices("ABCxyz019-_", k=20))
    assert card_finding.find(text + after) == [text]


def all_cards() -> list[str]:
    groups = [*VECTORS["joinings"], *VECTORS["enrolments"], *VECTORS["token_exchanges"]]
    found = [*VECTORS["federation_cards"], *VECTORS["member_cards"], *VECTORS["reading_cards"]]
    found += [each["sets"] for each in VECTORS["welcomes"]]
    found += [card for group in groups for card in group.values() if isinstance(card, dict) and "text" in card]
    return [card["text"] for card in found]


def first_cards() -> set[str]:
    """One of each kind."""
    return set({text.split(":")[1]: text for text in reversed(all_cards())}.values())


def test_a_long_text_without_cards_is_looked_through_at_once() -> None:
    assert not card_finding.is_whole("tessera:invitation: " * 20_000)
    with pytest.raises(InvalidInput, match="too long"):
        card_finding.find("A" * (cards.MAX_TEXT + 1))


# -- an invitation is a secret: no error shows a part of it


def shows_secret(said: str) -> bool:
    return any(SECRET[at : at + 12] in said for at in range(len(SECRET) - 12))


@pytest.mark.parametrize(
    "words",
    [
        ("join", " " + INVITATION[:-9]),
        ("join", INVITATION[:-9]),
        ("join", SECRET),
        ("join", SECRET[:120]),
        ("join", "tessera:" + SECRET),
        ("join", "tessera:invitatio:" + SECRET),
        ("join", "\u200b" + INVITATION[:-9]),
        ("join", INVITATION[:100], INVITATION[100:]),
        ("join", f"/tmp/{SECRET}"),
        ("join", INVITATION + "\0"),
        (INVITATION,),
        ("join", "--" + INVITATION),
        ("contact", "add", SECRET),
        ("contact", "add", INVITATION[:-9]),
        ("contact", "rekey", "bob", SECRET),
        ("contact", "show", INVITATION),
        ("contact", "verify", INVITATION),
        ("send", INVITATION, "hello"),
        ("chat", INVITATION, "--json"),
        ("issuer", "answer", "issuer", SECRET),
        ("issuer", "admit", "issuer", INVITATION[:-9]),
        ("audit", "--federation", SECRET),
    ],
    ids=lambda words: " ".join(word[:12] for word in words),
)
def test_no_error_shows_a_part_of_an_invitation(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TESSERA_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TESSERA_PASSPHRASE_FILE", str(tmp_path / "passphrase"))
    Path("passphrase").write_text("x\n")
    assert cli.run([*words]) not in (0, cli.BUG)
    out, err = capsys.readouterr()
    assert "error: " in err
    assert not shows_secret(out + err)
