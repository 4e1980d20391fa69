"""Figures of each board: its chip, its flash and how record ring and key ring share it, and its speed.

Owns the limits that plans are checked against, the sizes in relay.json, and the chip by which flashing recognises a
board. Leaves to others: offsets and partition tables (the board folders, which are checked against this), the content
of the rings (the core).

The rest of each flash is for code, for littlefs (configuration, two parameter sets of at most 32 KiB, and a ledger with
250 bytes for each epoch: 98 KiB for the longest schedule) and for updates: a second code slot, or two bundles.
"""

from dataclasses import dataclass
from fractions import Fraction

from tessera.nor import PAGES_PER_SECTOR, SECTOR_BYTES
from tessera.params import SPARE_PAGES

from ..errors import UsageError

# Two banks of four sectors each. A key ring gets a mark for each round and a lease for each four posts. With banks of
# two sectors, rounds of two minutes wear the flash out in seven years; with four it lasts 15.
KEYRING_SECTORS = 8

# Records of the largest cell that four members can fetch at once from a heap of 192 KB in which objects are twice as
# large as on a board (tests/core/test_memory.py). An ESP32 with less memory takes fewer sessions
# (firmware/device/chip_esp32.py).
CELL_RECORDS = 1120

# Records of a constant batch that fit into the sectors that a board erases in the window before a round, of which one
# is left for pages that fail (tessera.machine, tessera.relay).
CONSTANT_RECORDS = 112

# A board's index has one byte for the bucket of a page, a server's has two, as the page format has.
BUCKETS, BUCKETS_OF_SERVERS = 256, 1 << 16

# A batch has 27 bits for the number of a page (tessera.batch), which is enough for 32 GiB.
_RING_SECTORS_MOST = (1 << 27) // PAGES_PER_SECTOR

# Milliseconds of a Raspberry Pi Pico at 125 MHz (`make bench-device`, docs/measurements.md, rounded up), which is the
# slowest of the boards: for a full handshake with its ephemeral key, and for a frame of 1,040 bytes of a cell, from its
# request to what can be sent, on average over the cell.
HANDSHAKE_MS = Fraction(64)
FRAME_MS = Fraction(5)


@dataclass(frozen=True)
class Board:
    """One kind of hardware.

    flash_sectors, ring_sectors, keyring_sectors: in erase sectors of 4096 bytes. ring_sectors_most,
    keyring_sectors_most: if they are more, a relay is made with what its members need, up to these. erase_cycles: the
    flash's rated endurance. mcu: the chip, as board.json names it, "" for a server. image_offset: the byte of the flash
    at which an image begins; on an ESP32 the chip looks for the boot loader there (flash_offset in board.json).
    network: "ppp", "wlan" or "lan". mhz: the processor clocks that relay.json may ask for, the default first. buckets:
    that its index can tell apart. several: whether several processes can be one relay. cell_records: records, with
    cover, of the largest cell that its heap has room for while four members read; None for no limit. constant_records:
    of the largest constant batch. handshake_ms, frame_ms: how long a reader's full handshake and a frame of a cell
    take.
    """

    name: str
    flash_sectors: int
    ring_sectors: int
    mcu: str = ""
    image_offset: int = 0
    network: str = ""
    mhz: tuple[int, ...] = ()
    keyring_sectors: int = KEYRING_SECTORS
    erase_cycles: int = 100_000
    cell_records: int | None = CELL_RECORDS
    constant_records: int = CONSTANT_RECORDS
    ring_sectors_most: int = 0
    keyring_sectors_most: int = 0
    buckets: int = BUCKETS
    several: bool = False
    handshake_ms: Fraction = HANDSHAKE_MS
    frame_ms: Fraction = FRAME_MS

    @property
    def flash_bytes(self) -> int:
        return int(self.flash_sectors * SECTOR_BYTES)

    @property
    def ring_pages(self) -> int:
        """The pages of the largest record ring that a relay on it can have."""
        return int(max(self.ring_sectors, self.ring_sectors_most) * PAGES_PER_SECTOR)

    @property
    def fill_pages(self) -> int:
        """How many pages of a key ring's bank are filled at most: half of them. Then the core begins a new bank in the
        window after the next seal."""
        return int(max(self.keyring_sectors, self.keyring_sectors_most) // 2 * PAGES_PER_SECTOR // 2)

    def keyring_sectors_for(self, pages: int) -> int:
        """Sectors of the key ring of a relay whose snapshots have so many pages. On a server they leave as many pages
        for what is appended."""
        wanted = 2 * -(-4 * pages // PAGES_PER_SECTOR)  # two banks, of which half is filled
        return max(self.keyring_sectors, min(wanted, self.keyring_sectors_most))

    def ring_sectors_for(self, records: int) -> int:
        """Sectors of the record ring of a relay that is made for so many records. On a server there is room for twice
        as many, so that an office can grow; never less than ring_sectors."""
        wanted = -(-2 * (records + SPARE_PAGES) // PAGES_PER_SECTOR)
        return max(self.ring_sectors, min(wanted, self.ring_sectors_most))


def _kib(kibibytes: int) -> int:
    return int(kibibytes * 1024 // SECTOR_BYTES)


BOARDS = {
    board.name: board
    for board in (
        # 2048 KiB = 832 code + 2 × 96 bundles + 160 littlefs + 32 key ring + 832 ring. One code slot: two Wi-Fi images
        # do not fit.
        Board("RPI_PICO", _kib(2048), _kib(832), "rp2040", network="ppp", mhz=(200, 125)),
        Board("RPI_PICO_W", _kib(2048), _kib(832), "rp2040", network="wlan", mhz=(200, 125)),
        # 4096 KiB = 1280 code + 2 × 96 bundles + 256 littlefs + 32 key ring + 2336 ring. The record log's index takes 2
        # bytes a page and 8 a sector: 23 KiB of its 520 of RAM.
        Board("RPI_PICO2_W", _kib(4096), _kib(2336), "rp2350", network="wlan"),
        # 4096 KiB = 64 boot loader, nvs, otadata, phy + 2 × 1536 code (MicroPython's 4 MiB OTA table) + 160 littlefs
        # + 32 key ring + 768 ring. 768, not 832: the ledger of a whole schedule must fit beside two parameter sets.
        Board("ESP32_GENERIC", _kib(4096), _kib(768), "esp32", 0x1000, network="wlan"),
        Board("ESP32_GENERIC_C3", _kib(4096), _kib(768), "esp32c3", network="wlan"),
        Board("OLIMEX_ESP32_POE", _kib(4096), _kib(768), "esp32", 0x1000, network="lan"),
        # 8192 KiB = 64 + 2 × 2048 code + 512 littlefs + 32 key ring + 3072 ring, and 416 to spare: 30 KiB of index.
        Board("ESP32_GENERIC_S3", _kib(8192), _kib(3072), "esp32s3", network="wlan"),
        # A server's rings are rows of a database. Blank pages take no disk, 36 bytes of memory for each sector and
        # little time at a start. A record ring of 1 GiB has room for what 32,000 members post in four days of 32
        # records each; it is larger if members need more. A key ring of 8 MiB holds the leases of 200,000 tokens, 64
        # MiB those of 1.6 million. Times by `make bench`: 0.3 ms of 0.56 ms for both ends of a handshake, and 0.04 ms
        # for a frame.
        Board(
            "GATEWAY",
            _kib(1048576 + 8192),
            _kib(1048576),
            keyring_sectors=_kib(8192),
            cell_records=None,
            constant_records=0xFFFF,  # a frame has 16 bits for the number of records in its cell
            ring_sectors_most=_RING_SECTORS_MOST,
            keyring_sectors_most=_kib(65536),
            buckets=BUCKETS_OF_SERVERS,
            several=True,
            handshake_ms=Fraction(1),
            frame_ms=Fraction(1, 10),
        ),
    )
}


def board(name: str) -> Board:
    """The board of this name. Raises UsageError with the known names."""
    try:
        return BOARDS[name]
    except KeyError:
        raise UsageError(f"there is no board '{name}'", f"choose one of {', '.join(BOARDS)}") from None
