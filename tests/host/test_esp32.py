"""Flashing ESP32 boards: the real esptool against a virtual ROM loader, what its flash holds afterwards, and faults.

The board is software (romloader.py says how far), and as no ESP32 image can be built here, its image is one of the
right shape (esp32parts.py). What is checked is what this program writes, leaves alone, refuses and says.
"""

import contextlib
import os
import random
import struct

import pytest
import serial

from tessera_host.errors import BoardNotFound, BoardSilent, FlashFailed, ImageRejected, PortDenied, WrongBoard
from tessera_host.planning.boards import BOARDS
from tessera_host.provisioning import detection, esp32, prompt
from tessera_host.provisioning.finder import Port
from tests.support import esp32parts, romloader
from tests.support.romloader import Fault
from tools.build import boards as board_folders

NAMES = ("ESP32_GENERIC", "ESP32_GENERIC_C3", "ESP32_GENERIC_S3", "OLIMEX_ESP32_POE")
CHIP_NAMES = {"ESP32_GENERIC": "ESP32", "ESP32_GENERIC_C3": "ESP32-C3"}
MAGIC_REGISTER = 0x40001000


class Bench:
    """A virtual board, its port, and an image for it."""

    def __init__(self, name, folder, flash_bytes=None):
        self.board = board_folders.read_board(name)
        self.folder = folder
        self.device = romloader.VirtualBoard(self.board.mcu, folder / "ttyUSB0", flash_bytes or self.board.flash_bytes)
        self.port = str(self.device.link)
        self.image = self.make_image("version 1")
        self.progress = []

    def make_image(self, seed):
        path = self.folder / f"{seed}.bin"
        path.write_bytes(esp32parts.combined_image(self.board, seed))
        return path

    def flash(self, image=None, name=None):
        self.device.commands.clear()
        esp32.flash(
            self.port, image or self.image, BOARDS[name or self.board.name], lambda *at: self.progress.append(at)
        )

    def refused(self, kind, **arguments):
        """The error with which the board is left as it was."""
        before = bytes(self.device.flash)
        with pytest.raises(kind) as caught:
            self.flash(**arguments)
        assert bytes(self.device.flash) == before
        assert "nothing was written" in caught.value.hint
        return str(caught.value)

    def fails(self, kind):
        with pytest.raises(kind) as caught:
            self.flash()
        return caught.value

    def plug_in_again(self):
        if self.device.is_plugged_in:
            self.device.pull()
        self.device.plug_in("application")

    def provision(self, slot=0):
        """What a relay's flash holds beside its code; the same again, to compare with."""
        kept = {}
        for name in ("nvs", "phy_init", "littlefs", "keyring", "ring", "ota_1"):
            partition = self.board.partitions[name]
            kept[name] = random.Random(name).randbytes(partition.length)
            self.device.flash[partition.offset : partition.end] = kept[name]
        if slot:
            self.put("otadata", esp32parts.choose(slot))
            self.put("ota_1", esp32parts.program(self.board.mcu, "by air", 65536))
            kept["ota_1"] = self.content("ota_1")
        return kept

    def put(self, name, content):
        start = self.board.partitions[name].offset
        self.device.flash[start : start + len(content)] = content

    def content(self, name):
        partition = self.board.partitions[name]
        return bytes(self.device.flash[partition.offset : partition.end])

    def starts(self):
        return esp32parts.slot_that_starts(self.device.flash, self.board)


@pytest.fixture
def make_bench(tmp_path, monkeypatch):
    """make_bench(board, flash_bytes): a bench whose board is plugged in and runs something."""

    def new(name="ESP32_GENERIC", flash_bytes=None):
        return Bench(name, tmp_path, flash_bytes)

    with romloader.plugged_in(monkeypatch, new) as make:
        yield make


@pytest.fixture
def bench(make_bench):
    return make_bench()


# -- what is written


@pytest.mark.parametrize("name", NAMES)
def test_a_blank_board_holds_every_partition_of_the_image_and_starts(make_bench, name):
    bench = make_bench(name)
    bench.flash()
    flash, offset = bytes(bench.device.flash), bench.board.image_offset
    loader = esp32parts.program(bench.board.mcu, "boot loader of version 1", 16 * 1024)
    table = esp32parts.partition_table(bench.board.partitions.values())
    assert flash[:offset] == b"\xff" * offset
    assert flash[offset:0x8000] == loader.ljust(0x8000 - offset, b"\xff")
    assert flash[0x8000:0x9000] == table.ljust(4096, b"\xff")
    code = esp32parts.program(bench.board.mcu, "version 1", 96 * 1024)
    for partition in bench.board.partitions.values():
        expected = code if partition.name == "ota_0" else b""
        assert flash[partition.offset : partition.end] == expected.ljust(partition.length, b"\xff")
    assert bench.starts() == "ota_0"
    assert bench.device.mode == "application"


def test_what_a_relay_keeps_stays_byte_for_byte(bench):
    kept = bench.provision()
    bench.flash()
    assert {name: bench.content(name) for name in kept} == kept
    assert bench.starts() == "ota_0"


def test_a_relay_that_was_updated_by_air_starts_the_image_that_was_flashed(bench):
    bench.flash()
    kept = bench.provision(slot=1)
    assert bench.starts() == "ota_1"
    bench.flash(bench.make_image("version 2"))
    assert bench.starts() == "ota_0"
    assert bench.content("ota_0").startswith(esp32parts.program("esp32", "version 2", 96 * 1024))
    assert {name: bench.content(name) for name in kept} == kept


def test_flashing_the_same_again_writes_nothing_and_starts_it(bench):
    bench.flash()
    before = bytes(bench.device.flash)
    bench.flash()
    assert not {romloader.FLASH_BEGIN, romloader.FLASH_DEFL_BEGIN} & set(bench.device.commands)
    assert bytes(bench.device.flash) == before
    assert bench.device.mode == "application"


def test_a_shorter_image_leaves_nothing_of_a_longer_one_in_its_sectors(bench):
    bench.flash()
    short = bench.folder / "short.bin"
    short.write_bytes(esp32parts.combined_image(bench.board, "short", app_bytes=40 * 1024))
    bench.flash(short)
    assert bench.starts() == "ota_0"
    end = -(-len(esp32parts.program("esp32", "short", 40 * 1024)) // 4096) * 4096
    written = bench.content("ota_0")[:end]
    assert written == esp32parts.program("esp32", "short", 40 * 1024).ljust(end, b"\xff")


def test_progress_counts_up_to_all_bytes(bench):
    bench.flash()
    done = [done for done, _ in bench.progress]
    totals = {total for _, total in bench.progress}
    assert len(totals) == 1 and done[0] == 0 and done[-1] == totals.pop()
    assert done == sorted(done) and len(set(done)) > 4


def test_esptool_speaks_only_to_who_asks(bench, capfd):
    bench.flash()
    assert capfd.readouterr() == ("", "")
    said = []
    esp32.detect(bench.port, said.append)
    assert any("ESP32" in line for line in said)
    assert capfd.readouterr() == ("", "")


def test_bytes_that_were_checked_are_flashed_whatever_the_file_says_by_then(bench):
    content = bench.image.read_bytes()
    bench.image.write_bytes(b"")
    bench.flash(content)
    assert bench.starts() == "ota_0"


def test_a_loader_that_was_left_running_is_used(tmp_path):
    """A board without reset lines, whose first visit ended in the loader: esptool's own is still in its RAM."""
    bench = Bench("ESP32_GENERIC", tmp_path)
    bench.device.plug_in("loader")
    bench.flash()
    assert bench.device.mode == "stub"
    bench.flash(bench.make_image("version 2"))
    assert romloader.MEM_BEGIN not in bench.device.commands
    assert bench.content("ota_0").startswith(esp32parts.program("esp32", "version 2", 96 * 1024))
    bench.device.pull()


@pytest.mark.parametrize(
    ("name", "mcu", "megabytes"), [("ESP32_GENERIC", "esp32", 4), ("ESP32_GENERIC_C3", "esp32c3", 4)]
)
def test_detection_names_chip_and_flash_and_lets_the_board_go_on(make_bench, name, mcu, megabytes):
    bench = make_bench(name)
    found = esp32.detect(bench.port)
    assert (found.mcu, found.flash_bytes) == (mcu, megabytes << 20)
    assert bench.device.resets[-1] == "start" and bench.device.mode == "application"
    assert romloader.MEM_BEGIN not in bench.device.commands


@pytest.mark.parametrize("mode", ["loader", "application"])
def test_a_port_with_an_esp32_is_told_from_a_relay_and_a_prompt(bench, monkeypatch, mode):
    monkeypatch.setattr(detection.identify, "__defaults__", (0.3,))  # seconds of patience
    monkeypatch.setattr(detection, "STATUS_SECONDS", 0.3)
    monkeypatch.setattr(prompt, "ENTER_ATTEMPTS", 1)
    monkeypatch.setattr(prompt, "ENTER_SECONDS", 5)
    bench.device.pull()
    bench.device.plug_in(mode)
    assert detection.identify(Port(bench.port, "a test's", may_be_esp32=True)).chip == "esp32"


# -- refusals: nothing is written


@pytest.mark.parametrize(
    ("there", "asked"), [("ESP32_GENERIC_C3", "ESP32_GENERIC"), ("ESP32_GENERIC", "ESP32_GENERIC_S3")]
)
def test_a_wrong_chip_is_named_and_goes_on_running(make_bench, there, asked):
    bench, wanted = make_bench(there), board_folders.read_board(asked)
    said = bench.refused(WrongBoard, image=esp32parts.combined_image(wanted), name=asked)
    assert f"has the chip {CHIP_NAMES[there]}, but {asked} has {wanted.mcu}" in said
    assert f"--board {there}" in said
    assert bench.device.mode == "application"
    assert romloader.MEM_BEGIN not in bench.device.commands


def test_too_small_a_flash_is_refused(make_bench):
    bench = make_bench("ESP32_GENERIC_S3", flash_bytes=4 << 20)
    assert "4 MB flash, ESP32_GENERIC_S3 needs 8 MB" in bench.refused(WrongBoard)
    assert bench.device.mode == "application"


@pytest.mark.parametrize("answer", [0, 0xFFFFFF])
def test_a_board_without_flash_is_refused(bench, answer):
    bench.device.flash_id = answer
    assert "no flash" in bench.refused(WrongBoard)


def test_a_larger_flash_is_taken(make_bench):
    bench = make_bench(flash_bytes=16 << 20)
    bench.flash()
    assert bench.starts() == "ota_0"


def test_a_chip_that_nobody_knows_is_refused(bench):
    bench.device.registers[MAGIC_REGISTER] = 0x12345678
    assert "0x12345678" in bench.refused(WrongBoard)


@pytest.mark.parametrize(
    ("name", "register", "value"),
    [
        ("ESP32_GENERIC", 0x3FF5A000, 1 << 20),  # FLASH_CRYPT_CNT
        ("ESP32_GENERIC", 0x3FF5A018, 1 << 4),  # ABS_DONE_0: secure boot
        ("ESP32_GENERIC_C3", 0x60008838, 1 << 20),  # SECURE_BOOT_EN
        ("ESP32_GENERIC_S3", 0x60007034, 1 << 18),  # SPI_BOOT_CRYPT_CNT
    ],
)
def test_a_locked_board_is_refused(make_bench, name, register, value):
    bench = make_bench(name)
    bench.device.registers[register] = value
    assert "locked" in bench.refused(WrongBoard)


def test_a_board_in_secure_download_mode_is_refused(make_bench):
    bench = make_bench("ESP32_GENERIC_C3")
    bench.device.security_flags = 1 << 2
    assert "locked" in bench.refused(WrongBoard)


REVISIONS = 15  # in the header of a boot loader or an application: the oldest chip, the newest one


@pytest.mark.parametrize(
    ("part", "oldest", "newest", "starts"),
    [(0, 101, 0, False), (0xF000, 300, 399, False), (0, 0, 99, False), (0, 100, 0, True), (0xF000, 0, 100, True)],
)
def test_a_chip_of_a_revision_that_the_image_does_not_start_on_is_refused(bench, part, oldest, newest, starts):
    bench.device.registers[0x3FF5A00C] = 1 << 15  # revision 1.0
    image = changed(part + REVISIONS, struct.pack("<HH", oldest, newest))(bench.image.read_bytes())
    if starts:
        bench.flash(image)
    else:
        assert "revision 1.0" in bench.refused(WrongBoard, image=image)


def changed(at, content):
    return lambda image: image[:at] + content + image[at + len(content) :]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda image: b"", "no partition table"),
        (lambda image: image[:0x8000], "no application"),
        (lambda image: b"\0" * len(image), "no partition table"),
        (changed(0, b"\0"), "no boot loader"),
        (changed(12, b"\5"), "boot loader is for the chip esp32c3"),
        (changed(0xF000 + 12, b"\x09"), "application is for the chip esp32s3"),
        (changed(0x7000 + 14, b"x"), "MD5"),
        (changed(0x8000 + 100, b"key"), "partition 'nvs'"),
        (changed(0xC000, b"\0"), "partition 'otadata'"),
        (lambda image: image.ljust(0x18F001, b"\xff"), "longer than the partition 'ota_0'"),
    ],
)
def test_an_image_that_is_none_of_this_board_reaches_no_board(bench, change, words):
    broken = bench.folder / "broken.bin"
    broken.write_bytes(change(bench.image.read_bytes()))
    assert words in bench.refused(ImageRejected, image=broken)
    assert bench.device.commands == []


def test_the_largest_image_fits(bench):
    full = bench.image.read_bytes().ljust(0x18F000, b"\xff")
    bench.flash(full)
    assert bench.starts() == "ota_0"
    assert set(bench.content("ota_1")) == {0xFF}


def with_table(bench, **changes):
    """The image of a bench under a table in which partitions are changed: name=(field, value)."""
    rows = []
    for row in bench.board.partitions.values():
        name = changes.get(row.name, ("name", row.name))
        rows.append(board_folders.Partition(**{**vars(row), name[0]: name[1]}))
    return changed(0x7000, esp32parts.partition_table(rows))(bench.image.read_bytes())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ring": ("length", 4096)}, "'ring' has the wrong length, 4096 bytes"),
        ({"keyring": ("length", 8192)}, "'keyring' has the wrong length, 8192 bytes"),
        ({"ring": ("offset", 0x350000)}, "'ring' ends after the end of the flash"),
        ({"littlefs": ("name", "vfs")}, "lacks the partition 'littlefs'"),
    ],
)
def test_an_image_with_another_layout_is_refused(bench, changes, words):
    assert words in bench.refused(ImageRejected, image=with_table(bench, **changes))


def test_an_image_that_cannot_be_read_is_refused(bench):
    assert "No such file" in bench.refused(ImageRejected, image=bench.folder / "nowhere.bin")


def test_a_relay_with_its_keys_elsewhere_is_refused_until_they_are_erased(bench):
    rows = {**bench.board.partitions}
    rows["keyring"] = board_folders.Partition("keyring", "data", "0x41", 0x33C000, 16384)
    rows["ring"] = board_folders.Partition("ring", "data", "0x40", 0x340000, 0xC0000)
    bench.device.flash[0x8000:0x8C00] = esp32parts.partition_table(rows.values())
    bench.device.flash[0x33C000:0x33C010] = b"a key of a relay"
    assert "keys at another place" in bench.refused(ImageRejected)
    bench.device.flash[0x33C000:0x33C010] = b"\xff" * 16
    bench.flash()
    assert bench.starts() == "ota_0"


def test_another_program_on_the_board_is_overwritten(bench):
    """MicroPython's own table has no key ring: there is nothing to lose that is a relay's."""
    rows = [board_folders.Partition("vfs", "data", "0x81", 0x200000, 0x200000)]
    bench.device.flash[0x8000:0x8C00] = esp32parts.partition_table(rows)
    bench.flash()
    assert bench.starts() == "ota_0"


# -- ports that do not open


def test_no_port_is_no_board(bench):
    bench.device.pull()
    error = bench.fails(BoardNotFound)
    assert bench.port in error.message and "plug it in" in error.hint


def test_a_port_that_another_program_has_is_said_to_be_that(bench):
    with serial.Serial(bench.port, exclusive=True):
        error = bench.fails(PortDenied)
    assert "another program" in error.message
    bench.flash()


def test_a_port_that_may_not_be_opened_is_said_to_be_that(bench):
    port, image = os.path.realpath(bench.port), bench.image.read_bytes()
    os.chmod(port, 0)
    with somebody(), pytest.raises(PortDenied) as caught:
        esp32.flash(port, image, BOARDS[bench.board.name])
    assert f"may not open {port}" in str(caught.value)
    assert bench.device.commands == []


@contextlib.contextmanager
def somebody():
    """Whoever runs the tests, but root, for whom every port opens."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


# -- faults: whatever happens, the same command again makes it good

STAGES = {
    "first contact": (romloader.SYNC, 1),
    "reading the chip": (romloader.READ_REG, 1),
    "loading the stub": (romloader.MEM_DATA, 2),
    "starting the stub": (romloader.MEM_END, 1),
    "changing the speed": (romloader.CHANGE_BAUDRATE, 1),
    "reading the table": (romloader.READ_FLASH, 1),
    "comparing": (romloader.SPI_FLASH_MD5, 1),
    "erasing": (romloader.FLASH_DEFL_BEGIN, 1),
    "writing the first block": (romloader.FLASH_DEFL_DATA, 1),
    "writing a later block": (romloader.FLASH_DEFL_DATA, 3),
    "ending a segment": (romloader.FLASH_DEFL_END, 1),
    "verifying": (romloader.SPI_FLASH_MD5, 2),
    "writing the boot loader": (romloader.FLASH_DEFL_DATA, 5),
    "verifying the table": (romloader.SPI_FLASH_MD5, 6),
}
BEFORE_WRITING = list(STAGES)[: list(STAGES).index("comparing")]


def good(bench, kept):
    assert bench.starts() == "ota_0"
    assert {name: bench.content(name) for name in kept} == kept


@pytest.mark.parametrize("stage", STAGES)
def test_a_cable_pulled_at_any_stage_is_told_and_flashing_again_succeeds(bench, stage):
    kept = bench.provision()
    before = bytes(bench.device.flash)
    bench.device.fault = Fault(*STAGES[stage], "pull")
    error = bench.fails(BoardSilent)
    assert "went away" in error.message
    if stage in BEFORE_WRITING:
        assert "nothing was written" in error.hint and bytes(bench.device.flash) == before
    else:
        assert "repeat the command" in error.hint and "nothing was written" not in error.hint
    recovers(bench, kept)


def recovers(bench, kept):
    """The same command once more, and the board is whole."""
    bench.plug_in_again()
    bench.flash()
    good(bench, kept)


def test_a_cable_pulled_between_two_commands_is_told(bench):
    bench.device.fault = Fault(romloader.CHANGE_BAUDRATE, 1, "pull when answered")
    assert "went away" in bench.refused(BoardSilent)


def test_a_board_that_takes_the_place_of_a_pulled_one_is_not_written_to(bench, monkeypatch):
    other = romloader.VirtualBoard("esp32", bench.device.link)
    waited = []

    def plugged_in(seconds):
        """Whoever waits gives somebody the time to plug in another board."""
        waited.append(seconds)
        if not other.is_plugged_in:
            other.plug_in()

    bench.device.fault = Fault(*STAGES["writing a later block"], "pull")
    monkeypatch.setattr("esptool.cmds.time.sleep", plugged_in)
    with pytest.raises(BoardSilent):
        bench.flash()
    assert other.commands == [] and set(other.flash) == {0xFF}
    if other.is_plugged_in:
        other.pull()


@pytest.mark.parametrize("stage", ["loading the stub", "starting the stub", "erasing", "writing a later block"])
def test_a_board_that_falls_silent_says_that_it_may_be_unplugged(bench, stage):
    kept = bench.provision()
    bench.device.fault = Fault(*STAGES[stage], "silence")
    error = bench.fails(BoardSilent)
    assert "safe to unplug" in error.hint
    assert ("nothing was written" in error.hint) == (stage in BEFORE_WRITING)
    recovers(bench, kept)


def test_a_board_that_crashes_where_the_stub_should_start_is_not_waited_for(bench):
    bench.device.fault = Fault(romloader.MEM_END, 1, "crash")
    assert "stopped answering" in bench.refused(BoardSilent)
    bench.flash()
    assert bench.starts() == "ota_0"


def test_a_port_on_which_nothing_answers_says_which_button_to_hold(tmp_path):
    bench = Bench("ESP32_GENERIC", tmp_path)
    bench.device.plug_in("application")  # no reset lines, and something runs that is no loader
    assert "BOOT button" in bench.refused(BoardSilent)
    assert bench.device.commands == []
    bench.device.pull()
    bench.device.plug_in("loader")
    bench.flash()
    bench.device.pull()
    assert bench.starts() == "ota_0"


@pytest.mark.parametrize("stage", ["comparing", "erasing", "writing a later block", "verifying"])
def test_noise_while_writing_is_answered_by_writing_again_more_slowly(bench, stage):
    kept = bench.provision()
    bench.device.fault = Fault(*STAGES[stage], "garbage")
    bench.flash()
    assert bench.device.bauds == [460800, 115200]
    good(bench, kept)


@pytest.mark.parametrize("stage", STAGES)
def test_garbage_on_the_line_is_survived_or_told_and_flashing_again_succeeds(bench, stage):
    kept = bench.provision()
    bench.device.fault = Fault(*STAGES[stage], "garbage")
    with contextlib.suppress(BoardSilent, FlashFailed, WrongBoard):
        bench.flash()
        good(bench, kept)
    bench.flash()
    good(bench, kept)


def test_a_line_that_is_all_garbage_is_a_silent_board(bench):
    bench.device.noisy = True
    assert "no ESP32 answers" in bench.refused(BoardSilent)


@pytest.mark.parametrize("name", ["ota_0", "otadata"])
def test_a_flash_cell_that_does_not_take_is_found(bench, name):
    bench.put(name, b"\x00" * 4096)
    bench.device.dead_bytes.add(bench.board.partitions[name].offset + 1000)
    error = bench.fails(FlashFailed)
    assert "does not take" in error.message and "broken" in error.hint
    assert bench.device.bauds == [460800, 115200]
    bench.device.dead_bytes.clear()
    bench.flash()
    assert bench.starts() == "ota_0"


@pytest.mark.parametrize("stage", ["erasing", "writing a later block", "verifying"])
def test_a_relay_that_runs_from_the_other_slot_goes_on_until_the_new_image_is_whole(bench, stage):
    bench.flash()
    kept = bench.provision(slot=1)
    bench.device.fault = Fault(*STAGES[stage], "pull")
    with pytest.raises(BoardSilent):
        bench.flash(bench.make_image("version 2"))
    assert bench.starts() == "ota_1"
    bench.plug_in_again()
    bench.flash(bench.make_image("version 2"))
    good(bench, kept)


def test_a_cable_pulled_when_all_is_written_says_so(bench, monkeypatch):
    def pulled(esp, mode):
        bench.device.pull()
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(esp32, "reset_chip", pulled)
    error = bench.fails(BoardSilent)
    assert "verified" in error.hint
    assert bench.starts() == "ota_0"


# -- the tools of these tests


@pytest.mark.parametrize("name", NAMES)
def test_a_board_s_image_begins_where_its_chip_looks_for_it(name):
    from esptool.targets import CHIP_DEFS

    board = board_folders.read_board(name)
    assert board.image_offset == CHIP_DEFS[board.mcu].BOOTLOADER_FLASH_OFFSET == esp32parts.CHIP_LOADER_AT[board.mcu]
    assert BOARDS[name].image_offset == board.image_offset


def test_the_table_is_formatted_as_esp_idf_does_it():
    """The first entry and the MD5's first bytes are those of ESP-IDF's own tests of gen_esp32part.py."""
    partition = board_folders.Partition
    table = esp32parts.partition_table(
        [
            partition("factory", "app", "factory", 0x10000, 1 << 20),
            partition("data", "data", "0x20", 0x110000, 512),
            partition("second", "0x10", "0x00", 0x150000, 4 << 10),
        ]
    )
    assert table[:32] == bytes.fromhex("aa500000 00000100 00001000") + b"factory".ljust(16, b"\0") + b"\0" * 4
    assert table[96:122] == b"\xeb\xeb" + b"\xff" * 14 + bytes.fromhex("f9bd061b45686f86571a")
    assert len(table) == 0xC00 and set(table[128:]) == {0xFF}


@pytest.mark.parametrize("mcu", romloader.KINDS)
def test_programs_made_for_tests_are_whole_to_esptool_and_one_bit_breaks_them(mcu):
    program = esp32parts.program(mcu, "version 1", 4096)
    assert esp32parts.is_whole(program, mcu)
    assert not esp32parts.is_whole(changed(100, b"?")(program), mcu)
    assert not esp32parts.is_whole(program[:-1], mcu)


@pytest.mark.parametrize("mcu", romloader.KINDS)
@pytest.mark.parametrize("compress", [False, True])
def test_the_virtual_rom_takes_what_esptool_writes_without_a_stub(tmp_path, mcu, compress):
    from esptool.cmds import attach_flash, detect_chip, write_flash

    device = romloader.VirtualBoard(mcu, tmp_path / "ttyUSB0")
    content = esp32parts.program(mcu, "through the ROM", 20 * 1024)
    with detect_chip(device.plug_in()) as esp:
        assert ":".join(f"{byte:02x}" for byte in esp.read_mac()) == "11:22:33:44:55:66"
        attach_flash(esp)
        write_flash(esp, [(0x10000, content)], compress=compress, no_compress=not compress)
    device.pull()
    assert romloader.MEM_BEGIN not in device.commands
    assert device.flash[0x10000 : 0x10000 + len(content)] == content
    assert set(device.flash[:0x10000]) == {0xFF}


def test_the_virtual_board_runs_no_other_code_than_the_stub(tmp_path):
    from esptool.cmds import detect_chip
    from esptool.loader import StubFlasher
    from esptool.util import FatalError

    device = romloader.VirtualBoard("esp32", tmp_path / "ttyUSB0")
    with detect_chip(serial.Serial(device.plug_in(), timeout=1)) as esp:
        stub = StubFlasher(esp)
        stub.text = stub.text[:-1] + b"?"
        with pytest.raises(FatalError, match="Failed to start stub"):
            esp.run_stub(stub)
    assert device.mode == "crashed"
    device.pull()
