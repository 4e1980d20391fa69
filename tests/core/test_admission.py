# heap: 4m
# board: long
# What admission and handshakes cost in curve work, in which order it is done, and that the relay's secrets are Secrets.

import os

from check import raises
from office import (
    ACCESS_KEY,
    EPOCH_ROUNDS,
    FEDERATION,
    RELAY_KEY,
    Connection,
    Office,
    Token,
    channel,
    epoch_secret,
)
from tessera import curve
from tessera.admission import Admission
from tessera.errors import NotAdmitted, Refused
from tessera.hashes import sha256, tagged

_HASH = sha256(b"a handshake")


class _Watched:
    """`with _Watched(name, before) as calls:` notes the arguments of each call of a curve function in calls, after
    before(*arguments), which may raise."""

    def __init__(self, name, before=None):
        self._name = name
        self._before = before
        self._calls = []

    def __enter__(self):
        self._function = getattr(curve, self._name)
        setattr(curve, self._name, self._watched)
        return self._calls

    def _watched(self, *arguments):
        if self._before is not None:
            self._before(*arguments)
        self._calls.append(arguments)
        return self._function(*arguments)

    def __exit__(self, *_):
        setattr(curve, self._name, self._function)


class _Leases:
    """What Admission needs of a key ring."""

    def __init__(self):
        self.leases = {}


def _admission(key=None):
    key = key or curve.public(epoch_secret(0))[1:]
    return Admission(_Leases(), 0, key, FEDERATION, RELAY_KEY, 16)


def _credentials(number=0, secret=None):
    token = Token(number, 0, secret=secret)
    proof = curve.sign(token.secret, tagged("session", _HASH), bytes(32))
    return [0, token.key, token.signature, proof, _HASH]


def _prepared():
    admission = _admission()
    assert admission.prepare() and not admission.prepare()
    return admission


# -- what fails cheaply fails first


def test_another_epoch_or_a_resumed_session_is_refused_without_curve_work():
    admission = _prepared()
    right = _credentials()
    with _Watched("verify") as calls:
        raises(NotAdmitted, admission.authenticate, 1, *right[1:])
        raises(NotAdmitted, admission.authenticate, *(right[:4] + [None]))
    assert calls == []


def test_a_token_of_another_issuer_costs_one_verification_and_that_with_the_table():
    admission = _prepared()
    forged = _credentials(secret=sha256(b"not the issuer"))
    with _Watched("verify") as calls:
        raises(NotAdmitted, admission.authenticate, *forged)
    assert len(calls) == 1 and isinstance(calls[0][2], curve.PreparedKey)


def test_a_new_session_of_a_known_token_costs_its_proof_only():
    admission = _prepared()
    right = _credentials()
    token = admission.authenticate(*right)
    with _Watched("verify") as calls:
        assert admission.authenticate(*right) is token
    assert [arguments[0] for arguments in calls] == [right[3]]


def test_under_a_clock_that_no_token_bears_out_a_token_costs_no_curve_work():
    office = Office()
    office.pass_time(10_000 * EPOCH_ROUNDS * 8)
    office.boot()
    connection = Connection(office.relay)
    request = Token(0, 8).request(connection.channel.handshake_hash)
    with _Watched("verify") as calls:
        raises(Refused, connection.call, request)
    assert calls == []


# -- the table of the epoch's key


def test_a_prepared_epoch_key_admits_and_refuses_as_its_bytes_do():
    forged = _credentials(1, secret=sha256(b"not the issuer"))
    right = _credentials()
    wrong_proof = right[:3] + [forged[3], _HASH]
    for admission in (_admission(), _prepared()):
        raises(NotAdmitted, admission.authenticate, *forged)
        raises(NotAdmitted, admission.authenticate, *wrong_proof)
        assert admission.posts_left(admission.authenticate(*right)) == 16


def test_a_token_of_whichever_cohort_takes_the_same_curve_work():
    issuers = [epoch_secret(0), sha256(b"another cohort"), sha256(b"a third")]
    keys = b"".join([curve.public(issuer)[1:] for issuer in issuers])
    for number, issuer in enumerate(issuers):
        admission = _admission(keys)
        for _ in issuers:
            assert admission.prepare()
        assert not admission.prepare()
        with _Watched("verify") as calls:
            assert admission.posts_left(admission.authenticate(*_credentials(number, issuer))) == 16
        assert [isinstance(key, curve.PreparedKey) for _, _, key in calls] == [True] * 3 + [False]
        raises(NotAdmitted, admission.authenticate, *_credentials(4, secret=sha256(b"not the issuer")))


def test_a_cohort_whose_key_is_no_point_leaves_the_others_theirs():
    keys = b"\xff" * 32 + curve.public(epoch_secret(0))[1:]
    admission = _admission(keys)
    assert admission.posts_left(admission.authenticate(*_credentials())) == 16, "before there are tables"
    while admission.prepare():
        pass
    assert admission.posts_left(admission.authenticate(*_credentials(1))) == 16


def test_an_epoch_key_that_is_no_point_admits_nobody():
    for key in (b"\xff" * 32, bytes(32)):
        admission = _admission(key)
        assert admission.prepare() and not admission.prepare()
        raises(NotAdmitted, admission.authenticate, *_credentials())


def _no_memory(key):
    raise MemoryError


def test_without_room_for_the_table_tokens_are_verified_without_it():
    admission = _admission()
    with _Watched("PreparedKey", _no_memory):
        raises(MemoryError, admission.prepare)
    assert admission.posts_left(admission.authenticate(*_credentials())) == 16
    assert admission.prepare()


def test_every_epoch_opens_with_its_own_table():
    office = Office()
    for epoch in range(3):
        while office.relay.prepare():
            pass
        connection, token = Connection(office.relay), Token(epoch, epoch)
        request = token.request(connection.channel.handshake_hash)
        with _Watched("verify") as calls:
            connection.call(request)
        assert [isinstance(key, bytes) for _, _, key in calls] == [False, True]
        office.sleep(EPOCH_ROUNDS)


def test_a_token_that_settles_the_clock_is_verified_once():
    office = Office()
    office.sleep()
    office.pass_time(10_000 * EPOCH_ROUNDS)
    office.boot()
    assert office.relay.clock.provisional
    connection = Connection(office.relay)
    request = Token(0, 1).request(connection.channel.handshake_hash)
    with _Watched("verify") as calls:
        connection.call(request)
    assert not office.relay.clock.provisional and len(calls) == 2


# -- handshakes


def _hello(relay):
    """(hello, nonce) of a member's full handshake."""
    nonce = relay.nonce()
    return channel.Initiator(nonce, RELAY_KEY, ACCESS_KEY, os.urandom(32)).hello(), nonce


def test_a_handshake_makes_no_key_and_parses_the_members_point_once():
    relay = Office().relay
    while relay.prepare():
        pass
    hello, nonce = _hello(relay)
    with _Watched("public") as made, _Watched("Point") as parsed, _Watched("dh") as agreed:
        relay.greet(hello, nonce, relay.check_hello(hello, nonce))
    assert (len(made), len(parsed), len(agreed)) == (0, 1, 2)
    assert agreed[0][1] is agreed[1][1] and isinstance(agreed[0][1], curve.Point)


def test_every_handshake_has_an_ephemeral_of_its_own():
    relay = Office().relay
    while relay.prepare():
        pass
    points = set()
    for _ in range(6):  # more than are made in advance
        hello, nonce = _hello(relay)
        points.add(relay.greet(hello, nonce, relay.check_hello(hello, nonce))[1][:33])
    assert len(points) == 6


def test_every_resumption_has_randomness_of_the_relay():
    office = Office()
    secret, drawn = office.member().secret, set()
    for _ in range(3):
        nonce = office.relay.nonce()
        resumption = channel.Resumption(nonce, ACCESS_KEY, secret, os.urandom(16))
        hello = resumption.hello()
        drawn.add(office.relay.greet(hello, nonce, office.relay.check_hello(hello, nonce))[1][:33])
        secret = resumption.next_secret
    assert len(drawn) == 3


def test_every_connection_has_a_nonce_of_its_own():
    relay = Office().relay
    nonces = [relay.nonce() for _ in range(100)]  # more than are drawn at a time
    relay.prepare()
    nonces += [relay.nonce() for _ in range(100)]
    assert len(set(nonces)) == 200


def _only_secrets(secret, *_):
    assert isinstance(secret, curve.Secret), "a secret of the relay is of no type of its own"


def test_all_secrets_of_the_relay_are_of_their_own_type():
    office = Office()
    with _Watched("public", _only_secrets) as made, _Watched("sign", _only_secrets) as signed:
        relay = office.boot()
        while relay.prepare():
            pass
        office.sleep(EPOCH_ROUNDS)
    hello, nonce = _hello(relay)
    with _Watched("dh", _only_secrets) as agreed:
        relay.greet(hello, nonce, relay.check_hello(hello, nonce))
    assert len(made) == 6 and len(signed) == 1 and len(agreed) == 2
