# release.json: what the root key says about code, read and written.

from check import raises, unhex, vectors
from damage import changes
from tessera import curve
from tessera.errors import InvalidObject
from tessera.release import IMAGE, SLOT, Release, encode, version_number, version_text

_BYTES = ("federation_id", "sha256", "firmware_digest", "base")
_PLAIN = ("version", "kind", "board", "bytes")
_NO_RANDOM = bytes(32)


def _fields(row):
    fields = {name: unhex(row[name]) for name in _BYTES}
    fields.update({name: row[name] for name in _PLAIN})
    return fields


def test_releases_have_the_vectors_fields():
    for row in vectors("release"):
        release = Release(unhex(row["release"]))
        release.verify(unhex(row["root_key"]))
        for name, value in _fields(row).items():
            assert getattr(release, name) == value, name


def test_encoded_and_signed_fields_are_the_vectors_release():
    for row in vectors("release"):
        body, message = encode(_fields(row))
        assert message == unhex(row["message"])
        assert body + curve.sign(unhex(row["root_secret"]), message, _NO_RANDOM) == unhex(row["release"])


def test_a_changed_byte_is_refused():
    row = vectors("release")[0]
    blob, key = unhex(row["release"]), unhex(row["root_key"])

    def accept(damaged):
        Release(damaged).verify(key)

    for damaged in changes(blob, step=5):
        raises(InvalidObject, accept, damaged)
    raises(InvalidObject, Release(blob).verify, unhex(row["federation_id"]) * 2)


def test_every_other_length_is_refused():
    for row in vectors("release"):
        blob = unhex(row["release"])
        for length in range(len(blob)):
            raises(InvalidObject, Release, blob[:length])
        raises(InvalidObject, Release, blob + b"\x00")


def test_fields_out_of_range_are_refused():
    for change in (
        {"kind": 0},
        {"kind": SLOT + 1},
        {"bytes": 0},
        {"board": ""},
        {"board": "B" * 17},
        {"board": "A B"},
    ):
        fields = _fields(vectors("release")[0])
        fields.update(change)
        raises(InvalidObject, encode, fields)
    fields = _fields(vectors("release")[0])
    body, _ = encode(fields)
    for at, value in ((24, IMAGE - 1), (24, SLOT + 1), (26, 0x20), (26, 0xC3), (39, 0)):
        blob = bytearray(body + bytes(64))
        if at == 39:
            blob[36:40] = bytes(4)
        else:
            blob[at] = value
        raises(InvalidObject, Release, blob)


def test_versions_are_compared_as_numbers():
    for row in vectors("release"):
        assert version_number(row["version_text"]) == row["version"]
        assert version_text(row["version"]) == row["version_text"]
    assert version_number("0.10.0") > version_number("0.9.255")
    for text in ("1.2", "1.2.3.4", "1.256.0", "1.0.256", "32768.0.0", "a.b.c", "-1.0.0"):
        raises(ValueError, version_number, text)
