"""Figures per board: its chip, its flash, how much of that the record ring and the key ring get, and how fast it is.

Owns what plans are checked against and the sizes that relay.json carries, and what a board is told by when an image is
flashed. Leaves to others: offsets and partition tables (the board folders, which are checked against this), what is
stored in the rings (the core).

The rest of each flash is for code, for littlefs (configuration, two parameter sets of at most 32 KiB, a ledger of 250
bytes an epoch: 98 KiB for the longest schedule) and for updates in service: a second code slot, or two bundles.
"""

from dataclasses import dataclass
from fractions import Fraction

from tessera.nor import PAGES_PER_SECTOR, SECTOR_BYTES
from tessera.params import SPARE_PAGES

from ..errors import UsageError

# Two banks of four sectors: an update that removes a key writes one bank and erases the other. A mark a round, and a
# lease for four posts, fill a bank of two so often that rounds of two minutes wear it out in seven years; four last 15.
KEYRING_SECTORS = 8

# Four members at once get such a cell from a heap of 192 KB where objects are twice as large as on a board
# (tests/core/test_memory.py). An ESP32 whose memory bears fewer lets fewer in (firmware/device/chip_esp32.py).
CELL_RECORDS = 1120

# Of a constant batch: what fits the sectors that a board erases in the window before a round, less one for pages that
# fail (tessera.machine, tessera.relay).
CONSTANT_RECORDS = 112

# A board's index has a byte for the bucket of a page, a server's u16, which is the page format's.
BUCKETS, BUCKETS_OF_SERVERS = 256, 1 << 16

# A record's page has 27 bits for its number in a batch (tessera.batch): 32 GiB.
_RING_SECTORS_MOST = (1 << 27) // PAGES_PER_SECTOR

# Of a Raspberry Pi Pico's time at 125 MHz (`make bench-device`, docs/measurements.md, rounded up): a full handshake
# with the ephemeral that it uses up, and a frame of 1,040 bytes, from a cell's request to what can be sent, on average
# over the cell. No other board's processor does less in a second.
HANDSHAKE_MS = Fraction(64)
FRAME_MS = Fraction(5)


@dataclass(frozen=True)
class Board:
    """One kind of hardware. Sizes are in erase sectors of 4096 bytes; erase_cycles is the flash maker's endurance.

    ring_sectors, keyring_sectors: of the two rings; where there is a ..._most that is more, a relay is made with what
    its members need. buckets: as many as its index tells apart. several: whether several processes can be one relay.
    mcu: the chip, as board.json names it, "" if there is none. image_offset: the byte of the flash at which the image
    of a board begins; on an ESP32 that is where its chip looks for the boot loader (board.json's flash_offset).
    network: what it reaches members over, ppp, wlan or lan. mhz: the clocks that its relay.json may ask for; without
    that a relay has the first of them. cell_records: of one cell, real ones and cover, as many as its heap has room for
    while four members read; None where memory is no question. constant_records: of a constant batch. handshake_ms,
    frame_ms: of its time, for a reader's full handshake and for a frame of a cell.
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
        """That a relay can have at most."""
        return int(max(self.ring_sectors, self.ring_sectors_most) * PAGES_PER_SECTOR)

    @property
    def fill_pages(self) -> int:
        """To which a bank of the key ring is filled at most: half of it, then the core writes a fresh one in the window
        after the next seal."""
        return int(max(self.keyring_sectors, self.keyring_sectors_most) // 2 * PAGES_PER_SECTOR // 2)

    def keyring_sectors_for(self, pages: int) -> int:
        """Of a relay whose snapshots have so many pages: on a server room for as many again to append."""
        wanted = 2 * -(-4 * pages // PAGES_PER_SECTOR)  # two banks, of which half is filled
        return max(self.keyring_sectors, min(wanted, self.keyring_sectors_most))

    def ring_sectors_for(self, records: int) -> int:
        """Of a relay that is made for so many records: on a server room for twice as many, so that an office can grow,
        and never less than ring_sectors."""
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
        # A server's rings are rows of a database, of which blank pages take no disk, 36 bytes of memory a sector and
        # little time at a start: 1 GiB keeps what 32,000 members post in four days of 32 records each, and it has more
        # where its members need more; 8 MiB the leases of 200,000 tokens, and 64 MiB those of 1.6 million, of which a
        # key ring can say how many pages they take.
        # `make bench`: 0.3 ms of both ends' 0.56 ms, and 0.04 ms.
        Board(
            "GATEWAY",
            _kib(1048576 + 8192),
            _kib(1048576),
            keyring_sectors=_kib(8192),
            cell_records=None,
            constant_records=0xFFFF,  # what the frames of a cell count
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
    """The board of this name. Raises UsageError that lists the names."""
    try:
        return BOARDS[name]
    except KeyError:
        raise UsageError(f"there is no board '{name}'", f"choose one of {', '.join(BOARDS)}") from None
