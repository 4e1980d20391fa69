"""Keys of a fleet: an epoch's reach every gateway in force and nobody else, and the older ones go when they may."""

import pytest

from dice import Dice
from tessera import curve
from tessera_host.errors import IntegrityError
from tessera_host.fleet.frames import Malformed
from tessera_host.fleet.keys import EpochKeys, LogKeys, NodeSecrets, TokenKey, Welcome, node_name

from . import gateways, second_reader

STATE = bytes(range(50, 82))


def three() -> tuple[dict[int, bytes], EpochKeys]:
    secrets = {number: Dice(number.to_bytes(2, "big")).bytes(32) for number in (1, 2, 700)}
    nodes = {number: curve.public(secret) for number, secret in secrets.items()}
    return secrets, EpochKeys.compose(9, nodes, STATE, Dice(b"epoch").bytes)


def test_every_gateway_gets_the_same_and_the_second_reader_too() -> None:
    secrets, keys = three()
    opened = {number: keys.open(number, secret, STATE) for number, secret in secrets.items()}
    assert len(set(opened.values())) == 1
    for number, secret in secrets.items():
        epoch, names, state, log_key = second_reader.epoch_keys(keys.pack(), number, secret, STATE)
        assert (epoch, names) == (9, keys.names) and (state, log_key) == opened[number]
    assert EpochKeys.read(keys.pack()) == keys


def test_nobody_else_opens_an_epochs_keys() -> None:
    secrets, keys = three()
    for number, secret, state in ((1, secrets[2], STATE), (5, secrets[1], STATE), (1, secrets[1], bytes(32))):
        with pytest.raises(IntegrityError, match="not those of the others"):
            keys.open(number, secret, state)


def test_gateway_that_is_given_something_else_than_the_others_notices() -> None:
    secrets, keys = three()
    _, others = three()
    other = EpochKeys.compose(9, {1: curve.public(secrets[1])}, STATE, Dice(b"another").bytes)
    mixed = EpochKeys(9, keys.commitment, keys.log_hash, other.ephemeral, other.wraps)
    assert others == keys  # the same dice
    with pytest.raises(IntegrityError):
        mixed.open(1, secrets[1], STATE)


@pytest.mark.parametrize("cut", [0, 102, 103, 216])
def test_keys_that_are_cut_short_are_none(cut: int) -> None:
    with pytest.raises(Malformed):
        EpochKeys.read(three()[1].pack()[:cut])


def test_gateways_out_of_order_or_twice_are_no_keys() -> None:
    _, keys = three()
    for wraps in (list(reversed(keys.wraps)), [keys.wraps[0], *keys.wraps]):
        with pytest.raises(Malformed):
            EpochKeys.read(EpochKeys(9, keys.commitment, keys.log_hash, keys.ephemeral, wraps).pack())


def test_old_node_secret_stays_until_an_epoch_is_sealed_to_the_new_key() -> None:
    dice = Dice(b"node")
    secrets = NodeSecrets()
    first, second, third = (secrets.renew(dice.bytes) for _ in range(3))
    assert [secrets.secret(node_name(key)) is not None for key in (first, second, third)] == [True] * 3
    secrets.sealed_to(node_name(first))
    assert secrets.secret(node_name(first)) is not None
    secrets.sealed_to(node_name(second))
    assert [secrets.secret(node_name(key)) is not None for key in (first, second, third)] == [False, True, True]
    secrets.sealed_to(node_name(first))  # of which nothing is here
    assert len(secrets.secrets) == 2


def test_log_keys_of_epochs_that_are_over_are_gone() -> None:
    keys = LogKeys({2: b"two"})
    keys.keep(3, b"three")
    keys.keep(3, b"another")
    keys.crossed(3)
    assert (keys.get(2), keys.get(3)) == (None, b"another") and list(keys.keys) == [3]


def test_token_key_is_handed_over_to_who_has_both_secrets_and_is_the_one_that_the_log_names() -> None:
    dice = Dice(b"token")
    key, node, fresh = TokenKey(dice.bytes(32)), dice.bytes(32), dice.bytes(32)
    sealed = key.hand_over(curve.public(node), curve.public(fresh), dice.bytes)
    assert TokenKey.taken_over(sealed, node, fresh, key.hash).key == key.key
    for secret, other, hash_ in ((fresh, fresh, key.hash), (node, node, key.hash), (node, fresh, bytes(32))):
        with pytest.raises(IntegrityError):
            TokenKey.taken_over(sealed, secret, other, hash_)
    with pytest.raises(IntegrityError):
        TokenKey.taken_over(b"", node, fresh, key.hash)


def test_marks_are_those_of_the_second_reader_and_change_with_round_token_and_key() -> None:
    keys = [TokenKey(bytes((each,)) * 32) for each in (1, 2)]
    tokens = [gateways.token_id(number, 2) for number in range(3)]
    marks = {key.mark(token, round_) for key in keys for token in tokens for round_ in range(5)}
    places = {key.place(token) for key in keys for token in tokens}
    assert (len(marks), len(places)) == (30, 6)
    assert keys[0].mark(tokens[1], 4) == second_reader.mark(keys[0].key, tokens[1], 4)
    assert keys[1].place(tokens[2]) == second_reader.place(keys[1].key, tokens[2])


def test_welcome_opens_for_its_gateway_alone() -> None:
    dice = Dice(b"welcome")
    secret = dice.bytes(32)
    welcome = Welcome({4: dice.bytes(32), 5: dice.bytes(32)}, {epoch: dice.bytes(32) for epoch in range(2, 6)})
    sealed = welcome.seal(curve.public(secret), dice.bytes)
    assert Welcome.open(sealed, secret) == welcome
    for wrong, by in ((sealed, dice.bytes(32)), (sealed[:-1], secret), (b"", secret)):
        with pytest.raises(IntegrityError, match="not for this gateway"):
            Welcome.open(wrong, by)
