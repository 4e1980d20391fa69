# board: long
# The key ring on flash that fails (PROTOCOL §10): after any cut it holds the state before or after, never a mixture.

from cachingdevice import CachingDevice
from check import board_step, raises, share
from dice import Dice
from faultydevice import WHOLE, FaultyDevice, PowerCut
from ramdevice import RamDevice, copy, holds
from tessera.errors import Fault, InvalidObject
from tessera.keyring import ADMITTED, NEVER, KeyRing
from tessera.nor import ERASE, SYNC

_SECTORS = 4  # two banks of 32 pages
_BYTES = _SECTORS * 4096
_BANK = 2 * 4096
_DONE = (0, 1, 8, 200, 255, 4096, 5000, WHOLE)  # bytes of a page or a sector that were done when power failed
_FIELDS = ("flags boots seed next_sector sealed_next sealed_count commissioned epochs lease_epoch leases").split()


def _state(ring):
    return {name: dict(value) if isinstance(value, dict) else value for name, value in _attributes(ring)}


def _attributes(ring):
    return [(name, getattr(ring, name)) for name in _FIELDS]


def _loaded(device):
    ring = KeyRing(device)
    assert ring.load()
    return ring


def _stored(device):
    """The state a boot would find."""
    return _state(_loaded(device))


def _fill(ring, label, epochs=range(7), tokens=30):
    """Give every field a value that depends on the label (bytes)."""
    dice = Dice(label)
    ring.flags, ring.boots, ring.seed = ADMITTED, dice.below(1 << 30), dice.bytes(32)
    ring.next_sector, ring.sealed_next, ring.sealed_count = (dice.below(1 << 30) for _ in range(3))
    ring.commissioned = dice.below(100)
    ring.epochs = {epoch: (dice.bytes(32), dice.bytes(32)) for epoch in epochs}
    ring.lease_epoch = dice.below(100)
    ring.leases = {dice.bytes(8): 1 + dice.below(255) for _ in range(tokens)}


def _written(device=None, label=b"first", **size):
    """(key ring with one rewrite behind it, its device)."""
    device = device or RamDevice(_SECTORS)
    ring = KeyRing(device)
    _fill(ring, label, **size)
    ring.rewrite()
    return ring, device


class _Erasing:
    """A device that notes which sectors are erased, in order."""

    def __init__(self, device):
        self._device = device
        self.readblocks, self.writeblocks = device.readblocks, device.writeblocks
        self.erased = []

    def ioctl(self, operation, argument):
        if operation == ERASE:
            self.erased.append(argument)
        return self._device.ioctl(operation, argument)


def _cut_everywhere(prepare, change):
    """Cut power in every operation of change(ring), done in every measure; yields (flash, state before, state after).

    prepare(device) makes the ring; the last yield of each measure is the change without a cut.
    """
    flash = RamDevice(_SECTORS)
    prepare(flash)
    ring = _loaded(flash)
    change(ring)
    after = _state(ring)
    for done in share(_DONE, 3):
        operation = 0
        cut = True
        while cut:
            operation += 1
            flash = RamDevice(_SECTORS)
            prepare(flash)
            device = FaultyDevice(flash)
            ring = _loaded(device)
            before = _state(ring)
            device.cut(operation, done)
            try:
                change(ring)
                cut = False
            except PowerCut:
                pass
            yield flash, before, dict(after), cut


_CHANGES = (
    lambda ring: ring.begin_boot(7, b"seed of the second boot, 32 byte"),
    lambda ring: ring.open_epoch(9, {9: (b"k" * 32, b"s" * 32)}, 3, b"seed of the third epoch, 32 byte"),
    lambda ring: ring.mark(1 << 20, 5),
    lambda ring: ring.lease(b"token id", 3),
    lambda ring: ring.lease(next(iter(ring.leases)), 9),
    lambda ring: ring.disclose(3000),
    lambda ring: ring.note_member(),
)


def test_every_change_is_durable_when_it_returns_whatever_a_cache_loses():
    for change in _CHANGES:
        flash = RamDevice(_SECTORS)
        _written(flash)
        device = CachingDevice(flash)
        ring = _loaded(device)
        change(ring)
        wanted = _durable(_state(ring))
        device.cut()
        assert _stored(flash) == wanted


def test_a_change_that_faults_is_taken_back_and_made_the_next_time():
    for change in _CHANGES:
        flash = RamDevice(_SECTORS)
        _written(flash)
        device = FaultyDevice(flash)
        ring = _loaded(device)
        ring.flags = 0
        ring.rewrite()
        before = _state(ring)
        device.worn = range(_SECTORS * 16)
        raises(Fault, change, ring)
        assert _state(ring) == before
        device.worn = ()
        change(ring)
        assert _state(ring) != before
        assert _durable(_stored(flash)) == _durable(_state(ring))


def test_a_change_whose_bank_is_valid_stands_if_the_old_one_does_not_erase():
    ring, flash = _written()
    device = FaultyDevice(flash)
    ring = _loaded(device)
    ring._erase(1 - ring._bank)
    device.erases = False
    raises(Fault, ring.open_epoch, 9, {9: (b"k" * 32, b"s" * 32)}, 3, b"seed of the third epoch, 32 byte")
    assert 9 in ring.epochs and _stored(flash) == _durable(_state(ring))


class _FailsOnce:
    """In front of a RamDevice: the operation of this number raises an error, before it is done or after."""

    def __init__(self, device, number, done):
        self._device = device
        self._left = number
        self._done = done

    def readblocks(self, *arguments):
        self._operate(self._device.readblocks, arguments)

    def writeblocks(self, *arguments):
        self._operate(self._device.writeblocks, arguments)

    def ioctl(self, operation, argument):
        if operation not in (ERASE, SYNC):
            return self._device.ioctl(operation, argument)
        return self._operate(self._device.ioctl, (operation, argument))

    def _operate(self, operation, arguments):
        self._left -= 1
        if self._left == 0 and not self._done:
            raise OSError(5)
        result = operation(*arguments)
        if self._left == 0:
            raise OSError(5)
        return result


def test_what_is_appended_after_a_change_that_failed_anywhere_is_stored():
    for change in _CHANGES[1:4]:  # a rewrite, a mark, a lease
        for done in (False, True):
            number, failed = 1 - board_step(3), True
            while failed:
                number += board_step(3)
                flash = RamDevice(_SECTORS)
                _written(flash)
                ring = _loaded(flash)
                ring._device = _FailsOnce(flash, number, done)
                try:
                    change(ring)
                    failed = False
                except OSError:
                    pass
                ring._device = flash
                ring.mark(12345, 6)
                assert _stored(flash) == _durable(_state(ring)), (number, done)


def test_keys_that_were_erased_do_not_come_back_from_a_cache():
    ring, flash = _written()
    key = ring.epochs[2][0]
    assert holds(flash, key)
    device = CachingDevice(flash)
    ring = _loaded(device)
    ring.open_epoch(9, {9: (b"k" * 32, b"s" * 32)}, 3, bytes(32))
    device.cut()
    assert not holds(flash, key)
    device = CachingDevice(flash)
    _loaded(device).condemn()
    device.cut()
    assert KeyRing(flash).condemned() and not holds(flash, ring.epochs[5][0])


def test_a_rewrite_brings_everything_back():
    ring, device = _written()
    assert _stored(device) == _state(ring)
    _fill(ring, b"second")
    ring.rewrite()
    assert _stored(device) == _state(ring)


def test_a_cut_in_any_operation_of_a_rewrite_leaves_the_old_or_the_new_state():
    def change(ring):
        _fill(ring, b"second", range(3, 9), 20)
        ring.rewrite()

    old = new = 0
    for flash, before, after, cut in _cut_everywhere(_written, change):
        stored = _stored(flash)
        assert stored == after if not cut else stored in (before, after)
        old, new = old + (stored == before), new + (stored == after)
        again = _loaded(flash)
        _fill(again, b"third")
        again.rewrite()
        assert _stored(flash) == _state(again)
    assert old > len(share(_DONE, 3)) and new >= len(share(_DONE, 3))


def test_a_cut_in_any_operation_of_the_first_rewrite_leaves_nothing_or_all():
    for done in share(_DONE, 3):
        for operation in share(range(1, 16), 4):
            flash = RamDevice(_SECTORS)
            device = FaultyDevice(flash)
            device.cut(operation, done)
            ring = KeyRing(device)
            _fill(ring, b"first")
            try:
                ring.rewrite()
                assert _stored(flash) == _state(ring)
            except PowerCut:
                found = KeyRing(flash)
                assert not found.load() or _state(found) == _state(ring)


def _lives():
    """What a relay does with its whole state, each with the fields that it changes."""
    keys = {epoch: (bytes([epoch]) * 32, bytes([100 + epoch]) * 32) for epoch in (7, 8)}

    def boot(ring):
        ring.begin_boot(77, bytes(32))

    def open_epoch(ring):
        ring.open_epoch(8, keys, 3, bytes(32))

    opened = {"epochs", "sealed_count", "lease_epoch", "leases", "seed"}
    return (boot, {"boots", "next_sector", "seed"}), (open_epoch, opened)


def _durable(state):
    """What a snapshot keeps of a state: the epoch of leases stands with them only."""
    state["lease_epoch"] = state["lease_epoch"] if state["leases"] else 0
    return state


def test_a_cut_where_a_relay_boots_or_its_epochs_change_leaves_the_state_before_or_after():
    for change, changed in share(_lives(), 1):
        old = new = 0
        for flash, before, after, cut in _cut_everywhere(_written, change):
            stored, after = _stored(flash), _durable(after)
            assert stored == after if not cut else stored in (before, after)
            old, new = old + (stored == before), new + (stored == after)
            if not cut:
                assert {name for name in _FIELDS if before[name] != after[name]} == changed
        assert old > len(share(_DONE, 3)) and new >= len(share(_DONE, 3))


def test_an_epoch_opens_with_its_keys_and_with_nothing_of_the_one_before():
    ring, device = _written()
    kept = {epoch: ring.epochs[epoch] for epoch in range(3, 7)}
    dropped = [secret for epoch in range(3) for secret in ring.epochs[epoch]] + [ring.seed]
    kept[7] = bytes(32), b"\x01" * 32
    ring.open_epoch(7, {7: kept[7]}, 3, b"\x02" * 32)
    assert _stored(device) == _durable(_state(ring))
    assert (ring.epochs, ring.sealed_count, ring.seed) == (kept, 0, b"\x02" * 32)
    assert (ring.lease_epoch, ring.leases) == (7, {})
    assert not [secret for secret in dropped if holds(device, secret)]


def test_an_epoch_that_opens_again_keeps_its_own_leases_only():
    ring, _ = _written()
    ring.open_epoch(7, {7: (bytes(32), bytes(32))}, 3, bytes(32))
    ring.lease(b"a token ", 2)
    ring.reopen_epoch(7)
    assert ring.leases == {b"a token ": 2}
    ring.reopen_epoch(8)
    assert (ring.lease_epoch, ring.leases) == (8, {})


def test_the_first_member_ends_disclosure_and_each_is_durable_once():
    flash = RamDevice(_SECTORS)
    device = FaultyDevice(flash)
    ring = KeyRing(device)
    ring.begin_life(bytes(32))
    ring.begin_boot(1, bytes(32))
    assert not ring.admitted
    for step, commissioned in ((lambda: ring.disclose(4), 4), (ring.note_member, NEVER)):
        before = device.operations
        step()
        written = device.operations
        step()
        assert before < written == device.operations, "the second time writes nothing"
        assert _stored(flash) == _state(ring) and ring.commissioned == commissioned
    assert ring.admitted and _loaded(flash).admitted


def _appends():
    token = b"a token "

    def lease(ring):
        ring.lease(token, 3)

    def flags(ring):
        ring._set_flags(0, NEVER)

    def mark(ring):
        ring.mark(77, 5)

    return lease, flags, mark


def test_a_cut_in_an_append_leaves_the_state_before_or_after():
    for change in _appends():
        for flash, before, after, cut in _cut_everywhere(_written, change):
            stored = _stored(flash)
            assert stored == after if not cut else stored in (before, after)
            again = _loaded(flash)
            again.mark(99, 9)
            assert (_stored(flash)["sealed_next"], _stored(flash)["sealed_count"]) == (99, 9), "a torn page is skipped"


def test_a_cut_where_a_bank_runs_full_leaves_the_state_before_or_after():
    def prepare(device):
        ring, _ = _written(device)
        for number in range(32 - 1 - 3 - 2):
            ring.mark(number, number)

    for change in share(_appends(), 3):
        operations = 0
        for flash, before, after, cut in _cut_everywhere(prepare, change):
            stored = _stored(flash)
            assert stored == after if not cut else stored in (before, after)
            operations += 1
            again = _loaded(flash)
            again.tidy()
            assert _stored(flash) == stored
        assert operations > 5 * len(share(_DONE, 3)), "the bank was not full"


def test_leases_and_marks_overflow_the_bank_without_loss():
    ring, device = _written(epochs=range(6), tokens=0)
    dice = Dice(b"leases")
    tokens = [dice.bytes(8) for _ in range(60)]
    for number in range(300):
        token = tokens[dice.below(60)]
        ring.lease(token, ring.leases.get(token, 0) + 1)
        if number % 10 == 0:
            ring.mark(number, number)
        if number % 70 == 0:
            ring.tidy()
        if number % 9 == 0:
            assert _stored(device) == _state(ring), number
            ring = _loaded(device)
    assert sum(ring.leases.values()) == 300


def test_dropped_keys_are_not_in_the_raw_flash():
    ring, device = _written()
    gone = [ring.seed] + [secret for epoch in range(3) for secret in ring.epochs[epoch]]
    kept = [secret for epoch in range(3, 7) for secret in ring.epochs[epoch]]
    for number in range(40):  # through both banks
        ring.mark(number, 0)
    for epoch in range(3):
        del ring.epochs[epoch]
    ring.seed = b"a seed of thirty-two other bytes"
    ring.rewrite()
    flash = device.get(0, _BYTES)
    assert not [secret for secret in gone if secret in flash]
    assert all(flash.count(secret) == 1 for secret in kept)


def test_keys_dropped_by_a_rewrite_that_was_cut_go_with_the_next():
    def change(ring):
        ring.epochs = {6: ring.epochs[6]}
        ring.rewrite()

    for flash, before, _, _ in _cut_everywhere(_written, change):
        ring = _loaded(flash)
        ring.epochs = {6: ring.epochs[6]}
        ring.rewrite()
        for epoch in range(6):
            assert not [secret for secret in before["epochs"][epoch] if holds(flash, secret)]


def test_tidying_erases_what_a_full_bank_left():
    ring, device = _written()
    for number in range(32):
        ring.mark(number, 0)
    assert b"\xff" * _BANK not in (device.get(0, _BANK), device.get(_BANK, _BANK))
    ring.tidy()
    assert b"\xff" * _BANK in (device.get(0, _BANK), device.get(_BANK, _BANK))
    assert _stored(device) == _state(ring)


def test_a_bank_that_is_half_full_is_rewritten_in_the_window():
    ring, device = _written(epochs=range(1), tokens=0)
    for number in range(16):
        ring.mark(number, 0)
    ring.tidy()
    assert device.get(0, _BANK) == b"\xff" * _BANK or device.get(_BANK, _BANK) == b"\xff" * _BANK
    assert _loaded(device)._used_pages == 2, "HEAD and one page of epochs: the bank was begun anew"
    device = FaultyDevice(device)
    ring = _loaded(device)
    ring.tidy()
    before = device.operations
    ring.mark(1, 1)
    assert device.operations == before + 1, "a mark after a tidy needs one program"


def test_more_epochs_or_tokens_than_a_bank_holds_are_refused():
    ring = KeyRing(RamDevice(2))  # 16 pages a bank: HEAD, 4 to spare, 11 for epochs (3 a page) and tokens (25 a page)
    ring.check_capacity(3 * 5, 25 * 6)
    raises(InvalidObject, ring.check_capacity, 3 * 5 + 1, 25 * 6)
    raises(InvalidObject, ring.check_capacity, 3 * 5, 25 * 6 + 1)


def test_what_fits_by_the_check_can_be_rewritten_and_appended_to():
    ring, device = _written(RamDevice(2), epochs=range(15), tokens=150)
    for number in range(20):
        ring.mark(number, number)
        ring.lease(list(ring.leases)[number], 9)
    assert _stored(device) == _state(ring)


def test_an_empty_region_holds_no_state():
    ring = KeyRing(RamDevice(_SECTORS))
    assert not ring.load()
    assert (ring.seed, ring.epochs, ring.leases, ring.commissioned) == (None, {}, {}, NEVER)


def test_the_higher_generation_counts_in_either_bank():
    ring, device = _written()
    older, newer = RamDevice(_SECTORS), RamDevice(_SECTORS)  # a board's heap is not for copies of flash
    for label in (b"second", b"third", b"fourth"):
        copy(device, older)
        _fill(ring, label)
        ring.rewrite()
        copy(device, newer)
        bank = 0 if newer.get(0, _BANK) == b"\xff" * _BANK else _BANK
        device.put(bank, older.get(bank, _BANK))  # as if the erase of the old bank had not happened
        assert _stored(device) == _state(ring)
        copy(newer, device)


def test_pages_that_keep_no_program_are_skipped():
    flash = RamDevice(_SECTORS)
    device = FaultyDevice(flash)
    device.worn = (2, 5, 34, 40)
    ring, _ = _written(device)
    for number in range(60):
        ring.mark(number, number)
        assert _stored(flash) == _state(ring)


def test_flash_that_does_not_erase_is_a_fault_and_the_state_stands():
    for operation in ("rewrite", "tidy"):
        flash = RamDevice(_SECTORS)
        device = FaultyDevice(flash)
        ring, _ = _written(device)
        for number in range(32):
            ring.mark(number, 0)
        device.erases = False
        raises(Fault, getattr(ring, operation))
        assert _stored(flash) == _state(ring), operation


def _worn_other_bank():
    """(ring whose next rewrite meets a bank that keeps no program, its flash)."""
    flash = RamDevice(_SECTORS)
    device = FaultyDevice(flash)
    ring, _ = _written(device)
    in_use = 0 if flash.get(0, 256) != b"\xff" * 256 else 1
    device.worn = range(32 * (1 - in_use), 32 * (2 - in_use))
    return ring, flash


def test_a_rewrite_that_finds_no_flash_to_keep_it_is_a_fault_and_leaves_the_old_state():
    ring, flash = _worn_other_bank()
    before = _stored(flash)
    raises(Fault, ring.rewrite)
    assert _stored(flash) == before


def test_trying_again_after_a_faulty_rewrite_does_not_destroy_the_old_state():
    ring, flash = _worn_other_bank()
    keys = dict(ring.epochs)
    raises(Fault, ring.rewrite)
    for number in range(3):
        try:
            ring.lease(b"a token ", 1 + number)
            assert _stored(flash)["leases"][b"a token "] == 1 + number, "a lease was promised and is not stored"
        except Fault:
            pass
        assert _stored(flash)["epochs"] == keys


def test_what_is_appended_after_a_faulty_rewrite_is_stored_or_refused():
    flash = RamDevice(_SECTORS)
    device = FaultyDevice(flash)
    ring, _ = _written(device)
    in_use = 0 if flash.get(0, 256) != b"\xff" * 256 else 1
    device.worn = (32 * (1 - in_use),)  # the other bank's HEAD
    raises(Fault, ring.rewrite)
    try:
        ring.mark(12345, 6)
        assert _stored(flash)["sealed_next"] == 12345, "a seal was promised and is not stored"
    except Fault:
        pass


def test_a_start_erases_what_may_be_half_erased_and_what_was_programmed_and_no_more():
    # The first bank is in use with a page or two in its first sector; the second reads as blank.
    _, device = _written(epochs=range(2), tokens=2)
    noting = _Erasing(device)
    _loaded(noting).begin_boot(1, b"s" * 32)
    assert noting.erased == [2, 0]
    # A page anywhere in the idle bank: all of it, the sector in use longest at the end.
    device.writeblocks(1, b"\x00" * 256, 0)
    noting = _Erasing(device)
    _loaded(noting).begin_boot(1, b"s" * 32)
    assert noting.erased == [1, 0, 2]


def test_of_a_bank_every_sector_is_erased_that_was_programmed_from_the_last_to_the_first():
    ring, device = _written(_Erasing(RamDevice(_SECTORS)), epochs=range(2), tokens=2)
    while ring._used_pages < 16:
        ring.mark(ring.sealed_next + 1, 1)
    del device.erased[:]
    ring.rewrite()
    assert device.erased == [1, 0]  # the next page would have been in the second
    ring.rewrite()
    assert device.erased == [1, 0, 2]
