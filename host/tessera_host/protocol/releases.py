"""Releases on the host: an image's folder signed for relays to run, and the check before anything is flashed.

Owns the names of the files and what image.json says of them. Leaves to others: the bytes of a release (the core), the
root key (signer.py), building images (tools/build/image.py), what a board does with one.

A folder, build/<BOARD> of a source tree, holds up to three artifacts; beside each lies its release when it is approved:

    firmware.uf2 or firmware.bin   image.release    the whole image, flashed over a cable
    bundle.bin                     bundle.release   RP2: the relay's modules, for an update in service
    slot.bin                       slot.release     ESP32: the application, for an update in service
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tessera.errors import InvalidObject
from tessera.release import BUNDLE, IMAGE, SLOT, Release, encode, version_number, version_text

from .. import files
from ..errors import IntegrityError, InvalidInput

DESCRIPTION = "image.json"
RELEASES = {"image.release": IMAGE, "bundle.release": BUNDLE, "slot.release": SLOT}
ARTIFACTS = {IMAGE: ("firmware.uf2", "firmware.bin"), BUNDLE: ("bundle.bin",), SLOT: ("slot.bin",)}
KIND_NAMES = {IMAGE: "whole image", BUNDLE: "bundle", SLOT: "slot image"}
NO_BASE = bytes(8)


@dataclass(frozen=True)
class Approved:
    """A release that was made: where it is and what it is for."""

    path: Path
    artifact: Path
    release: Release

    @property
    def version(self) -> str:
        """The version of the release."""
        return str(version_text(self.release.version))


def approve(folder: Path, federation_id: bytes, sign: Callable[[bytes], bytes]) -> list[Approved]:
    """Write a release beside every artifact of an image's folder; sign(message of 32 bytes) -> signature (64).

    Raises InvalidInput for a folder that is no finished image, or a development image.
    """
    made = []
    for name, fields in _described(folder):
        artifact = folder / fields.pop("artifact")
        body, message = encode(fields | {"federation_id": federation_id})
        blob = body + sign(message)
        files.write(folder / name, blob)
        made.append(Approved(folder / name, artifact, Release(blob)))
    return made


def load(path: Path) -> Release:
    """Read the release in a file; its signature is not checked. Raises InvalidInput."""
    try:
        return Release(read_artifact(path))
    except InvalidObject as error:
        raise InvalidInput(f"{path} is not a release: {error}", "make one with tessera issuer approve") from None


def artifact_of(release_path: Path, release: Release) -> Path:
    """Find the artifact of a release if both are where `approve` left them. Raises InvalidInput."""
    for name in ARTIFACTS[release.kind]:
        if (release_path.parent / name).is_file():
            return release_path.parent / name
    names = " or ".join(ARTIFACTS[release.kind])
    raise InvalidInput(f"there is no {names} beside {release_path}", "keep a release and its artifact together")


def read_artifact(path: Path) -> bytes:
    """Read a file's content. Raises InvalidInput."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}", "check the file's name") from None


def check(release: Release, artifact: bytes, federation_id: bytes, root_key: bytes, board: str) -> None:
    """Raise unless this federation released exactly these bytes for this board.

    IntegrityError: not signed by root_key (32 bytes), or another content. InvalidInput: of another federation (16
    bytes), or for another board.
    """
    if release.federation_id != federation_id:
        raise InvalidInput("this release is from another federation", "approve the image with this federation's issuer")
    try:
        release.verify(root_key)
    except InvalidObject as error:
        raise IntegrityError(str(error), "do not use it; approve the image again") from None
    if release.board != board:
        raise InvalidInput(
            f"this release is for a {release.board}, the board is a {board}", f"build and approve one for {board}"
        )
    if len(artifact) != release.bytes or hashlib.sha256(artifact).digest() != release.sha256:
        raise IntegrityError(
            f"the {KIND_NAMES[release.kind]} is not the one that was approved", "copy it again, with its release"
        )


# -- image.json


def _described(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name of the release, its fields and "artifact") of every artifact that image.json describes."""
    described = _description(folder)
    try:
        common = {
            "version": version_number(described["version"]),
            "board": described["board"],
            "firmware_digest": bytes.fromhex(described["firmware_digest"]),
        }
        base, sizes = bytes.fromhex(described["base"]), described["image"]
    except (KeyError, TypeError, ValueError):
        raise InvalidInput(
            f"{folder / DESCRIPTION} lacks values that a release needs", "build the image again"
        ) from None
    for name, kind in RELEASES.items():
        artifact = next((each for each in ARTIFACTS[kind] if each in sizes), None)
        if artifact is not None:
            digest = _checked(folder / artifact, sizes[artifact])
            figures = {"kind": kind, "bytes": sizes[artifact]["bytes"], "sha256": digest}
            yield name, common | figures | {"base": base if kind == BUNDLE else NO_BASE, "artifact": artifact}


def _description(folder: Path) -> Any:
    try:
        described = json.loads(files.read_text(folder / DESCRIPTION))
    except ValueError:
        raise InvalidInput(f"{folder / DESCRIPTION} is not JSON", "build the image again") from None
    if not isinstance(described, dict):
        raise InvalidInput(f"{folder / DESCRIPTION} describes no image", "build the image again")
    if described.get("development"):
        raise InvalidInput(f"{folder} holds a development image", "approve the one that `make image` builds")
    return described


def _checked(artifact: Path, figures: dict[str, Any]) -> bytes:
    digest = hashlib.sha256(read_artifact(artifact)).digest()
    if digest.hex() != figures["sha256"]:
        raise InvalidInput(f"{artifact} does not match image.json", "build the image again")
    return digest
