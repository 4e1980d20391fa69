"""The share of the fuzzing that every `make test` runs: a fixed set of inputs for each target, and those that once
broke something. And that the targets would notice: each is shown a product that does wrong."""

import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fuzz
from boot_targets import KeyringPages, LedgerFile, RingFlash, RingPages
from host_targets import Answers, Cards, Client, KeystoreFile
from relay_targets import Hello, Requests, Stream
from smalloffice import SmallOffice, lived, new, serves
from target import Target, mutations
from targets import TARGETS
from tessera import channel, hashes, keyring, ledger, recordlog, wire
from tessera.admission import Admission
from tessera.push import Pushes
from tessera.relay import Relay
from tessera_host.issuer import issuance
from tessera_host.keys import keystore
from tessera_host.protocol import cards, relay_connection

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
    "a page with the last seq is a fault": ("ring-pages", "017f01fffffff00000000e000100"),
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
    "relay.json nested without end is refused": ("json-files", (b"\0" + b"[" * 6000).hex()),
    "relay.json with half a sector is refused": (
        "json-files",
        (b'\0{"version": 1, "static_secret": "' + b"07" * 32 + b'", "ledger_secret": "", ').hex()
        + b'"ring_sectors": 1.5, "keyring_sectors": 4}'.hex(),
    ),
}


def seed_of(name: str) -> int:
    return SEED + sum(name.encode())


@pytest.mark.parametrize("name", TARGETS)
def test_target_holds_for_its_fixed_inputs(name: str) -> None:
    target = TARGETS[name]()
    for data in mutations(target.seeds(), target.runs, target.longest, seed_of(name)):
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


def _store_nothing(self: Any, round_: int, bucket: int, record: bytes, cipher: Any, kind: int = 1) -> int:
    return 0


# What is done wrong: where, what is put there, the target that must notice.
SABOTAGES: dict[str, tuple[Any, str, Any, type[Target]]] = {
    "a stranger's hello that uses up an ephemeral": (Relay, "check_hello", _use_up_an_ephemeral, Hello),
    "a proof of resumption that is not looked at": (channel, "equal", lambda a, b: True, Hello),
    "a stranger's hello that writes to flash": (Relay, "check_hello", _wear_the_flash, Hello),
    "a frame whose seal is not checked": (hashes.HmacKey, "verify", lambda *_: True, Stream),
    "strangers that are served": (Relay, "_require_admitted", lambda self, session: None, Requests),
    "tokens that nobody signed": (Admission, "_signed", lambda *_: True, Requests),
    "records that are acknowledged and not stored": (recordlog.RecordLog, "append", _store_nothing, Requests),
    "pushes that are never forgotten": (Pushes, "leave", lambda self, session: None, Requests),
    "key ring pages of any length": (keyring, "_fits", lambda kind, length: True, KeyringPages),
    "sectors numbered without end": (recordlog, "_LAST_NUMBER", 1 << 40, RingPages),
    "a boot that loses a sector": (recordlog.RecordLog, "_open", lambda self, page, *_: page > 40, RingFlash),
    "a ledger that gives up at a damaged entry": (ledger, "CHECKPOINT_BYTES", 249, LedgerFile),
    "cards in any encoding": (cards, "_uncbor", cards.cbor2.loads, Cards),
    "token requests of anybody": (issuance, "_check_signature", lambda *_: 1 / 0, Cards),
    "batches in any order": (relay_connection, "_expect", lambda in_order: None, Client),
    "records read from a wrong place": (wire, "CELL_HEADER_BYTES", 62, Answers),
    "a keystore header that is believed": (keystore, "_parsed", keystore.json.loads, KeystoreFile),
}


@pytest.mark.parametrize("what", SABOTAGES)
def test_targets_notice(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name, wrong, kind = SABOTAGES[what]
    target = kind()
    seeds = target.seeds()
    monkeypatch.setattr(owner, name, wrong)
    noticed = any(_breaks(target.run, data) for data in mutations(seeds, 400, target.longest, seed_of(kind.name)))
    assert noticed, "no input showed it"


def _breaks(run: Callable[[bytes], None], data: bytes) -> bool:
    try:
        run(data)
    except Exception:
        return True
    return False


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
    outcome = fuzz.fuzz("answers", 1, tmp_path)
    assert outcome.good, outcome.output
    assert outcome.executions > 100 and outcome.edges > 10 and outcome.features > 10
    assert outcome.corpus >= len(Answers().seeds())


def test_a_target_that_does_not_run_is_not_good(tmp_path: Path) -> None:
    assert not fuzz.fuzz("no such target", 1, tmp_path).good


def test_a_finding_is_told_with_its_file_and_how_to_reproduce_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "hello-crash-1"
    said = f"#10 NEW cov: 1\n {fuzz.UNCAUGHT}: ===\nValueError: the reason\n"
    outcome = fuzz.Outcome("hello", 1.0, 77, 10, 1, 1, 1, [file], said)
    assert not outcome.good
    fuzz.report(outcome)
    told = capsys.readouterr().out
    assert "ValueError: the reason" in told and f"fuzz.py --run hello {file}" in told
    file.write_bytes(Hello().seeds()[0])
    fuzz.run_files("hello", [str(file)])
    assert "holds" in capsys.readouterr().out


def test_inputs_are_the_same_in_every_run() -> None:
    for name in ("requests", "cards", "contact-records", "keystore"):
        one, two = (TARGETS[name]() for _ in range(2))
        assert list(mutations(one.seeds(), 60, 400, 1)) == list(mutations(two.seeds(), 60, 400, 1))
