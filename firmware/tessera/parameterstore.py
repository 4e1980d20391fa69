# The parameter sets that a relay keeps (PROTOCOL §2): the newest, the one in force, and of earlier ones what the kept
# epochs need. The bytes of a set are params.py's business.

import struct

from .errors import BadRequest, Busy, InvalidObject
from .machine import Machine
from .params import FIRST_BYTES, MOST_RELAY_BYTES, Head, Parameters
from .runtime import const

_FILE = "parameters"
_NO_TABLE = const(255)

# The file begins with the newest set. If that was pushed and not provisioned, there follow: _STATE; for each earlier
# rule that is needed _RULE; the noise tables of these rules (u16 candidates, then 8 bytes for each); the set in force.
# It is one file because it is replaced as a whole: a power cut leaves the old state or the new one.
_STATE = ">I32sIBB"  # first epoch of the newest set, former access key, first epoch of the set in force, rules, tables
_RULE = ">I32sIBBIB"  # first epoch, digest, serial, log2_buckets, cover, constant, number of its table


class Rule:
    """What governs the cells of the epochs from `first` on, until the next rule.

    digest (32 bytes), serial, log2_buckets, cover and constant are the set's. thresholds: its noise table (8 bytes for
    each candidate). parameters: the whole set, and reading_key (32 bytes), as long as they are needed; then None.
    """

    def __init__(self, first, fields, thresholds=b"", parameters=None, relay_id=None, reading_key=None):
        self.first = first
        self.digest, self.serial, self.log2_buckets, self.cover, self.constant = fields
        self.thresholds = thresholds
        self.parameters = parameters
        self.reading_key = reading_key
        self._relay_id = relay_id

    @property
    def fields(self):
        return self.digest, self.serial, self.log2_buckets, self.cover, self.constant

    @property
    def buckets(self):
        """How many buckets there are in the epochs that this rule governs."""
        return 1 << self.log2_buckets

    def epoch_keys(self, epoch):
        """K_{e,j,c} of this relay for every cohort (32 bytes each, joined); None outside the schedule."""
        return self.parameters.epoch_keys(self._relay_id, epoch)


class ParameterStore:
    """The verified sets in a Directory. InvalidObject if those that are there cannot be used.

    static: the relay's (curve.Secret, public key (33 bytes)). check_capacity(head) raises InvalidObject for a set that
    this relay cannot serve. machine: says how many different noise tables fit into the heap.
    access_keys: the newest access key and the one before, which strangers may use. most_buckets: the highest number of
    buckets of any kept round. In this class "open epoch" is the epoch that the last seal opened, durably.
    """

    def __init__(self, directory, static, check_capacity, machine=Machine):
        self._directory = directory
        self._tables = machine.tables
        self._static = static
        self._check_capacity = check_capacity
        self._former = None  # the access key before the one of the set in force
        self._rules = []  # in the order of `first`; the last is the rule of the newest set
        self._size = 0  # bytes in the file while it is read
        self._read()
        self._note()

    # -- the file

    def _read(self):
        size = self._size = self._directory.size(_FILE)
        if not size:
            raise InvalidObject("there are no parameters: provision the relay")
        newest = self._read_set(0)
        at = newest.parameters.length
        if at == size:
            self._rules = [newest]
            return
        newest.first, self._former, first_in_force, rules, tables = self._read_fields(at, _STATE)
        at += struct.calcsize(_STATE)
        places = []
        for _ in range(rules):
            epoch, *fields, table = self._read_fields(at, _RULE)
            self._rules.append(Rule(epoch, fields))
            places.append(table)
            at += struct.calcsize(_RULE)
        for table in range(tables):
            length = 8 * self._read_fields(at, ">H")[0]
            thresholds = self._read_bytes(at + 2, length)
            for rule, place in zip(self._rules, places):
                rule.thresholds = thresholds if place == table else rule.thresholds
            at += 2 + length
        in_force = self._read_set(at)
        in_force.first = first_in_force
        if at + in_force.parameters.length != size:
            raise _damaged()
        self._rules += [in_force, newest]
        self._share_tables()

    def _read_set(self, at):
        """The Rule of the set that begins at byte `at` of the file. The set's bytes stay in the file."""
        head = Head(self._read_bytes(at, FIRST_BYTES))
        rule = self._rule(self._read_bytes(at, head.size(1)))
        self._leave_to_file(rule.parameters, at)
        return rule

    def _leave_to_file(self, parameters, at):
        parameters.part = lambda start, end: self._directory.read_at(_FILE, at + start, end - start)

    def _read_fields(self, at, layout):
        return struct.unpack(layout, self._read_bytes(at, struct.calcsize(layout)))

    def _read_bytes(self, at, length):
        if at + length > self._size:
            raise _damaged()
        return self._directory.read_at(_FILE, at, length)

    def _write(self, rules, former):
        """Make rules durable. The last two are those of the set in force and of the newest set."""
        tables, packed = [], []
        for rule in rules[:-2]:
            table = rule.thresholds
            if table and table not in tables:
                tables.append(table)
            place = tables.index(table) if table else _NO_TABLE
            packed.append(struct.pack(_RULE, rule.first, *(rule.fields + (place,))))
        in_force, newest = rules[-2:]
        state = struct.pack(_STATE, newest.first, former, in_force.first, len(packed), len(tables))
        for table in tables:
            packed += [struct.pack(">H", len(table) // 8), table]
        parts = [newest.parameters.blob, state] + packed
        self._directory.replace(_FILE, *(parts + [in_force.parameters.blob]))
        self._leave_to_file(newest.parameters, 0)
        self._leave_to_file(in_force.parameters, sum([len(part) for part in parts]))

    # -- what a set must be

    def _rule(self, blob):
        """The Rule, from epoch 0 on, of a set (bytes). InvalidObject if this relay cannot use the set."""
        parameters = Parameters(blob)
        parameters.verify()
        self._check_capacity(parameters)
        entry = parameters.relay_with(self._static[1])
        if entry is None:
            raise InvalidObject("the parameters do not list this relay")
        if parameters.length != parameters.size(1) or parameters.column(entry.id) is None:
            raise InvalidObject("a relay takes its own epoch keys only")
        reading_key = parameters.reading_key(self._static[0], entry.id)
        fields = parameters.digest, parameters.serial, parameters.log2_buckets, parameters.cover, parameters.constant
        return Rule(0, fields, parameters.thresholds, parameters, entry.id, reading_key)

    def check_head(self, first, total):
        """The Head of a pushed set of `total` bytes, from its first 240 bytes. BadRequest unless it may follow the sets
        that are here. The signature is not checked yet."""
        try:
            head = Head(first)
            if total != head.size(1) or total > MOST_RELAY_BYTES:
                raise InvalidObject("wrong length: send the set with this relay's epoch keys only")
            if head.serial <= self.newest.serial:
                raise InvalidObject("not newer than this relay's parameters")
            for name in ("federation_id", "root_key", "genesis", "round_seconds", "epoch_rounds", "retention_epochs"):
                if getattr(head, name) != getattr(self.newest, name):
                    raise InvalidObject("{} cannot be changed in service".format(name))
            self._check_capacity(head)
        except InvalidObject as error:
            raise BadRequest(str(error)) from None
        return head

    # -- what governs

    @property
    def newest(self):
        """The newest set (Parameters), whether it is in force or not yet."""
        return self._rules[-1].parameters

    def rule(self, epoch):
        """The Rule of an epoch. For the open epoch and later ones it has its parameters."""
        for rule in reversed(self._rules):
            if rule.first <= epoch:
                return rule
        return self._rules[0]

    def _note(self):
        """Compute access_keys and most_buckets, which are needed often, from the rules."""
        self.access_keys = []
        held = [rule.parameters.access_key for rule in reversed(self._rules) if rule.parameters is not None]
        for key in held + [self._former]:
            if key is not None and key not in self.access_keys and len(self.access_keys) < 2:
                self.access_keys.append(key)
        self.most_buckets = max([rule.buckets for rule in self._rules])

    def _kept(self, open_epoch):
        """The rules of kept epochs, of the open epoch and of future ones."""
        first_kept = open_epoch - self.newest.retention_epochs
        rules = self._rules
        start = 0
        while start + 1 < len(rules) and rules[start + 1].first <= first_kept:
            start += 1
        return rules[start:]

    def drop_unneeded(self, open_epoch):
        """Drop what neither this epoch, which was opened durably, nor a kept epoch needs."""
        self._rules = self._kept(open_epoch)
        in_force = self.rule(open_epoch)
        for rule in self._rules:
            if rule is in_force:
                break
            if rule.parameters is not None:
                if rule.parameters.access_key != in_force.parameters.access_key:
                    self._former = rule.parameters.access_key
                rule.parameters = rule.reading_key = None
        self._note()

    def _share_tables(self):
        """Let rules with equal noise tables share one object, to save heap."""
        tables = []
        for rule in self._rules:
            if rule.thresholds not in tables:
                tables.append(rule.thresholds)
            rule.thresholds = tables[tables.index(rule.thresholds)]

    # -- taking a set

    def install(self, blob, open_epoch, seconds_until):
        """Verify a pushed set (bytes) and keep it, durably. It is in force from its first epoch on, at the earliest
        from the epoch after the open one.

        BadRequest if it may not follow the sets that are here. Busy if there would be too many noise tables;
        seconds_until(epoch) returns for how long, when epoch is the one in which one of them expires.
        """
        self.check_head(blob[:FIRST_BYTES], len(blob))
        try:
            new = self._rule(blob)
        except InvalidObject as error:
            raise BadRequest(str(error)) from None
        new.first = max(new.parameters.first_epoch, open_epoch + 1)
        epoch = open_epoch
        while self._tables is not None and self._tables_beside(new, epoch) > self._tables:
            epoch += 1
        if epoch > open_epoch:
            raise Busy("earlier cover still governs kept rounds", seconds_until(epoch))
        self.drop_unneeded(open_epoch)
        rules = [rule for rule in self._rules if rule.first <= open_epoch] + [new]
        self._write(rules, self._former or rules[-2].parameters.access_key)
        self._rules = rules
        self._share_tables()
        self._note()

    def _tables_beside(self, new, open_epoch):
        """How many different noise tables there are once this epoch is open: this rule's and those still needed."""
        tables = [new.thresholds] if new.thresholds else []
        for rule in self._kept(open_epoch):
            if rule.first <= open_epoch and rule.thresholds and rule.thresholds not in tables:
                tables.append(rule.thresholds)
        return len(tables)


def _damaged():
    return InvalidObject("the file with the parameters is damaged: provision the relay anew")
