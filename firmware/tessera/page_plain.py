# The plain tier of page.py, which describes it: for MicroPython without the C module mbedcrypto, and for CPython.

import struct

from . import native
from .hashes import HmacKey
from .runtime import aes_cbc, aes_ecb, const

_BLOCK = const(16)
_ZEROS = bytes(_BLOCK)
_HEADER_BYTES = const(16)
_MAC_AT = const(10)
_PLACE_AT = const(3)  # the last byte of seq


class PageKey:
    """Encrypts and authenticates the pages of one epoch. keys: 64 bytes, for encryption and for the MAC."""

    def __init__(self, keys):
        encryption_key = bytes(keys[:32])
        self._mac = HmacKey(keys[32:])
        self._first_block = aes_ecb(encryption_key)
        # Decrypts all blocks but the first correctly, whatever it decrypted before: block i needs only block i - 1.
        self._reader = aes_cbc(encryption_key)
        # Encrypts all pages. Its chain runs on from the page before; XORing that page's last block in cancels this.
        self._writer = aes_cbc(encryption_key)
        self._chained = bytearray(_BLOCK)

    def seal(self, page_index, seq, round_, bucket, record, page):
        """Encrypt a record (240 bytes) into page (256 bytes). The top bit of seq says that the page is a copy."""
        mac = self._mac.digest(struct.pack(">IIIH", page_index, seq, round_, bucket), record)
        struct.pack_into(">IIH6s", page, 0, seq, round_, bucket, mac)
        page[_HEADER_BYTES:] = record
        native.add_blocks(page, self._chained, _ZEROS)
        self._writer.encrypt(page, page)
        self._chained[:] = page[-_BLOCK:]

    def open(self, page_index, page, plain):
        """Decrypt a page into plain (256 bytes each). Whether it was written under this key at this place; the time is
        the same in both cases."""
        self._reader.decrypt(page, plain)
        view = memoryview(plain)
        self.decrypt_header(memoryview(page)[:_HEADER_BYTES], view[:_HEADER_BYTES])
        covered = struct.pack(">I", page_index), view[:_MAC_AT], view[_HEADER_BYTES:]
        return self._mac.verify(view[_MAC_AT:_HEADER_BYTES], *covered) and not (plain[_PLACE_AT] ^ page_index) & 15

    def decrypt_header(self, first_block, header):
        """Decrypt the first block of a page into header (16 bytes)."""
        self._first_block.decrypt(first_block, header)

    def decrypt(self, data, out):
        """Decrypt data, a page or its first bytes, into out. out[16:] is right; out[:16], the header, is noise."""
        self._reader.decrypt(data, out)


def search(ciphers, epoch_rounds, buffer):
    """A function is_record(page_index) for the page in buffer (a PageBuffer), as page.py describes it."""
    first_block = memoryview(buffer.page)[:_HEADER_BYTES]

    def is_of(epoch, page_index):
        return buffer.round // epoch_rounds == epoch and not (buffer.header[_PLACE_AT] ^ page_index) & 15

    def is_record(page_index):
        fitting, found = None, 0
        for epoch in ciphers:
            ciphers[epoch].key.decrypt_header(first_block, buffer.header)
            is_its = is_of(epoch, page_index)
            fitting = epoch if is_its or fitting is None else fitting
            found += is_its
        whole = ciphers[fitting].open(page_index, buffer) and found > 0
        if found > 1 and not whole:  # noise that looks like a second header, in one of four billion pages
            whole = any(ciphers[epoch].open(page_index, buffer) and is_of(epoch, page_index) for epoch in ciphers)
        return whole

    return is_record
