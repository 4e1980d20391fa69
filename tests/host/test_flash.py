"""`tessera flash` against boards on paper: every fault a cable, a board or an image can have, and what IT is told."""

import errno
import itertools
import json
import struct
import time
from fractions import Fraction
from hashlib import sha256

import cbor2
import pytest

from tessera import VERSION
from tessera.errors import Busy, NotAdmitted
from tessera.relay import Relay
from tessera_host import cli, errors
from tessera_host.cli import flash as cli_flash
from tessera_host.issuer.issuer import Issuer
from tessera_host.keys import keystore
from tessera_host.protocol import cards
from tessera_host.provisioning import detection, flashing, serving
from tessera_host.provisioning.console import Console
from tessera_host.provisioning.finder import Port
from tessera_host.provisioning.settings import Settings, Wifi, read_batch
from tessera_host.provisioning.setup_steps import (
    STEPS,
    AgreeOnTime,
    GetPassword,
    ListKeys,
    SeeNetwork,
    WaitUntilServing,
)
from tests.support.fake_board import FakeBoard, FakeFinder, Pull
from tests.support.organisation import PASSPHRASE, new_issuer, planned

UF2_BLOCKS = 8
CHOICE = {"round_seconds": 60, "epoch_rounds": 20, "retention_epochs": 2, "posts_per_token": 32}


def uf2(family=0xE48BFF56):
    """A UF2 file of a few blocks."""
    blocks = []
    for number in range(UF2_BLOCKS):
        head = struct.pack(
            "<8I", 0x0A324655, 0x9E5D5157, 0x2000, 0x10000000 + 256 * number, 256, number, UF2_BLOCKS, family
        )
        blocks.append(head + bytes([number]) * 476 + struct.pack("<I", 0x0AB16F30))
    return b"".join(blocks)


class Desk:
    """IT's folder, and the boards that are plugged in; flash(...) runs the command in this process."""

    def __init__(self, folder, monkeypatch, capsys, board="RPI_PICO"):
        self.folder, self._monkeypatch, self._capsys = folder, monkeypatch, capsys
        self.issuer, self.image = folder / "issuer", folder / "image"
        (folder / "passphrase").write_text(PASSPHRASE + "\n")
        monkeypatch.setenv("TESSERA_PASSPHRASE_FILE", str(folder / "passphrase"))
        monkeypatch.setenv("TESSERA_ISSUER", str(self.issuer))
        monkeypatch.chdir(folder)
        genesis = int(time.time()) - CHOICE["round_seconds"] * CHOICE["epoch_rounds"]
        with new_issuer(folder, planned(**CHOICE, board=board), epochs=5, genesis=genesis) as issuer:
            self.approve(issuer, board, uf2())
        self.boards = []

    def approve(self, issuer, board, content):
        self.image.mkdir(exist_ok=True)
        (self.image / "firmware.uf2").write_bytes(content)
        described = {
            "board": board,
            "version": VERSION,
            "firmware_digest": bytes(32).hex(),
            "base": bytes(8).hex(),
            "image": {"firmware.uf2": {"bytes": len(content), "sha256": sha256(content).hexdigest()}},
        }
        (self.image / "image.json").write_text(json.dumps(described))
        issuer.approve(self.image)

    def board(self, name="one", **options):
        """A board that is plugged in."""
        board = FakeBoard(self.folder / name, **options)
        board.plug_in()
        self.boards.append(board)
        self.look()
        return board

    def look(self, *boards):
        self._monkeypatch.setattr(cli_flash, "finder", FakeFinder(*(boards or self.boards)))

    def run(self, *arguments):
        """(exit code, stdout, stderr)"""
        self._capsys.readouterr()
        code = cli.run(["flash", *map(str, arguments)])
        captured = self._capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        assert PASSPHRASE not in captured.out + captured.err
        return code, captured.out, captured.err

    def flash(self, *arguments, relay="berlin"):
        return self.run("--relay", relay, "--host", "10.0.0.7", "--image", self.image, *arguments)

    def refused(self, error, *arguments, **options):
        """Error and hint, in one line, of a command that fails with the exit code of this class."""
        code, out, err = self.flash(*arguments, **options)
        assert code == error.exit_code, (code, out, err)
        error, hint = err.splitlines()[-2:]
        assert error.startswith("error: ") and hint.startswith("hint: ")
        return f"{error}; {hint}"

    def service(self, name, *arguments):
        return self.run(name, *arguments)

    def listed(self):
        fields = cards.decode((self.issuer / "federation.card").read_text(), "federation").fields
        return [relay["name"] for relay in cbor2.loads(fields["said"])["relays"]]

    def inventory(self):
        return json.loads((self.issuer / "inventory.json").read_text())["relays"]


@pytest.fixture
def desk(tmp_path, monkeypatch, capsys):
    for module, name, seconds in (
        (detection, "PATIENCE_SECONDS", 0.3),
        (detection, "STATUS_SECONDS", 0.3),
        (detection, "GONE_SECONDS", 0.5),
        (serving, "GONE_SECONDS", 0.5),
        (flashing, "BOOT_LOADER_SECONDS", 1.0),
    ):
        monkeypatch.setattr(module, name, seconds)
    monkeypatch.setitem(keystore.SCRYPT, "n", 2)  # it is opened by every command
    desk = Desk(tmp_path, monkeypatch, capsys)
    yield desk
    for board in desk.boards:
        board.unplug()
        assert board.error is None


# -- the way into service


def test_a_blank_pico_becomes_a_relay_in_service(desk):
    board = desk.board(blank=True)
    code, out, err = desk.flash()
    assert code == 0, err
    assert "'berlin' is in service" in out and "byte for byte" in out and "10.0.0.7:8100" in out
    (entry,) = desk.inventory()
    assert entry["name"] == "berlin" and entry["commissioned"]["cells"] == 16 and len(entry["words"].split()) == 6
    assert desk.listed() == ["berlin"] and board.commands.count("make_keys") == 1


def test_the_same_command_again_looks_and_changes_nothing(desk):
    board = desk.board()
    assert desk.flash()[0] == 0
    before = {path.name: path.read_bytes() for path in board.files.iterdir()}
    parameters = (desk.issuer / "parameters.tpr").read_bytes()
    board.commands.clear()
    code, out, _ = desk.flash()
    assert code == 0 and "already in service" in out
    assert set(board.commands) <= {"status"}
    assert {path.name: path.read_bytes() for path in board.files.iterdir()} == before
    assert (desk.issuer / "parameters.tpr").read_bytes() == parameters


def test_json_is_one_object_and_nothing_else(desk):
    desk.board()
    code, out, err = desk.flash("--json")
    told = json.loads(out)
    assert code == 0 and out.count("\n") == 1 and err == ""
    assert (
        told["changed"] and told["inventory"] == desk.inventory()[0] and told["card"].startswith("tessera relay berlin")
    )


def test_a_dry_run_touches_nothing(desk):
    board = desk.board(blank=True)
    code, out, _ = desk.flash("--dry-run")
    assert code == 0 and "flash the image" in out
    assert [path.name for path in board.volume.iterdir()] == ["INFO_UF2.TXT"] and desk.listed() == []
    assert not (desk.issuer / "flash-journal.json").exists()


def test_a_dry_run_names_the_steps_that_the_run_then_takes(desk):
    """For a board in every state that a run can find: blank, in service, and as a pulled cable left it."""

    def both(**options):
        planned = json.loads(desk.flash("--dry-run", "--json", **options)[1])["would"]
        code, out, err = desk.flash("--json", **options)
        assert code == 0, err
        assert json.loads(out)["did"] == planned
        return planned

    desk.board("blank", blank=True)
    every = both()
    assert every == [step.words for step in STEPS if step not in (GetPassword, AgreeOnTime, SeeNetwork)]
    assert both() == ["wait until it serves", "record it in the inventory"]
    desk.boards[0].unplug()

    plans = [every[1:]]  # the firmware is there already
    while plans[-1][0] != WaitUntilServing.words:
        number = len(plans)
        board, name = desk.board(f"board-{number}", chip=bytes((number,))), f"relay-{number}"
        desk.look(board)
        board.pull = Pull(number, after_effect=False)
        assert desk.flash(relay=name)[0] != 0
        board.unplug()
        board.pull = None
        board.plug_in()
        plans.append(both(relay=name))
        board.unplug()
    stages = [plan for plan, _ in itertools.groupby(plans)]
    assert stages == [
        every[1:],
        [step for step in every[1:] if step != ListKeys.words],
        every[every.index(WaitUntilServing.words) :],  # a board that gets power again starts as the relay it is
    ]


def test_a_clock_that_is_off_is_a_step_of_both_the_dry_run_and_the_run(desk):
    board = desk.board()
    assert desk.flash()[0] == 0
    board.lies = {"open_round": 1}
    assert AgreeOnTime.words in json.loads(desk.flash("--dry-run", "--json")[1])["would"]
    assert "clock is about" in desk.refused(errors.CommissioningFailed)
    assert board.commands.count("restart") == 1


def test_a_running_micropython_is_overwritten_only_if_somebody_says_so(desk):
    board = desk.board(board=None)
    assert "without a question: --yes" in desk.refused(errors.NotPermitted)
    assert "bootloader" not in board.commands
    board.image_for = "RPI_PICO"  # what runs once an image was copied
    code, _, err = desk.flash("--yes")
    assert code == 0, err
    assert "bootloader" in board.commands


# -- what is not a board, or not this one


def test_no_board_and_two_boards_are_told_apart(desk):
    desk.look()
    assert "no board is plugged in" in desk.refused(errors.BoardNotFound)
    desk.board("one")
    two = desk.board("two", chip=b"chip-two")
    line = desk.refused(errors.SeveralBoards)
    assert str(desk.boards[0].link) in line and str(two.link) in line and "--port" in line
    assert desk.flash("--port", two.link)[0] == 0
    assert "make_keys" not in desk.boards[0].commands


def test_a_wrong_board_is_refused_by_name(desk):
    desk.board(board="RPI_PICO_W")
    line = desk.refused(errors.WrongBoard, "--board", "RPI_PICO")
    assert "RPI_PICO_W" in line and "--board RPI_PICO_W" in line


def test_a_wrong_chip_in_bootsel_is_refused_before_it_is_written_to(desk):
    board = desk.board(blank=True)
    (board.volume / "INFO_UF2.TXT").write_text("UF2 Bootloader v1.0\nModel: Raspberry Pi RP2350\nBoard-ID: RP2350\n")
    assert "rp2350" in desk.refused(errors.WrongBoard)
    (board.volume / "INFO_UF2.TXT").write_text("UF2 Bootloader v1.0\nBoard-ID: SAMD21-Other\n")
    assert "SAMD21-Other" in desk.refused(errors.WrongBoard)
    assert len([*board.volume.iterdir()]) == 1


def test_a_relay_is_never_made_another(desk):
    board = desk.board()
    assert desk.flash()[0] == 0
    before = (board.files / "relay.json").read_bytes()
    assert "is the relay 'berlin'" in desk.refused(errors.OtherRelay, relay="potsdam")
    assert (board.files / "relay.json").read_bytes() == before and desk.listed() == ["berlin"]


def test_a_name_that_was_begun_on_another_board_is_not_given_to_this_one(desk):
    first = desk.board("one")
    first.pull = Pull(at=5, after_effect=False)
    assert desk.flash()[0] != 0 and desk.listed() == ["berlin"]
    first.unplug()
    second = desk.board("two", chip=b"chip-two")
    desk.look(second)
    assert "began on another board" in desk.refused(errors.OtherRelay)
    assert "make_keys" not in second.commands


def test_a_port_that_may_not_be_opened_names_the_group_to_join(desk, monkeypatch):
    import serial

    def denied(*_, **__):
        raise serial.SerialException(13, "could not open port: Permission denied")

    board = desk.board()
    monkeypatch.setattr(serial, "serial_for_url", denied)
    monkeypatch.setattr("grp.getgrgid", lambda _: type("Group", (), {"gr_name": "dialout"}))
    monkeypatch.setattr("pathlib.Path.stat", lambda self, **_: type("Stat", (), {"st_gid": 20, "st_mode": 0o20660})())
    found = detection.identify
    from tessera_host.provisioning import serial_line

    with pytest.raises(errors.PortDenied) as refused:
        found(Port(str(board.link), "paper"))
    assert "usermod -aG dialout" in refused.value.hint
    assert serial_line.how_to_get_permission(board.link).startswith("join its group")


def test_a_port_that_another_program_has_is_told_by_the_number_of_the_error(monkeypatch):
    import serial

    from tessera_host.provisioning import serial_line

    for number in (errno.EBUSY, errno.EWOULDBLOCK):

        def taken(*_, number=number, **__):
            raise serial.SerialException(number, "words of a library")

        monkeypatch.setattr(serial, "serial_for_url", taken)
        with pytest.raises(errors.PortDenied, match="another program has"):
            serial_line.open_port("/dev/ttyACM0")


# -- images


@pytest.mark.parametrize("damage", ["a bit of the image", "a bit of the release", "another federation", "no release",
                                    "cut short"])  # fmt: skip
def test_an_image_that_was_tampered_with_is_rejected_before_anything_is_touched(desk, damage):
    board = desk.board(blank=True)
    image, release = desk.image / "firmware.uf2", desk.image / "image.release"
    if damage == "a bit of the image":
        image.write_bytes(image.read_bytes()[:-1] + b"\0")
    elif damage == "a bit of the release":
        release.write_bytes(release.read_bytes()[:-1] + bytes([release.read_bytes()[-1] ^ 1]))
    elif damage == "cut short":
        image.write_bytes(image.read_bytes()[:512])
    elif damage == "no release":
        release.unlink()
    else:
        other = planned(**CHOICE, board="RPI_PICO")
        with Issuer.create(desk.folder / "other", PASSPHRASE, other, "Other") as issuer:
            desk.approve(issuer, "RPI_PICO", uf2())
    line = desk.refused(errors.ImageRejected)
    assert "nothing was written" in line or "never approved" in line
    assert [path.name for path in board.volume.iterdir()] == ["INFO_UF2.TXT"] and desk.listed() == []


def test_an_image_for_another_chip_or_board_is_not_written_even_if_it_was_approved(desk):
    board = desk.board(blank=True)
    with Issuer.open(desk.issuer, PASSPHRASE) as issuer:
        desk.approve(issuer, "RPI_PICO", uf2(0xE48BFF59))
    assert "rp2350" in desk.refused(errors.WrongBoard)
    with Issuer.open(desk.issuer, PASSPHRASE) as issuer:
        desk.approve(issuer, "RPI_PICO_W", uf2())
    assert "RPI_PICO_W" in desk.refused(errors.ImageRejected)
    assert [path.name for path in board.volume.iterdir()] == ["INFO_UF2.TXT"]


def test_a_full_volume_is_said_to_be_full(desk, monkeypatch):
    import os

    monkeypatch.setattr(FakeBoard, "_look_at_volume", lambda _: None)  # what did not fit is no image that it could take
    desk.board(blank=True)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tessera_host.provisioning.rp2.os", type("Os", (), {"fsync": staticmethod(full)}))
    monkeypatch.setattr("tessera_host.provisioning.rp2._GONE_SECONDS", 1)
    assert "is full" in desk.refused(errors.FlashFailed)
    assert os.fsync is not full


# -- the cable


@pytest.mark.parametrize("after_effect", [False, True])
def test_a_cable_pulled_at_every_command_costs_a_repetition_and_nothing_else(desk, after_effect):
    """A board for each moment at which it is pulled, until a run comes through. Of two commands, one is cut off before
    it takes effect and the other after."""
    for number in range(1 + after_effect, 64, 2):
        name = f"relay-{number}"
        board = desk.board(name, chip=bytes((number,)))
        desk.look(board)
        board.pull = Pull(number, after_effect)
        code, _, err = desk.flash(relay=name)
        if code == 0:
            break
        assert code in (errors.BoardSilent.exit_code, errors.BoardNotFound.exit_code), (number, err)
        assert "plug" in err.splitlines()[-1]
        board.unplug()
        board.pull = None
        board.plug_in()
        drawn = board_key(desk, name)
        code, _, err = desk.flash(relay=name)
        assert code == 0, (number, err)
        assert board_key(desk, name) in (drawn, drawn or board_key(desk, name))
        board.unplug()
    assert board.commands.count("batch") == 16 and number > 30
    assert sorted(desk.listed()) == sorted(entry["name"] for entry in desk.inventory())
    assert {entry["name"]: entry["key"] for entry in desk.inventory()} == {
        name: board_key(desk, name) for name in desk.listed()
    }


def board_key(desk, name):
    """The key that the journal has of a relay."""
    path = desk.issuer / "flash-journal.json"
    return json.loads(path.read_text())["relays"].get(name, {}).get("key") if path.exists() else None


def test_garbage_on_the_line_is_passed_over(desk):
    board = desk.board()
    board.chatter = b'\x00\xff\xfe~~~ {"not": \r\nlink up\r\n=nothing {}\r\n-batch\r\n'
    code, _, err = desk.flash()
    assert code == 0, err


def test_damaged_answers_are_asked_for_again(desk):
    board = desk.board()
    original = board._event

    def event(what, effect):
        if board.commands.count(what) == 0 and what != "reset":
            board.damage = 1  # the first answer to each command loses a byte
        return original(what, effect)

    board._event = event
    code, _, err = desk.flash()
    assert code == 0, err
    assert board.commands.count("make_keys") == 2


def test_a_board_that_answers_garbage_only_is_given_up_with_a_hint(desk):
    board = desk.board()
    board.damage = 10_000
    line = desk.refused(errors.BoardSilent)
    assert "safe to unplug" in line


# -- what a relay must be


def test_cover_that_does_not_follow_from_the_key_is_found(desk):
    board = desk.board()
    board.wrong_cover = True
    assert "do not use this board" in desk.refused(errors.CommissioningFailed)
    assert not (desk.issuer / "inventory.json").exists()
    board.wrong_cover = False
    assert desk.flash()[0] == 0


def test_a_relay_that_fails_its_self_test_is_not_put_into_service(desk):
    board = desk.board()
    board.lies = {"self_test": "failed: curve"}
    assert "self-test" in desk.refused(errors.CommissioningFailed)
    board.lies = {"fault": "the flash does not erase"}
    assert "the flash does not erase" in desk.refused(errors.CommissioningFailed)


def test_what_the_board_did_not_keep_is_found(desk, monkeypatch):
    from device.provision import Provisioning

    desk.board()
    read = Provisioning.readback
    monkeypatch.setattr(Provisioning, "readback", lambda self, nonce: read(self, nonce) | {"parameters": "00"})
    assert "did not keep what was written to it: parameters" in desk.refused(errors.ProvisioningFailed)
    monkeypatch.setattr(Provisioning, "readback", read)
    assert desk.flash()[0] == 0


# -- a relay in service


def test_verify_recomputes_cover_by_the_set_that_governed_it(desk):
    """Not by the newest: its table may be another."""
    desk.board()
    desk.flash()
    with Issuer.open(desk.issuer, PASSPHRASE) as issuer:
        issuer.renew(planned(**CHOICE, epsilon=Fraction(1, 2), board="RPI_PICO"))
    code, out, err = desk.service("verify", "--every-cell", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert not told["newest_parameters"] and told["cells_compared"] == CHOICE["epoch_rounds"]
    earlier = sorted((desk.issuer / "sets").iterdir())[:-1]
    for path in earlier:
        path.unlink()
    code, _, err = desk.service("verify")
    assert code == errors.IntegrityError.exit_code and "that is not in" in err


def test_a_damaged_line_about_the_set_is_asked_for_once_more(desk, monkeypatch):
    desk.board()
    desk.flash()
    asked, ask = [], Console.ask

    def damaged(console, command, *arguments, **options):
        answer = ask(console, command, *arguments, **options)
        if command == "commission" and not asked:
            answer.result["parameter_digest"] = "00" + answer.result["parameter_digest"][2:]
        asked.extend([command] if command == "commission" else [])
        return answer

    monkeypatch.setattr(Console, "ask", damaged)
    code, _, err = desk.service("verify")
    assert code == 0 and asked == ["commission"] * 2, err


def test_verify_compares_a_relay_with_everything_that_is_known_of_it(desk):
    board = desk.board()
    assert desk.flash()[0] == 0
    assert desk.service("verify", "--relay", "berlin")[0] == 0
    told = json.loads(desk.service("verify", "--every-cell", "--json")[1])
    assert told["cells_compared"] == CHOICE["epoch_rounds"] and told["records_compared"] > 0
    for lies, code in (
        ({"static_key": "02" + "11" * 32}, errors.OtherRelay.exit_code),
        ({"ledger_key": "11" * 32}, errors.OtherRelay.exit_code),
        ({"fault": "broken"}, errors.CommissioningFailed.exit_code),
        ({"open_round": 1}, errors.CommissioningFailed.exit_code),
    ):
        board.lies = lies
        assert desk.service("verify")[0] == code, lies
    assert desk.service("verify", "--relay", "potsdam")[0] == errors.OtherRelay.exit_code


def test_a_relay_with_members_is_told_by_the_code_of_its_answer_whatever_its_words(desk, monkeypatch):
    desk.board()
    assert desk.flash()[0] == 0

    def answers(error):
        def refuse(_):
            raise error

        monkeypatch.setattr(Relay, "commissioning_key", refuse)
        return desk.service("verify")

    code, out, _ = answers(NotAdmitted("none is told"))
    assert code == 0 and "no longer discloses" in out
    code, _, err = answers(Busy("a member was admitted", 5))
    assert code == errors.RelayRefused.exit_code and "a member was admitted" in err


def test_a_relay_is_erased_only_by_its_name_and_a_yes(desk):
    board = desk.board()
    assert desk.flash()[0] == 0
    key = desk.inventory()[0]["key"]
    assert desk.service("factory-reset", "--relay", "potsdam", "--yes")[0] == errors.OtherRelay.exit_code
    assert desk.service("factory-reset", "--relay", "berlin")[0] == errors.NotPermitted.exit_code
    assert (board.files / "relay.json").exists()
    assert desk.service("factory-reset", "--relay", "berlin", "--yes")[0] == 0
    assert not (board.files / "relay.json").exists() and desk.inventory() == []
    assert "other keys" in desk.refused(errors.OtherRelay)
    assert cli.run(["relay", "remove", "berlin", "--issuer", str(desk.issuer)]) == 0
    assert desk.flash()[0] == 0 and desk.inventory()[0]["key"] != key


def test_the_log_is_exported(desk):
    desk.board()
    assert desk.flash()[0] == 0
    assert desk.service("export-log", "-o", "berlin.log")[0] == 0
    assert (desk.folder / "berlin.log").exists()


def new_code(desk, version, content=b"new code" * 200):
    """A folder with an approved bundle."""
    folder = desk.folder / version
    folder.mkdir()
    (folder / "bundle.bin").write_bytes(content)
    described = {
        "board": "RPI_PICO",
        "version": version,
        "firmware_digest": bytes(32).hex(),
        "base": bytes(8).hex(),
        "image": {"bundle.bin": {"bytes": len(content), "sha256": sha256(content).hexdigest()}},
    }
    (folder / "image.json").write_text(json.dumps(described))
    with Issuer.open(desk.issuer, PASSPHRASE) as issuer:
        issuer.approve(folder)
    return folder


def test_new_code_over_the_cable_is_in_the_inventory_once_it_serves(desk):
    board = desk.board()
    assert desk.flash()[0] == 0
    folder = new_code(desk, "9.0.0")
    told = json.loads(desk.service("update", "--image", folder, "--json")[1])
    assert told == {"relay": "berlin", "before": VERSION, "version": "9.0.0", "changed": True}
    assert desk.inventory()[0]["firmware_version"] == "9.0.0"
    board.commands.clear()
    assert "already has version 9.0.0" in desk.service("update", "--image", folder)[1]
    assert set(board.commands) == {"status"}


def test_an_update_goes_on_after_the_cable_was_pulled(desk):
    board = desk.board()
    assert desk.flash()[0] == 0
    folder = new_code(desk, "9.0.0")
    board.commands.clear()
    board.pull = Pull(at=6, after_effect=True)
    code, _, err = desk.service("update", "--image", folder)
    assert code == errors.BoardSilent.exit_code and "plug" in err.splitlines()[-1]
    board.unplug()
    board.pull = None
    board.plug_in()
    assert desk.service("update", "--image", folder)[0] == 0
    assert board.commands.count("put") == 7  # of 240 bytes: none was sent twice


def test_new_code_that_does_not_serve_is_said_to_be_gone_again(desk):
    board = desk.board()
    assert desk.flash()[0] == 0
    board.new_code_serves = False
    code, _, err = desk.service("update", "--image", new_code(desk, "9.0.0"))
    assert code == errors.FlashFailed.exit_code and f"went back to {VERSION} by itself" in err
    assert desk.inventory()[0]["firmware_version"] == VERSION


def test_code_that_was_not_approved_or_was_changed_is_not_sent(desk):
    board = desk.board()
    assert desk.flash()[0] == 0
    folder = new_code(desk, "9.0.0")
    (folder / "bundle.bin").write_bytes(b"other code" * 160)
    board.commands.clear()
    assert desk.service("update", "--image", folder)[0] == errors.ImageRejected.exit_code
    (folder / "bundle.release").unlink()
    assert desk.service("update", "--image", folder)[0] == errors.ImageRejected.exit_code
    assert set(board.commands) == {"status"}


# -- many relays


def write_batch(desk, *lines):
    path = desk.folder / "relays.csv"
    path.write_text("relay,host,device\n" + "".join(line + "\n" for line in lines))
    return path


def test_a_batch_goes_on_where_a_pulled_cable_stopped_it(desk):
    one = desk.board("one")
    two = desk.board("two", chip=b"chip-two")
    path = write_batch(desk, f"berlin,10.0.0.1,{one.link}", f"potsdam,10.0.0.2,{two.link}")
    two.pull = Pull(12, after_effect=True)
    code, out, err = desk.run("--batch", path, "--image", desk.image, "--json")
    assert code == errors.BatchIncomplete.exit_code and "potsdam" in err and "berlin" not in err.splitlines()[-1]
    assert [entry["name"] for entry in desk.inventory()] == ["berlin"]
    two.unplug()
    two.pull = None
    two.plug_in()
    one.commands.clear()
    code, out, err = desk.run("--batch", path, "--image", desk.image, "--json")
    assert code == 0 and [relay["relay"] for relay in json.loads(out)["relays"]] == ["potsdam"], err
    assert one.commands == []
    assert [entry["name"] for entry in desk.inventory()] == ["berlin", "potsdam"]
    assert json.loads(desk.run("--batch", path, "--image", desk.image, "--json")[1])["relays"] == []


def test_a_batch_with_one_board_at_a_time_asks_for_the_next(desk, monkeypatch):
    one, two = desk.board("one"), FakeBoard(desk.folder / "two", chip=b"chip-two")
    desk.boards.append(two)
    desk.look()
    path = write_batch(desk, "berlin,10.0.0.1,", "potsdam,10.0.0.2,")

    def swap(row, shown):
        assert row.settings.name == "potsdam"
        one.unplug()
        two.plug_in()

    monkeypatch.setattr(cli_flash, "_ask_for", swap)
    code, _, err = desk.run("--batch", path, "--image", desk.image)
    assert code == 0, err
    assert [entry["chip_id"] for entry in desk.inventory()] == [b"chip-one".hex(), b"chip-two".hex()]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("relay,host\n", "names no relay"),
        ("relay,host,colour\nberlin,10.0.0.1,red\n", "column 'colour'"),
        ("relay\nberlin\n", "lacks the column"),
        ("relay,host\nberlin,10.0.0.1\nberlin,10.0.0.2\n", "two relays 'berlin'"),
        ("relay,host,port\nberlin,10.0.0.1,many\n", "line 2"),
        ("relay,host,address\nberlin,10.0.0.1,10.0.0.1\n", "line 2"),
        ("relay,host\nberlin,10.0.0.1,extra\n", "line 2"),
    ],
)
def test_a_batch_file_that_makes_no_sense_is_refused_with_its_line(desk, text, words):
    (desk.folder / "relays.csv").write_text(text)
    code, _, err = desk.run("--batch", "relays.csv")
    assert code == errors.InvalidInput.exit_code and words in err


# -- secrets


def configuration_of(board):
    """What the board keeps."""
    return json.loads((board.files / "relay.json").read_text())


@pytest.fixture
def wireless(tmp_path, monkeypatch, capsys):
    """A desk and a board with Wi-Fi."""
    for name in ("PATIENCE_SECONDS", "STATUS_SECONDS"):
        monkeypatch.setattr(detection, name, 0.3)
    desk = Desk(tmp_path, monkeypatch, capsys, board="RPI_PICO_W")
    board = desk.board(board="RPI_PICO_W")
    yield desk, board
    board.unplug()


def test_a_slower_clock_is_told_to_the_board_and_one_that_it_has_not_is_refused(desk, tmp_path):
    board = desk.board()
    assert "choose --mhz 200 or 125" in desk.refused(errors.UsageError, "--mhz", "133")
    code, _, err = desk.flash("--mhz", "125")
    assert code == 0, err
    assert configuration_of(board)["mhz"] == 125
    assert desk.service("verify")[0] == 0
    board.unplug()
    for name in ("RPI_PICO2_W", "ESP32_GENERIC"):
        with pytest.raises(errors.UsageError) as refused:
            Settings("berlin", "10.0.0.7", wifi=Wifi("office"), mhz=125).check(name)
        assert "leave out --mhz" in refused.value.hint
    (tmp_path / "relays.csv").write_text("relay,host,mhz\nberlin,10.0.0.7,125\npotsdam,10.0.0.8,\n")
    assert [row.settings.mhz for row in read_batch(tmp_path / "relays.csv")] == [125, None]


def test_a_wifi_password_comes_from_a_file_and_is_in_nothing_that_is_kept_or_shown(wireless, tmp_path):
    desk, board = wireless
    (tmp_path / "wifi").write_text("hunter2 hunter2\n")
    assert "--ssid" in desk.refused(errors.UsageError)
    assert "no terminal" in desk.refused(errors.UsageError, "--ssid", "office")
    code, out, err = desk.flash("--ssid", "office", "--wifi-password-file", tmp_path / "wifi")
    assert code == 0, err
    kept = configuration_of(board)
    assert kept["wifi"] == {"ssid": "office", "password": "hunter2 hunter2"}
    everything = (
        out + err + "".join(path.read_text(errors="replace") for path in desk.issuer.rglob("*") if path.is_file())
    )
    assert "hunter2" not in everything and kept["static_secret"] not in everything
    assert "hunter2" not in repr(cli_flash.Wifi("office", password="hunter2 hunter2"))


def test_an_open_network_has_no_password(wireless, tmp_path):
    desk, board = wireless
    (tmp_path / "wifi").write_text("\n")
    options = ("--ssid", "guests", "--country", "DE", "--address", "10.0.0.7/24", "--gateway", "10.0.0.1")
    code, _, err = desk.flash(
        "--wifi-password-file", tmp_path / "wifi", *options, "--close-repl", "--hostname", "relay-1"
    )
    assert code == 0, err
    kept = configuration_of(board)
    assert kept["wifi"] == {"ssid": "guests", "country": "DE"} and kept["repl"] == "closed"
    assert kept["address"] == {"ip": "10.0.0.7", "netmask": "255.255.255.0", "gateway": "10.0.0.1", "dns": "10.0.0.1"}


def test_security_is_told_to_the_board_and_checked(wireless, tmp_path):
    desk, board = wireless
    (tmp_path / "wifi").write_text("hunter2 hunter2\n")
    options = ("--ssid", "office", "--wifi-password-file", tmp_path / "wifi")
    assert "wpa3 or wpa2-wpa3" in desk.refused(errors.UsageError, *options, "--security", "wep")
    assert not board.commands or "configure" not in board.commands
    code, _, err = desk.flash(*options, "--security", "wpa3")
    assert code == 0, err
    kept = configuration_of(board)
    assert kept["wifi"] == {"ssid": "office", "password": "hunter2 hunter2", "security": "wpa3"}


def test_an_open_network_has_no_security(wireless, tmp_path):
    desk, _ = wireless
    (tmp_path / "wifi").write_text("\n")
    options = ("--ssid", "guests", "--wifi-password-file", tmp_path / "wifi", "--security", "wpa3")
    assert "open Wi-Fi network" in desk.refused(errors.UsageError, *options)


def test_what_an_esp32_takes_from_its_access_point_cannot_be_chosen():
    for board in ("ESP32_GENERIC", "ESP32_GENERIC_C3", "ESP32_GENERIC_S3"):
        Settings("berlin", "10.0.0.7", wifi=Wifi("office")).check(board)
        for wifi, option in ((Wifi("office", country="DE"), "country"), (Wifi("office", security="wpa3"), "security")):
            with pytest.raises(errors.UsageError) as refused:
                Settings("berlin", "10.0.0.7", wifi=wifi).check(board)
            assert option in refused.value.message and f"--{option}" in refused.value.hint
    Settings("berlin", "10.0.0.7", wifi=Wifi("office", country="DE", security="wpa2-wpa3")).check("RPI_PICO2_W")


def test_what_is_said_of_a_network_counts_though_its_name_is_asked_for(wireless, tmp_path, monkeypatch):
    desk, board = wireless
    (tmp_path / "wifi").write_text("hunter2 hunter2\n")
    monkeypatch.setattr(cli_flash, "_question", lambda as_json: lambda question: "office")
    code, _, err = desk.flash("--country", "DE", "--wifi-password-file", tmp_path / "wifi")
    assert code == 0, err
    kept = configuration_of(board)
    assert kept["wifi"] == {"ssid": "office", "password": "hunter2 hunter2", "country": "DE"}


def test_a_relay_that_does_not_join_its_wifi_is_in_service_and_that_is_told(wireless, tmp_path, monkeypatch):
    monkeypatch.setattr(serving, "JOIN_SECONDS", 0.0)
    desk, board = wireless
    (tmp_path / "wifi").write_text("hunter2 hunter2\n")
    board.lies = {"address": None, "network": "wrong password"}
    code, out, err = desk.flash("--ssid", "office", "--wifi-password-file", tmp_path / "wifi")
    assert code == 0, err
    assert "not on its Wi-Fi network yet: wrong password" in out and "tessera flash network --relay berlin" in out
    board.lies["state"] = "no-network"
    code, out, err = desk.service("verify")
    assert code == 0 and "State no-network (wrong password)" in out, err
    board.lies = {}
    code, out, err = desk.flash()
    assert code == 0 and "not on its Wi-Fi network" not in out, err


def test_a_batch_tells_of_security_and_of_relays_that_do_not_join(wireless, tmp_path, monkeypatch):
    monkeypatch.setattr(serving, "JOIN_SECONDS", 0.0)
    desk, board = wireless
    (tmp_path / "wifi").write_text("hunter2 hunter2\n")
    head, row = "relay,host,ssid,wifi_password_file,security", "berlin,10.0.0.7,office,wifi,wpa2-wpa3"
    (tmp_path / "relays.csv").write_text(f"{head}\n{row}\n")
    board.lies = {"address": None, "network": "no such network"}
    code, _, err = desk.run("--batch", tmp_path / "relays.csv", "--image", desk.image)
    assert code == 0 and "berlin is not on its Wi-Fi network yet: no such network" in err, err
    kept = configuration_of(board)
    assert kept["wifi"] == {"ssid": "office", "password": "hunter2 hunter2", "security": "wpa2-wpa3"}


def test_a_relay_gets_another_network_and_keeps_all_else(wireless, tmp_path):
    desk, board = wireless
    (tmp_path / "wifi").write_text("hunter2 hunter2\n")
    options = ("--ssid", "office", "--wifi-password-file", tmp_path / "wifi", "--hostname", "relay-1")
    code, _, err = desk.flash(*options, "--country", "DE", "--address", "10.0.0.7/24", "--gateway", "10.0.0.1")
    assert code == 0, err
    before = configuration_of(board)
    board.takes_ctrl_c = True
    (tmp_path / "new").write_text("another password\n")
    another = ("--relay", "berlin", "--ssid", "b\u00fcro", "--wifi-password-file", tmp_path / "new")
    code, out, err = desk.service("network", *another, "--security", "wpa3")
    assert code == 0 and "'berlin' is on its new network, at 10.0.0.7" in out, err
    kept = configuration_of(board)
    wifi = {"ssid": "b\u00fcro", "password": "another password", "security": "wpa3"}
    same = {name: value for name, value in before.items() if name not in ("wifi", "address", "hostname")}
    assert kept == {**same, "wifi": wifi}
    assert "another password" not in out + err
    assert desk.service("verify")[0] == 0


def test_a_network_that_a_relay_cannot_have_is_refused_before_it_is_stopped(wireless, tmp_path):
    desk, board = wireless
    (tmp_path / "wifi").write_text("hunter2 hunter2\n")
    options = ("--ssid", "office", "--wifi-password-file", tmp_path / "wifi")
    assert desk.flash(*options, "--close-repl")[0] == 0
    board.commands.clear()
    for arguments, error in (
        (("--relay", "berlin"), errors.UsageError),
        (("--relay", "berlin", "--ssid", "x" * 33), errors.UsageError),
        (("--relay", "potsdam", *options), errors.OtherRelay),
        (("--relay", "berlin", *options), errors.NotPermitted),  # a closed prompt
    ):
        code, _, err = desk.service("network", *arguments)
        assert code == error.exit_code, err
    assert set(board.commands) == {"status"}


def test_a_board_whose_radio_is_dead_is_refused(wireless, tmp_path):
    desk, board = wireless
    (tmp_path / "wifi").write_text("hunter2 hunter2\n")
    board.lies = {"state": "radio", "address": None, "network": "the radio does not answer"}
    options = ("--ssid", "office", "--wifi-password-file", tmp_path / "wifi")
    assert "radio does not answer" in desk.refused(errors.ProvisioningFailed, *options)


def test_a_board_without_wifi_is_not_asked_for_one(desk):
    desk.board()
    assert "has no Wi-Fi" in desk.refused(errors.UsageError, "--ssid", "office")


def test_the_help_names_every_exit_status_of_a_board(desk):
    code, out, _ = desk.run("--help")
    assert code == 0
    told = " ".join(out.partition("Exit status:")[2].split())
    for kind, words in cli_flash.EXIT_CODES.items():
        assert f"{kind.exit_code} {words}" in told
    assert {kind.exit_code for kind in cli_flash.EXIT_CODES} == set(range(10, 21))


def test_every_class_of_error_has_an_exit_code_of_its_own_or_that_of_the_class_it_refines():
    classes = [
        each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.TesseraError)
    ]
    codes = [each.exit_code for each in classes if "exit_code" in vars(each)]
    assert all("exit_code" in vars(each) for each in errors.TesseraError.__subclasses__() if each in classes)
    assert len(set(codes)) == len(codes)
