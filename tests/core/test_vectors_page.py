# page.json: one record in one flash page.

from check import unhex, vectors
from damage import changed, changes
from tessera import page_plain
from tessera.hashes import hkdf_expand
from tessera.nor import PAGE_BYTES
from tessera.page import HEAD_BYTES, PageBuffer, PageCipher, PageKey, search
from tessera.runtime import aes_cbc


def _head(row):
    return row["seq"], row["copy"], row["round"], row["bucket"]


def _sealed(cipher, row):
    page, place = bytearray(PAGE_BYTES), (row["page_index"], row["seq"], row["round"], row["bucket"])
    cipher.seal(*(place + (unhex(row["record"]), page, row["copy"])))
    return page


def _opened(cipher, page_index, page):
    """(head, record) of a page, None if it is not one of this key at this place."""
    buffer = PageBuffer()
    buffer.page[:] = page
    if not cipher.open(page_index, buffer):
        return None
    return (buffer.seq, buffer.is_copy, buffer.round, buffer.bucket), bytes(buffer.record)


def test_sealing_gives_the_vectors_pages():
    for row in vectors("page"):
        assert _sealed(PageCipher(unhex(row["page_key"])), row) == unhex(row["page"]), row["page_index"]


def test_page_keys_are_the_vectors():
    for row in vectors("page"):
        assert hkdf_expand(unhex(row["page_key"]), b"page", 64) == unhex(row["enc"] + row["mac_key"])


def test_opening_gives_head_and_record_back():
    for row in vectors("page"):
        cipher = PageCipher(unhex(row["page_key"]))
        found = _opened(cipher, row["page_index"], unhex(row["page"]))
        assert found == (_head(row), unhex(row["record"])), row["page_index"]


def test_decrypting_gives_the_record_back_from_a_page_and_from_its_head():
    for row in vectors("page"):
        cipher = PageCipher(unhex(row["page_key"]))
        page, record = unhex(row["page"]), unhex(row["record"])
        out = bytearray(PAGE_BYTES)
        for _ in range(2):  # whatever the cipher decrypted before
            cipher.decrypt(page, out)
            assert out[16:] == record
            out = bytearray(PAGE_BYTES)
            cipher.decrypt(page[:HEAD_BYTES], out)
            assert out[16:HEAD_BYTES] == record[:16] and out[HEAD_BYTES:] == bytes(PAGE_BYTES - HEAD_BYTES)


def test_one_cipher_opens_seals_and_decrypts_in_any_order():
    rows = vectors("page")
    cipher = PageCipher(unhex(rows[0]["page_key"]))
    pages = [_sealed(cipher, row) for row in rows]
    out = bytearray(PAGE_BYTES)
    for place in range(2 * len(rows)):
        row, page = rows[place % len(rows)], pages[place % len(rows)]
        assert _opened(cipher, row["page_index"], page) == (_head(row), unhex(row["record"]))
        cipher.decrypt(pages[-1 - place % len(rows)], out)
        assert _sealed(cipher, row) == page
        assert _opened(cipher, row["page_index"], changed(page, 200)) is None


def test_a_changed_byte_is_no_page():
    for row in vectors("page"):
        cipher = PageCipher(unhex(row["page_key"]))
        for damaged in changes(unhex(row["page"])):
            assert _opened(cipher, row["page_index"], damaged) is None


def test_a_page_elsewhere_or_under_another_key_is_no_page():
    for row in vectors("page"):
        key, page, index = unhex(row["page_key"]), unhex(row["page"]), row["page_index"]
        for elsewhere in (index ^ 1, index ^ 8, index + 16, index + 256, index + 65536):
            assert _opened(PageCipher(key), elsewhere, page) is None
        assert _opened(PageCipher(changed(key, 31)), index, page) is None
        # With the right place bits in the header the MAC alone decides.
        assert _opened(PageCipher(key), index ^ 16, page) is None


def test_every_byte_of_the_mac_counts():
    # Encrypted anew with the right key: a change of the page itself would scramble the whole first block.
    for row in vectors("page"):
        mac, record = unhex(row["mac"]), unhex(row["record"])
        start = unhex(row["head"])
        cipher = PageCipher(unhex(row["page_key"]))
        for head in changes(start + mac):
            page = aes_cbc(unhex(row["enc"])).encrypt(head + record)
            assert _opened(cipher, row["page_index"], page) is None
        assert aes_cbc(unhex(row["enc"])).encrypt(start + mac + record) == unhex(row["page"])


def test_a_page_whose_seq_does_not_fit_its_place_is_no_page():
    # PROTOCOL §10: seq mod 16 = page_index mod 16.
    row = vectors("page")[0]
    cipher = PageCipher(unhex(row["page_key"]))
    page = bytearray(PAGE_BYTES)
    for step in range(1, 16):
        cipher.seal(row["page_index"], row["seq"] + step, row["round"], row["bucket"], bytes(240), page)
        assert _opened(cipher, row["page_index"], page) is None


def test_both_tiers_seal_open_and_decrypt_alike():
    for row in vectors("page"):
        keys, index, page = unhex(row["enc"] + row["mac_key"]), row["page_index"], unhex(row["page"])
        head = row["seq"] | row["copy"] << 31, row["round"], row["bucket"]
        plains = []
        for kind in (PageKey, page_plain.PageKey):
            key, sealed, plain = kind(keys), bytearray(PAGE_BYTES), bytearray(PAGE_BYTES)
            for _ in range(2):
                key.seal(index, *(head + (unhex(row["record"]), sealed)))
                assert sealed == page
            assert key.open(index, page, plain) and not key.open(index, changed(page, 17), bytearray(PAGE_BYTES))
            plains.append(plain)
        assert plains[0] == plains[1] and plains[0][16:] == unhex(row["record"])


def test_a_page_is_found_by_the_epoch_that_its_own_header_tells():
    ciphers = {epoch: PageCipher(bytes((epoch,)) * 32) for epoch in (3, 4, 7)}
    plain = {epoch: PageCipher(bytes((epoch,)) * 32) for epoch in ciphers}
    for epoch in plain:
        plain[epoch].key = page_plain.PageKey(hkdf_expand(bytes((epoch,)) * 32, b"page", 64))
    buffers = PageBuffer(), PageBuffer()
    searches = search(ciphers, 10, buffers[0]), page_plain.search(plain, 10, buffers[1])
    page = bytearray(PAGE_BYTES)

    def found(index, content):
        answers = []
        for buffer, is_record in zip(buffers, searches):
            buffer.page[:] = content
            answers.append(is_record(index))
        assert answers[0] == answers[1]
        if answers[0]:
            assert buffers[0].plain == buffers[1].plain
        return answers[0]

    for epoch in ciphers:
        first = 10 * epoch
        for round_, expected in ((first, True), (first + 9, True), (first - 1, False), (first + 10, False)):
            for index, seq in ((5, 0x125), (0x10F, 0x7FFFFFFF)):
                ciphers[epoch].seal(index, seq, round_, 513, bytes(range(240)), page, epoch == 4)
                assert found(index, page) == expected, (epoch, round_)
                if expected:
                    assert (buffers[0].seq, buffers[0].round, buffers[0].bucket) == (seq, round_, 513)
                    assert buffers[0].is_copy == (epoch == 4) and buffers[0].record == bytes(range(240))
                assert not found(index ^ 1, page) and not found(index ^ 32, page)
                for at in (0, 15, 16, 255):
                    assert not found(index, changed(page, at))
    for content in (b"\xff" * PAGE_BYTES, bytes(PAGE_BYTES)):
        assert not any(found(index, content) for index in range(32))


def test_blank_and_zero_pages_are_no_pages():
    for row in vectors("page"):
        cipher = PageCipher(unhex(row["page_key"]))
        for index in range(16):
            assert _opened(cipher, index, b"\xff" * PAGE_BYTES) is None
            assert _opened(cipher, index, bytes(PAGE_BYTES)) is None
