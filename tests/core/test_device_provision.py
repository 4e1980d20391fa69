# What the host calls on a blank board: keys that never leave it, files that arrive whole, a relay that
# is not overwritten.

import json
from binascii import b2a_base64, crc32, hexlify
from hashlib import sha256

from check import raises
from device.provision import Provisioning, line
from dice import Dice
from tessera import curve
from tessera.errors import Error, Fault
from tessera.files import Directory
from workfolder import WorkFolder

SEED = hexlify(bytes(range(32))).decode()
ASKED = {"name": "berlin", "host": "10.0.0.7", "port": 8100, "wifi": {"ssid": "office", "password": "pass w\u00f6rd"}}


class Build:
    BOARD = "RPI_PICO"
    FIRMWARE_DIGEST = bytes(32)
    PARTITIONS = {"littlefs": (0x100000, 0x28000), "keyring": (0x128000, 0x4000), "ring": (0x12C000, 0xD4000)}


def _board(path, random=None, chip=b"chip"):
    return Provisioning(Directory(path), Build, chip, random or _dice(1))


def _dice(number):
    return Dice(bytes((number,))).bytes


def _base64(data):
    return b2a_base64(data).strip().decode()


def _hex_digest(data):
    return hexlify(sha256(data).digest()).decode()


def _provisioned(path):
    board = _board(path)
    made = board.make_keys(SEED)
    board.put("parameters", 0, _base64(b"signed"))
    board.finish("parameters", _hex_digest(b"signed"))
    board.configure(json.dumps(ASKED))
    return board, made


def _content(path, name):
    with open(path + "/" + name, "rb") as file:
        return file.read()


def test_a_blank_board_says_what_it_is():
    with WorkFolder() as path:
        said = _board(path).identify()
        assert said["board"] == "RPI_PICO" and said["provisioned"] is None and said["problem"] is None
        assert said["chip_id"] == "63686970" and said["firmware_digest"] == "00" * 32


def test_keys_are_made_once_and_the_same_after_every_interruption():
    with WorkFolder() as path:
        made = _board(path).make_keys(SEED)
        assert _board(path, _dice(2)).make_keys("00" * 32) == made
        board, again = _provisioned(path)
        assert again == made and board.make_keys("11" * 32) == made
        kept = json.loads(_content(path, "relay.json"))
        assert hexlify(curve.public(bytes.fromhex(kept["static_secret"]))).decode() == made["key"]
        assert hexlify(curve.public(bytes.fromhex(kept["ledger_secret"]))[1:]).decode() == made["ledger_key"]


def test_where_there_are_keys_there_is_a_seed():
    with WorkFolder() as path:
        board, written = _board(path), []
        replace = board._directory.replace

        def noting(name, data):
            replace(name, data)
            written.append(name)

        board._directory.replace = noting
        board.make_keys(SEED)
        assert written == ["seed", "keys"]


def test_each_of_the_three_sources_changes_the_keys():
    made = []
    for seed, random, chip in ((SEED, 1, b"a"), ("00" * 32, 1, b"a"), (SEED, 2, b"a"), (SEED, 1, b"b")):
        with WorkFolder() as path:
            made.append(_board(path, _dice(random), chip).make_keys(seed)["key"])
    assert len(set(made)) == 4


def test_a_dead_hardware_source_makes_no_keys():
    with WorkFolder() as path:
        raises(Fault, _board(path, lambda length: bytes(length)).make_keys, SEED)
        assert _board(path).readback("00")["key"] is None


def test_a_seed_of_another_length_is_refused():
    with WorkFolder() as path:
        raises(Error, _board(path).make_keys, "00" * 31)


def test_a_power_cut_between_seed_and_keys_leaves_no_half_relay():
    with WorkFolder() as path:
        directory = Directory(path)
        directory.replace("seed", bytes(32))  # and the power failed
        made = _board(path).make_keys(SEED)
        assert _board(path).make_keys(SEED) == made
        assert _content(path, "seed") != bytes(32)


def test_nothing_that_is_told_holds_a_secret():
    with WorkFolder() as path:
        board, made = _provisioned(path)
        kept = json.loads(_content(path, "relay.json"))
        told = json.dumps([made, board.identify(), board.readback("00ff"), board.configure(json.dumps(ASKED))])
        for secret in (
            kept["static_secret"],
            kept["ledger_secret"],
            "pass w",
            hexlify(_content(path, "seed")).decode(),
        ):
            assert secret not in told


def test_a_file_arrives_in_pieces_and_a_repeated_piece_does_no_harm():
    content = bytes(range(256)) * 3
    with WorkFolder() as path:
        board = _board(path)
        for at in (0, 256, 256, 512, 0, 256, 512):  # the host began again
            board.put("parameters", at, _base64(content[at : at + 256]))
        board.finish("parameters", _hex_digest(content))
        board.finish("parameters", _hex_digest(content))  # the answer was lost
        assert _content(path, "parameters") == content
        assert board.readback("00")["parameters"] == _hex_digest(content)


def test_a_piece_out_of_order_is_refused():
    with WorkFolder() as path:
        raises(Error, _board(path).put, "parameters", 256, _base64(bytes(256)))


def test_what_was_damaged_on_the_way_does_not_take_a_files_place():
    with WorkFolder() as path:
        board = _board(path)
        board.put("parameters", 0, _base64(b"signed"))
        board.finish("parameters", _hex_digest(b"signed"))
        board.put("parameters", 0, _base64(b"signeD"))
        raises(Error, board.finish, "parameters", _hex_digest(b"signed 2"))
        assert _content(path, "parameters") == b"signed"
        raises(Error, board.finish, "parameters", _hex_digest(b"signed 2"))


def test_no_other_file_can_be_written():
    with WorkFolder() as path:
        for name in ("relay.json", "seed", "keys", "main.py", "../parameters"):
            raises(Error, _board(path).put, name, 0, "AA==")
            raises(Error, _board(path).finish, name, "00" * 32)


def test_it_is_no_relay_before_keys_and_parameters_are_there():
    with WorkFolder() as path:
        board = _board(path)
        raises(Error, board.configure, json.dumps(ASKED))
        board.make_keys(SEED)
        raises(Error, board.configure, json.dumps(ASKED))
        assert board.identify()["provisioned"] is None


def test_a_relay_is_not_made_another():
    with WorkFolder() as path:
        board, made = _provisioned(path)
        before = _content(path, "relay.json")
        raises(Error, board.configure, json.dumps(dict(ASKED, name="potsdam")))
        assert _content(path, "relay.json") == before and board.identify()["provisioned"] == "berlin"
        board.configure(json.dumps(dict(ASKED, host="10.0.0.8")))  # its own settings may be changed
        assert board.make_keys(SEED) == made and board.readback("00")["configuration"]["host"] == "10.0.0.8"


def test_settings_that_are_the_boards_own_cannot_be_given():
    with WorkFolder() as path:
        board, _ = _provisioned(path)
        for name in ("static_secret", "ring_sectors", "version", "surprise"):
            raises(Error, board.configure, json.dumps(dict(ASKED, **{name: 1})))


def test_readback_tells_all_that_was_written_and_the_password_by_a_digest_only():
    with WorkFolder() as path:
        board, made = _provisioned(path)
        told = board.readback("00ff")
        password = _hex_digest(b"\x00\xff" + "pass w\u00f6rd".encode())
        assert told["configuration"] == dict(ASKED, wifi={"ssid": "office", "password": password})
        assert (told["key"], told["ledger_key"], told["seed"]) == (made["key"], made["ledger_key"], 32)


def test_the_secrets_are_in_one_place_in_the_end():
    with WorkFolder() as path:
        _provisioned(path)
        assert Directory(path).read("keys") is None
        kept = json.loads(_content(path, "relay.json"))
        assert (kept["ring_sectors"], kept["keyring_sectors"], kept["version"]) == (212, 4, 1)


def test_a_board_without_a_file_system_says_why():
    said = Provisioning(None, Build, b"chip", _dice(1), "cannot be read").identify()
    assert said["problem"] == "cannot be read" and said["provisioned"] is None


def test_what_is_printed_ends_in_its_checksum():
    text, _, checksum = line({"a": 1}).rpartition(" ")
    assert json.loads(text) == {"a": 1} and int(checksum, 16) == crc32(text.encode()) and len(checksum) == 8
