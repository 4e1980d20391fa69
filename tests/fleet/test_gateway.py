"""Gateways that run: what members are answered, what each of them serves, what survives."""

from pathlib import Path

from office import records

from .running import Play, played


def test_gateways_are_one_relay(tmp_path: Path) -> None:
    async def story(play: Play) -> None:
        await play.begin(3)
        await play.next_round()
        members = [play.member(number, token) for token, number in enumerate((1, 2, 3))]
        for member in members:
            assert await member.admit() == 14  # its share of five rounds of six
        posted = records(3)
        rounds = [await member.send(record) for member, record in zip(members, posted, strict=True)]
        await play.next_round()
        assert len(set(rounds)) == 1
        cells = [play.member(number).cell(rounds[0]) for number in (1, 2, 3)]
        assert cells[0] == cells[1] == cells[2]
        assert set(posted) <= set(map(bytes, cells[0]))
        assert len(play.states) == 1

    played(story, tmp_path)
