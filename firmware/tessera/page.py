# One record in one flash page: the only module that knows a page's bytes (PROTOCOL §10).
# Where pages are and which epochs have keys is the business of recordlog and keyring.
#
# It has two tiers: the C module mbedcrypto where the firmware has it, plain Python elsewhere.

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
_MAC_AT = const(10)
_PLACE_AT = const(3)  # the last byte of seq


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


class PlainPageKey:
    """What a page of one epoch is under its two keys (64 bytes: for encryption, for the MAC)."""

    def __init__(self, keys):
        encryption_key = bytes(keys[:32])
        self._mac = HmacKey(keys[32:])
        self._first_block = aes_ecb(encryption_key)
        # Decrypts every block but the first of what it is given, whatever came before: c_i needs only c_{i-1}.
        self._reader = aes_cbc(encryption_key)
        # Encrypts all pages. Its chain goes on from the page before; adding that one's last block cancels that.
        self._writer = aes_cbc(encryption_key)
        self._chained = bytearray(_BLOCK)

    def seal(self, page_index, seq, round_, bucket, record, page):
        """Write the page for a record (240 bytes) into page (256 bytes). seq has the bit that says it is a copy."""
        mac = self._mac.digest(struct.pack(">IIIH", page_index, seq, round_, bucket), record)
        struct.pack_into(">IIH6s", page, 0, seq, round_, bucket, mac)
        page[_HEADER_BYTES:] = record
        native.add_blocks(page, self._chained, _ZEROS)
        self._writer.encrypt(page, page)
        self._chained[:] = page[-_BLOCK:]

    def open(self, page_index, page, plain):
        """Decrypt a page into plain (256 bytes); whether it was written under this key at this place. The time is the
        same whether it was or not."""
        self._reader.decrypt(page, plain)
        view = memoryview(plain)
        self.decrypt_header(memoryview(page)[:_HEADER_BYTES], view[:_HEADER_BYTES])
        covered = struct.pack(">I", page_index), view[:_MAC_AT], view[_HEADER_BYTES:]
        return self._mac.verify(view[_MAC_AT:_HEADER_BYTES], *covered) and not (plain[_PLACE_AT] ^ page_index) & 15

    def decrypt_header(self, first_block, header):
        """The header (16 bytes) from a page's first block."""
        self._first_block.decrypt(first_block, header)

    def decrypt(self, data, out):
        """Decrypt a page, or the first bytes of one, without its header: out[16:] is right, out[:16] is noise."""
        self._reader.decrypt(data, out)


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


def plain_search(ciphers, epoch_rounds, buffer):
    """search(page_index) -> whether the page in buffer is a record of one of the epochs, by its own header at this
    place; it is decrypted then. ciphers: {epoch: PageCipher}, at least one.

    The same work for every page, or the time of a start would tell how many records there are.
    """
    first_block = memoryview(buffer.page)[:_HEADER_BYTES]

    def is_of(epoch, page_index):
        return buffer.round // epoch_rounds == epoch and not (buffer.header[_PLACE_AT] ^ page_index) & 15

    def search(page_index):
        fitting, found = None, 0
        for epoch in ciphers:
            ciphers[epoch].key.decrypt_header(first_block, buffer.header)
            is_its = is_of(epoch, page_index)
            fitting = epoch if is_its or fitting is None else fitting
            found += is_its
        whole = ciphers[fitting].open(page_index, buffer) and found > 0
        if found > 1 and not whole:  # of noise that looks like a header there is some in four billion pages
            whole = any(ciphers[epoch].open(page_index, buffer) and is_of(epoch, page_index) for epoch in ciphers)
        return whole

    return search


try:
    from mbedcrypto import PageKey, PageSearch

    def search(ciphers, epoch_rounds, buffer):
        """As plain_search, in one call a page."""
        epochs = list(ciphers)
        return PageSearch([ciphers[epoch].key for epoch in epochs], epochs, epoch_rounds, buffer.page, buffer.plain)

except ImportError:
    PageKey, search = PlainPageKey, plain_search
