"""The share of the fuzzing that every `make test` runs: a fixed set of inputs for each target, and those that once
broke something. And that the targets would notice: each is shown a product that does wrong."""

import gc
import sys
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from tessera import channel, curve, curve_plain, hashes, keyring, ledger, params, recordlog, wire
from tessera.admission import Admission
from tessera.errors import TooOld
from tessera.page import PageBuffer, PageCipher
from tessera.push import Pushes
from tessera.relay import Relay
from tessera.staging import Staging
from tessera_host.agent import link
from tessera_host.cli import attachments
from tessera_host.errors import InvalidInput, UsageError
from tessera_host.issuer import invitations, issuance
from tessera_host.keys import keystore, unlocking
from tessera_host.member import backup, composing, contacts, inbox, pacing, relay_sessions, sending
from tessera_host.member.schema import Departure
from tessera_host.protocol import card_finding, cards, federation, issuer_frames, records, relay_connection
from tessera_host.relay import server_relay
from tests.fuzz import fuzz, once
from tests.fuzz.boot_targets import (
    KeyringFlash,
    KeyringPages,
    LedgerFile,
    ParameterFiles,
    RingFlash,
    RingPages,
    SignedObjects,
)
from tests.fuzz.host_targets import (
    Answers,
    Cards,
    CardsInMail,
    Client,
    ContactRecords,
    IssuerFrames,
    JsonFiles,
    KeystoreFile,
    ParameterSets,
)
from tests.fuzz.member_targets import InfoAndAck, Names, Restored
from tests.fuzz.relay_targets import CurveTiers, Hello, Requests, Stream
from tests.fuzz.smalloffice import SmallOffice, lived, new, serves
from tests.fuzz.socket_targets import AgentSocket, UnlockSocket
from tests.fuzz.staging_targets import Pieces
from tests.fuzz.target import Target, Violation, mutations
from tests.fuzz.targets import TARGETS

SEED = 20260401

# Inputs that were findings: what holds now → target, input.
FINDINGS = {
    "a push with a chunk left out is forgotten": ("requests", "03000004010000"),
    "a push with a chunk repeated is forgotten": ("requests", "03000004020000"),
    "a key ring page of marks too long is a fault": ("keyring-pages", "0500047fff0000000b00000003"),
    "a key ring page of marks too short is a fault": ("keyring-pages", "0f00040100"),
    "a key ring head too short is a fault": ("keyring-pages", "0f00010d8f0d00020000ffffffff000000000000000000"),
    "an empty key ring page of flags is a fault": ("keyring-pages", "0f0006"),
    "a key ring page of leases with half a lease is a fault": ("keyring-pages", "020005090d00000002795ee0ff53905e4d01"),
    "a key ring page of leases too short is a fault": ("keyring-pages", "020005027fffffff02795ee0ff0808000000d6"),
    "a key ring page of half an epoch is a fault": ("keyring-pages", "05000208080000000f00000003"),
    "keys of an epoch to come are a fault": ("keyring-pages", "0f0002444400000005" + "07" * 64),
    "a page with the last seq is a fault": ("ring-pages", "017f017ffffff00000000e000000"),
    "a ledger whose entry has no version still answers": ("ledger", "0000" + "00" * 250 + "01" * 250),
    "a relay with parameters of longer epochs is a fault": ("parameter-files", "040102ffffffffffffffff"),
    "a curve tier that is no text is refused": ("answers", "0081" + "ff" * 254),
    "a card with version 1.0 is refused": (
        "cards",
        "0101a46176f93c00636b65795820" + "00" * 32 + "637369675840" + "00" * 64 + "646e616d6563416e6e",
    ),
    "a keystore with a good digest and no header is refused": ("keystore", b'\1{"format": "tessera-keystore"'.hex()),
    "a keystore with a header of lists is refused": (
        "keystore",
        (b'\1{"format": "tessera-keystore"' + b"[" * 9000).hex(),
    ),
    "a keystore without a salt is refused": (
        "keystore",
        b'\1{"format": "tessera-keystore", "version": 1, "n": 2, "r": 1, "p": 1}'.hex(),
    ),
    "a backup with parameters that are none is refused": ("restored", "0100010104020024"),
    "a message to somebody who is no contact is shown all the same": ("restored", "010001010b000013"),
    "a key for no end of time is not kept": (
        "unlock-socket",
        (
            b'\0\0\xa1{"ask":"keep","keystore":"/x","salt":"%b","key":"%b","seconds":1e999}' % (b"07" * 16, b"08" * 32)
        ).hex(),
    ),
    "a key without its salt is none": ("unlock-socket", b'\1{"key": 5}'.hex()),
    "an agent's answer without what was asked is refused": ("agent-socket", b"\2\0{}".hex()),
    "an agent's error with any exit code is one": ("agent-socket", b'\2\0{"error": 5, "exit_code": []}'.hex()),
    "an agent of another version is refused": ("agent-socket", "03000000fe"),
    "an agent's process of infinite number is none": ("agent-socket", b'\4{"socket": "x", "process": 1e999}'.hex()),
    "an agent's socket with a zero byte is none": ("agent-socket", b'\4{"socket": "x\\u0000y", "process": 7}'.hex()),
    "an agent's address nested without end is none": ("agent-socket", (b"\4" + b"[" * 3000).hex()),
    "a plan of less than a message a day has figures": (
        "json-files",
        (
            b'\1{"version": 1, "choice": {"epsilon": "2", "delta": "0.001", "members": 24, "round_seconds": 10000, '
            b'"epoch_rounds": 288, "retention_epochs": 3, "buckets": 1, "tokens_per_epoch": 2, "posts_per_token": 16, '
            b'"board": "RPI_PICO_W", "allow_small": false}, "table": {"thresholds": []}}'
        ).hex(),
    ),
    "relay.json nested without end is refused": ("json-files", (b"\0" + b"[" * 6000).hex()),
    "relay.json with half a sector is refused": (
        "json-files",
        (b'\0{"version": 1, "static_secret": "' + b"07" * 32 + b'", "ledger_secret": "", ').hex()
        + b'"ring_sectors": 1.5, "keyring_sectors": 4}'.hex(),
    ),
}


def seed_of(name: str) -> int:
    return SEED + sum(name.encode())


@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.long)], ids=["half", "whole"])
@pytest.mark.parametrize("name", TARGETS)
def test_target_holds_for_its_fixed_inputs(name: str, whole: bool) -> None:
    """Daily the first half of the inputs, in the long part every seed as well; `make fuzz` tries millions."""
    target = TARGETS[name]()
    seeds = target.seeds()
    count = max(target.runs, len(seeds)) if whole else target.runs // 2
    for data in mutations(seeds, count, target.longest, seed_of(name)):
        try:
            target.run(data)
        except BaseException as error:
            error.add_note(f"target {name}, input {data.hex()}")
            raise


@pytest.mark.parametrize("what", FINDINGS)
def test_what_was_a_finding_holds(what: str) -> None:
    name, data = FINDINGS[what]
    TARGETS[name]().run(bytes.fromhex(data))


def _use_up_an_ephemeral(self: Any, hello: bytes, nonce: bytes) -> bytes:
    self._handshakes._ephemerals.pop()
    return channel.hello_access_key(hello, nonce, self.parameters.access_keys)


def _wear_the_flash(self: Any, hello: bytes, nonce: bytes) -> bytes:
    self._keyring.mark(self._keyring.sealed_next, self._keyring.sealed_count)
    return channel.hello_access_key(hello, nonce, self.parameters.access_keys)


def _store_nothing(self: Any, round_: int, bucket: int, record: bytes, cipher: Any, is_copy: bool = False) -> int:
    return 0


def _forget_a_sector(self: Any, page: int, buffer: Any) -> bool:
    return page >> 4 != 0 and _open_page(self, page, buffer)


_open_page = PageCipher.open


def _give_up_at_a_damaged_entry(self: Any, epoch: int) -> bytes:
    content = self._directory.read("ledger") or b""
    for at in range(0, len(content), ledger.CHECKPOINT_BYTES):
        if ledger.Checkpoint(content[at : at + ledger.CHECKPOINT_BYTES]).epoch == epoch:
            return content[at : at + ledger.CHECKPOINT_BYTES]
    raise TooOld("no checkpoint of this epoch")


def _read_without_digest(self: Any, page: int) -> bool:
    self._device.readblocks(page >> 4, self._page, (page & 15) << 8)
    return self._page[:4] != b"\xff" * 4


def _take_any_scalar(key: bytes, tweak: bytes) -> bytes:
    number = int.from_bytes(tweak, "big") % curve_plain.N
    return _tweak_add(key, number.to_bytes(32, "big"))


_tweak_add = curve_plain.tweak_add


def _take_any_encoding(payload: bytes) -> dict[str, Any]:
    try:
        fields = cards.cbor2.loads(payload, max_depth=8)
    except Exception as error:
        raise InvalidInput("this card is damaged inside") from error
    if isinstance(fields, dict):
        return fields
    raise InvalidInput("this card is damaged inside")


def _show_the_card(body: str) -> bytes:
    raise InvalidInput(f"this card is damaged: {body}")


def _adopt_anything(self: Any, blob: bytes, epoch: int) -> None:
    self._keep(federation.parsed(blob), epoch)


def _open_anything(step: Any, epoch: int, index: int, record: bytes) -> Any:
    plaintext = AESGCMSIV(step.key).decrypt(bytes(12), record[8:], step.tag)
    *head, length = records._HEAD.unpack_from(plaintext)
    return records.Part(*[*head, plaintext[8 : 8 + length]]), None


def _prove_anything(contact: Any, closing: Any, part: Any, payloads: list[bytes]) -> bool:
    return True


def _believe_the_header(line: bytes) -> dict[str, Any] | None:
    try:
        header = dict(keystore.json.loads(line))
        return header | {name: bytes.fromhex(header[name]) for name in ("salt", "nonce")}
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _believe_the_configuration(directory: Path) -> dict[str, Any]:
    try:
        configuration = dict(server_relay.json.loads((directory / server_relay.CONFIGURATION).read_bytes()))
        server_relay.identity(configuration)
        return configuration | {name: configuration[name] for name in ("ring_sectors", "keyring_sectors")}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidInput("the configuration is damaged") from error


def _assemble_any_length(most: int) -> issuer_frames.Assembler:
    return _assembler(1 << 30)


_assembler = issuer_frames.Assembler


def _put_of_any_session(self: Any, offset: int, data: bytes, session: Any) -> tuple[int, int]:
    self._owner = session
    return _put(self, offset, data, session)


_put = Staging.put


def _stage_without_looking(self: Any) -> None:
    self._staged = True


def _erase_on_a_relay_s_word(self: Any, own_round: int) -> None:
    for contact in self._contacts.values():
        contact.receive.forget_before(self._federation.epoch_of(own_round) + 1)


def _queue_before_looking(state: Any, contact: str, text: str) -> range:
    state.data.departures.append(Departure(state.now(), 1, 0, state.round(), bytes(32)))
    state.save()
    raise UsageError("there is nothing to send", "give a text")


@dataclass(frozen=True)
class Sabotage:
    """A product that does wrong in one place: what is put where, the target that must notice, and what it then says."""

    owner: Any
    name: str
    wrong: Any
    target: type[Target]
    says: str


SABOTAGES = {
    "a stranger's hello that uses up an ephemeral": Sabotage(
        Relay, "check_hello", _use_up_an_ephemeral, Hello, "a stranger's hello used something up"
    ),
    "a proof of resumption that is not looked at": Sabotage(
        channel, "equal", lambda a, b: True, Hello, "let in without the secrets"
    ),
    "a stranger's hello that writes to flash": Sabotage(
        Relay, "check_hello", _wear_the_flash, Hello, "a stranger's hello changed the relay"
    ),
    "a frame whose seal is not checked": Sabotage(
        hashes.HmacKey, "verify", lambda *_: True, Stream, "an answer to a frame that does not verify"
    ),
    "strangers that are served": Sabotage(
        Relay, "_require_admitted", lambda self, session: None, Requests, "served without admission"
    ),
    "readers without the key": Sabotage(
        Relay, "_require_reader", lambda *_: None, Requests, "cells were served without the reading key"
    ),
    "heads of sets that nobody signed": Sabotage(params.Head, "verify", lambda self: None, Requests, "a damaged head"),
    "anybody as the operator": Sabotage(
        curve, "verify", lambda *_: True, Requests, "somebody who is not IT became the operator"
    ),
    "tokens that nobody signed": Sabotage(
        Admission, "_signed", lambda *_: True, Requests, "a damaged token or proof was admitted"
    ),
    "records that are acknowledged and not stored": Sabotage(
        recordlog.RecordLog, "append", _store_nothing, Requests, "stored 0 times, not 1"
    ),
    "pushes that are never forgotten": Sabotage(
        Pushes, "leave", lambda self, session: None, Requests, "a push outlives its connection"
    ),
    "a tweak of the curve's order": Sabotage(curve_plain, "tweak_add", _take_any_scalar, CurveTiers, "tweak_add: "),
    "key ring pages without their digest": Sabotage(
        keyring.KeyRing, "_read", _read_without_digest, KeyringFlash, "keys that no relay drew"
    ),
    "key ring pages of any length": Sabotage(
        keyring, "_fits", lambda kind, length: True, KeyringPages, "IndexError came out"
    ),
    "sectors numbered without end": Sabotage(
        recordlog, "_LAST_NUMBER", 1 << 40, RingPages, "a sector's number reaches into what says that a page is a copy"
    ),
    "a boot that loses a sector": Sabotage(
        PageCipher, "open", _forget_a_sector, RingFlash, "an acknowledged record is gone after a start"
    ),
    "a ledger that gives up at a damaged entry": Sabotage(
        ledger.Ledger, "find", _give_up_at_a_damaged_entry, LedgerFile, "InvalidObject came out"
    ),
    "parameters that nobody signed": Sabotage(
        params.Parameters,
        "verify",
        lambda self: None,
        ParameterFiles,
        "parameters that the root key did not sign govern",
    ),
    "checkpoints that nobody signed": Sabotage(
        ledger.Checkpoint, "verify", lambda self, key: None, SignedObjects, "a signature that does not hold was taken"
    ),
    "cards in any encoding": Sabotage(
        cards, "_uncbor", _take_any_encoding, Cards, "a card was taken that is encoded otherwise"
    ),
    "token requests of anybody": Sabotage(
        issuance, "_check_signature", lambda *_: None, Cards, "a card was taken that its maker did not sign"
    ),
    "contacts that anybody may sign for": Sabotage(
        contacts, "_check_signature", lambda *_: None, Cards, "a card was taken that its maker did not sign"
    ),
    "joining without the invitation's secret": Sabotage(
        invitations.hmac, "compare_digest", lambda a, b: True, Cards, "a card was taken that its maker did not sign"
    ),
    "another federation's parameters": Sabotage(
        federation.Federation, "adopt", _adopt_anything, ParameterSets, "another federation's set was adopted"
    ),
    "cards that end where their letters do": Sabotage(
        card_finding, "_letters_of_card", lambda letters: None, CardsInMail, "a card was not found"
    ),
    "cards that are shown when they are damaged": Sabotage(
        cards, "_unbase64", _show_the_card, CardsInMail, "an error shows a card"
    ),
    "records with any head": Sabotage(
        records, "open_record", _open_anything, ContactRecords, "records were passed over"
    ),
    "records that nobody signed": Sabotage(
        inbox, "_is_signed", _prove_anything, ContactRecords, "records were passed over"
    ),
    "messages that are begun and never end": Sabotage(
        inbox, "BEGUN_MESSAGES", 30, ContactRecords, "begun messages pile up"
    ),
    "batches that lack records": Sabotage(
        relay_connection._Batches, "_close_batch", lambda self: None, Client, "a batch was taken that lacks records"
    ),
    "batches of any rounds": Sabotage(
        relay_connection, "_expect", lambda in_order: None, Client, "batches out of order"
    ),
    "records read from a wrong place": Sabotage(
        wire, "CELL_HEADER_BYTES", 62, Answers, "a cell was read from a wrong place"
    ),
    "a keystore header that is believed": Sabotage(
        keystore, "_parsed", _believe_the_header, KeystoreFile, "ValueError came out"
    ),
    "a relay's settings that are believed": Sabotage(
        server_relay, "read_configuration", _believe_the_configuration, JsonFiles, "sectors that are no positive number"
    ),
    "pieces from a session that did not begin": Sabotage(
        Staging, "put", _put_of_any_session, Pieces, "a piece was taken from a session that did not begin"
    ),
    "pieces that are not what was signed": Sabotage(
        Staging, "_finish", _stage_without_looking, Pieces, "bytes were staged that the release is not of"
    ),
    "a first round that a relay may choose": Sabotage(
        relay_sessions.RelaySessions, "_check_rounds", lambda *_: None, InfoAndAck, "a relay was used whose INFO"
    ),
    "an ACK of any round": Sabotage(
        sending, "CLOCK_ROUNDS", 1 << 40, InfoAndAck, "an ACK of another time was taken for one"
    ),
    "keys that a visit erases": Sabotage(
        inbox.Inbox, "forget_read", _erase_on_a_relay_s_word, InfoAndAck, "a key was erased of a record that may still"
    ),
    "posts that nobody counts": Sabotage(
        pacing, "next_post", lambda *_: pacing.Wait(), InfoAndAck, "two records left in one round"
    ),
    "names of any kind in cards": Sabotage(cards, "name_fault", lambda name: None, Names, "a card's name is judged"),
    "names of any kind in commands": Sabotage(
        contacts, "check_name", lambda what, name: None, Names, "a command's name is judged"
    ),
    "files of any name": Sabotage(
        attachments, "_harmless", lambda name, most: name, Names, "a file's name leads elsewhere, or hides it"
    ),
    "a day's budget that is there twice": Sabotage(
        backup, "_use_up_the_day", lambda *_: None, Restored, "the day's budget is there twice"
    ),
    "sessions that are taken up twice": Sabotage(
        backup, "_forget_sessions", lambda state: None, Restored, "an offer may be used twice"
    ),
    "requests that count before they are looked at": Sabotage(
        composing, "queue", _queue_before_looking, AgentSocket, "a request that was refused changed something"
    ),
    "an agent's answers that are believed": Sabotage(
        link, "_understood", lambda read: read(), AgentSocket, "Mismatch came out"
    ),
    "keys that stay unlocked": Sabotage(
        unlocking.Keys, "forget_old", lambda self: None, UnlockSocket, "a key is lost, of another keystore, or there"
    ),
    "keys of any length": Sabotage(unlocking, "KEY_BYTES", 0, UnlockSocket, "what is no key of a keystore was kept"),
    "messages without end to the issuer": Sabotage(
        issuer_frames, "Assembler", _assemble_any_length, IssuerFrames, "a message longer than the longest"
    ),
}


def _violations(sabotage: Sabotage, patch: pytest.MonkeyPatch) -> Iterator[str]:
    """What the target says of a product with this sabotage. Other exceptions are accidents of the sabotage."""
    target = sabotage.target()
    seeds = target.seeds()
    patch.setattr(sabotage.owner, sabotage.name, sabotage.wrong)
    for data in mutations(seeds, 400 + len(seeds), target.longest, seed_of(sabotage.target.name)):
        try:
            target.run(data)
        except Violation as violation:
            yield str(violation)
        except Exception:
            continue


@pytest.mark.parametrize("what", SABOTAGES)
def test_target_says_what_a_sabotage_broke(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sabotage = SABOTAGES[what]
    said = Counter()
    for violation in _violations(sabotage, monkeypatch):
        said[violation] += 1
        if violation.startswith(sabotage.says):
            return
    pytest.fail(f"no input showed it; what was said: {said}")


def test_every_target_notices_a_sabotage() -> None:
    assert {sabotage.target for sabotage in SABOTAGES.values()} == set(TARGETS.values())


def test_an_accident_of_a_sabotage_is_not_what_its_target_says(monkeypatch: pytest.MonkeyPatch) -> None:
    accident = Sabotage(issuance, "_check_signature", lambda *_: 1 / 0, Cards, "")
    said = set(_violations(accident, monkeypatch))
    assert said == {"ZeroDivisionError came out"}
    assert all(not text.startswith(sabotage.says) for text in said for sabotage in SABOTAGES.values())


def test_relays_of_the_boot_targets_serve_when_nothing_is_wrong_with_their_flash() -> None:
    assert serves(SmallOffice(new()))
    assert serves(SmallOffice(lived()))


def test_strangers_leave_no_memory_behind() -> None:
    """What the core holds after 150 more hostile hellos and connections is what it held before."""
    for kind in (Hello, Stream):
        target = kind()
        inputs = [*mutations(target.seeds(), 150, target.longest, SEED)]
        held = []
        tracemalloc.start()
        for _ in range(3):
            for data in inputs:
                target.run(data)
            gc.collect()
            held.append(_held_by_the_core())
        tracemalloc.stop()
        assert abs(held[2] - held[1]) < 512, held


def _held_by_the_core() -> int:
    core = tracemalloc.Filter(True, str(fuzz.ROOT / "firmware" / "tessera" / "*"))
    return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces([core]).statistics("filename"))


def test_a_target_runs_under_atheris_and_its_figures_are_understood(tmp_path: Path) -> None:
    outcome = fuzz.fuzz("answers", fuzz.Limit(seconds=1), tmp_path)
    assert outcome.good, outcome.output
    assert outcome.executions > 100 and outcome.edges > 10 and outcome.features > 10
    assert outcome.corpus >= len(Answers().seeds())


@pytest.mark.long
def test_a_target_runs_as_often_as_it_is_told_and_runs_add_up(tmp_path: Path) -> None:
    for run in (1, 2):
        outcome = fuzz.fuzz("answers", fuzz.Limit(executions=250), tmp_path)
        fuzz.add_up(outcome, tmp_path)
        assert outcome.good, outcome.output
        assert 250 <= outcome.executions < 450  # an input more for each of the corpus
        assert outcome.in_all >= run * 250
        assert f"({outcome.in_all:,} in all runs)" in outcome.row().measured
        assert f"{outcome.corpus:,} inputs of {outcome.corpus_bytes:,} bytes kept" in outcome.row().measured


def test_a_target_that_was_executed_less_often_than_it_should_is_not_good() -> None:
    outcome = fuzz.Outcome("hello", 1.0, 0, 19_999, 10, 10, 10, [], "", wanted=20_000)
    assert not outcome.good
    assert outcome.row().bound == "0 findings, ≥ 20,000 executions"


def test_twenty_thousand_executions_of_every_target_are_a_million_in_all() -> None:
    limits = fuzz.by_number([*TARGETS], 20_000)
    assert min(limit.executions for limit in limits.values()) == 20_000
    assert sum(limit.executions for limit in limits.values()) >= 1_000_000


def test_what_is_computed_once_is_what_a_relay_computes() -> None:
    """Every page of the small office's ring, whole, damaged and under each key; signatures that hold and do not."""
    ring, keyring_ = lived().ring, SmallOffice(lived()).relay._keyring
    for page_key, _ in keyring_.epochs.values():
        remembering, buffers = once._PageCipher(page_key), [PageBuffer() for _ in range(2)]
        for page in [*range(20), *range(20)]:
            for at, bit in ((0, 0), (0, 1), (200, 1)):
                for buffer in buffers:
                    buffer.page[:] = ring[256 * page : 256 * page + 256]
                    buffer.page[at] ^= bit
                opened = PageCipher(page_key).open(page, buffers[0])
                assert remembering.open(page, buffers[1]) == opened
                if opened:
                    assert buffers[0].plain == buffers[1].plain
    secret, message = bytes(31) + b"\7", bytes(32)
    key, signature = curve.public(secret)[1:], curve.sign(secret, message, bytes(32))
    for _ in range(2):
        assert once._verify_once(signature, message, key)
        assert not once._verify_once(signature, message[1:] + b"\1", key)
        assert once._verify_once(bytearray(signature), message, curve.PreparedKey(key))


def test_a_target_that_does_not_run_is_not_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "ATHERIS", [sys.executable, "-c", "import no_such_module"])
    outcome = fuzz.fuzz("answers", fuzz.Limit(seconds=1), tmp_path)
    assert not outcome.good and "no_such_module" in outcome.output


def test_a_finding_is_told_with_its_file_and_how_to_reproduce_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "hello-crash-1"
    said = f"#10 NEW cov: 1\n {fuzz.UNCAUGHT}: ===\nValueError: the reason\n"
    outcome = fuzz.Outcome("hello", 1.0, 77, 10, 1, 1, 1, [file], said)
    assert not outcome.good
    fuzz.report(outcome)
    told = capsys.readouterr().out
    assert "ValueError: the reason" in told and f"tests.fuzz.fuzz --run hello {file}" in told
    file.write_bytes(Hello().seeds()[0])
    fuzz.run_files("hello", [str(file)])
    assert "holds" in capsys.readouterr().out


def test_inputs_are_the_same_in_every_run() -> None:
    for name in ("requests", "cards", "contact-records", "keystore"):
        one, two = (TARGETS[name]() for _ in range(2))
        assert list(mutations(one.seeds(), 60, 400, 1)) == list(mutations(two.seeds(), 60, 400, 1))
