# kept
# bip340.json, and every key, DH and tweak of the other vectors: all tiers of the curve that this runtime has.

import check
from check import not_on_a_board, raises, unhex, vectors
from damage import changed, changes
from dice import Dice
from tessera import curve, curve_plain
from tessera.hashes import sha256
from tessera.runtime import MICROPYTHON

_N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_P = 2**256 - 2**32 - 977
_G = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
_NO_RANDOM = bytes(32)

if MICROPYTHON:
    import secp256k1 as best  # the C module that every binary and image of ours carries
else:
    from tessera import curve_coincurve as best

# A board verifies in 75 ms with the C module and in 1 s without: there the plain tier does the published vectors only.
ALL_TIERS = [best, curve_plain]
TIERS = ALL_TIERS[:1] if check.board else ALL_TIERS


def _scalar(number):
    return (number % _N).to_bytes(32, "big")


# Where a multiplication can go wrong: small, at the order's end, digits all alike, the endomorphism's eigenvalues.
_EDGES = [1, 2, 3, 15, 16, 17, 31, 32, 33, _N - 1, _N - 2, _N - 16, (_N - 1) // 2, (_N + 1) // 2]
_EDGES += [1 << 128, (1 << 128) - 1, 1 << 255, int("1" * 64, 16), int("2" * 64, 16), int("8" * 64, 16)]
_EDGES += [int("01" * 32, 16), int("10" * 32, 16), curve_plain.LAMBDA, _N - curve_plain.LAMBDA]
_EDGES += [curve_plain.LAMBDA + 1, 2 * curve_plain.LAMBDA % _N, int("11" * 32, 16) + _N // 16]
_EDGES = check.share(_EDGES, 4)


def test_the_best_tier_is_the_one_in_use():
    assert curve.TIER == ALL_TIERS[0].TIER
    assert len({tier.TIER for tier in ALL_TIERS}) == len(ALL_TIERS)


# -- BIP-340


def _published(tier, step=1):
    """The rows of bip340.json; a board does a share of them in the plain tier, which none of them uses."""
    rows = vectors("bip340")
    return rows if tier is best else check.share(rows, step)


def test_bip_340_signatures_verify_or_not_as_published():
    for tier in ALL_TIERS:
        for row in _published(tier):
            signature, message, key = unhex(row["signature"]), unhex(row["message"]), unhex(row["public_key"])
            assert tier.verify(signature, message, key) is row["valid"], (tier.TIER, row["index"])


def test_bip_340_signatures_are_the_published_ones():
    for tier in ALL_TIERS:
        for row in _published(tier):
            if row["secret_key"]:
                secret, message, random = unhex(row["secret_key"]), unhex(row["message"]), unhex(row["aux_rand"])
                assert tier.sign(secret, message, random) == unhex(row["signature"]), (tier.TIER, row["index"])


def test_bip_340_public_keys_are_the_published_ones():
    for tier in ALL_TIERS:
        for row in _published(tier):
            if row["secret_key"]:
                assert tier.public(unhex(row["secret_key"]))[1:] == unhex(row["public_key"]), (tier.TIER, row["index"])


def test_a_changed_byte_of_signature_message_or_key_does_not_verify():
    row = vectors("bip340")[1]
    signature, message, key = unhex(row["signature"]), unhex(row["message"]), unhex(row["public_key"])
    for tier in TIERS:
        for damaged in changes(signature):
            assert tier.verify(damaged, message, key) is False
        for damaged in changes(message):
            assert tier.verify(signature, damaged, key) is False
        for damaged in changes(key):
            assert tier.verify(signature, message, damaged) is False


def test_malformed_signatures_and_keys_do_not_verify():
    row = vectors("bip340")[1]
    signature, message, key = unhex(row["signature"]), unhex(row["message"]), unhex(row["public_key"])
    for tier in TIERS:
        for wrong in (b"", signature[:63], signature + b"\x00", bytes(64), b"\xff" * 64):
            assert tier.verify(wrong, message, key) is False, (tier.TIER, wrong)
        for wrong in (b"", key[:31], key + b"\x00", b"\x02" + key, bytes(32), b"\xff" * 32, _P.to_bytes(32, "big")):
            assert tier.verify(signature, message, wrong) is False, (tier.TIER, wrong)


def test_views_and_bytearrays_are_as_good_as_bytes():
    row = vectors("bip340")[1]
    signature, message, key = unhex(row["signature"]), unhex(row["message"]), unhex(row["public_key"])
    for tier in TIERS:
        frame = bytearray(key + signature + message)
        view = memoryview(frame)
        assert tier.verify(view[32:96], view[96:], view[:32]) is True, tier.TIER
        assert tier.verify(frame[32:96], frame[96:], frame[:32]) is True, tier.TIER
        assert tier.sign(bytearray(unhex(row["secret_key"])), view[96:], unhex(row["aux_rand"])) == signature, tier.TIER


def test_every_tier_signs_the_same_and_takes_what_another_signed():
    for index, number in enumerate(_EDGES):
        secret, message = _scalar(number), sha256(b"message %d" % index)
        key = TIERS[0].public(secret)[1:]
        signature = TIERS[0].sign(secret, message, message)
        for tier in TIERS:
            assert tier.public(secret)[1:] == key, (tier.TIER, number)
            assert tier.sign(secret, message, message) == signature, (tier.TIER, number)
            assert tier.verify(signature, message, key) is True, (tier.TIER, number)
            assert tier.verify(signature, changed(message, 0), key) is False, (tier.TIER, number)


# -- prepared keys


def test_bip_340_signatures_verify_or_not_under_prepared_keys():
    for tier in ALL_TIERS:
        for row in _published(tier, 4):
            signature, message, key = unhex(row["signature"]), unhex(row["message"]), unhex(row["public_key"])
            prepared = _outcome(tier.PreparedKey, [key])
            if prepared is None:
                assert row["comment"].startswith("public key"), (tier.TIER, row["index"])
            else:
                assert tier.verify(signature, message, prepared) is row["valid"], (tier.TIER, row["index"])


def test_keys_prepared_at_the_edges_verify_and_refuse():
    for tier in TIERS:
        for index, number in enumerate(_EDGES if tier is best else _EDGES[::4]):
            secret, message = _scalar(number), sha256(b"prepared %d" % index)
            prepared = tier.PreparedKey(tier.public(secret)[1:])
            signature = tier.sign(secret, message, message)
            assert tier.verify(signature, message, prepared) is True, (tier.TIER, number)
            for wrong in (changed(signature, 0), changed(signature, 40), signature[:63], bytes(64), b"\xff" * 64):
                assert tier.verify(wrong, message, prepared) is False, (tier.TIER, number, wrong)
            assert tier.verify(signature, changed(message, 5), prepared) is False, (tier.TIER, number)
            assert tier.verify(signature, message[:31], prepared) is False, (tier.TIER, number)


def test_a_prepared_key_verifies_many_signatures_and_no_other_keys():
    secret = _scalar(_N // 3)
    for tier in TIERS:
        prepared = tier.PreparedKey(tier.public(secret)[1:])
        other = tier.PreparedKey(tier.public(_scalar(_N // 5))[1:])
        for number in check.share(range(400 if tier is best else 8), 40):
            message = sha256(b"one of many", number.to_bytes(2, "big"))
            signature = tier.sign(secret, message, message)
            assert tier.verify(signature, message, prepared) is True, (tier.TIER, number)
            assert tier.verify(signature, message, other) is False, (tier.TIER, number)


def test_what_is_no_key_cannot_be_prepared():
    off = next(row for row in vectors("bip340") if row["comment"] == "public key not on the curve")["public_key"]
    for tier in TIERS:
        for key in (b"", bytes(31), bytes(33), bytes(32), b"\xff" * 32, _P.to_bytes(32, "big"), unhex(off)):
            raises(ValueError, tier.PreparedKey, key)


# -- keys, DH, tweaks


def _key_pairs():
    """(secret, point) of every key pair in the vectors."""
    for row in vectors("channel")["handshakes"]:
        yield row["relay_secret"], row["relay_key"]
        yield row["client_ephemeral_secret"], row["client_ephemeral_key"]
        yield row["relay_ephemeral_secret"], row["relay_ephemeral_key"]
    for row in vectors("record"):
        yield row["blinded_secret"], row["blinded_point"]
    for row in vectors("token"):
        for clause in row["clauses"]:
            yield clause["nonce"], clause["nonce_point"]


def test_public_keys_are_the_vectors():
    for tier in TIERS:
        for secret, point in _key_pairs():
            assert tier.public(unhex(secret)) == unhex(point), tier.TIER


def test_public_keys_at_the_orders_ends_are_the_generator():
    for tier in TIERS:
        assert tier.public(_scalar(1)) == unhex("02" + _G), tier.TIER
        assert tier.public(_scalar(_N - 1)) == unhex("03" + _G), tier.TIER
        # lambda·G = (beta·x, y): the endomorphism that curve_plain's verification rests on
        x = curve_plain.BETA * int(_G, 16) % _P
        assert tier.public(_scalar(curve_plain.LAMBDA)) == b"\x02" + x.to_bytes(32, "big"), tier.TIER


def test_dh_is_the_vectors_from_either_side():
    for tier in TIERS:
        for row in vectors("channel")["handshakes"]:
            client, client_key = unhex(row["client_ephemeral_secret"]), unhex(row["client_ephemeral_key"])
            relay, relay_key = unhex(row["relay_ephemeral_secret"]), unhex(row["relay_ephemeral_key"])
            assert tier.dh(client, unhex(row["relay_key"])) == unhex(row["es"]), tier.TIER
            assert tier.dh(unhex(row["relay_secret"]), client_key) == unhex(row["es"]), tier.TIER
            assert tier.dh(client, relay_key) == tier.dh(relay, client_key) == unhex(row["ee"]), tier.TIER


def test_a_parsed_point_is_as_good_as_its_bytes():
    for tier in TIERS:
        for row in vectors("channel")["handshakes"]:
            point = tier.Point(unhex(row["client_ephemeral_key"]))
            assert tier.dh(unhex(row["relay_secret"]), point) == unhex(row["es"]), tier.TIER
            assert tier.dh(unhex(row["relay_ephemeral_secret"]), point) == unhex(row["ee"]), tier.TIER


def test_dh_with_the_generator_hashes_the_public_key():
    for tier in TIERS:
        for number in _EDGES:
            secret = _scalar(number)
            assert tier.dh(secret, unhex("02" + _G)) == sha256(tier.public(secret)), (tier.TIER, number)


def test_tweaked_keys_are_the_vectors():
    for tier in TIERS:
        for row in vectors("record"):
            tweaked = tier.tweak_add(unhex(row["sender_key"]), unhex(row["t"]))
            assert tweaked == unhex(row["blinded_point"]), (tier.TIER, row["name"])


def test_a_tweak_adds_to_the_even_secret():
    for tier in TIERS:
        for number in _EDGES:
            point = tier.public(_scalar(number))
            even = number if point[0] == 2 else _N - number
            for tweak in (0, 1, even, _N - 2):
                if (even + tweak) % _N:
                    expected = tier.public(_scalar(even + tweak))
                    assert tier.tweak_add(point[1:], _scalar(tweak)) == expected, (tier.TIER, number, tweak)


def test_a_tweak_to_infinity_is_refused():
    for tier in TIERS:
        for number in (1, 2, 5, _N - 7):
            point = tier.public(_scalar(number))
            even = number if point[0] == 2 else _N - number
            raises(ValueError, tier.tweak_add, point[1:], _scalar(_N - even))


def test_secrets_out_of_range_are_refused():
    wrong = [
        bytes(32),
        _N.to_bytes(32, "big"),
        (_N + 1).to_bytes(32, "big"),
        b"\xff" * 32,
        b"",
        b"\x01",
        bytes(31) + b"\x01\x01",
    ]
    for tier in TIERS:
        for secret in wrong:
            raises(ValueError, tier.public, secret)
            raises(ValueError, tier.sign, secret, bytes(32), _NO_RANDOM)
            raises(ValueError, tier.dh, secret, unhex("02" + _G))
            raises(ValueError, tier.Secret, secret)


def test_points_off_the_curve_are_refused():
    row = next(row for row in vectors("bip340") if row["comment"] == "public key not on the curve")
    off, too_large = unhex(row["public_key"]), (_P + 1).to_bytes(32, "big")
    good = unhex(_G)
    wrong = [b"\x02" + off, b"\x03" + off, b"\x02" + too_large, b"\x02" + bytes(32), b"\x04" + good, b"\x00" + good]
    wrong += [b"\x06" + good, b"\x07" + good, b"", b"\x02" + good[:31], b"\x02" + good + b"\x00", good]
    # The uncompressed form is a point, but not one the protocol knows.
    wrong.append(b"\x04" + good + curve_plain.GY.to_bytes(32, "big"))
    for tier in TIERS:
        for point in wrong:
            raises(ValueError, tier.dh, _scalar(5), point)
            raises(ValueError, tier.Point, point)


def test_tweaks_of_bad_keys_and_bad_tweaks_are_refused():
    row = next(row for row in vectors("bip340") if row["comment"] == "public key not on the curve")
    for tier in TIERS:
        for key in (unhex(row["public_key"]), b"\xff" * 32, bytes(32), b"", unhex(_G)[:31], unhex("02" + _G)):
            raises(ValueError, tier.tweak_add, key, _scalar(5))
        for tweak in (_N.to_bytes(32, "big"), b"\xff" * 32, b"", b"\x01", bytes(33)):
            raises(ValueError, tier.tweak_add, unhex(_G), tweak)


# -- secrets and public data are of different types


def test_a_secret_is_as_good_as_its_bytes_where_secrets_belong():
    for tier in TIERS:
        for number in _EDGES:
            data = _scalar(number)
            secret = tier.Secret(bytearray(data))
            assert tier.public(secret) == tier.public(data), (tier.TIER, number)
            assert tier.sign(secret, data, _NO_RANDOM) == tier.sign(data, data, _NO_RANDOM), (tier.TIER, number)
            assert tier.dh(secret, unhex("02" + _G)) == tier.dh(data, unhex("02" + _G)), (tier.TIER, number)


def test_no_function_of_public_data_takes_a_secret():
    row = vectors("bip340")[1]
    signature, message, key = unhex(row["signature"]), unhex(row["message"]), unhex(row["public_key"])
    for tier in ALL_TIERS:
        secret = tier.Secret(_scalar(5))
        raises(TypeError, tier.verify, secret, message, key)
        raises(TypeError, tier.verify, signature, secret, key)
        raises(TypeError, tier.verify, signature, message, secret)
        raises(TypeError, tier.tweak_add, secret, message)
        raises(TypeError, tier.tweak_add, key, secret)
        raises(TypeError, tier.PreparedKey, secret)
        raises(TypeError, tier.Point, secret)
        raises(TypeError, tier.dh, secret, secret)


def test_a_secret_does_not_tell_its_bytes():
    for tier in ALL_TIERS:
        secret = tier.Secret(_scalar(5))
        raises(TypeError, bytes, secret)
        raises(TypeError, memoryview, secret)
        raises(TypeError, len, secret)
        raises(TypeError, tier.Secret, secret)
        assert "0505" not in repr(secret) and "\\x05" not in repr(secret)


def test_points_and_prepared_keys_are_not_taken_for_secrets():
    for tier in ALL_TIERS:
        key = unhex(_G)
        for public in (tier.Point(b"\x02" + key), tier.PreparedKey(key)):
            raises(TypeError, tier.public, public)
            raises(TypeError, tier.sign, public, bytes(32), bytes(32))
            raises(TypeError, tier.dh, public, b"\x02" + key)


# -- the tiers against each other


def _outcome(function, arguments):
    """What a call returns, None if it refuses, so that two tiers can be compared."""
    try:
        return function(*arguments)
    except ValueError:
        return None


def _damaged(dice, data):
    """One in two as it is, else with another length, start, bit or value at the edge of what is allowed."""
    kind = dice.below(12)
    if kind == 0:
        return data[: dice.below(len(data))]
    if kind == 1:
        return data + dice.bytes(1 + dice.below(33))
    if kind == 2:
        return bytes((dice.below(8),)) + data[1:]
    if kind == 3:
        return changed(data, dice.below(len(data)))
    if kind == 4:
        return dice.bytes(len(data))
    if kind == 5:
        edge = (0, 1, _N - 1, _N, _N + 1, _P - 1, _P, _P + 1, 2**256 - 1)[dice.below(9)]
        return data[:-32] + edge.to_bytes(32, "big")
    return data


def _calls(dice):
    """(name, arguments) that a tier must answer as any other does; what goes in is right about every second time."""
    secret, message, random = dice.bytes(32), dice.bytes(32), dice.bytes(32)
    point = TIERS[0].public(secret)
    signature = TIERS[0].sign(secret, message, random)
    yield "verify", (_damaged(dice, signature), message, point[1:])
    yield "verify", (signature, _damaged(dice, message), _damaged(dice, point[1:]))
    yield "sign", (_damaged(dice, secret), _damaged(dice, message), _damaged(dice, random))
    yield "public", (_damaged(dice, secret),)
    yield "dh", (_damaged(dice, secret), _damaged(dice, point))
    yield "tweak_add", (_damaged(dice, point[1:]), _damaged(dice, message))


def test_tiers_answer_alike_whether_input_is_good_or_damaged():
    not_on_a_board("the plain tier takes a second for each")
    dice = Dice(b"tiers")
    seen = set()
    for turn in range(40):
        for name, arguments in _calls(dice):
            expected = _outcome(getattr(curve_plain, name), arguments)
            for tier in TIERS[:-1]:
                assert _outcome(getattr(tier, name), arguments) == expected, (tier.TIER, turn, name, arguments)
            seen.add((name, expected is None or expected is False))
    assert len(seen) == 10  # every function answered and refused
