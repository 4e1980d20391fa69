"""The page "Where only HTTP passes", typed as printed: IT's commands behind Debian's nginx, a member's through Debian's
SOCKS server, and the relay with a certificate of its own once the nginx is gone."""

import re
import shlex
from contextlib import ExitStack
from pathlib import Path

import pytest

from tessera_host.cli.demo import free_port
from tests.support import chapters
from tests.support.certificate import make_certificate
from tests.support.command_line import CommandLine, running
from tests.support.office_on_disk import PASSPHRASE
from tests.system.test_websocket import nginx, program, started

STATUS = ("relay", "status", "--federation", "issuer/federation.card")


PAGE = chapters.text("docs/it/http.md")


def printed(start: str, here: dict[str, str]) -> list[str]:
    """The words behind `tessera` of the one command of the page that starts so, with what is this test's own."""
    (line,) = set(re.findall(rf"(?:^|`)tessera ({re.escape(start)}[^`#\n]*)", PAGE, re.MULTILINE))
    for stands, own in here.items():
        line = re.sub(rf"\b{re.escape(stands)}\b", own, line)
    return shlex.split(line)


@pytest.mark.parametrize("block", chapters.scripts(PAGE))
def test_the_page_works_as_printed(tmp_path: Path, block: str) -> None:
    https, relay, issuer, proxy = (str(free_port()) for _ in range(4))
    here = {"relay.example.org": f"localhost:{https}", "8180": relay, "8181": issuer, "1080": proxy}
    command = CommandLine(tmp_path, PASSPHRASE)
    certificate, _ = make_certificate(tmp_path, "DNS:localhost")
    command.environment["SSL_CERT_FILE"] = str(certificate)
    tessera = command.tessera
    tessera("plan", "--members", "24", "--board", "GATEWAY", "-o", "plan.json")
    tessera("issuer", "init", "issuer", "--plan", "plan.json", "--name", "Office")
    lines = [line.partition("#")[0].removeprefix("tessera ").strip() for line in block.splitlines()]
    with ExitStack() as alone:
        behind = alone.enter_context(ExitStack())
        for line in lines:
            words = printed(line, here)
            if "serve" in words:
                until = "Stop it with" if "issuer" in words else "serving"
                behind.enter_context(running(command, *command.words(*words), until=until))
            else:
                tessera(*words)
        behind.enter_context(nginx(tmp_path, int(https), int(relay), int(issuer)))
        tessera("issuer", "invite", "issuer", "alice", "--relay", "berlin", "-o", "alice.invitation")
        assert "You can talk now." in tessera("join", "alice.invitation", "--home", "alice")
        tessera("relay", "time", "berlin", "--issuer", "issuer")
        home = {"TESSERA_HOME": str(tmp_path / "alice")}
        with started([program("microsocks"), "-i", "127.0.0.1", "-p", proxy], int(proxy)) as socks:
            tessera(*printed("--proxy socks5", here), **home)
            socks.terminate()
            assert socks.stderr is not None
            assert f":{https}" in socks.stderr.read()
        behind.close()
        words = printed("serve --storage relay --certificate", here)
        with running(command, *command.words(*words), until="serving") as served:
            assert f"wss://localhost:{https}" in "\n".join(served.lines)
            assert command.json(*STATUS)["relays"][0]["reached"]
