"""What carries a relay to a server: the container's file, the pinned wheels, the package's units. The package itself is
built and installed by tests/system/test_debian.py."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tessera_host import cli, systemd
from tools.server import debian

ROOT = Path(__file__).resolve().parents[2]
SERVER = ROOT / "tools" / "server"
HADOLINT = Path(sys.executable).with_name("hadolint")
ANALYZE = shutil.which("systemd-analyze")
EXPOSURE = 1.1  # as test_systemd.py


def pinned() -> dict[str, Version]:
    lines = (SERVER / "requirements.txt").read_text().splitlines()[1:]
    found = [re.fullmatch(r"(\S+)==(\S+) --hash=sha256:[0-9a-f]{64}", line) for line in lines]
    assert all(found), lines
    return {canonicalize_name(each[1]): Version(each[2]) for each in found if each}


def test_every_dependency_is_pinned_to_a_version_that_does() -> None:
    """`python -m tools.server.debian --pin` after a change of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["fleet"]
    versions = pinned()
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)]), requirement


@pytest.mark.skipif(not HADOLINT.exists(), reason="hadolint is for Linux")
@pytest.mark.parametrize("name", ["Containerfile", "gateway.Containerfile", "engine.Containerfile"])
def test_the_containers_files_have_no_fault(name: str) -> None:
    done = subprocess.run([HADOLINT, SERVER / name], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["Containerfile", "gateway.Containerfile"])
def test_the_container_serves_by_options_that_there_are(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = (SERVER / name).read_text().replace("\\\n", "")
    (entry,) = re.findall(r"ENTRYPOINT \[(.*)\]", text)
    words = re.findall(r'"([^"]*)"', entry)
    assert words[:2] == ["tessera", "serve"]
    cli.run(["serve", "--help"])
    known = capsys.readouterr().out
    assert all(word in known for word in words if word.startswith("--"))
    for source in re.findall(r"^COPY (.*) \S+$", text, re.M):
        assert all((ROOT / name).exists() for name in source.split())


def test_systemd_accepts_the_package_s_units_and_finds_next_to_nothing_exposed(tmp_path: Path) -> None:
    units = systemd.packaged(Path(sys.executable), (8100, 9100, 8101))
    names = ["tessera-relay@.service", "tessera-gateway@.service", "tessera-engine.service", "tessera-issuer.service"]
    assert [unit.name for unit in units] == names
    for unit in units:
        assert "DynamicUser=yes" in unit.text and "SocketBindDeny=any" in unit.text
        assert ("$OPTIONS" in unit.text) == (unit.name != "tessera-engine.service")
        assert ("MemorySwapMax=0" in unit.text) == (unit.name == "tessera-gateway@.service")
        path = tmp_path / unit.name.replace("@.", "@berlin.")
        path.write_text(unit.text.replace("/usr/local/bin/nats-server", sys.executable))  # which is not here
        if ANALYZE is None:
            continue
        environment = os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)}
        for check in (["verify"], ["security", "--offline=true", f"--threshold={EXPOSURE * 10:.0f}"]):
            done = subprocess.run([ANALYZE, *check, path], env=environment, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr
    assert {str(path) for path in debian.units()} == {f"/usr/lib/systemd/system/{unit.name}" for unit in units}
