# One record in one flash page. No other module knows the bytes of a page (PROTOCOL §10). Where pages lie is the
# business of recordlog.py, which epochs have keys that of keyring.
#
# PageKey and search() have two tiers: the C module mbedcrypto where the firmware has it, page_plain.py elsewhere.

from . import native
from .hashes import hkdf_expand
from .nor import PAGE_BYTES
from .runtime import const

HEAD_BYTES = const(32)  # the header and the first block of the record
RECORD_START_BYTES = const(8)  # of a record: a batch is sorted by them
LAST_SEQ = const(0x7FFFFFFF)
ROUND_AT = const(4)  # offset in the header, 4 bytes
BUCKET_AT = const(8)  # offset in the header, 2 bytes
_COPY_BIT = const(0x80000000)  # in seq: the page is a copy of the newest record in the sector that was used before
_HEADER_BYTES = const(16)


class PageBuffer:
    """A page as it is on flash and as it decrypts, with views that are made once, so that opening allocates nothing.

    page: the 256 bytes from flash; head: a view of the first 32. plain: 256 bytes into which PageCipher.open() writes;
    header (16), record (240) and record_start (8) are views of it.
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
        """Encrypt a record (240 bytes) into page (256 bytes). page_index: its place in the ring. A seq must never be
        used again under this key."""
        self.key.seal(page_index, seq | _COPY_BIT if is_copy else seq, round_, bucket, record, page)

    def open(self, page_index, buffer):
        """Whether the page in buffer (a PageBuffer) was written under this key at this place; if so it is decrypted.

        Its header is decrypted in any case, and the time is the same. In a page that was written at this place the last
        four bits of seq and page_index agree.
        """
        return self.key.open(page_index, buffer.page, buffer.plain)

    def decrypt(self, data, out):
        """Decrypt data, a page or its first bytes, into out. out[16:] is right; out[:16], the header, is noise.

        Nothing is checked: pages in the index were checked when they were written or at boot (PROTOCOL §9).
        """
        self.key.decrypt(data, out)


try:
    from mbedcrypto import PageKey, PageSearch

    def search(ciphers, epoch_rounds, buffer):
        """A function is_record(page_index) for the page in buffer (a PageBuffer).

        It returns whether the page is a record of one of the epochs that was written at this place, and if so decrypts
        it. ciphers: {epoch: PageCipher}, at least one. It does the same work for every page, otherwise the time of a
        start would tell how many records there are.
        """
        epochs = list(ciphers)
        return PageSearch([ciphers[epoch].key for epoch in epochs], epochs, epoch_rounds, buffer.page, buffer.plain)

except ImportError:
    from .page_plain import PageKey, search  # noqa: F401
