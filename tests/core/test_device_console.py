# board: long
# The console's line protocol, and what its commands say of a relay, without a serial line.

import builtins
import json
from binascii import a2b_base64, unhexlify

from device import commands, console
from device.explain import code
from device.log import Log
from office import EPOCH_ROUNDS, RELAY_KEY, Connection, Office, Token
from tessera.cover import EpochCover
from tessera.errors import (
    BadFrame,
    BadRequest,
    Busy,
    Error,
    Fault,
    InvalidObject,
    NotAdmitted,
    NotReady,
    QuotaSpent,
    TooOld,
)


class _Lines:
    """What is printed while this is open."""

    def __enter__(self):
        self.lines = []
        self._print = builtins.print
        builtins.print = lambda *words: self.lines.append(" ".join(str(word) for word in words))
        return self

    def __exit__(self, *_):
        builtins.print = self._print


async def _typed(handlers, *pieces):
    """What a console prints when these bytes come."""
    with _Lines() as seen:
        listener = console.Console(handlers)
        for piece in pieces:
            await listener.take(piece)
    return seen.lines


async def test_a_command_gets_its_arguments_and_answers_with_one_line_of_json():
    handlers = {"add": lambda arguments: {"sum": sum(int(each) for each in arguments)}}
    assert await _typed(handlers, b"add 1 2 3\n") == ['=add {"sum": 6}']
    assert await _typed(handlers, b"\r\n  \nadd 1\r\nad", b"d 2", b"\n") == ['=add {"sum": 1}', '=add {"sum": 2}']


async def test_data_lines_come_before_the_answer_and_handlers_may_wait():
    async def slow(arguments):
        console.say("slow", "first")
        return {"arguments": len(arguments)}

    assert await _typed({"slow": slow}, b"slow x\n") == ["-slow first", '=slow {"arguments": 1}']


async def test_a_refusal_is_one_line_with_a_code_and_its_own_words():
    def refuse(arguments):
        raise Error("not\nnow")

    def fail(arguments):
        raise OSError(5, "EIO")

    lines = await _typed({"refuse": refuse, "fail": fail}, b"refuse\nfail\n")
    assert lines[0] == "!refuse REFUSED not now"
    assert lines[1].startswith("!fail STORAGE ") and "5" in lines[1]


def test_every_error_has_a_code_and_refusals_that_of_the_protocol():
    expected = (
        (BadFrame("x"), "BAD_FRAME"),
        (BadRequest("x"), "BAD_REQUEST"),
        (NotAdmitted("x"), "NOT_ADMITTED"),
        (QuotaSpent("x"), "QUOTA"),
        (NotReady("x"), "NOT_READY"),
        (Busy("x", 5), "BUSY"),
        (TooOld("x"), "TOO_OLD"),
        (Fault("x"), "FAULT"),
        (Error("x"), "REFUSED"),
        (InvalidObject("x"), "REFUSED"),
        (OSError(5), "STORAGE"),
        (MemoryError(), "MEMORY"),
        (ValueError("x"), "BUG"),
    )
    assert [code(error) for error, _ in expected] == [word for _, word in expected]


async def test_what_is_no_command_is_answered_with_those_there_are():
    handlers = {"b": None, "a": None}
    assert await _typed(handlers, b"c 1\n\xff\xfe\n") == ["!? UNKNOWN commands: a b"] * 2


async def test_control_characters_of_who_asks_for_a_prompt_are_passed_over():
    assert await _typed({"add": lambda arguments: {}}, b"\r\x03\x03\r\x01add\n") == ["=add {}"]


async def test_a_line_that_is_too_long_is_refused_whole_and_the_next_one_is_obeyed():
    handlers = {"add": lambda arguments: {}}
    lines = await _typed(handlers, b"add " + b"1" * 600, b"1" * 600 + b"\nadd 1\n")
    assert len(lines) == 2 and lines[0].startswith("!? TOO_LONG ") and lines[1] == "=add {}"
    assert await _typed(handlers, b"add " + b"1" * 508 + b"\n") == ["=add {}"]


async def test_a_line_without_an_end_takes_little_memory():
    listener = console.Console({})
    for _ in range(100):
        await listener.take(b"1" * 64)
    assert len(listener._line) <= 512 + 64


class _Appliance:
    def __init__(self, office):
        self.relay = office.relay
        self.config = {"name": "berlin"}
        self.log = Log(office.directory)
        self.restarts = 0
        self.resets = 0

    def figures(self):
        return {"state": "serving"}

    def restart_soon(self, why):
        self.restarts += 1

    def factory_reset(self):
        self.resets += 1


async def _ask(appliance, line):
    """(data lines, figures of the answer); AssertionError if it was refused."""
    lines = await _typed(commands.handlers(appliance), line + b"\n")
    name = line.split()[0].decode()
    assert lines[-1].startswith("={} ".format(name)), lines[-1]
    return [each[len(name) + 2 :] for each in lines[:-1]], json.loads(lines[-1][len(name) + 2 :])


async def _refusal(appliance, line):
    lines = await _typed(commands.handlers(appliance), line + b"\n")
    assert len(lines) == 1 and lines[0].startswith("!"), lines
    return lines[0]


async def test_the_clock_is_set_by_the_first_time_and_corrected_within_bounds():
    office = Office()
    office.boot(clock_known=False)
    appliance = _Appliance(office)
    early = await _refusal(appliance, b"clock %d" % (office.unix_ms - 3_600_000))
    assert early.startswith("!clock BAD_REQUEST impossible time") and not office.relay.clock.known
    _, figures = await _ask(appliance, b"clock %d" % office.unix_ms)
    assert figures == {"unix_ms": office.unix_ms, "moved_ms": 0}
    office.turn()
    _, figures = await _ask(appliance, b"clock %d" % (office.unix_ms + 3_600_000))
    assert figures["moved_ms"] <= 10_000 and figures["unix_ms"] == office.unix_ms + figures["moved_ms"]
    assert (await _refusal(appliance, b"clock")).startswith("!clock BAD_REQUEST usage: ")
    assert (await _refusal(appliance, b"clock -5")).startswith("!clock BAD_REQUEST usage: ")


async def test_commissioning_shows_what_the_cover_key_gives():
    office = Office()
    office.sleep(EPOCH_ROUNDS)
    appliance = _Appliance(office)
    await _refusal(appliance, b"batch 0 0")
    _, figures = await _ask(appliance, b"commission")
    assert (figures["epoch"], figures["first_round"], figures["end_round"]) == (0, 0, EPOCH_ROUNDS)
    assert unhexlify(figures["parameter_digest"]) == bytes(office.relay.parameters.rule(0).digest)
    cover = EpochCover(unhexlify(figures["cover_key"]), office.relay.parameters.rule(0).thresholds)
    lines, figures = await _ask(appliance, b"batch 1 2")
    batch = [a2b_base64(line) for line in lines]
    assert figures["count"] == len(batch) == cover.noise(1, 2)
    assert batch == sorted(batch) and all(len(record) == 240 for record in batch)
    await _refusal(appliance, b"batch 0 %d" % EPOCH_ROUNDS)
    Connection(office.relay).authenticate(Token(0, 1))
    for line in (b"batch 1 2", b"commission"):
        assert (await _refusal(appliance, line)).split()[1] == "NOT_ADMITTED"


async def test_a_factory_reset_needs_the_name_of_the_relay():
    appliance = _Appliance(Office())
    for line in (b"factory-reset", b"factory-reset munich", b"factory-reset berlin now"):
        await _refusal(appliance, line)
    assert appliance.resets == 0
    await _ask(appliance, b"factory-reset berlin")
    assert appliance.resets == 1


async def test_without_a_relay_its_commands_are_refused_and_the_others_work():
    appliance = _Appliance(Office())
    appliance.relay = None
    for line in (b"clock 1", b"commission", b"batch 0 0"):
        refusal = await _refusal(appliance, line)
        assert refusal.split()[1] == "NOT_READY" and "status" in refusal
    assert (await _ask(appliance, b"status"))[1] == {"state": "serving"}
    await _ask(appliance, b"restart")
    assert appliance.restarts == 1


async def test_the_log_shows_the_latest_events():
    appliance = _Appliance(Office())
    with _Lines():
        for number in range(100):
            appliance.log.note("event {}".format(number))
    lines, figures = await _ask(appliance, b"log")
    assert figures["lines"] == len(lines) <= 64
    assert lines[-1].endswith("event 99") and RELAY_KEY.hex() not in "".join(lines)
