# The relay on a computer: what it is started with is looked at before it makes a file.

import json
import os

from check import not_on_a_board, skip
from tessera.errors import Error
from tessera.runtime import MICROPYTHON
from workfolder import WorkFolder

_CONFIGURATION = {"static_secret": "11" * 32, "ledger_secret": "22" * 32, "ring_sectors": 64, "keyring_sectors": 4}


def _program():
    not_on_a_board("its entry script is another")
    import relay_unix

    return relay_unix


def _write(path, name, data):
    with open(path + "/" + name, "wb") as file:
        file.write(data)


def _refusal(function, argument):
    try:
        function(argument)
    except Error as error:
        return str(error)
    raise AssertionError("taken")


def _opened(files=(), **changes):
    """What opening a relay directory with these files is refused for; it has no other files afterwards."""
    configuration = dict(_CONFIGURATION)
    configuration.update(changes)
    with WorkFolder() as path:
        _write(path, "relay.json", json.dumps(configuration).encode())
        for name in files:
            _write(path, name, b"something")
        before = sorted(os.listdir(path))
        said = _refusal(_program().open_relay, path)
        assert sorted(os.listdir(path)) == before
    return said


def test_a_port_is_a_number_from_1_to_65535():
    options = _program().options
    for wrong in ("abc", "", "0", "-1", "65536", "99999", "80.5"):
        said = _refusal(options, ["relay", "--port", wrong])
        assert said == "{} is not a port: `--port N` takes a number from 1 to 65535".format(wrong)
    for right in ("1", "65535"):
        assert options(["relay", "--port", right])["port"] == int(right)
    assert options(["relay"])["port"] == 8100
    for arguments in ([], ["relay", "--port"], ["relay", "another"]):
        assert _refusal(options, arguments).startswith("usage: ")


def test_a_wrong_port_is_one_line_and_no_traceback():
    assert _program().main(["no such directory", "--port", "abc"]) == 1


def test_a_configuration_that_is_none_makes_no_file():
    for name, wrong in (
        ("static_secret", "11"),
        ("ledger_secret", "00" * 32),
        ("ring_sectors", "64"),
        ("ring_sectors", 0),
        ("keyring_sectors", -4),
    ):
        assert "is not what `tessera relay new` wrote" in _opened(**{name: wrong})


def test_a_relay_of_tessera_serve_is_left_to_it():
    assert "is a relay of `tessera serve`: start that" in _opened(["storage.sqlite"])


def test_a_ring_that_the_heap_has_no_room_for_is_not_made():
    if not MICROPYTHON:
        skip("the heap has no bound")
    assert "start `tessera serve`" in _opened(["seed"], ring_sectors=1 << 24)


def test_memory_that_runs_out_is_said_in_one_line():
    program = _program()

    def fails(path):
        raise MemoryError

    real, program.open_relay = program.open_relay, fails
    try:
        with WorkFolder() as path:
            _write(path, "relay.json", b"{}")
            assert program.main([path]) == 1
    finally:
        program.open_relay = real
