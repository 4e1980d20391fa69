# keyring.json: the key ring's pages, read from and written to a device of two banks of one sector.

from check import raises, unhex, vectors
from damage import changed, changes
from ramdevice import RamDevice
from tessera.errors import Fault
from tessera.hashes import sha256
from tessera.keyring import KeyRing
from tessera.nor import PAGE_BYTES

_SECOND_BANK = 16  # its first page
_NEWEST = 0xFFFFFFFF  # the generation of the vector that stands alone


def _row(page_index):
    return next(row for row in vectors("keyring") if row["page_index"] == page_index)


def _device(*rows):
    device = RamDevice(2)
    for row in rows:
        device.put(row["page_index"] * PAGE_BYTES, unhex(row["page"]))
    return device


def _bank(without=()):
    """The vectors of one relay: an old bank with its HEAD, and the bank that counts."""
    rows = [row for row in vectors("keyring") if row["generation"] != _NEWEST]
    return _device(*[row for row in rows if row["page_index"] not in without])


def _loaded(device):
    ring = KeyRing(device)
    assert ring.load()
    return ring


def _page(device, index):
    return device.get(index * PAGE_BYTES, PAGE_BYTES)


def _signed_page(generation, page_index, kind, body):
    """A page of the protocol's format, made here."""
    content = generation.to_bytes(4, "big") + bytes((kind, len(body), 0, 0)) + body + bytes(232 - len(body))
    tag = sha256(b"tessera/1/keyring")
    return content + sha256(tag, tag, page_index.to_bytes(4, "big"), content)[:16]


def _assert_head(ring, fields):
    for name in ("flags", "boots", "next_sector", "sealed_next", "sealed_count", "commissioned"):
        assert getattr(ring, name) == fields[name], name
    assert ring.seed == unhex(fields["seed"])


def _epochs(fields):
    return {row["epoch"]: (unhex(row["page_key"]), unhex(row["cover_state"])) for row in fields["epochs"]}


def _leases(fields):
    return {unhex(row["token_id"]): row["leases"] for row in fields["tokens"]}


def test_a_head_alone_gives_its_fields():
    row = _row(0)
    ring = _loaded(_device(row))
    _assert_head(ring, row["fields"])
    assert ring.epochs == {} and ring.leases == {}


def test_the_bank_with_the_highest_generation_counts():
    ring = _loaded(_bank())
    mark, lease = _row(21)["fields"], _row(22)["fields"]
    assert ring.flags == 1 and ring.boots == 3 and ring.next_sector == 212 and ring.commissioned == 30
    assert ring.seed == unhex(_row(_SECOND_BANK)["fields"]["seed"])
    assert ring.epochs == _epochs(_row(17)["fields"])
    assert (ring.sealed_next, ring.sealed_count) == (mark["sealed_next"], mark["sealed_count"])
    leases = _leases(_row(19)["fields"])
    leases[unhex(lease["token_id"])] = lease["leases"]
    assert ring.leases == leases and ring.lease_epoch == 30


def test_each_appended_page_counts_for_itself():
    assert _loaded(_bank(without=(21,))).sealed_next == _row(_SECOND_BANK)["fields"]["sealed_next"]
    assert _loaded(_bank(without=(22,))).leases == _leases(_row(19)["fields"])
    _assert_head(_loaded(_bank(without=(_SECOND_BANK,))), _row(0)["fields"])


def test_a_page_of_the_snapshot_that_cannot_be_read_is_a_fault():
    for page_index in (17, 18, 19, 20):
        raises(Fault, KeyRing(_bank(without=(page_index,))).load)
    device = _bank()
    for damaged in changes(unhex(_row(17)["page"]), 5):
        device.put(17 * PAGE_BYTES, damaged)
        raises(Fault, KeyRing(device).load)


def test_a_page_of_another_generation_does_not_count():
    device = _bank()
    device.put(31 * PAGE_BYTES, unhex(_row(31)["page"]))
    other = _signed_page(1, 30, 4, (1).to_bytes(4, "big") + (1).to_bytes(4, "big"))
    device.put(30 * PAGE_BYTES, other)
    ring = _loaded(device)
    assert ring.sealed_next == 8642 and ring.commissioned == 30 and ring.flags == 1


def test_flags_of_the_highest_generation_count():
    row = _row(31)
    body = bytearray(unhex(_row(_SECOND_BANK)["body"]))
    body[1] = 0  # flags
    body[-6:-2] = b"\xff\xff\xff\xff"  # commissioned
    body[-2:] = b"\x00\x00"  # snapshot_pages
    device = _bank()
    head = _signed_page(_NEWEST, _SECOND_BANK, 1, bytes(body))
    device.put(_SECOND_BANK * PAGE_BYTES, head)
    ring = _loaded(device)
    assert ring.flags == 0 and ring.commissioned == _NEWEST
    device.put(31 * PAGE_BYTES, unhex(row["page"]))
    ring = _loaded(device)
    assert ring.flags == row["fields"]["flags"] and ring.commissioned == row["fields"]["commissioned"]


def test_pages_made_by_hand_are_the_vectors():
    for row in vectors("keyring"):
        page = _signed_page(row["generation"], row["page_index"], row["kind"], unhex(row["body"]))
        assert page == unhex(row["page"]), row["page_index"]


def test_a_page_with_a_changed_byte_does_not_count():
    # Without the LEASE page the token has the one lease that the snapshot gives it.
    token, page = unhex(_row(22)["fields"]["token_id"]), unhex(_row(22)["page"])
    device = _bank()
    for damaged in changes(page):
        device.put(22 * PAGE_BYTES, damaged)
        assert _loaded(device).leases[token] == 1
    device.put(22 * PAGE_BYTES, page)
    assert _loaded(device).leases[token] == 255


def test_a_head_with_a_changed_byte_leaves_the_other_bank():
    device = _bank()
    for damaged in changes(unhex(_row(_SECOND_BANK)["page"])):
        device.put(_SECOND_BANK * PAGE_BYTES, damaged)
        _assert_head(_loaded(device), _row(0)["fields"])


def test_a_page_at_another_place_does_not_count():
    device = _bank(without=(21,))
    device.put(23 * PAGE_BYTES, unhex(_row(21)["page"]))
    assert _loaded(device).sealed_next == _row(_SECOND_BANK)["fields"]["sealed_next"]


def test_no_valid_head_is_no_state():
    assert not KeyRing(RamDevice(2)).load()
    assert not KeyRing(_bank(without=(0, _SECOND_BANK))).load()
    device = RamDevice(2)
    device.put(0, unhex(_row(17)["page"]))
    device.put(_SECOND_BANK * PAGE_BYTES, changed(unhex(_row(_SECOND_BANK)["page"]), 255))
    assert not KeyRing(device).load()


def test_a_head_of_another_version_is_a_fault():
    body = b"\x02" + unhex(_row(0)["body"])[1:]
    device = RamDevice(2)
    device.put(0, _signed_page(1, 0, 1, body))
    raises(Fault, KeyRing(device).load)


def test_rewriting_gives_the_vectors_pages():
    # Bank 0 of generation 1 is rewritten to bank 1 as generation 2, as the vectors have it.
    device = _device(_row(0))
    ring = _loaded(device)
    ring.flags = 1
    ring.epochs = _epochs(_row(17)["fields"])
    ring.rewrite()
    head = unhex(_row(16)["body"])[:-2] + b"\x00\x01"  # this snapshot has a page of epochs and no leases
    assert _page(device, 16) == _signed_page(2, 16, 1, head)
    assert _page(device, 17) == unhex(_row(17)["page"])
    assert device.get(0, 4096) == b"\xff" * 4096, "the old bank is not blank"


def test_leases_are_rewritten_as_in_the_vectors():
    # Four epochs take two pages, so that the leases begin on page 19. A dict's order is the runtime's business.
    row = _row(19)
    device = _device(_row(0))
    ring = _loaded(device)
    ring.epochs = _epochs(_row(17)["fields"])
    ring.epochs[31] = (bytes(32), bytes(32))
    ring.lease_epoch = row["fields"]["epoch"]
    ring.leases = _leases(row["fields"])
    ring.rewrite()
    body, expected = _page(device, 19)[8:240], unhex(row["body"])
    assert _page(device, 19)[:8] == unhex(row["page"])[:8] and body[:4] == expected[:4]
    assert _entries(body[4 : len(expected)]) == _entries(expected[4:])
    assert _loaded(device).leases == ring.leases


def _entries(data):
    return sorted(data[at : at + 9] for at in range(0, len(data), 9))


def test_appending_gives_the_vectors_pages():
    device = _bank(without=(21, 22))
    ring = _loaded(device)
    mark, lease = _row(21)["fields"], _row(22)["fields"]
    ring.mark(mark["sealed_next"], mark["sealed_count"])
    ring.lease(unhex(lease["token_id"]), lease["leases"])
    assert _page(device, 21) == unhex(_row(21)["page"])
    assert _page(device, 22) == unhex(_row(22)["page"])
    ring._set_flags(1, 30)
    assert _page(device, 23) == _signed_page(2, 23, 6, unhex(_row(31)["body"]))
