# One record in one flash page: the only module that knows a page's bytes (PROTOCOL §10).
# Where pages are and which epochs have keys is the business of recordlog and keyring.

import struct

from . import native
from .hashes import HmacKey, hkdf_expand
from .nor import PAGE_BYTES
from .runtime import aes_cbc, aes_ecb, const

HEAD_BYTES = const(32)  # the header and the first block of the record
RECORD_START_BYTES = const(8)  # what a batch is sorted by
LAST_SEQ = const(0x7FFFFFFF)
ROUND_AT = const(4)  # in the header, as BUCKET_AT
BUCKET_AT = const(8)  # two bytes
_COPY_BIT = const(0x80000000)  # of seq: the page is a copy of the newest record in the sector used before
_BLOCK = const(16)
_ZEROS = bytes(_BLOCK)
_HEADER_BYTES = const(16)
_INDEX_BYTES = const(4)
_COVERED_BYTES = const(14)
_PLACE_AT = const(7)  # the last byte of seq, behind the index


class PageBuffer:
    """A page of flash and what it decrypts to, with views that are made once: opening a page allocates nothing.

    page (256 bytes) comes from flash; header (16) and record (240) are what PageCipher.open() leaves.
    """

    def __init__(self):
        self.page = bytearray(PAGE_BYTES)
        self.first_block = memoryview(self.page)[:_HEADER_BYTES]
        self.head = memoryview(self.page)[:HEAD_BYTES]
        self.plain = bytearray(PAGE_BYTES)
        self.record = memoryview(self.plain)[_HEADER_BYTES:]
        self.record_start = self.record[:RECORD_START_BYTES]
        # The header stands behind the page's index, as the MAC covers both.
        self.indexed_header = bytearray(_INDEX_BYTES + _HEADER_BYTES)
        self.header = memoryview(self.indexed_header)[_INDEX_BYTES:]
        self.covered = memoryview(self.indexed_header)[:_COVERED_BYTES]
        self.mac = memoryview(self.indexed_header)[_COVERED_BYTES:]

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
        keys = hkdf_expand(page_key, b"page", 64)
        encryption_key = keys[:32]
        self._mac = HmacKey(keys[32:])
        self._first_block = aes_ecb(encryption_key)
        # Decrypts every block but the first of what it is given, whatever came before: c_i needs only c_{i-1}.
        self._reader = aes_cbc(encryption_key)
        # Encrypts all pages. Its chain goes on from the page before; adding that one's last block cancels that.
        self._writer = aes_cbc(encryption_key)
        self._chained = bytearray(_BLOCK)

    def seal(self, page_index, seq, round_, bucket, record, page, is_copy=False):
        """Write the page for a record (240 bytes) into page (256 bytes). seq must be new under this key."""
        if is_copy:
            seq |= _COPY_BIT
        mac = self._mac.digest(struct.pack(">IIIH", page_index, seq, round_, bucket), record)
        struct.pack_into(">IIH6s", page, 0, seq, round_, bucket, mac)
        page[_HEADER_BYTES:] = record
        native.add_blocks(page, self._chained, _ZEROS)
        self._writer.encrypt(page, page)
        self._chained[:] = page[-_BLOCK:]

    def fits(self, page_index, buffer):
        """Whether the page in buffer (PageBuffer) may have been written under this key at this place, as seq and page
        agree in one. Its header is decrypted in any case."""
        self._first_block.decrypt(buffer.first_block, buffer.header)
        return not (buffer.indexed_header[_PLACE_AT] ^ page_index) & 15

    def open(self, page_index, buffer):
        """Whether the page in buffer (PageBuffer) was written under this key at this place; if so it is decrypted. Its
        header is in any case; and the time is the same."""
        fits = self.fits(page_index, buffer)
        self._reader.decrypt(buffer.page, buffer.plain)
        struct.pack_into(">I", buffer.indexed_header, 0, page_index)
        return self._mac.verify(buffer.mac, buffer.covered, buffer.record) and fits

    def decrypt(self, data, out):
        """Decrypt a page, or the first bytes of one, without its header: out[16:] is right, out[:16] is noise.

        No check: pages in the index were checked when they were written or at boot (PROTOCOL §9).
        """
        self._reader.decrypt(data, out)
