# One record in one flash page: the only module that knows a page's bytes (PROTOCOL §10).
# Where pages are and which epochs have keys is the business of recordlog and keyring.

import struct

from .hashes import HmacKey, hkdf_expand
from .runtime import aes_cbc, aes_ecb, const, copy_block

PAGE_BYTES = const(256)
HEAD_BYTES = const(32)  # the header and the first block of the record
RECORD = const(1)  # kind
COPY = const(2)  # kind: of the newest record in the sector used before
_HEADER_BYTES = const(16)
_MAC_AT = const(10)
_MAC_BYTES = const(6)
_MAC_START_BYTES = const(14)


class PageCipher:
    """The pages of one epoch, under its page key (32 bytes)."""

    def __init__(self, page_key):
        keys = hkdf_expand(page_key, b"page", 64)
        self._encryption_key = keys[:32]
        self._mac = HmacKey(keys[32:])
        self._first_block = aes_ecb(self._encryption_key)
        # Decrypts every block but the first of what it is given, whatever came before: c_i needs only c_{i-1}.
        self._reader = aes_cbc(self._encryption_key)
        self._header = bytearray(_HEADER_BYTES)
        self._mac_start = bytearray(_MAC_START_BYTES)  # what the MAC covers before the record: page, seq … kind
        self._mac_read = memoryview(self._header)[_MAC_AT:]

    def seal(self, page_index, seq, round_, bucket, kind, record, out):
        """Write the page for a record (240 bytes) into out (256 bytes). seq must be new under this key."""
        struct.pack_into(">IIBB", out, 0, seq, round_, bucket, kind)
        view = memoryview(out)
        view[_HEADER_BYTES:] = record
        struct.pack_into(">IIIBB", self._mac_start, 0, page_index, seq, round_, bucket, kind)
        view[_MAC_AT:_HEADER_BYTES] = self._mac.digest(self._mac_start, record)[:_MAC_BYTES]
        aes_cbc(self._encryption_key).encrypt(out, out)

    def open(self, page_index, page, out):
        """(seq, round, bucket, kind) of a page written under this key, its record in out[16:]; None for any other page.

        page and out are 256 bytes.
        """
        header = self._header
        self._first_block.decrypt(memoryview(page)[:_HEADER_BYTES], header)
        if (header[3] ^ page_index) & 15:  # seq and page agree in the place: spares 15 of 16 strangers the MAC
            return None
        self._reader.decrypt(page, out)
        struct.pack_into(">I10s", self._mac_start, 0, page_index, header)
        if not self._mac.verify(self._mac_read, self._mac_start, memoryview(out)[_HEADER_BYTES:]):
            return None
        copy_block(out, header)
        return struct.unpack_from(">IIBB", header)

    def decrypt(self, data, out):
        """Decrypt a page, or the first bytes of one, without its header: out[16:] is right, out[:16] is noise.

        No check: pages in the index were checked when they were written or at boot (PROTOCOL §9).
        """
        self._reader.decrypt(data, out)
