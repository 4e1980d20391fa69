# heap: 8m
# board: long
# What a relay does with bytes that no relay and no client of this version wrote. Most of these were found by fuzzing
# (tests/fuzz), which runs on CPython only.

import os
import struct

from check import not_on_a_board, raises
from office import (
    EPOCH_ROUNDS,
    FIRMWARE_DIGEST,
    LEDGER,
    STATIC,
    Connection,
    Office,
    RamDirectory,
    parameters,
    records,
)
from ramdevice import RamDevice
from tessera import wire
from tessera.clock import Clock
from tessera.errors import BadFrame, BadRequest, Fault, InvalidObject, Refused
from tessera.hashes import tagged
from tessera.keyring import KeyRing
from tessera.nor import PAGE_BYTES
from tessera.page import PageCipher
from tessera.params import Parameters
from tessera.relay import Identity, Relay

_HEAD, _EPOCHS, _LEASES, _MARK, _LEASE, _FLAGS = 1, 2, 3, 4, 5, 6
_HEAD_AT = 8


def _page(index, generation, kind, length, body=b""):
    """A whole page of a key ring, whatever is in it: its digest is no secret (PROTOCOL §10)."""
    page = struct.pack(">IBBH232s", generation, kind, length, 0, body)
    return page + tagged("keyring", index.to_bytes(4, "big"), page)[:16]


def _keyring():
    """(device, index of the first free page, generation) of a key ring in use."""
    device = RamDevice(2)
    ring = KeyRing(device)
    ring.seed = bytes(32)
    ring.rewrite()
    first = 16 * ring._bank
    return device, first + ring._used_pages, ring._generation


def test_key_ring_pages_of_a_length_no_relay_writes_are_a_fault():
    lengths = {
        _EPOCHS: (1, 67, 69, 135, 255, 272),
        _LEASES: (0, 3, 5, 12, 14, 230, 255),
        _MARK: (0, 7, 9, 255),
        _LEASE: (0, 12, 14),
        _FLAGS: (4, 6),
        _HEAD: (0, 53, 255),
        0: (0, 8),
        7: (0, 8),
    }
    for kind in lengths:
        for length in lengths[kind]:
            device, free, generation = _keyring()
            device.put(free * PAGE_BYTES, _page(free, generation, kind, length & 255))
            assert "provision" in str(raises(Fault, KeyRing(device).load))


def _with_head(offset, value):
    """A key ring whose HEAD has another u32 at an offset of its page."""
    device, _, _ = _keyring()
    first = 0 if device.get(0, 4) != b"\xff" * 4 else 16
    page = device.get(first * PAGE_BYTES, PAGE_BYTES)
    page = page[:offset] + struct.pack(">I", value) + page[offset + 4 : 240]
    device.put(first * PAGE_BYTES, page + tagged("keyring", first.to_bytes(4, "big"), page)[:16])
    return device


def test_numbers_no_relay_lives_to_reach_are_a_fault_and_not_an_overflow():
    boots, next_sector, sealed_count = _HEAD_AT + 2, _HEAD_AT + 38, _HEAD_AT + 46
    for offset in (boots, next_sector, sealed_count):
        assert KeyRing(_with_head(offset, 1_000_000)).load()
        for number in (0xFFFFFFFF, 0x80000000, 0x40000000):
            raises(Fault, KeyRing(_with_head(offset, number)).load)
    device = RamDevice(2)
    head = _keyring()[0]
    first = 0 if head.get(0, 4) != b"\xff" * 4 else 16
    body = head.get(first * PAGE_BYTES + _HEAD_AT, 232)
    length = head.get(first * PAGE_BYTES + 5, 1)[0]
    device.put(0, _page(0, 0xFFFFFFFF, _HEAD, length, body))
    ring = KeyRing(device)
    assert ring.load()
    raises(Fault, ring.rewrite)


def test_a_key_ring_with_keys_of_epochs_to_come_is_a_fault():
    office = Office()
    ring = office.relay._keyring
    ring.epochs[1] = (bytes(32), bytes(32))
    ring.rewrite()
    assert "parameters" in str(raises(Fault, office.boot))


def test_parameters_with_longer_epochs_than_the_key_ring_has_lived_in_are_a_fault():
    office = Office()
    office.sleep(EPOCH_ROUNDS)
    office.directory.replace("parameters", parameters(epoch_rounds=60))
    raises(Fault, office.boot)


def test_a_page_with_the_last_seq_is_a_fault_when_the_next_sector_is_opened():
    office = Office()
    cipher = PageCipher(office.relay._keyring.epochs[0][0])
    page = bytearray(PAGE_BYTES)
    cipher.seal(15, 0x7FFFFFFF, 0, 0, records(1)[0], page)
    office.ring.put(15 * PAGE_BYTES, page)
    assert "numbers" in str(raises(Fault, office.boot))


def test_a_damaged_checkpoint_costs_itself_only():
    office = Office()
    office.sleep(3 * EPOCH_ROUNDS)
    ledger = office.directory.read("ledger")
    office.directory.replace("ledger", ledger[:250] + b"\x00" + ledger[251:])
    office.boot()
    connection = Connection(office.relay)
    assert connection.call(wire.checkpoint(0))[1] == ledger[:250]
    assert connection.call(wire.checkpoint(2))[1] == ledger[500:]
    assert raises(Refused, connection.call, wire.checkpoint(1)).name == "FAULT"
    office.directory.replace("ledger", ledger)
    assert raises(Refused, connection.call, wire.checkpoint(9)).name == "TOO_OLD"


def test_pushed_parameters_with_more_tokens_than_the_key_ring_keeps_are_refused():
    not_on_a_board("a ring of 500 sectors")
    small = {"members": 1, "retention_epochs": 1}
    directory = RamDirectory()
    directory.replace("parameters", parameters(**small))
    identity = Identity(STATIC, LEDGER, b"chip", FIRMWARE_DIGEST)
    clock = Clock(lambda: 0, lambda later, earlier: 0)
    relay = Relay(RamDevice(500), RamDevice(2), directory, identity, os.urandom, clock)
    small["members"] = 113  # 226 leases need ten pages; the ring has room for their records
    blob = parameters(serial=2, first_epoch=1, **small)
    Parameters(blob).check_capacity(16 * 500)
    assert "key ring" in str(raises(BadRequest, relay.parameters.check_head, blob[:240], len(blob)))
    assert relay.parameters.newest.serial == 1
    directory.replace("parameters", blob)
    raises(InvalidObject, Relay, RamDevice(500), RamDevice(2), directory, identity, os.urandom, clock)


def test_a_curve_tier_that_is_not_printable_ascii_is_a_bad_frame():
    buffer = bytearray(wire.SMALL_BYTES)
    newest = Parameters(parameters())
    wire.answer_info(buffer, 0, newest, newest, 2, 3, "plain")
    assert wire.read_answer(buffer)[-1] == "plain"
    for letter in (b"\xff", b"\x80", b"\x1b", b"\x00", b"\n"):
        buffer[84 + 1 : 84 + 2] = letter
        raises(BadFrame, wire.read_answer, buffer)
