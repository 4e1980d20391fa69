"""What may be flashed: an image that this federation's root key released for the board at hand.

Owns where images are looked for and the check before anything is touched. Releases themselves are releases.py's.
"""

from dataclasses import dataclass
from pathlib import Path

from tessera.release import IMAGE, Release, version_text

from ..errors import ImageRejected, IntegrityError, InvalidInput
from ..protocol import releases

RELEASE = "image.release"
_SOURCE_TREE = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Image:
    """A whole image that may be flashed."""

    path: Path
    content: bytes
    release: Release

    @property
    def board(self) -> str:
        return self.release.board

    @property
    def version(self) -> str:
        return version_text(self.release.version)

    @property
    def firmware_digest(self) -> str:
        return self.release.firmware_digest.hex()


def find(named: Path | None, board: str) -> Path:
    """The release of the image for a board: at the path that was named (a folder, an image, a release), else in
    build/<BOARD> here or in the source tree. Raises ImageRejected.
    """
    if named is not None:
        return _release_at(named)
    for folder in (Path("build", board), _SOURCE_TREE / "build" / board):
        if (folder / RELEASE).is_file():
            return folder / RELEASE
    for folder in (Path("build", board), _SOURCE_TREE / "build" / board):
        if folder.is_dir():
            return _release_at(folder)
    raise ImageRejected(
        f"there is no image for {board}",
        f"make one: make image BOARD={board}; then: tessera issuer approve ISSUER build/{board}; or name one with "
        "--image",
    )


def _release_at(path: Path) -> Path:
    folder = path if path.is_dir() else path.parent
    release = path if path.suffix == ".release" else folder / RELEASE
    if release.is_file():
        return release
    if not path.exists():
        raise ImageRejected(f"there is no image at {path}", "check the path that --image names")
    raise ImageRejected(
        f"the image in {folder} was never approved: there is no {RELEASE}",
        f"approve it: tessera issuer approve ISSUER {folder}",
    )


def check(release_path: Path, federation_id: bytes, root_key: bytes, board: str) -> Image:
    """The image, once it is certain that root_key (32 bytes) released it for this board. Raises ImageRejected."""
    try:
        release = releases.load(release_path)
        if release.kind != IMAGE:
            raise InvalidInput(f"{release_path} is not the release of a whole image", f"name the folder with {RELEASE}")
        path = releases.artifact_of(release_path, release)
        content = releases.read_artifact(path)
        releases.check(release, content, federation_id, root_key, board)
    except (InvalidInput, IntegrityError) as error:
        raise ImageRejected(f"{error.message}; nothing was written", error.hint) from None
    return Image(path, content, release)
