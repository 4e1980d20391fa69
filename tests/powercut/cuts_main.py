# One share of the power cuts, on MicroPython: cuts_main.py WORKLOAD DEPTH SHARD SHARDS STEP [BROKEN]
#
# Cuts the workload's run at every operation whose number is SHARD modulo SHARDS (of those, every STEP-th), in every
# measure, boots again and checks every promise. At depth 2 each of these boots is cut, too, at every operation of it,
# in every measure (a boot that fills the ring: in one measure an operation, in turn), and the boot after that is
# checked. Cases that leave the same flash and the same testimony are tried once. The last line is JSON: operations,
# cuts, deep cuts, cases and failures of this share. BROKEN names a relay of broken.py.

import json
import sys

if __name__ == "__main__":
    _here = __file__.rsplit("/", 1)[0] if "/" in __file__ else "."
    for _folder in (_here, _here + "/../core", _here + "/../../firmware"):
        sys.path.append(_folder)

from broken import BROKEN
from power import TEARS, PowerCut
from workloads import WORKLOADS

_MOST_FAILURES = 5  # printed of each share
_LONG_BOOT = 60  # operations


class Suite:
    def __init__(self, workload, depth, shard, shards, step):
        self._workload = workload
        self._depth = depth
        self._share = (shard, shards, step)
        self.counts = {"operations": 0, "cuts": 0, "deep_cuts": 0, "cases": 0, "failures": 0}
        self._seen = set()

    def run(self):
        self._world = world = self._workload.prepare()
        start = world.save()
        kinds = self._kinds(start, self._run)
        self.counts["operations"] = len(kinds)
        shard, shards, step = self._share
        for number in range(len(kinds)):
            if number % shards == shard and number // shards % step == 0:
                for tear in TEARS[kinds[number]]:
                    self._cut(start, number + 1, tear)
        world.unmount()
        return self.counts

    def _run(self):
        self._world.boot()
        self._workload.run(self._world)

    def _kinds(self, saved, action):
        """The kinds of all operations of an action that nothing interrupts."""
        self._world.restore(saved)
        action()
        return self._world.power.kinds

    def _cut(self, saved, operation, tear):
        world = self._world
        world.restore(saved)
        world.power.cut(operation, tear)
        self._until_cut(self._run)
        self.counts["cuts"] += 1
        if not self._is_new():
            return
        after = world.save()
        name = "cut {} {}".format(operation, tear)
        if self._depth > 1:
            self._cut_recovery(after, name)
        world.restore(after)
        self._check(name)

    def _cut_recovery(self, saved, name):
        kinds = self._kinds(saved, self._world.boot)
        for number, kind in enumerate(kinds):
            tears = TEARS[kind]
            if len(kinds) > _LONG_BOOT:
                turn = (number + self.counts["cuts"]) % len(tears)
                tears = tears[turn : turn + 1]
            for tear in tears:
                self._world.restore(saved)
                self._world.power.cut(number + 1, tear)
                self._until_cut(self._world.boot)
                self.counts["deep_cuts"] += 1
                if self._is_new():
                    self._world.restore(self._world.save())
                    self._check("{}, then cut {} {}".format(name, number + 1, tear))

    def _until_cut(self, action):
        try:
            action()
        except PowerCut:
            return
        raise AssertionError("the power did not fail")

    def _is_new(self):
        case = self._world.fingerprint()
        new = case not in self._seen
        self._seen.add(case)
        return new

    def _check(self, name):
        """Boot with power to spare; everything must hold."""
        self.counts["cases"] += 1
        try:
            self._world.boot()
            self._world.check()
        except Exception as error:
            self.counts["failures"] += 1
            if self.counts["failures"] <= _MOST_FAILURES:
                print("FAIL  {}".format(name))
                sys.print_exception(error)


def main(name, depth, shard, shards, step, broken=None):
    if broken:
        BROKEN[broken][0]()
    suite = Suite(WORKLOADS[name], int(depth), int(shard), int(shards), int(step))
    print(json.dumps(suite.run()))


if __name__ == "__main__":
    main(*sys.argv[1:])
