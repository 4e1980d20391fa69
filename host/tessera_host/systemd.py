"""systemd on this computer: how a word is written in a unit, the hardened unit of a server's service, and what puts a
unit into service.

Owns these texts and the call of systemctl. What a service runs is the commands' business; the agent's unit, of a user's
own session, is agent/service_units.py's.
"""

import re
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import files
from .errors import UsageError

UNITS = Path("/etc/systemd/system")
STATES = Path("/var/lib")  # what StateDirectory= is relative to
RUNNING = Path("/run/systemd/system")  # sd_booted(3)
PASSPHRASE_VARIABLE = "TESSERA_PASSPHRASE_FILE"
PRIVILEGED_PORTS = 1024
# ProtectHome= and PrivateTmp= hide what lies there.
_HIDDEN = tuple(map(Path, ("/home", "/root", "/run/user", "/tmp", "/var/tmp")))

# Its user exists while it runs and owns nothing but the state; `systemd-analyze security --offline=true` has the rest.
_UNIT = """\
[Unit]
Description={description}
Wants=network-online.target
After=network-online.target

[Service]
ExecStart={command}
Restart=on-failure
RestartSec=10

# A user of its own, who may write its state and nothing else.
DynamicUser=yes
StateDirectory={state}
StateDirectoryMode=0700
UMask=0077
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
PrivateMounts=yes
DevicePolicy=closed
{secret}
# Nothing of this computer but its network, and there its ports.
RestrictAddressFamilies={families}
SocketBindDeny=any
{ports}
{capabilities}
NoNewPrivileges=yes
LimitCORE=0
KeyringMode=private
LockPersonality=yes
MemoryDenyWriteExecute=yes
ProcSubset=pid
ProtectProc=invisible
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RemoveIPC=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources

[Install]
WantedBy=multi-user.target
"""
_INTERNET, _AND_LOCAL = "AF_INET AF_INET6", "AF_INET AF_INET6 AF_UNIX"
# What a gateway has in memory only must not get to a disk: the key that tells tokens apart.
_NO_SWAP = """\
MemorySwapMax=0
"""
_NO_CAPABILITY = "CapabilityBoundingSet=\nPrivateUsers=yes"
_LOW_PORT = "CapabilityBoundingSet=CAP_NET_BIND_SERVICE\nAmbientCapabilities=CAP_NET_BIND_SERVICE"
# systemd hands secrets over in memory: the service's user need not be able to read their files.
_SECRET = """\
LoadCredential={name}:{file}
Environment={variable}=%d/{name}
"""
ENGINE_PORTS = 4222, 6222  # for gateways, for the other nodes
ENGINE_CREDENTIALS = Path("/run/credentials/tessera-engine.service")
# The certificates are those of nodes that speak TLS. Without their files a node is handed the word that is set instead.
ENGINE_CONFIGURATION = """\
LoadCredential=engine.conf:/etc/tessera/engine.conf
LoadCredential=engine.crt:/etc/tessera/engine.crt
SetCredential=engine.crt:none
LoadCredential=engine.key:/etc/tessera/engine.key
SetCredential=engine.key:none
LoadCredential=ca.crt:/etc/tessera/ca.crt
SetCredential=ca.crt:none
LimitNOFILE=65536
"""
# Of a package's unit, which is the same on every computer.
_OPTIONS = """\
EnvironmentFile=-/etc/default/{name}
"""


Steps = tuple[tuple[str, ...], ...]  # commands, one after the other


@dataclass(frozen=True)
class Unit:
    """A unit's name, text and place."""

    name: str
    text: str
    path: Path

    @property
    def start(self) -> str:
        """The line that starts it, now and with the computer."""
        return line(steps(self.name))


def steps(name: str, *options: str) -> Steps:
    """What starts a unit that was written, now and from now on; `--user`: of the user's own session."""
    return (("systemctl", *options, "daemon-reload"), ("systemctl", *options, "enable", "--now", name))


def line(steps: Steps) -> str:
    """The same to type."""
    return " && ".join(map(shlex.join, steps))


@dataclass(frozen=True)
class Credential:
    """A file that a service is handed, whoever may read it, and the variable that names it there."""

    name: str
    file: Path
    variable: str


def server_unit(
    state: Path,
    arguments: Sequence[str],
    description: str,
    ports: Sequence[int],
    credentials: Sequence[Credential] = (),
    *,
    gateway: bool = False,
) -> Unit:
    """The unit of `tessera ARGUMENTS` on a server, with what it keeps in `state`, a directory right under /var/lib.
    gateway: it is one of a fleet, never swapped out, and asked over a socket in its state. Raises UsageError."""
    place = state.absolute()
    if place.parent != STATES or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", place.name):
        raise UsageError(
            f"a service keeps its state in a directory directly under {STATES}, not in {place}",
            f"move it: mv '{state}' {STATES}/tessera-NAME",
        )
    for each in credentials:
        _check_text(str(each.file))
    secrets = [
        _SECRET.format(name=each.name, file=_path(each.file.absolute()), variable=each.variable) for each in credentials
    ]
    command = " ".join(map(word, [sys.executable, "-m", "tessera_host", *arguments]))
    name = f"{place.name if place.name.startswith('tessera') else f'tessera-{place.name}'}.service"
    about, environment = description.replace("%", "%%").replace("\n", " "), "".join(secrets) + _NO_SWAP * gateway
    families = _AND_LOCAL if gateway else _INTERNET
    return Unit(name, _text(about, command, place.name, environment, ports, families), UNITS / name)


def packaged(python: Path, ports: tuple[int, int, int]) -> list[Unit]:
    """The units of a package whose program is run by this python: tessera-relay@NAME serves /var/lib/tessera-NAME,
    tessera-gateway@NAME what is a gateway of a fleet there, tessera-issuer /var/lib/tessera-issuer; and tessera-engine,
    a node of the log of a fleet, whose program is upstream's. ports: of relays, of their figures, of the issuer.
    Options besides are OPTIONS= in a file of /etc/default."""
    relay, figures, issuer = ports
    program = f"{word(str(python))} -m tessera_host"
    passphrase = _SECRET.format(name="passphrase", file="/etc/tessera/issuer.passphrase", variable=PASSPHRASE_VARIABLE)
    found = {
        "tessera-relay@.service": _text(
            "Tessera relay (%i)",
            f"{program} serve --storage {STATES}/tessera-%i $OPTIONS",
            "tessera-%i",
            _OPTIONS.format(name="tessera-%i"),
            [relay, figures],
        ),
        "tessera-gateway@.service": _text(
            "Tessera gateway (%i)",
            f"{program} serve {STATES}/tessera-%i $OPTIONS",
            "tessera-%i",
            _OPTIONS.format(name="tessera-%i") + _NO_SWAP,
            [relay, figures],
            _AND_LOCAL,
        ),
        "tessera-engine.service": _text(
            "Node of the engine of a Tessera fleet",
            "/usr/local/bin/nats-server --config %d/engine.conf",
            "tessera-engine",
            ENGINE_CONFIGURATION,
            ENGINE_PORTS,
        ),
        "tessera-issuer.service": _text(
            "Tessera issuer",
            f"{program} issuer serve {STATES}/tessera-issuer $OPTIONS",
            "tessera-issuer",
            _OPTIONS.format(name="tessera-issuer") + passphrase,
            [issuer],
        ),
    }
    return [Unit(name, text, UNITS / name) for name, text in found.items()]


def _text(
    description: str, command: str, state: str, environment: str, ports: Sequence[int], families: str = _INTERNET
) -> str:
    return _UNIT.format(
        families=families,
        description=description,
        command=command,
        state=state,
        secret=environment,
        ports="\n".join(f"SocketBindAllow=tcp:{port}" for port in ports),
        capabilities=_LOW_PORT if min(ports) < PRIVILEGED_PORTS else _NO_CAPABILITY,
    )


def word(text: str) -> str:
    """A word of ExecStart: quoted, and nothing in it is a specifier or a variable."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return '"' + escaped.replace("%", "%%").replace("$", "$$") + '"'


def _path(path: Path) -> str:
    return str(path).replace("%", "%%")


def _check_text(name: str) -> None:
    if not name.isprintable():
        raise UsageError("a file's name has characters that a unit cannot have", "rename the file")


# -- putting it into service


def check_visible() -> None:
    """Raises UsageError if this program lies where a hardened service sees nothing."""
    for place in (Path(sys.executable), Path(sysconfig.get_path("purelib")), Path(__file__)):
        if any(place.is_relative_to(hidden) for hidden in _HIDDEN):
            raise UsageError(
                f"tessera is installed in {place.parent}, which a hardened service cannot read",
                "install it for the whole computer: python3 -m venv /opt/tessera, then /opt/tessera/bin/pip install "
                "what you installed here, and repeat this command with /opt/tessera/bin/tessera",
            )


def write(unit: Unit) -> None:
    """Raises UsageError."""
    try:
        unit.path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{unit.path.parent} cannot be made: {error.strerror}", "run it as root, or show the unit with --print"
        ) from None
    files.write(unit.path, unit.text.encode())
    unit.path.chmod(0o644)  # nothing in it is secret


def enable(unit: Unit) -> str | None:
    """Start it, now and with the computer. None if that is done, else why it is not: then `unit.start` is to be
    typed."""
    return run(steps(unit.name)) if RUNNING.is_dir() else "systemd does not run on this computer"


def run(steps: Steps) -> str | None:
    """None if all of them succeed, else what the first that does not says."""
    for step in steps:
        try:
            done = subprocess.run(step, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        except OSError as error:
            return f"{step[0]}: {error.strerror}"
        if done.returncode != 0:
            return (done.stderr.strip().splitlines() or [f"{shlex.join(step)} failed"])[-1]
    return None
