"""What `pip install` gives: wheel and sdist have everything and nothing else, and what is installed works by itself."""

import email
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from email.message import Message
from importlib.metadata import distribution as metadata_of
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.patience import PATIENCE_SECONDS

ROOT = Path(__file__).resolve().parent.parent.parent
BASE = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
PACKAGES = {
    "tessera_host": ROOT / "host" / "tessera_host",
    "tessera": ROOT / "firmware" / "tessera",
    "tessera/deploy": ROOT / "host" / "tessera_deploy",
    "tessera/network": ROOT / "host" / "tessera_network",
}


def run(*command: object, cwd: Path, **environment: str) -> str:
    """What it printed; it has to succeed."""
    done = ended(*command, cwd=cwd, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def refused(*command: object, cwd: Path, **environment: str) -> str:
    """What it said to standard error; it has to be a matter of usage."""
    done = ended(*command, cwd=cwd, **environment)
    assert done.returncode == 2, done.stdout + done.stderr
    return done.stderr


def ended(*command: object, cwd: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "TESSERA"))}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from it. The tree itself stays as it is."""
    folder = tmp_path_factory.mktemp("packaging")
    source = folder / "source"
    for name in ("host", "firmware/tessera", "tests/core"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", source, cwd=folder)
    return folder / "dist"


def sources() -> dict[str, Path]:
    """Every file of the packages, by the name that it has in a wheel."""
    found = {}
    for name, folder in PACKAGES.items():
        kept = [path for path in folder.rglob("*") if path.suffix in (".py", ".pyi") or path.name == "py.typed"]
        found |= {f"{name}/{path.relative_to(folder)}": path for path in kept}
    assert {"tessera_host/py.typed", "tessera/py.typed", "tessera/relay.pyi"} <= found.keys()
    return found


@dataclass(frozen=True)
class Installed:
    """A virtual environment with the wheel; its dependencies are those of the environment that runs the tests."""

    folder: Path

    @property
    def commands(self) -> Path:
        return self.folder / "bin"

    def tessera(self, *arguments: str, **environment: str) -> str:
        return run(self.commands / "tessera", *arguments, cwd=self.folder, **environment)


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(folder, with_pip=False)
    (site,) = folder.glob("lib/python*/site-packages")
    # A folder named in a .pth file has its own .pth files passed over: the tree that is installed for development
    # there is not seen.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (wheel,) = built.glob("*.whl")
    pip = (sys.executable, "-m", "pip", "--python", folder / "bin" / "python")
    run(*pip, "install", "--no-deps", "--no-index", "--disable-pip-version-check", wheel, cwd=folder)
    return Installed(folder)


# -- what is in them


def test_wheel_has_every_module_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name for name in names if ".dist-info/" not in name} == sources().keys()
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_sdist_builds_the_wheel_and_has_no_tests(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {str(path.relative_to(ROOT)) for path in sources().values()} <= names
    assert {"README.md", "LICENSE", "pyproject.toml"} <= names
    assert not [name for name in names if "tests" in name.split("/") or name.rpartition("/")[2].startswith("test_")]


def metadata(built: Path) -> Message:
    (wheel,) = built.glob("*.whl")
    archive = zipfile.ZipFile(wheel)
    (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    return email.message_from_bytes(archive.read(name))


def test_metadata_says_what_it_is(built: Path) -> None:
    from tessera_host import __version__

    found = metadata(built)
    assert (found["Name"], found["Version"]) == ("tessera-relay", __version__)
    assert found["Requires-Python"] == ">=3.11"
    assert found["Description-Content-Type"] == "text/markdown"
    assert str(found.get_payload(decode=True), "utf-8").strip() == (ROOT / "README.md").read_text().strip()
    assert "Typing :: Typed" in found.get_all("Classifier", [])
    needed = {line.partition(";")[0].strip() for line in found.get_all("Requires-Dist", []) if "extra" not in line}
    assert {"cbor2", "cryptography>=44", "typer", "textual"} <= needed
    others = ("matplotlib", "pytest", "dp-accounting", "esptool", "mpremote", "pyserial", "aiosmtpd")
    assert not any(name in " ".join(needed) for name in others)


# -- what works when it is installed


def test_installed_command_is_that_of_the_wheel(installed: Installed) -> None:
    from tessera_host import __version__

    assert installed.tessera("--version") == f"tessera {__version__}\n"
    assert "Join, meet, talk:" in installed.tessera("--help")
    code = "import tessera, tessera_host.report; print(tessera.__file__, tessera_host.__file__)"
    places = run(installed.commands / "python", "-c", code, cwd=installed.folder)
    assert places.count(str(installed.folder)) == 2


@pytest.mark.parametrize(
    ("package", "module", "options"),
    [
        ("network", "ws_server", ("--storage", "--cover-traffic-epsilon")),
        ("deploy", "cluster", ("--nodes", "--topology")),
    ],
)
def test_an_announced_module_is_in_the_wheel_and_not_in_the_core(
    installed: Installed, package: str, module: str, options: Sequence[str]
) -> None:
    """Boards have `tessera` without it: nothing of it lies in the core's folder of the tree."""
    python = installed.commands / "python"
    said = run(python, "-m", f"tessera.{package}.{module}", "--help", cwd=installed.folder)
    assert all(option in said for option in options)
    code = f"import tessera.{package} as package; print(package.__file__)"
    assert str(installed.folder) in run(python, "-c", code, cwd=installed.folder)
    assert not (ROOT / "firmware" / "tessera" / package).exists()


def test_installed_command_does_something(installed: Installed, tmp_path: Path) -> None:
    (tmp_path / "passphrase").write_text("phrase")
    options = {"TESSERA_PASSPHRASE_FILE": str(tmp_path / "passphrase"), "HOME": str(tmp_path)}
    plan, issuer = str(tmp_path / "plan.json"), str(tmp_path / "issuer")
    installed.tessera("plan", "--members", "20", "--out", plan, **options)
    installed.tessera("issuer", "init", issuer, "--plan", plan, "--name", "Office", **options)
    assert (tmp_path / "issuer" / "issuer.keystore").exists()


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash_completes_commands(installed: Installed) -> None:
    script = (
        'eval "$(_TESSERA_COMPLETE=source_bash tessera)"; complete -p tessera >/dev/null; '
        "COMP_WORDS=(tessera contact ren); COMP_CWORD=2; _tessera_completion tessera; echo ${COMPREPLY[@]}"
    )
    path = f"{installed.commands}:{os.environ['PATH']}"
    assert run("bash", "-c", script, cwd=installed.folder, PATH=path) == "rename\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_given(installed: Installed, shell: str) -> None:
    script = installed.tessera(_TESSERA_COMPLETE=f"source_{shell}")
    assert f"complete_{shell}" in script
    if shutil.which(shell):
        run(shell, "-n", "-c", script, cwd=installed.folder)


# -- what a member has: no extra


def required(names: Iterable[str]) -> set[str]:
    """These distributions and all that they need, in normal form; extras are asked for as name[extra]."""
    found: set[str] = set()
    waiting = [Requirement(name) for name in names]
    while waiting:
        wanted = waiting.pop()
        if (whole := f"{canonicalize_name(wanted.name)}{sorted(wanted.extras)}") in found:
            continue
        found |= {whole, canonicalize_name(wanted.name)}
        for line in metadata_of(wanted.name).requires or []:
            inner = Requirement(line)
            if inner.marker is None or any(inner.marker.evaluate({"extra": extra}) for extra in ("", *wanted.extras)):
                waiting.append(inner)
    return found


@pytest.fixture(scope="module")
def members(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a member's program: nothing can be imported but what `pip install .` would have brought."""
    kept = required(each.partition(";")[0] for each in BASE)
    modules = {
        module
        for module, owners in packages_distributions().items()
        if not any(canonicalize_name(owner) in kept for owner in owners)
    }
    assert {"esptool", "serial", "mpremote", "matplotlib", "dp_accounting", "pytest", "numpy"} <= modules
    modules -= {"tessera", "tessera_host"}  # of the tree; the wheel's are there
    assert not {"typer", "rich", "textual", "coincurve"} & modules
    folder = tmp_path_factory.mktemp("absent")
    (folder / "sitecustomize.py").write_text(
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name.partition('.')[0] in {modules!r}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
    )
    return {"PYTHONPATH": str(folder)}


def test_without_extras_all_of_a_member_s_programs_are_there(
    installed: Installed, members: dict[str, str], tmp_path: Path
) -> None:
    assert "Turn a board on a USB cable" in installed.tessera("--help", **members)
    of_it = ("provisioning.", "report.", "cli.flash", "fleet.nats_", "__main__")
    files = [name.removesuffix("/__init__.py").removesuffix(".py") for name in sources() if name.endswith(".py")]
    modules = [name.replace("/", ".") for name in files if name.startswith("tessera_host/")]
    wanted = [name for name in modules if not name.partition(".")[2].startswith(of_it)]
    assert len(wanted) > 120
    code = f"import importlib\nfor name in {sorted(wanted)}:\n    importlib.import_module(name)"
    run(installed.commands / "python", "-c", code, cwd=tmp_path, **members)


def test_who_lacks_an_extra_is_told_what_to_install_by_names_that_there_are(
    installed: Installed, members: dict[str, str], tmp_path: Path
) -> None:
    python = installed.commands / "python"
    for words, packages in (
        (("flash", "--relay", "berlin"), "'esptool>=5' mpremote pyserial"),
        (("plan", "--members", "24", "--report", "annex.html"), "fpdf2 matplotlib"),
    ):
        said = refused(installed.commands / "tessera", *words, cwd=tmp_path, **members)
        assert said.endswith(f"install them: {python} -m pip install {packages}\n") and said.count("\n") == 2
    assert list(tmp_path.iterdir()) == []
