# Flipped bits in stored pages, on MicroPython: flips_main.py TRIALS SEED
#
# Each trial flips 1 to 8 bits of one page that keeps a record, boots, and reads everything: all other records must be
# there, the damage must be reported, and no page may come back as something else. The same is done to pages of the key
# ring, where the relay must serve as before and report it, or fault. (A flip in the page of a lease cannot be told from
# a lease that a cut tore: its 4 posts come back.) The last line is JSON: trials, records lost,
# reported, key ring trials, of them faults, and failures.

import json
import sys

if __name__ == "__main__":
    _here = __file__.rsplit("/", 1)[0] if "/" in __file__ else "."
    for _folder in (_here, _here + "/../core", _here + "/../../firmware"):
        sys.path.append(_folder)

from dice import Dice
from tessera.errors import Fault
from tessera.nor import PAGE_BYTES, SECTOR_BYTES
from workloads import running
from world import BUCKETS


class Trials:
    def __init__(self, seed):
        self._dice = Dice(seed)
        self._world = running()()
        self._saved = self._world.save()
        self._pages = self._kept_pages()
        self.counts = {"trials": 0, "lost": 0, "reported": 0, "keyring_trials": 0, "faults": 0, "failures": 0}

    def _kept_pages(self):
        """Pages with records of kept rounds; not the first of all, which could be one that has expired."""
        relay = self._world.relay
        pages = []
        for round_ in range(relay.first_round, relay.open_round + 1):
            for bucket in range(BUCKETS):
                count = relay._log.count_of(bucket, round_)
                pages += relay._log.pages_of(bucket, round_, count)[:count]
        pages.sort()
        return pages[1:]

    def flip_record(self):
        """One page of the record ring."""
        world = self._world
        world.restore(self._saved)
        page = self._pages[self._dice.below(len(self._pages))]
        self._flip(world.ring, page)
        self.counts["trials"] += 1
        world.boot()
        lost = self._missing()
        assert len(lost) <= 1, "{} records lost by one page".format(len(lost))
        assert world.relay.unreadable_pages == 1, "the damage is not reported"
        self.counts["reported"] += 1
        self.counts["lost"] += len(lost)
        for record in lost:
            cell = world.testimony.attempted[record], world.testimony.acknowledged[record]
            world.testimony.forget(record, world.replacements(*cell))
        world.check()

    def _missing(self):
        """Acknowledged records of kept rounds that the relay has no more."""
        world = self._world
        relay, missing = world.relay, []
        for record, round_ in world.testimony.acknowledged.items():
            if round_ < relay.first_round or round_ >= relay.open_round:
                continue
            bucket = world.testimony.attempted[record]
            if record not in [found for _, found in self._records(bucket, round_)]:
                missing.append(record)
        return missing

    def _records(self, bucket, round_):
        relay = self._world.relay
        count = relay._log.count_of(bucket, round_)
        pages = relay._log.pages_of(bucket, round_, count)
        cipher = relay._epochs.ciphers[round_ // relay.parameters.newest.epoch_rounds]
        for page in pages[:count]:
            raw, plain = bytearray(PAGE_BYTES), bytearray(PAGE_BYTES)
            relay._log.read(page, raw)
            cipher.decrypt(raw, plain)
            yield page, bytes(plain[16:])

    def flip_keyring(self):
        """One page of the key ring that holds something."""
        world = self._world
        world.restore(self._saved)
        raw = b"".join(world.keys.sectors)
        used = [page for page in range(len(raw) // PAGE_BYTES) if raw[256 * page : 256 * page + 256] != b"\xff" * 256]
        self._flip(world.keys, used[self._dice.below(len(used))])
        self.counts["keyring_trials"] += 1
        try:
            world.boot()
        except Fault as error:
            assert str(error)
            self.counts["faults"] += 1
            return
        assert world.relay.unreadable_pages == 1, "the damage is not reported"
        world.testimony.posted = {}
        world.check()

    def _flip(self, flash, page):
        at = (page & 15) * PAGE_BYTES
        sector = bytearray(flash.sectors[page >> 4])
        for bit in self._bits():
            sector[at + bit // 8] ^= 1 << bit % 8
        assert len(sector) == SECTOR_BYTES
        flash.sectors[page >> 4] = bytes(sector)

    def _bits(self):
        """1 to 8 different bits of a page."""
        count, bits = 1 + self._dice.below(8), set()
        while len(bits) < count:
            bits.add(self._dice.below(8 * PAGE_BYTES))
        return bits

    def run(self, trials):
        for number in range(trials):
            try:
                (self.flip_keyring if number % 4 == 3 else self.flip_record)()
            except Exception as error:
                self.counts["failures"] += 1
                print("FAIL  trial {}".format(number))
                sys.print_exception(error)
        self._world.unmount()
        return self.counts


def main(trials, seed):
    print(json.dumps(Trials(seed.encode()).run(int(trials))))


if __name__ == "__main__":
    main(*sys.argv[1:])
