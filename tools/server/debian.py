"""A Debian package of everything that `pip install` gives, for servers whose own Python packages are too old for it.

    python -m tools.server.debian --out build      build/tessera-relay_VERSION_ARCH.deb
    python -m tools.server.debian --pin            choose the newest wheels and write requirements.txt anew

Owns the package's contents. It carries a virtual environment of Debian's Python with wheels that are pinned by version
and digest, the command /usr/bin/tessera, and units (tessera_host/systemd.py). What a relay keeps is not touched
when the package goes.
"""

import argparse
import compileall
import contextlib
import json
import os
import py_compile
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tessera.wire import PORT
from tessera_host import __version__, systemd
from tessera_host.issuer.issuer import SERVICE_PORT

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "requirements.txt"
NAME = "tessera-relay"
PLACE = Path("/usr/lib") / NAME  # of the virtual environment
PYTHON = Path("/usr/bin/python3")
SHARED = Path("/usr/share") / NAME
METRICS_PORT = 9100
LIBRARIES = "libc6, libffi8, libgcc-s1, libstdc++6"

CONTROL = """\
Package: {name}
Version: {version}
Architecture: {architecture}
Maintainer: Tessera Relay authors <tessera-relay@example.org>
Section: net
Priority: optional
Installed-Size: {kibibytes}
Depends: python3 (>= {python}), python3 (<< {next_python}), {libraries}
Suggests: prometheus, grafana, nginx
Description: message relay that does not learn who talks to whom
 A store-and-forward relay for the short encrypted messages of an organisation,
 with the issuer's service and all commands of IT and members. Units:
 tessera-relay@NAME serves /var/lib/tessera-NAME, tessera-gateway@NAME what is
 a gateway of a fleet there, tessera-issuer serves /var/lib/tessera-issuer;
 tessera-engine runs a node of a fleet's log (nats-server, from upstream).
"""
# What a unit runs is stopped before its program goes; what relays keep in /var/lib stays, also at a purge.
SCRIPTS = {
    "postinst": """\
#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
""",
    "prerm": """\
#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    systemctl stop 'tessera-relay@*' 'tessera-gateway@*' tessera-issuer
fi
""",
    "postrm": """\
#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
if [ "$1" = purge ]; then echo "{name}: relays and issuers in /var/lib/tessera-* are left as they are"; fi
""",
}


def run(*command: object, **environment: str) -> str:
    """What it printed. Ends the program if it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(words, env=os.environ | environment, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"debian: failed: {' '.join(words)}")
    return done.stdout


def pip(python: Path, *words: object) -> None:
    """The pip of this environment, on another one."""
    quiet = ("--disable-pip-version-check", "--no-input", "--quiet")
    run(sys.executable, "-m", "pip", "--python", python, *words, *quiet)


def pin() -> None:
    """requirements.txt: what the newest wheels for Debian's Python are, each with its digest."""
    with tempfile.TemporaryDirectory() as scratch:
        python, report = environment(Path(scratch) / "venv"), Path(scratch) / "report"
        pip(
            python,
            "install",
            "--dry-run",
            "--only-binary",
            ":all:",
            "--no-binary",
            NAME,
            "--report",
            report,
            f"{ROOT}[fleet]",
        )
        found = json.loads(report.read_text())["install"]
    lines = []
    for each in found:
        about, archive = each["metadata"], each["download_info"].get("archive_info")
        if about["name"] != NAME:
            lines.append(f"{about['name'].lower()}=={about['version']} --hash=sha256:{archive['hashes']['sha256']}\n")
    head = "# Written by `python -m tools.server.debian --pin`, for Debian 12's Python on amd64.\n"
    REQUIREMENTS.write_text(head + "".join(sorted(lines)))


def environment(folder: Path) -> Path:
    """A virtual environment of Debian's Python without pip; its python."""
    run(PYTHON, "-m", "venv", "--without-pip", folder)
    return folder / "bin" / "python"


def build(out: Path) -> Path:
    """The package in the folder `out`."""
    os.umask(0o022)
    moment = run("git", "-C", ROOT, "log", "-1", "--format=%ct").strip()
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch) / "tree"
        tree.mkdir()
        fill(tree, Path(scratch))
        architecture = run("dpkg", "--print-architecture").strip()
        control(tree, architecture)
        for path in sorted(tree.rglob("*")):
            with contextlib.suppress(NotImplementedError):
                os.utime(path, (int(moment), int(moment)), follow_symlinks=False)
        out.mkdir(parents=True, exist_ok=True)
        package = out / f"{NAME}_{__version__}_{architecture}.deb"
        run("dpkg-deb", "--root-owner-group", "-Zxz", "--build", tree, package, SOURCE_DATE_EPOCH=moment)
    return package


def fill(tree: Path, scratch: Path) -> None:
    """All files of the package."""
    place = tree / PLACE.relative_to("/")
    place.parent.mkdir(parents=True)
    python = environment(place)
    pip(python, "install", "--no-compile", "--only-binary", ":all:", "--require-hashes", "-r", REQUIREMENTS)
    pip(python, "install", "--no-compile", "--no-deps", "--no-index", wheel(scratch))
    moved(place, tree)
    compileall.compile_dir(
        place, quiet=1, stripdir=str(tree), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
    )
    command = tree / "usr/bin/tessera"
    command.parent.mkdir(parents=True)
    command.symlink_to(os.path.relpath(PLACE / "bin" / "tessera", "/usr/bin"))
    for path, text in units().items():
        write(tree / path.relative_to("/"), text)
    for name in ("grafana.json", "alerts.yml", "fleet-alerts.yml"):
        write(tree / SHARED.relative_to("/") / name, (HERE / name).read_text())
    write(tree / "usr/share/doc" / NAME / "copyright", (ROOT / "LICENSE").read_text())


def wheel(scratch: Path) -> Path:
    """Of this tree, built beside it."""
    source = scratch / "source"
    for folder in ("host", "firmware/tessera"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", scratch / "dist", source)
    (found,) = (scratch / "dist").glob("*.whl")
    return found


def moved(place: Path, tree: Path) -> None:
    """An environment names its own folder in its scripts; it will be another one. Only Tessera's script stays."""
    for path in (place / "bin").iterdir():
        if not path.is_symlink() and path.name != "tessera":
            path.unlink()
    for path in (place / "bin" / "tessera", place / "pyvenv.cfg"):
        path.write_text(path.read_text().replace(str(tree), ""))
    for path in place.rglob("*.dist-info/direct_url.json"):  # where our wheel lay while this was built
        path.unlink()
    for path in place.rglob("*.dist-info/RECORD"):
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(line for line in lines if "/bin/" not in line and "direct_url.json" not in line))


def units() -> dict[Path, str]:
    """Place and text of each."""
    folder = Path("/usr/lib/systemd/system")
    python = PLACE / "bin" / "python"
    return {folder / unit.name: unit.text for unit in systemd.packaged(python, (PORT, METRICS_PORT, SERVICE_PORT))}


def control(tree: Path, architecture: str) -> None:
    size = sum(path.lstat().st_size for path in tree.rglob("*")) // 1024
    major, minor = run(PYTHON, "-c", "import sys; print(*sys.version_info[:2])").split()
    fields = {
        "name": NAME,
        "version": __version__,
        "architecture": architecture,
        "kibibytes": size,
        "python": f"{major}.{minor}",
        "next_python": f"{major}.{int(minor) + 1}",
        "libraries": LIBRARIES,
    }
    write(tree / "DEBIAN" / "control", CONTROL.format(**fields))
    for name, text in SCRIPTS.items():
        write(tree / "DEBIAN" / name, text.replace("{name}", NAME))
        (tree / "DEBIAN" / name).chmod(0o755)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("build"), help="the folder for the package")
    parser.add_argument("--pin", action="store_true", help="write requirements.txt anew, and nothing else")
    options = parser.parse_args()
    if options.pin:
        pin()
    else:
        print(build(options.out))


if __name__ == "__main__":
    main()
