"""The Debian package: built, installed, used, removed and purged, in a root of its own over this computer's.

Its contents and units are looked at daily by tests/host/test_server_packages.py.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEBIAN = Path("/etc/debian_version").exists() and shutil.which("dpkg-deb") is not None

# Everything that dpkg and the programs write goes into memory, over a root that is only read.
_WITHIN = """\
set -e
mount -t tmpfs none "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o lowerdir=/,upperdir="$1/upper",workdir="$1/work" "$1/root"
mount --bind /proc "$1/root/proc"
mount --bind /dev "$1/root/dev"
cp "$2" "$1/root/package.deb"
exec chroot "$1/root" sh -e
"""
_LIFE = """\
cd /
dpkg -i package.deb
tessera --version
/usr/lib/tessera-relay/bin/python -c 'import tessera.network.ws_server, tessera_host; print(tessera_host.__file__)'
tessera plan --members 24 --board GATEWAY -o /plan.json > /dev/null
printf 'a passphrase' > /passphrase
export TESSERA_PASSPHRASE_FILE=/passphrase
tessera issuer init /var/lib/tessera-issuer --plan /plan.json --name Office > /dev/null
cd /var/lib
tessera relay new munich --issuer tessera-issuer --host 127.0.0.1 --port 8437 tessera-munich > /dev/null
cd /
tessera serve --storage sqlite:///var/lib/tessera-munich/relay.db > /said 2>&1 &
server=$!
until grep -q '^serving$' /said; do kill -0 $server; sleep 0.2; done
tessera relay time munich --issuer /var/lib/tessera-issuer
kill $server
wait $server
dpkg -r tessera-relay
dpkg -P tessera-relay
test -e /var/lib/tessera-munich/relay.db
test ! -e /usr/bin/tessera
test ! -e /usr/lib/tessera-relay
test ! -e /usr/lib/systemd/system/tessera-relay@.service
test -z "$(dpkg-query -W -f '${Status}' tessera-relay 2>/dev/null)"
echo whole
"""


@pytest.mark.long
@pytest.mark.skipif(not DEBIAN or os.geteuid() != 0, reason="it mounts, as root of a Debian")
def test_the_package_is_installed_serves_and_goes_without_a_trace(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "tools.server.debian", "--out", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True)
    (package,) = tmp_path.glob("*.deb")
    first = package.read_bytes()
    contents = subprocess.run(["dpkg-deb", "--contents", package], capture_output=True, text=True, check=True).stdout
    assert "./usr/share/tessera-relay/grafana.json" in contents
    assert all(line.split()[1] == "root/root" for line in contents.splitlines())
    place = tmp_path / "place"
    place.mkdir()
    within = ["unshare", "--mount", "sh", "-c", _WITHIN, "sh", str(place), str(package)]
    done = subprocess.run(within, input=_LIFE, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "whole"
    assert "/usr/lib/tessera-relay/lib/python3" in done.stdout
    assert "relays and issuers in /var/lib/tessera-* are left as they are" in done.stdout
    subprocess.run(build, cwd=ROOT, check=True)
    assert package.read_bytes() == first, "the same tree and wheels gave another package"
