# One record in one flash page: the only module that knows a page's bytes (PROTOCOL §10).
# Where pages are and which epochs have keys is the business of recordlog and keyring.
#
# What a page is under its keys has two tiers: the C module mbedcrypto where the firmware has it, page_plain.py
# elsewhere.

from . import native
from .hashes import hkdf_expand
from .nor import PAGE_BYTES
from .runtime import const

HEAD_BYTES = const(32)  # the header and the first block of the record
RECORD_START_BYTES = const(8)  # what a batch is sorted by
LAST_SEQ = const(0x7FFFFFFF)
ROUND_AT = const(4)  # in the header, as BUCKET_AT
BUCKET_AT = const(8)  # two bytes
_COPY_BIT = const(0x80000000)  # of seq: the page is a copy of the newest record in the sector used before
_HEADER_BYTES = const(16)


class PageBuffer:
    """A page of flash and what it decrypts to, with views that are made once: opening a page allocates nothing.

    page (256 bytes) comes from flash; header (16) and record (240) are what PageCipher.open() leaves, one after the
    other in plain.
    """

    def __init__(self):
        self.page = bytearray(PAGE_BYTES)
        self.head = memoryview(self.page)[:HEAD_BYTES]
        self.plain = bytearray(PAGE_BYTES)
        self.header = memoryview(self.plain)[:_HEADER_BYTES]
        self.record = memoryview(self.plain)[_HEADER_BYTES:]
        self.record_start = self.record[:RECORD_START_BYTES]

    @property
    def round(self):
        """The round in the header."""
        return native.read_u32(self.header, ROUND_AT)

    @property
    def bucket(self):
        """The bucket in the header."""
        return self.header[BUCKET_AT] << 8 | self.header[BUCKET_AT + 1]

    @property
    def is_copy(self):
        """Whether the page is a copy of the newest record in the sector used before."""
        return self.header[0] > 127

    @property
    def seq(self):
        """The seq in the header."""
        return native.read_u32(self.header, 0) & LAST_SEQ


class PageCipher:
    """The pages of one epoch, under its page key (32 bytes)."""

    def __init__(self, page_key):
        self.key = PageKey(hkdf_expand(page_key, b"page", 64))

    def seal(self, page_index, seq, round_, bucket, record, page, is_copy=False):
        """Write the page for a record (240 bytes) into page (256 bytes). seq must be new under this key."""
        self.key.seal(page_index, seq | _COPY_BIT if is_copy else seq, round_, bucket, record, page)

    def open(self, page_index, buffer):
        """Whether the page in buffer (PageBuffer) was written under this key at this place; if so it is decrypted. Its
        header is in any case; and the time is the same. In such a page seq and page_index agree in their last bits."""
        return self.key.open(page_index, buffer.page, buffer.plain)

    def decrypt(self, data, out):
        """Decrypt a page, or the first bytes of one, without its header: out[16:] is right, out[:16] is noise.

        No check: pages in the index were checked when they were written or at boot (PROTOCOL §9).
        """
        self.key.decrypt(data, out)


try:
    from mbedcrypto import PageKey, PageSearch

    def search(ciphers, epoch_rounds, buffer):
        """search(page_index) -> whether the page in buffer is a record of one of the epochs, by its own header at this
        place; it is decrypted then. ciphers: {epoch: PageCipher}, at least one.

        The same work for every page, or the time of a start would tell how many records there are.
        """
        epochs = list(ciphers)
        return PageSearch([ciphers[epoch].key for epoch in epochs], epochs, epoch_rounds, buffer.page, buffer.plain)

except ImportError:
    from .page_plain import PageKey, search  # noqa: F401
