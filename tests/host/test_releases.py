"""Releases on the host: an image's folder is signed as it is described, and nothing else passes the check."""

import hashlib
import json

import pytest

from tessera.release import BUNDLE, IMAGE, SLOT
from tessera_host import cli
from tessera_host.errors import IntegrityError, InvalidInput
from tessera_host.protocol import releases
from tests.support.organisation import PASSPHRASE, new_issuer

BASE = bytes(range(8))


def write_image(folder, names, **changes):
    folder.mkdir(exist_ok=True)
    sizes = {}
    for name in names:
        content = name.encode() * 100
        (folder / name).write_bytes(content)
        sizes[name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    described = {"board": "RPI_PICO", "development": False, "version": "1.2.3", "firmware_digest": "ab" * 32}
    described |= {"base": BASE.hex(), "image": sizes}
    (folder / "image.json").write_text(json.dumps(described | changes))
    return folder


@pytest.fixture
def issuer(tmp_path):
    with new_issuer(tmp_path, name="Berlin office") as made:
        yield made


@pytest.fixture
def folder(tmp_path):
    return write_image(tmp_path / "image", ("firmware.uf2", "firmware.bin", "bundle.bin"))


def check(release, artifact, issuer, board="RPI_PICO", **changes):
    names = {"federation_id": issuer.parameters.federation_id, "root_key": issuer.parameters.root_key} | changes
    releases.check(release, artifact, names["federation_id"], names["root_key"], board)


def test_every_artifact_gets_a_release_that_passes_the_check(issuer, folder):
    made = issuer.approve(folder)
    assert [each.path.name for each in made] == ["image.release", "bundle.release"]
    for each, kind, base in zip(made, (IMAGE, BUNDLE), (bytes(8), BASE), strict=True):
        release = releases.load(each.path)
        assert (release.kind, release.base, release.version) == (kind, base, 0x10203)
        artifact = releases.artifact_of(each.path, release)
        assert artifact == each.artifact
        check(release, artifact.read_bytes(), issuer)


def test_a_slot_image_is_a_release_of_its_own(issuer, tmp_path):
    folder = write_image(tmp_path / "esp32", ("firmware.bin", "slot.bin"), board="ESP32_GENERIC")
    assert [each.release.kind for each in issuer.approve(folder)] == [IMAGE, SLOT]


def test_every_changed_byte_of_a_release_fails_the_check(issuer, folder):
    blob = issuer.approve(folder)[0].path.read_bytes()
    artifact = (folder / "firmware.uf2").read_bytes()
    for at in range(len(blob)):
        (folder / "changed").write_bytes(blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1 :])
        with pytest.raises((InvalidInput, IntegrityError)):
            check(releases.load(folder / "changed"), artifact, issuer)


def test_a_changed_artifact_fails_the_check(issuer, folder):
    release = issuer.approve(folder)[0].release
    artifact = (folder / "firmware.uf2").read_bytes()
    for changed in (artifact[:-1], artifact + b"\0", b"\0" + artifact[1:], b""):
        with pytest.raises(IntegrityError, match="not the one that was approved"):
            check(release, changed, issuer)


def test_another_board_federation_or_key_fails_the_check(issuer, folder):
    release = issuer.approve(folder)[0].release
    artifact = (folder / "firmware.uf2").read_bytes()
    with pytest.raises(InvalidInput, match="for a RPI_PICO, the board is a RPI_PICO_W"):
        check(release, artifact, issuer, "RPI_PICO_W")
    with pytest.raises(InvalidInput, match="another federation"):
        check(release, artifact, issuer, federation_id=bytes(16))
    with pytest.raises(IntegrityError, match="not signed"):
        check(release, artifact, issuer, root_key=issuer.parameters.access_key)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"development": True}, "development image"),
        ({"version": "1.2"}, "lacks"),
        ({"firmware_digest": None}, "lacks"),
        ({"base": "xy"}, "lacks"),
    ],
)
def test_a_folder_that_is_no_finished_image_is_not_signed(issuer, tmp_path, changes, words):
    folder = write_image(tmp_path / "image", ("firmware.bin",), **changes)
    with pytest.raises(InvalidInput, match=words):
        issuer.approve(folder)
    assert not (folder / "image.release").exists()


def test_an_artifact_that_changed_since_the_build_is_not_signed(issuer, folder):
    (folder / "bundle.bin").write_bytes(b"other")
    with pytest.raises(InvalidInput, match="does not match image"):
        issuer.approve(folder)


def test_what_is_not_a_release_is_said_so(folder):
    with pytest.raises(InvalidInput, match="is not a release"):
        releases.load(folder / "firmware.bin")
    with pytest.raises(InvalidInput, match="cannot be read"):
        releases.load(folder / "nothing")


def test_the_command_signs_and_says_what(issuer, folder, tmp_path, monkeypatch, capsys):
    issuer.close()
    (tmp_path / "passphrase").write_text(PASSPHRASE + "\n")
    monkeypatch.setenv("TESSERA_PASSPHRASE_FILE", str(tmp_path / "passphrase"))
    assert cli.run(["issuer", "approve", str(tmp_path / "issuer"), str(folder), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["releases"]
    assert [(row["kind"], row["version"]) for row in rows] == [("whole image", "1.2.3"), ("bundle", "1.2.3")]
    assert (folder / "bundle.release").is_file()
    assert cli.run(["issuer", "approve", str(tmp_path / "issuer"), str(folder / "nothing")]) == 3
    assert capsys.readouterr().err.startswith("error: ")
