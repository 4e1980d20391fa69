"""How the agent starts with the user's session: a systemd user unit, a launchd property list, or what to type.

Owns these texts, where they belong, and that what is written is started, now and at every login.
"""

import hashlib
import os
import plistlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from .. import files, systemd
from ..errors import UsageError

NAME = "tessera-agent"
LABEL = "relay.tessera.agent"
RETRY_SECONDS = 60  # while the keystore is locked

_UNIT = """\
[Unit]
Description=Tessera agent ({home_comment})
After=network-online.target

[Service]
ExecStart={command}
Restart=on-failure
RestartSec={retry}
UMask=0077
LimitCORE=0
NoNewPrivileges=yes

[Install]
WantedBy=default.target
"""


@dataclass(frozen=True)
class ServiceUnit:
    """A file that describes the service, its place, and the commands that start it now and at every login."""

    path: Path | None
    text: str
    start: str
    steps: tuple[tuple[str, ...], ...] = ()


def agent_command(home: Path, passphrase_file: Path | None) -> list[str]:
    """Make the command line that the service runs. It contains no secret: it names the passphrase file, or the keystore
    has to be unlocked."""
    command = [sys.executable, "-m", "tessera_host", "agent", "--home", str(home.absolute())]
    if passphrase_file:
        command += ["--passphrase-file", str(passphrase_file.absolute())]
    return command


def unit_for(platform: str, command: list[str], home: Path, user_home: Path, is_default: bool) -> ServiceUnit:
    """Make the service's file for this platform (as in sys.platform). A home other than the default one has a service
    with a name of its own."""
    try:
        " ".join(command).encode()
    except UnicodeEncodeError:
        raise UsageError("a path for the service's file is not UTF-8", "rename the directory") from None
    suffix = "" if is_default else "-" + hashlib.sha256(str(home.absolute()).encode()).hexdigest()[:8]
    if platform == "darwin":
        return _launchd(command, user_home, suffix)
    if platform == "win32":
        return _task_scheduler(command, suffix)
    return _systemd(command, home, user_home, suffix)


def install(unit: ServiceUnit) -> Path:
    """Write the file to its place. Raises UsageError where the system has no such file."""
    if unit.path is None:
        raise UsageError(
            "on Windows the Task Scheduler starts the agent; there is no file to install", f"run: {unit.start}"
        )
    try:
        unit.path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{unit.path.parent} cannot be made: {error.strerror}", "print the file instead: tessera agent --print"
        ) from None
    files.write(unit.path, unit.text.encode())
    return unit.path


def enable(unit: ServiceUnit) -> str | None:
    """Start what was installed, now and at every login. Returns None if that worked, else the reason why not: then
    `unit.start` is to be typed."""
    return systemd.run(unit.steps)


def _systemd(command: list[str], home: Path, user_home: Path, suffix: str) -> ServiceUnit:
    name = f"{NAME}{suffix}.service"
    shown = str(home).replace("%", "%%").replace("\n", " ")
    text = _UNIT.format(home_comment=shown, command=" ".join(map(systemd.word, command)), retry=RETRY_SECONDS)
    path = user_home / ".config" / "systemd" / "user" / name
    steps = systemd.steps(name, "--user")
    return ServiceUnit(path, text, systemd.line(steps), steps)


def _launchd(command: list[str], user_home: Path, suffix: str) -> ServiceUnit:
    label = LABEL + suffix
    fields = {
        "Label": label,
        "ProgramArguments": command,
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": RETRY_SECONDS,
        "ProcessType": "Background",
        "Umask": 0o077,
        "HardResourceLimits": {"Core": 0},
    }
    path = user_home / "Library" / "LaunchAgents" / f"{label}.plist"
    steps = (("launchctl", "bootstrap", f"gui/{os.getuid() if hasattr(os, 'getuid') else ''}", str(path)),)
    return ServiceUnit(path, plistlib.dumps(fields).decode(), systemd.line(steps), steps)


def _task_scheduler(command: list[str], suffix: str) -> ServiceUnit:
    task = subprocess.list2cmdline(command)
    escaped = task.replace('"', '\\"')
    start = f'schtasks /Create /SC ONLOGON /TN {NAME}{suffix} /TR "{escaped}"'
    return ServiceUnit(None, f"At every login the Task Scheduler can run:\n{task}\n", start)
