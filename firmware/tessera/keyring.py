# State that a relay must never lose and must be able to erase for good: page keys, cover states, the seed, quota
# leases, seal marks. It lies in two banks of flash sectors, whose bytes no other module knows (PROTOCOL §10).
#
# A bank begins with a snapshot of the whole state, and changes are appended to it page by page. An update that drops a
# key writes a snapshot to the other bank, verifies it, and erases the old bank.

import struct

from . import nor
from .errors import Fault, InvalidObject
from .hashes import tagged
from .nor import BLANK_PAGE, PAGE_BYTES, PAGES_PER_SECTOR, ZERO_PAGE
from .runtime import const

TOKEN_ID_BYTES = const(8)
_BODY_AT = const(8)
_DIGEST_AT = const(240)
_SPARE_PAGES = const(4)  # that a snapshot must leave free for marks and leases

# Kinds of page
_HEAD = const(1)
_EPOCHS = const(2)
_LEASES = const(3)
_MARK = const(4)
_LEASE = const(5)
_FLAGS = const(6)

_VERSION = const(1)
_HEAD_LAYOUT = ">BBI32sIIIIH"
_EPOCHS_A_PAGE = const(3)
_EPOCH_BYTES = const(68)
_LEASES_A_PAGE = const(25)
_LEASE_BYTES = const(9)
_LARGEST = const(0x3FFFFFFF)  # value of a counter; no relay runs long enough to reach it
_LAST_GENERATION = const(0xFFFFFFFF)

_LENGTHS = {_HEAD: struct.calcsize(_HEAD_LAYOUT), _MARK: 8, _LEASE: 13, _FLAGS: 5}  # of bodies of a fixed length

_CONDEMNED = b"factory reset"  # and zeros: the first page of a bank while a reset is under way

ADMITTED = const(1)  # in flags: a member was admitted
NEVER = const(0xFFFFFFFF)  # in commissioned: no cover key was ever disclosed


class KeyRing:
    """The state, as attributes that others read. load() reads it from the flash.

    A method that changes the state makes the whole change durable before it returns, or undoes it: RAM and flash always
    agree. Fault if the flash does not keep what is written.

    flags: ADMITTED or 0. boots: starts so far. seed: 32 bytes for the next start's generator. next_sector: the number
    of the first sector that this boot may open in the record log. sealed_next: the first round that is not sealed.
    sealed_count: rounds of its epoch that were sealed in time. commissioned: the epoch whose cover key was disclosed,
    or NEVER. epochs: {epoch: (page_key (32 bytes), cover_state (32))}. leases: {token id (8 bytes): leases of 4 posts},
    for the epoch lease_epoch. unreadable: appended pages that load() found torn by a power cut or damaged.
    """

    def __init__(self, device):
        self._device = device
        self._bank_sectors = nor.sectors(device) // 2
        self._bank_pages = self._bank_sectors * PAGES_PER_SECTOR
        self._bank = None
        self._used_pages = 0
        self._snapshot_pages = 0  # while load() reads a bank: how many pages of its snapshot are still to come
        self._generation = 0
        self._idle_is_blank = False
        self._doubtful = False  # the idle bank may be valid: programming its first page failed
        self.unreadable = 0
        self._page = bytearray(PAGE_BYTES)
        self._check = bytearray(PAGE_BYTES)
        self.clear()

    def clear(self):
        """The state of a relay that never ran."""
        self.flags = 0
        self.boots = 0
        self.seed = None
        self.next_sector = 0
        self.sealed_next = 0
        self.sealed_count = 0
        self.commissioned = NEVER
        self.epochs = {}
        self.lease_epoch = 0
        self.leases = {}

    def check_capacity(self, epochs, tokens):
        """Raise InvalidObject if a bank cannot hold so many epochs and tokens."""
        pages = 1 + _pages(epochs, _EPOCHS_A_PAGE) + _pages(tokens, _LEASES_A_PAGE) + _SPARE_PAGES
        if pages > self._bank_pages:
            raise InvalidObject(
                "a bank of the key ring has {} pages, these parameters need {}".format(self._bank_pages, pages)
            )

    # -- reading

    def load(self):
        """Read the state from the valid bank with the highest generation. False if no bank is valid.

        Fault if a page of the snapshot is missing, because the bank only became valid when all of them could be read.
        A torn page behind the snapshot counts as not written. Anybody can compute a page's digest, so there is also a
        Fault for an intact page that no relay writes.
        """
        found = [(self._generation_of(bank), bank) for bank in (0, 1)]
        self._generation, self._bank = max(found)
        if self._generation < 0:
            self._generation, self._bank = 0, None
            return False
        self.clear()
        self._used_pages = 0
        for place in range(self._bank_pages):
            page = self._bank * self._bank_pages + place
            if self._read(page) and self._page_generation() == self._generation:
                self._apply()
                self._used_pages = place + 1
            elif self._page != BLANK_PAGE:
                self._used_pages = place + 1
                self.unreadable += 1
        if self._snapshot_pages > 0:
            raise Fault("a page of the key ring cannot be read: restart the relay; if that stays, provision it anew")
        if max(self.boots, self.next_sector, self.sealed_count) > _LARGEST:
            raise _foreign()
        return True

    def _generation_of(self, bank):
        if self._read(bank * self._bank_pages) and self._page[4] == _HEAD:
            return self._page_generation()
        return -1

    def _page_generation(self):
        return struct.unpack_from(">I", self._page)[0]

    def _read(self, page):
        """Read a page into _page. Whether it is intact."""
        self._device.readblocks(page >> 4, self._page, (page & 15) << 8)
        return self._page != BLANK_PAGE and _digest(page, self._page) == self._page[_DIGEST_AT:]

    def _apply(self):
        kind, length = self._page[4], self._page[5]
        if not _fits(kind, length):
            raise _foreign()
        body = bytes(self._page[_BODY_AT : _BODY_AT + length])
        if kind == _HEAD:
            fields = struct.unpack(_HEAD_LAYOUT, body)
            if fields[0] != _VERSION:
                raise Fault("the key ring is of another version: provision the relay anew")
            _, self.flags, self.boots, self.seed, self.next_sector = fields[:5]
            self.sealed_next, self.sealed_count, self.commissioned, self._snapshot_pages = fields[5:]
        elif kind == _EPOCHS:
            self._snapshot_pages -= 1
            for at in range(0, length, _EPOCH_BYTES):
                epoch, page_key, state = struct.unpack_from(">I32s32s", body, at)
                self.epochs[epoch] = (page_key, state)
        elif kind == _MARK:
            self.sealed_next, self.sealed_count = struct.unpack(">II", body)
        elif kind == _FLAGS:
            self.flags, self.commissioned = struct.unpack(">BI", body)
        elif kind in (_LEASES, _LEASE):
            self._snapshot_pages -= kind == _LEASES
            self.lease_epoch = struct.unpack_from(">I", body)[0]
            for at in range(4, length, _LEASE_BYTES):
                self.leases[body[at : at + TOKEN_ID_BYTES]] = body[at + TOKEN_ID_BYTES]

    # -- the life of a relay

    def begin_life(self, seed):
        """Begin with the state of a relay that never ran and its provisioning seed (32 bytes). begin_boot() makes it
        durable."""
        self.clear()
        self.seed = seed

    def begin_boot(self, next_sector, seed):
        """Count a boot. seed: 32 bytes for the next one. next_sector: see the class."""
        self._change(self.rewrite, boots=self.boots + 1, next_sector=next_sector, seed=seed)

    def open_epoch(self, epoch, keys, first, seed):
        """Open an epoch: add keys, drop those of epochs before `first`, begin with no sealed round and no lease.

        keys: {epoch: (page_key, cover_state)} for the epoch and those that were missed. seed: 32 bytes.
        """
        epochs = {old: self.epochs[old] for old in self.epochs if old >= first}
        epochs.update({new: keys[new] for new in keys if new >= first})
        self._change(self.rewrite, epochs=epochs, sealed_count=0, lease_epoch=epoch, leases={}, seed=seed)

    def reopen_epoch(self, epoch):
        """Open an epoch that has its keys, after a boot. Leases of another epoch end, durably with the next lease."""
        if self.lease_epoch != epoch:
            self.lease_epoch, self.leases = epoch, {}

    def mark(self, sealed_next, sealed_count):
        """Make it durable that every round before sealed_next is sealed."""
        page = _MARK, struct.pack(">II", sealed_next, sealed_count)
        self._change(lambda: self._append(*page), sealed_next=sealed_next, sealed_count=sealed_count)

    def lease(self, token_id, leases):
        """Make the number of leases that a token (id of 8 bytes) has taken in lease_epoch durable."""
        before = self.leases.get(token_id)
        self.leases[token_id] = leases
        try:
            self._append(_LEASE, struct.pack(">I8sB", self.lease_epoch, token_id, leases))
        except Exception:
            if before is None:
                del self.leases[token_id]
            else:
                self.leases[token_id] = before
            raise

    def note_member(self):
        """Make it durable that a member was admitted. From then on no cover key is disclosed."""
        if not self.flags & ADMITTED:
            self._set_flags(self.flags | ADMITTED, NEVER)

    def disclose(self, epoch):
        """Make it durable that the cover key of this epoch leaves the relay, which no member has used yet."""
        if self.commissioned != epoch:
            self._set_flags(self.flags, epoch)

    @property
    def admitted(self):
        """Whether a member was ever admitted."""
        return bool(self.flags & ADMITTED)

    def _set_flags(self, flags, commissioned):
        page = _FLAGS, struct.pack(">BI", flags, commissioned)
        self._change(lambda: self._append(*page), flags=flags, commissioned=commissioned)

    # -- writing

    def _change(self, write, **changes):
        """Set attributes and write() them. If that fails they are reset, unless the new bank is valid already and only
        the erasing of the old one failed."""
        before = {name: getattr(self, name) for name in changes}
        generation = self._generation
        for name in changes:
            setattr(self, name, changes[name])
        try:
            write()
        except Exception:
            if self._generation == generation:
                for name in before:
                    setattr(self, name, before[name])
            raise

    def rewrite(self, erase_old=True):
        """Write the whole state to the idle bank and make that bank the valid one. Dropped keys are then gone for good.

        erase_old=False leaves erasing the old bank to tidy(). It is only for a full bank, where no key was dropped.
        """
        if self._generation == _LAST_GENERATION:
            raise _foreign()
        new = 1 if self._bank == 0 else 0
        if not self._idle_is_blank:
            self._erase(new)
        self._idle_is_blank = False
        generation = self._generation + 1
        place = 1
        pages = 0
        for kind, body in self._snapshot():
            place = self._program(new, place, generation, kind, body)
            pages += 1
        # The first page makes the bank valid, so it is written last. Until then the old bank is in use.
        self._doubtful = True
        if not self._try_page(new * self._bank_pages, generation, _HEAD, self._head(pages)):
            raise _worn()
        old_pages = None if self._bank is None else self._used_pages
        self._bank, self._generation, self._used_pages = new, generation, place
        self._doubtful = False
        if erase_old:
            self._erase(1 - new, old_pages)

    def tidy(self):
        """Work for the window after a seal: erase an old bank that rewrite() left; begin a new one in good time."""
        if not self._idle_is_blank:
            self._erase(1 - self._bank)
        if self._used_pages > self._bank_pages // 2:
            self.rewrite()

    # -- factory reset

    def condemn(self):
        """Begin a factory reset: make it durable that the state must go, then erase it.

        After a power cut either the whole state is there or condemned() is true.
        """
        bank = self._condemned_bank()
        if bank is None:
            bank = 1 - max((self._generation_of(bank), bank) for bank in (0, 1))[1]  # the idle one
            self._erase(bank)
            self._device.writeblocks(bank * self._bank_sectors, _condemned_page(), 0)
            nor.sync(self._device)
            if self._condemned_bank() != bank:
                raise _worn()
        self._erase(1 - bank)

    def condemned(self):
        """Whether a factory reset was begun and not finished."""
        return self._condemned_bank() is not None

    def forget(self, erase_rest):
        """Finish a factory reset: erase the state, call erase_rest(), then erase the note that a reset was begun."""
        bank = self._condemned_bank()
        self._erase(1 - bank)
        erase_rest()
        self._erase(bank)

    def _condemned_bank(self):
        for bank in (0, 1):
            self._device.readblocks(bank * self._bank_sectors, self._page, 0)
            if self._page == _condemned_page():
                return bank
        return None

    def _head(self, pages):
        rest = (self.sealed_next, self.sealed_count, self.commissioned, pages)
        return struct.pack(_HEAD_LAYOUT, _VERSION, self.flags, self.boots, self.seed, self.next_sector, *rest)

    def _snapshot(self):
        epochs = [struct.pack(">I32s32s", epoch, *self.epochs[epoch]) for epoch in sorted(self.epochs)]
        for at in range(0, len(epochs), _EPOCHS_A_PAGE):
            yield _EPOCHS, b"".join(epochs[at : at + _EPOCHS_A_PAGE])
        leases = [token_id + bytes((self.leases[token_id],)) for token_id in self.leases]
        for at in range(0, len(leases), _LEASES_A_PAGE):
            yield _LEASES, self.lease_epoch.to_bytes(4, "big") + b"".join(leases[at : at + _LEASES_A_PAGE])

    def _append(self, kind, body):
        if self._doubtful:  # otherwise the next start might read the other bank, which lacks this page
            self._erase_from_its_head(1 - self._bank)
        # The attributes have their new values already, so a snapshot says what the page would say.
        if self._used_pages == self._bank_pages:
            self.rewrite(erase_old=False)
        else:
            self._used_pages = self._program(self._bank, self._used_pages, self._generation, kind, body)

    def _program(self, bank, place, generation, kind, body):
        """Program a page at a place of a bank, or at the next place that keeps it. Returns the place after it."""
        while place < self._bank_pages:
            place += 1
            if self._try_page(bank * self._bank_pages + place - 1, generation, kind, body):
                return place
        raise _worn()

    def _try_page(self, page, generation, kind, body):
        """Program a page and read it back. Whether it reads back right; if not it is made unreadable for good."""
        struct.pack_into(">IBBH232s", self._page, 0, generation, kind, len(body), 0, body)
        self._page[_DIGEST_AT:] = _digest(page, self._page)
        self._device.writeblocks(page >> 4, self._page, (page & 15) << 8)
        nor.sync(self._device)
        self._device.readblocks(page >> 4, self._check, (page & 15) << 8)
        if self._check == self._page:
            return True
        self._device.writeblocks(page >> 4, ZERO_PAGE, (page & 15) << 8)
        return False

    def _erase(self, bank, pages=None):
        """Erase a bank. pages: how many of its pages were programmed, None if that is not known.

        Its first sector is erased last. So if the whole bank reads as blank after a power cut, only the erasing of that
        sector can have been interrupted, and it alone is erased again. Sectors that were not programmed are left alone.
        """
        first = bank * self._bank_sectors
        sectors = range(first, first + self._bank_sectors)
        if pages is None:
            pages = 0 if self._are_blank(sectors) else self._bank_pages - 1
        for sector in range(min(first + pages // PAGES_PER_SECTOR, sectors[-1]), first - 1, -1):
            nor.erase(self._device, sector)
        nor.sync(self._device)
        if not self._are_blank(sectors):
            raise _worn()
        self._idle_is_blank, self._doubtful = True, False

    def _erase_from_its_head(self, bank):
        """Erase a bank that may be valid, its first sector first: if power fails meanwhile the bank is not valid."""
        nor.erase(self._device, bank * self._bank_sectors)
        self._device.writeblocks(bank * self._bank_sectors, ZERO_PAGE, 0)  # so that the bank does not read as blank
        self._erase(bank)

    def _are_blank(self, sectors):
        return all(nor.is_blank(self._device, sector) for sector in sectors)


def _fits(kind, length):
    """Whether pages of this kind have bodies of this length."""
    if kind == _EPOCHS:
        return length <= _EPOCHS_A_PAGE * _EPOCH_BYTES and length % _EPOCH_BYTES == 0
    if kind == _LEASES:
        return 4 <= length <= 4 + _LEASES_A_PAGE * _LEASE_BYTES and (length - 4) % _LEASE_BYTES == 0
    return length == _LENGTHS.get(kind)


def _foreign():
    return Fault("the key ring is corrupt: provision the relay anew")


def _worn():
    return Fault("the key ring does not keep data: restart the relay; if that stays, replace its flash")


def _pages(entries, a_page):
    return (entries + a_page - 1) // a_page


def _condemned_page():
    return _CONDEMNED + bytes(PAGE_BYTES - len(_CONDEMNED))


def _digest(page, data):
    return tagged("keyring", page.to_bytes(4, "big"), memoryview(data)[:_DIGEST_AT])[:16]
