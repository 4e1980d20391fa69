# What a relay does when the power fails: each workload is a World made ready, and what then happens in it. The power
# may fail in every flash operation of the boot and of run(); prepare() has power to spare.

import office
from releasing import VERSION, Restarted
from world import BUCKETS, EPOCH_ROUNDS, World


class Workload:
    """prepare() gives a World; it is booted, then run(world) happens."""

    def __init__(self, prepare, run):
        self.prepare = prepare
        self.run = run


def running(**settings):
    """A relay that has run for a while: two epochs behind it, records in each."""

    def prepare():
        world = World(**settings)
        world.boot()
        for _ in range(2 * EPOCH_ROUNDS + 1):
            member = world.member(0)
            for number, record in enumerate(world.records(3)):
                world.post(member, record, number % BUCKETS)
            world.pass_rounds()
        world.read_all(world.member(1))
        return world

    return prepare


def _post_across_sectors(world):
    member, other = world.member(2), world.member(3)
    for number, record in enumerate(world.records(20)):
        world.post(member if number % 3 else other, record, number % BUCKETS)


def _seal(world):
    world.post(world.member(2), world.records(1)[0])
    world.pass_rounds()
    world.read_all(world.member(3))


def _change_epoch(world):
    """Checkpoint, new keys, old keys erased, sectors of expired records erased."""
    world.post(world.member(2), world.records(1)[0])
    world.pass_rounds(EPOCH_ROUNDS)
    world.post(world.member(2), world.records(1)[0], 1)


def _lease(world):
    """So many tokens that a bank of the key ring runs full."""
    for number in range(2, 16):
        world.post(world.member(number), world.records(1)[0])
    world.pass_rounds()


def _push(world, serial, first_epoch, **changes):
    blob = office.parameters(
        serial=serial,
        first_epoch=first_epoch,
        epoch_rounds=EPOCH_ROUNDS,
        retention_epochs=1,
        log2_buckets=BUCKETS >> 1,
        **changes,
    )
    world.push(world.operator(), blob)
    world.testimony.serial = serial


def _push_parameters(world):
    """A set, one in its place before it is in force, and one that comes late, with another table."""
    epoch = world.relay.epoch
    _push(world, 2, epoch + 1, access_key=b"the access key of the second set")
    world.post(world.member(3), world.records(1)[0])
    _push(world, 3, epoch + 1, access_key=b"the access key of the third set.")
    world.pass_rounds(EPOCH_ROUNDS)
    world.post(world.member(4), world.records(1)[0])
    _push(world, 4, epoch, thresholds=office.table() + 2 * office.table()[-8:], access_key=office.ACCESS_KEY)
    world.pass_rounds(EPOCH_ROUNDS)
    world.post(world.member(5), world.records(1)[0])
    world.pass_rounds()


def _wrap_ring(world):
    """Three epochs' records through the ring, beyond its end."""
    for _ in range(2 * EPOCH_ROUNDS):
        member = world.member(2)
        for number, record in enumerate(world.records(5)):
            world.post(member, record, number % BUCKETS)
        world.pass_rounds()


def _provisioned():
    """A small ring, as the first start fills it page by page."""
    world = World(ring_sectors=6, members=1)
    world.unmount()
    return world


def _first_boot(world):
    """The ring is filled, the key ring made, the seed used up; the first record."""
    world.post(world.member(0), world.records(1)[0])
    world.pass_rounds()


def _reboot(world):
    """Starts in a row, some with nothing new, some with a record."""
    for number in range(4):
        world.boot()
        if number % 2:
            world.post(world.member(20 + number), world.records(1)[0])


def _long_off():
    world = running()()
    world.skip(4 * EPOCH_ROUNDS)
    world.states_time = False
    return world


def _last_an_epoch(world):
    """A start with a clock far ahead: nothing expires until it was up for an epoch, then all does that is over."""
    world.pass_rounds(EPOCH_ROUNDS + 1)
    world.post(world.member(2), world.records(1)[0])


def _commission(world):
    """The cover key of the first epoch is disclosed; members come in the next."""
    world.relay.commissioning_key()
    world.pass_rounds(EPOCH_ROUNDS)
    world.post(world.member(2), world.records(1)[0])


def _full_ledger():
    """A ledger file with as many checkpoints as it takes: the next one begins another."""
    world = running()()
    ledger = world.relay._ledger
    size = 250 * 255
    blob = world.relay._directory.read("ledger")
    filler = blob[:250] * 255
    world.relay._directory.replace("ledger", filler[: size - 250] + blob[-250:])
    assert ledger._directory.size("ledger") == size
    world.testimony.checkpoints = {world.relay._ledger.last_epoch: blob[-250:]}
    return world


def _rotate_ledger(world):
    world.pass_rounds(2 * EPOCH_ROUNDS)


def _restart_by_itself(world):
    """A seal after which the board restarts, into activated code."""
    try:
        world.pass_rounds()
    except Restarted:
        world.boot()
        return
    raise AssertionError("the board did not restart")


def _update(world):
    """New code that is kept, then newer code that fails its trial: the next start is with the code before."""
    world.stage(world.operator(), VERSION + 1)
    world.post(world.member(3), world.records(1)[0])
    _restart_by_itself(world)
    world.post(world.member(4), world.records(1)[0], 1)
    world.pass_rounds(2)
    assert world.testimony.confirmed == VERSION + 1
    world.stage(world.operator(), VERSION + 2)
    _restart_by_itself(world)
    assert world.places.on_trial
    world.boot()
    assert world.places.version == VERSION + 1
    world.post(world.member(6), world.records(1)[0])
    world.pass_rounds(2)


WORKLOADS = {
    "post across sectors": Workload(running(), _post_across_sectors),
    "seal a round": Workload(running(), _seal),
    "change of epoch": Workload(running(), _change_epoch),
    "leases": Workload(running(), _lease),
    "push parameters": Workload(running(), _push_parameters),
    "update": Workload(running(), _update),
    "wrap the ring": Workload(running(), _wrap_ring),
    "first boot": Workload(_provisioned, _first_boot),
    "reboots": Workload(running(), _reboot),
    "long off": Workload(_long_off, _last_an_epoch),
    "commissioning": Workload(_provisioned, _commission),
    "ledger's next file": Workload(_full_ledger, _rotate_ledger),
}
