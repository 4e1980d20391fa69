"""A share of `make test-cluster`; what its book must notice; and that agents' frames tell nothing of a cluster's."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import pytest

from tessera_host.protocol.topology import MESH, RING, Topology
from tests.cluster.book import SLACK_ROUNDS, Book
from tests.cluster.nodes import CPYTHON, MICROPYTHON
from tests.cluster.office import Office, Setting
from tests.cluster.people import Person
from tests.cluster.play import Length, play
from tests.cluster.shares import by_hand, measured

_BEFORE, _ROUNDS = 4, 3  # until each of three tokens is in use, one a round; those that are compared
SHORT = Length(burnings=2, quiet=(2, 3), rest=(10, 10))
KEPT = 12  # rounds


def test_what_is_safe_outlives_relays_that_burn(micropython_frozen: Path) -> None:
    book = play(Setting(MICROPYTHON, MESH, 2, nodes=3, members=4), SHORT, "a seed for the share")
    assert book.wrong == []
    assert book.counts["relays burnt"] == SHORT.burnings and book.counts["records compared"] > 100
    assert book.counts["safe"] >= 3 and book.counts["read"] >= 3


def test_the_share_that_arrives_is_the_one_computed_by_hand() -> None:
    found = measured(Topology(RING, 2), 2, members=5)
    assert found.delivered == [by_hand(2, lost) for lost in range(3)] == [1, 1, Fraction(9, 10)]


# -- frames


@dataclass(frozen=True)
class Wires:
    """What leaves members' computers in some rounds: (member, moment, relay, bytes), 0 bytes for a new connection."""

    heard: list[tuple[str, float, str, int]]

    def but_to(self, relay: str) -> "Wires":
        return Wires([each for each in self.heard if each[2] != relay])

    def slots(self) -> list[tuple[str, float, str]]:
        """Whose they are, when each begins, and to which relay; of a slot's connections the first."""
        found: list[tuple[str, float, str]] = []
        for who, moment, relay, bytes_ in self.heard:
            if bytes_ == 0 and not any(slot[::2] == (who, relay) and moment - slot[1] < 1 for slot in found):
                found.append((who, moment, relay))
        return found


class _NoRenewal:
    """Its moments are drawn when somebody joins, by chance."""

    def due_at(self) -> float | None:
        return None

    def hasten(self) -> None:
        pass

    async def run(self) -> object:
        return None


def _wires(folder: Path, writes: bool = False, burns: str = "") -> Wires:
    """In an office that is the same each time."""
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch, Office(folder, Setting(CPYTHON, RING, 2, 3, 3), patch) as office:
        office.run(_rounds(office, writes, burns))
        names = {node.port: node.name for node in office.nodes}
        heard = [(each.who, each.moment, names.get(each.port, "issuer"), each.bytes) for each in office.tap.heard]
        return Wires(sorted(heard))


async def _rounds(office: Office, writes: bool, burns: str) -> None:
    await office.found()
    names = list(office.nodes.by_name)
    people = [Person(office, Book(), f"member-{n}", names[n], random.Random(n)) for n in range(office.setting.members)]
    for person in people:
        await person.join()
    for number, person in enumerate(people):
        if people[number - 1].name not in person.contacts:
            person.meet(people[number - 1])
    loop = office.loop
    begin = loop.round() + 1
    await asyncio.sleep(loop.start_of(begin) - loop.time())
    lives = [asyncio.create_task(person.live(_BEFORE + _ROUNDS, _NoRenewal())) for person in people]
    await asyncio.sleep(loop.start_of(begin + _BEFORE) - loop.time())
    if burns:
        office.burn([burns])
    office.tap.keeps = True
    if writes:
        await asyncio.sleep(1)
        for number, person in enumerate(people):
            await person.write(people[number - 1])
    await asyncio.gather(*lives)


def test_agents_frames_tell_neither_that_somebody_writes_nor_which_relay_is_down(tmp_path: Path) -> None:
    """Where one is down nothing is sent but the attempts to reach it, at the moments at which it would be reached."""
    quiet = _wires(tmp_path / "quiet")
    assert {relay for _, _, relay, _ in quiet.heard} == {"node-1", "node-2", "node-3"}
    assert _wires(tmp_path / "writing", writes=True) == quiet
    down = _wires(tmp_path / "down", writes=True, burns="node-2")
    assert down.but_to("node-2") == quiet.but_to("node-2")
    assert down.slots() == quiet.slots()


# -- the book


def _book(change: Callable[[Book], object]) -> list[str]:
    """What is wrong with three letters, of which all were safe when a relay burnt and two are read, after a change."""
    book = Book()
    for number in range(3):
        book.wrote("ada", "bob", f"letter {number}", 1)
        book.told(f"letter {number}", 2, True, 3)
    book.came("bob", "ada", "letter 0", 3)
    book.burnt(["node-1"], 3)
    book.came("bob", "ada", "letter 1", 4)
    change(book)
    book.close(20, KEPT)
    return book.wrong


def test_what_is_right_is_not_wrong() -> None:
    assert _book(lambda book: book.came("bob", "ada", "letter 2", 5)) == []


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (lambda book: None, "bob never had 'letter 2', posted in 2, safe in 3"),
        (lambda book: book.came("bob", "ada", "letter 1", 5), "is shown twice"),
        (lambda book: book.came("bob", "ada", "letter 9", 5), "what was not written so"),
        (lambda book: book.came("bob", "eve", "letter 2", 5), "what was not written so"),
        (lambda book: book.came("bob", "ada", "letter 2", 2 + SLACK_ROUNDS + 1), "was posted in 2 and read in 7 only"),
    ],
)
def test_what_is_missing_or_comes_twice_late_or_wrongly_is_noticed(
    change: Callable[[Book], object], wrong: str
) -> None:
    found = _book(change)
    assert any(wrong in each for each in found), found


def test_a_false_loss_is_noticed_and_a_true_one_is_not() -> None:
    def unsafe(book: Book, told: int) -> None:
        book.came("bob", "ada", "letter 2", 5)
        book.wrote("ada", "bob", "letter 3", 6)
        book.told("letter 3", 6, False, 6)
        book.burnt(["node-2"], 6)
        book.lost("bob", "ada", told)

    assert _book(lambda book: unsafe(book, 1)) == []
    assert _book(lambda book: unsafe(book, 2)) == ["bob is told that 2 letters of ada are lost, and 1 are"]


def test_a_relay_that_does_not_fill_again_is_noticed() -> None:
    def filled(book: Book) -> None:
        book.came("bob", "ada", "letter 2", 5)
        book.wrote("ada", "bob", "letter 3", 6)
        book.told("letter 3", 6, False, 6)
        book.came("bob", "ada", "letter 3", 7)

    (wrong,) = _book(filled)
    assert "'letter 3', posted in 6, was never safe" in wrong


@pytest.mark.parametrize(("round_", "wrong"), [(6 + KEPT, []), (5 + KEPT, [f"was given up in {5 + KEPT} already"])])
def test_a_copy_is_given_up_after_as_long_as_relays_keep_one_and_no_sooner(round_: int, wrong: list[str]) -> None:
    def given_up(book: Book) -> None:
        book.came("bob", "ada", "letter 2", 5)
        book.wrote("ada", "bob", "letter 3", 6)
        book.told("letter 3", 6, False, 6)
        book.came("bob", "ada", "letter 3", 7)
        assert book.waits()
        book.told("letter 3", 6, False, round_, given_up=True)
        assert not book.waits()

    found = _book(given_up)
    assert len(found) == len(wrong) and all(said in each for said, each in zip(wrong, found, strict=True)), found


def test_who_is_away_reads_later() -> None:
    def away(book: Book) -> None:
        book.away["bob"] = [(2, 12)]
        book.came("bob", "ada", "letter 2", 13)

    assert _book(away) == []


def test_one_record_in_two_batches_is_noticed() -> None:
    def published(book: Book) -> None:
        book.came("bob", "ada", "letter 2", 5)
        book.published("node-1 (a)", 5, [b"1", b"2"])
        book.published("node-1 (a)", 5, [b"1", b"2"])
        book.published("node-1 (b)", 6, [b"2"])

    assert _book(published) == ["round 6 of node-1 (b) has a record that is in round 5 of node-1 (a)"]
