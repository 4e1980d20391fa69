"""Any interleaving of gateways, engine, kills and clocks against the rules written a second time (model.py)."""

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tessera.hashes import sha256
from tessera_host.fleet.replay import Passed, Placed, Reason, Recorded, Refused, Repeated, Voided

from .gateways import BUCKETS, FIRST, POSTS, ROUNDS, Fleet, Gateway, token_id
from .model import Model

GATEWAYS = st.integers(1, 3)
TOKENS = st.integers(0, 3)  # one more than there are places
BUCKET = st.sampled_from([0, 0, 0, 1, 1, BUCKETS])
MEMBERS = 3


class Interleavings(RuleBasedStateMachine):
    """`seen`: at each position a digest of the state that the first gateway there had; `said`: what the model knows
    there. `posted`: token and record of each frame; `renamed`: epochs in which a token key came late."""

    @initialize()
    def begin(self) -> None:
        self.fleet = Fleet(3)
        first = self.fleet[1].state
        self.keys = dict(self.fleet.welcome.log_keys)
        self.model = Model(
            first.relay_key,
            {number: node.key for number, node in first.nodes.items()},
            self.keys.__getitem__,
            ROUNDS,
            FIRST,
            FIRST,
            MEMBERS,
            BUCKETS,
            MEMBERS * POSTS,
        )
        self.seen: dict[int, bytes] = {}
        self.said: dict[int, tuple[object, ...]] = {}
        self.posted: dict[bytes, tuple[bytes, bytes]] = {}
        self.renamed: set[int] = set()
        self.records = 0
        self.name_token_key(1)
        self.settle()
        self.turn(1)
        self.renamed.clear()  # all posts of the epoch's rounds but one, which nobody can use up before

    # -- what happens

    @rule(posts=st.lists(st.tuples(GATEWAYS, TOKENS, BUCKET), min_size=1, max_size=5))
    def post(self, posts: list[tuple[int, int, int]]) -> None:
        for number, token, bucket in posts:
            gateway = self.fleet[number]
            self.records += 1
            record, id = self.records.to_bytes(240, "big"), token_id(token, gateway.state.epoch)
            frame = gateway.post(id, record, bucket)
            if not isinstance(frame, Reason):
                self.posted[frame] = id, record

    @rule(posts=st.lists(st.tuples(GATEWAYS, TOKENS, BUCKET), min_size=1, max_size=5))
    def post_and_settle(self, posts: list[tuple[int, int, int]]) -> None:
        self.post(posts)
        self.settle()

    @rule(number=GATEWAYS, token=TOKENS)
    def place(self, number: int, token: int) -> None:
        gateway = self.fleet[number]
        gateway.void()
        if gateway.token_key is not None:
            gateway.place(token_id(token, gateway.state.epoch))

    @rule(number=GATEWAYS)
    def tick(self, number: int) -> None:
        self.fleet[number].tick()

    @rule(place=st.integers(0, 3))
    def land(self, place: int) -> None:
        flying = self.fleet.engine.flying
        if flying:
            self.fleet.engine.land(place % len(flying))
            self.model.take(self.fleet.engine.log[-1].entry)
            model = self.model
            counted = [each["id"] for each in model.counted if each["round"] == model.open_round]
            said = model.open_round, model.epoch, model.published, sorted(counted), len(model.places)
            self.said[len(self.fleet.engine.log)] = said

    @rule(number=GATEWAYS, entries=st.integers(1, 4))
    def follow(self, number: int, entries: int) -> None:
        gateway = self.fleet[number]
        for _ in range(entries):
            gateway.follow(1)
            self.check(gateway)

    @rule(number=GATEWAYS, rounds=st.sampled_from([1, 1, 1, 2, ROUNDS]))
    def vote(self, number: int, rounds: int) -> None:
        self.fleet[number].vote(rounds)

    @rule(number=GATEWAYS, renew=st.booleans())
    def give_epoch(self, number: int, renew: bool) -> None:
        self.fleet[number].give_epoch()
        if renew:
            self.fleet[number].renew()

    @rule(number=GATEWAYS, next_epoch=st.sampled_from([True, True, False]))
    def name_token_key(self, number: int, next_epoch: bool = False) -> None:
        """And hand it to whoever is there."""
        owner = self.fleet[number]
        key = owner.name_token_key(next_epoch)
        self.renamed |= set() if next_epoch else {owner.state.epoch}
        for gateway in self.fleet:
            if next_epoch:
                gateway.next_token_key = gateway.next_token_key or key
            else:
                gateway.token_key = key

    @rule(number=GATEWAYS)
    def kill(self, number: int) -> None:
        again = self.fleet.gateways[number] = self.fleet[number].restarted()
        for other in self.fleet:  # asks the others
            if other.token_key is not None and other.token_key.hash == again.state.token_hash:
                again.token_key = other.token_key
        self.check(again)

    @rule()
    def settle(self) -> None:
        """Everybody writes and reads all there is, until what was sealed is published."""
        for _ in range(2):
            for gateway in self.fleet:
                if gateway.pending or gateway.state.seals:
                    gateway.tick()
            while self.fleet.engine.flying:
                self.land(0)
            for gateway in self.fleet:
                self.follow(gateway.number, len(self.fleet.engine.log) - gateway.state.position)

    @rule(rounds=st.sampled_from([1, 1, 1, ROUNDS]))
    def turn(self, rounds: int) -> None:
        """The next round, or epoch, comes as it should."""
        state = self.fleet[1].state
        if rounds == ROUNDS:
            self.fleet[1].give_epoch()
            self.name_token_key(2, next_epoch=True)
            self.settle()
        for gateway in self.fleet:
            gateway.vote(min(rounds, (state.epoch + 1) * ROUNDS - gateway.state.open_round))
        self.settle()

    # -- what holds

    def check(self, gateway: Gateway) -> None:
        state = gateway.state
        for epoch, key in gateway.log_keys.keys.items():
            if epoch >= self.model.epoch:
                self.keys[epoch] = key
        if state.position:
            digest = sha256(state.encoded())
            assert self.seen.setdefault(state.position, digest) == digest
            said = state.open_round, state.epoch, state.published, sorted(state.ids), len(state.places)
            assert said == self.said[state.position]
            assert gateway.served == state.published

    def teardown(self) -> None:
        if not hasattr(self, "model"):
            return
        self.settle()
        counted = {each["id"]: each for each in self.model.counted}
        for gateway in self.fleet:
            for id, answer in gateway.answers.items():
                self.check_answer(id, answer, counted)
            # Every record that counted is in the ring of every gateway, once, in its round and in the log's order.
            cells: dict[tuple[int, int], list[bytes]] = {}
            for each in self.model.counted:
                cells.setdefault((each["round"], each["bucket"]), []).append(each["record"])
            assert gateway.ring == cells
        assert len(counted) == len(self.model.counted)
        self.check_tokens()

    def check_answer(self, id: bytes, answer: object, counted: dict[bytes, dict[str, object]]) -> None:
        outcome = self.model.outcomes.get(id)
        match answer:
            case Recorded(_, round_, bucket, record):
                told = counted[id]
                assert outcome == "recorded" and (told["round"], told["bucket"], told["record"]) == (
                    round_,
                    bucket,
                    record,
                )
                assert self.posted[id][1] == record
            case Refused(_, why):
                assert outcome == why.name and id not in counted
            case Voided():
                assert outcome == "void"
            case Placed():
                assert outcome == "placed"
            case Passed():
                assert outcome is None
            case Repeated():
                raise AssertionError("nobody repeats a frame here")

    def check_tokens(self) -> None:
        """Of each token one record a round, and its quota in an epoch; of all together C a round."""
        rounds: dict[int, list[bytes]] = {}
        for each in self.model.counted:
            rounds.setdefault(each["round"], []).append(self.posted[each["id"]][0])
        for tokens in rounds.values():
            assert len(set(tokens)) == len(tokens) <= MEMBERS
        for epoch in {round_ // ROUNDS for round_ in rounds} - self.renamed:
            tokens = [token for round_, each in rounds.items() if round_ // ROUNDS == epoch for token in each]
            assert len(tokens) <= MEMBERS * POSTS
            assert all(tokens.count(token) <= POSTS for token in tokens)


Interleavings.TestCase.settings = settings(max_examples=15, stateful_step_count=35, deadline=None, derandomize=True)
TestInterleavings = Interleavings.TestCase
