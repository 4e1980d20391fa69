"""IT's way from the box to service, on an emulated Pico that is plugged in, pulled out and plugged in again: the real
command in a process of its own, the shipped image, the board's own boot and flash."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tessera_host.cli.demo import free_port
from tests.patience import PATIENCE_SECONDS
from tests.support.command_line import CommandLine, Said, one_object
from tests.support.office_on_disk import PASSPHRASE
from tools.emulator.bridge import LOCAL
from tools.emulator.clock import Clock
from tools.emulator.pico import Pico

FLASH = "tests.support.flash_emulated"
ROUND_SECONDS = 10
PLAN = {
    "members": 4,
    "cover": "delivery",
    "epsilon": "1",
    "round-seconds": ROUND_SECONDS,
    "epoch-rounds": 8640,  # a day: a schedule of keys that ends within a month is warned of
    "retention-epochs": 2,
    "posts-per-token": 64,
}
BOARD_SECONDS = 240
NOT_FOUND, SILENT, REJECTED, FAILED, OTHER, WRONG = 10, 14, 15, 16, 19, 12


class Desk:
    """IT's folder with an issuer and an approved image, and a Pico out of its box."""

    def __init__(self, folder: Path, board_image: Path, board: str = "RPI_PICO", **pico: Any) -> None:
        """pico: what else there is to say of the Pico."""
        self.clock = Clock(folder / "clock")
        self.command = CommandLine(folder, PASSPHRASE, self.clock)
        self.folder, self.port = folder, free_port()
        self.issuer, self.image = folder / "issuer", folder / "image"
        shutil.copytree(board_image.parent, self.image, ignore=shutil.ignore_patterns("*.release"))
        options = [word for option, value in (PLAN | {"board": board}).items() for word in (f"--{option}", value)]
        self.command.json("plan", *options, "--allow-small", "-o", "plan.json")
        self.command.json("issuer", "init", self.issuer, "--plan", "plan.json", "--name", "Office")
        self.command.json("issuer", "approve", self.issuer, self.image)
        self.pico = Pico(folder / "pico", guest_port=self.port, port=self.port, clock=self.clock, **pico)

    def words(self, *arguments: object) -> list[str]:
        return self.command.module(FLASH, self.pico.console.parent, "flash", *arguments)

    @property
    def options(self) -> list[object]:
        address = ["--host", "127.0.0.1", "--relay-port", self.port, "--time-server", LOCAL]
        return ["--issuer", self.issuer, "--image", self.image, *address]

    def flash(self, *arguments: object, code: int = 0) -> Said:
        return self.command.run(*self.words(*arguments, *self.options), code=code)

    def service(self, name: str, *arguments: object, code: int = 0) -> Said:
        """A subcommand about the relay that is plugged in."""
        return self.command.run(*self.words(name, "--issuer", self.issuer, *arguments), code=code)

    def until(self, stage: str) -> subprocess.Popen[str]:
        """A command that goes on, up to the line that names a stage."""
        process = subprocess.Popen(
            self.words("--relay", "berlin", *self.options),
            cwd=self.folder,
            env=self.command.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        said = ""
        for line in process.stderr:
            said += line
            if stage in line:
                return process
        raise AssertionError(f"never came to {stage!r}:\n{said}")

    def join(self, name: str) -> Path:
        """A member with tokens; its home."""
        home, card = self.folder / name, self.folder / f"{name}.card"
        federation = self.issuer / "federation.card"
        self.command.json("member", "new", name, "--home", home, "--federation", federation, "-o", card)
        self.command.json("issuer", "admit", self.issuer, card)
        self.command.json("token", "fetch", "--home", home, "--issuer", self.issuer)
        return home

    def meet(self, ours: Path, theirs: Path) -> None:
        cards = [self.folder / name for name in ("invite", "answer", "confirm")]
        self.command.json("contact", "add", theirs.name, "--home", ours, "-o", cards[0])
        self.command.json("contact", "add", cards[0], "--home", theirs, "-o", cards[1])
        self.command.json("contact", "add", cards[1], "--home", ours, "-o", cards[2])
        self.command.json("contact", "add", cards[2], "--home", theirs)

    def until_reached_by(self, home: Path) -> None:
        end = self.clock.seconds() + BOARD_SECONDS
        status = self.command.words("status", "--home", home)
        while subprocess.run(status, env=self.command.environment).returncode:
            assert self.clock.seconds() < end, "the relay is not reached"
            self.clock.sleep(3)

    def first_message(self, home: Path) -> str:
        (message,) = self.command.json("inbox", "--wait", "--home", home)["messages"]
        return str(message["text"])

    def inventory(self) -> list[dict]:
        return list(json.loads((self.issuer / "inventory.json").read_text())["relays"])


@pytest.fixture
def desk(tmp_path: Path, board_image: Path, board_network: None) -> Iterator[Desk]:
    desk = Desk(tmp_path, board_image)
    with desk.pico:
        yield desk


def test_one_command_takes_a_blank_board_to_a_members_first_message(desk: Desk) -> None:
    assert "no board is plugged in" in desk.flash("--relay", "berlin", code=NOT_FOUND).error
    desk.pico.plug_in(bootsel=True)
    planned = one_object(desk.flash("--relay", "berlin", "--dry-run", "--json"))
    assert planned["board"] == "RPI_PICO" and "flash the image" in planned["would"] and desk.pico.volume.exists()

    said = one_object(desk.flash("--relay", "berlin", "--json"))
    assert said["changed"] and said["commissioned"]["records"] > 0
    (entry,) = desk.inventory()
    assert (entry["name"], entry["board"], entry["key"]) == ("berlin", "RPI_PICO", said["inventory"]["key"])

    alice, bob = desk.join("alice"), desk.join("bob")
    desk.meet(alice, bob)
    desk.pico.board.wait_for_link(BOARD_SECONDS)
    desk.until_reached_by(alice)
    desk.command.json("send", "bob", "Thursday at ten?", "--home", alice)
    assert desk.first_message(bob) == "Thursday at ten?"

    # Once members use it, running the same command again looks at the relay and changes nothing.
    again = one_object(desk.flash("--relay", "berlin", "--json"))
    assert not again["changed"] and again["inventory"]["key"] == entry["key"]
    assert not one_object(desk.service("verify", "--json"))["cover_disclosed"]
    assert "is the relay 'berlin'" in desk.flash("--relay", "potsdam", code=OTHER).error
    assert "not a RPI_PICO_W" in desk.flash("--relay", "berlin", "--board", "RPI_PICO_W", code=WRONG).error
    assert "link up" in desk.service("export-log").out


STAGES = (
    "writing the image",
    "waiting for the board",
    "draws its keys",
    "handing over",
    "reading everything back",
    "waiting until it serves",
    "recomputing its cover",
)


@pytest.mark.long
def test_a_cable_pulled_at_every_stage_costs_that_stage_only(desk: Desk) -> None:
    for stage in STAGES:
        desk.pico.plug_in(bootsel=stage in STAGES[:2])
        process = desk.until(stage)
        time.sleep(0.05)
        desk.pico.unplug()
        out, error = process.communicate(timeout=PATIENCE_SECONDS)
        last = error.splitlines()[-1]
        assert process.returncode in (NOT_FOUND, SILENT, FAILED), (stage, error)
        assert "Traceback" not in error + out and last.startswith("error: ") and "plug" in last, (stage, error)
        assert not (desk.issuer / "inventory.json").exists()
    desk.pico.plug_in()
    said = one_object(desk.flash("--relay", "berlin", "--json"))
    assert said["commissioned"]["cells"] == 16
    shown = desk.command.json("issuer", "show", desk.issuer)
    assert [relay["name"] for relay in shown["relays"]] == ["berlin"] and shown["serial"] == 2
    assert [entry["key"] for entry in desk.inventory()] == [shown["relays"][0]["key"]]

    # A factory reset ends it; the name is free again when the keys are listed no more.
    assert "berlin" in desk.service("factory-reset", "--relay", "berlin", code=5).error
    assert one_object(desk.service("factory-reset", "--relay", "berlin", "--yes", "--json"))["board"] == "RPI_PICO"
    assert desk.inventory() == []
    assert "other keys" in desk.flash("--relay", "berlin", code=OTHER).error
    desk.command.json("relay", "remove", "berlin", "--issuer", desk.issuer)
    assert one_object(desk.flash("--relay", "berlin", "--json"))["inventory"]["key"] != said["inventory"]["key"]


# Daily one of them; the others, too, in host/test_flash.py with a board that is none.
DAMAGES = [pytest.param("image", marks=pytest.mark.long), pytest.param("release", marks=pytest.mark.long)]


@pytest.mark.parametrize("damage", [*DAMAGES, "another's release"])
def test_a_tampered_image_is_rejected_before_the_board_is_touched(desk: Desk, damage: str) -> None:
    desk.pico.plug_in(bootsel=True)
    if damage == "another's release":
        desk.command.json("issuer", "init", "other", "--plan", "plan.json", "--name", "Other")
        desk.command.json("issuer", "approve", "other", desk.image)
    else:
        path = desk.image / ("firmware.uf2" if damage == "image" else "image.release")
        content = bytearray(path.read_bytes())
        content[100] ^= 1
        path.write_bytes(content)
    said = desk.flash("--relay", "berlin", code=REJECTED)
    assert "nothing was written" in said.error
    assert [path.name for path in sorted(desk.pico.volume.iterdir())] == ["INDEX.HTM", "INFO_UF2.TXT"]
    assert not (desk.issuer / "flash-journal.json").exists()
