"""The agent over its socket: what commands ask, what they are told, and that the passphrase is not needed meanwhile."""

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tessera_host import cli
from tessera_host.agent import link as link_module
from tessera_host.agent.client import Client
from tessera_host.agent.link import PURPOSE, AgentLink
from tessera_host.agent.server import Agent
from tessera_host.errors import InvalidInput, KeystoreError, NotPermitted, Unreachable, UsageError
from tessera_host.keys import local_socket
from tessera_host.keys.local_socket import Connection
from tessera_host.member import composing
from tessera_host.member.state import MemberState
from tests.patience import PATIENCE_SECONDS
from tests.support import correspondence
from tests.support.fake_federation import GENESIS, PASSPHRASE
from tests.support.talking import Office, Time


class Running:
    """Ann's agent in an office, in a world where only sleeping takes time, and a link to it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
        folder.chmod(0o700)
        self.office = Office(folder, monkeypatch)
        self.time = Time(self.office.clock)
        self.home = self.office.home("Ann")
        self.client = Client(self.office.ann, now=self.time, sleep=self._sleep)
        self.agent = Agent(self.client, self.home)

    async def _sleep(self, seconds: float) -> None:
        """Time passes slowly enough that whoever talks to the agent gets a word in."""
        await asyncio.sleep(0.002)
        await self.time.sleep(seconds)

    async def __aenter__(self) -> AgentLink:
        ready = asyncio.Event()
        self._task = asyncio.create_task(self.agent.run(ready=ready.set))
        await asyncio.wait({asyncio.ensure_future(ready.wait()), self._task}, return_when=asyncio.FIRST_COMPLETED)
        link = await AgentLink.find(self.home)
        assert link is not None
        self.link = link
        return link

    async def __aexit__(self, *_: object) -> None:
        await self.link.close()
        self.agent.stop()
        await self._task


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    running = Running(tmp_path, monkeypatch)
    yield running
    for member in running.office.members.values():
        member.close()


async def test_without_an_agent_none_is_found(running: Running) -> None:
    assert await AgentLink.find(running.home) is None


async def test_what_is_sent_through_the_agent_is_posted_and_arrives(running: Running) -> None:
    async with running as link:
        changes = link.changes()
        waiting = asyncio.create_task(anext(aiter(changes)))
        await asyncio.sleep(0.05)
        sent = await link.queue("Bob", "hello " * 40)
        assert (sent.state, sent.parts) == ("waiting", 2)
        assert (await waiting).kind in ("queued", "connected", "caught-up")
        async for change in changes:
            if change.kind == "posted" and change.fields["part"] == 1:
                break
        (entry,) = await link.sent("Bob")
        assert (entry.state, len(set(entry.rounds))) == ("posted", 2)
        assert (await link.budget()).used == 2
        assert (await link.state()).connected is True
    report = await _fetched(running, "Bob")
    assert [message.text for message in report.messages] == ["hello " * 40]


async def _fetched(running: Running, name: str) -> Any:
    running.office.clock.next_round(2)
    return await correspondence.fetch(running.office.members[name])


async def test_received_messages_and_files_come_over_the_socket_as_they_are(running: Running) -> None:
    bob = running.office.bob
    composing.queue(bob, "Ann", "a\n\u2028b")
    composing.queue_file(bob, "Ann", "f.bin", bytes(range(256)))
    await correspondence.resend(bob)
    async with running as link:
        async for change in link.changes():
            if change.kind == "message" and len(await link.inbox()) == 2:
                break
        looked_at = await link.inbox("Bob", new=True, take=False)
        await link.mark_read([])
        text, file = await link.inbox("Bob", new=True, take=False)
        assert looked_at == [text, file]
        await link.mark_read([text.place])
        assert await link.inbox("Bob", new=True, take=False) == [file]
        assert await link.inbox("Bob", new=True) == [file]
        assert (text.text, file.file, file.content) == ("a\n\u2028b", "f.bin", bytes(range(256)))
        assert await link.inbox(new=True) == []
        assert await link.inbox() == [text, file]
        assert [contact.name for contact in await link.contacts()] == ["Bob"]
        sent = await link.queue_file("Bob", "back.bin", b"\x00\xff")
        assert (sent.file, sent.bytes) == ("back.bin", 2)


async def test_errors_come_back_as_what_they_are(running: Running) -> None:
    async with running as link:
        with pytest.raises(UsageError, match="no contact 'Carl'"):
            await link.queue("Carl", "hello")
        with pytest.raises(InvalidInput, match="carries"):
            await link.queue_file("Bob", "f", bytes(3255))
        assert (await link.state()).waiting == 0


@pytest.mark.parametrize(
    "request_",
    [{}, {"do": "nonsense"}, {"do": None}, {"do": "send"}, {"do": "send", "contact": 3, "text": []}, {"do": ["x"]},
     {"do": "send-file", "contact": "Bob", "name": "f", "content": "§"}],
)  # fmt: skip
async def test_requests_that_make_no_sense_are_answered_and_change_nothing(running: Running, request_: Any) -> None:
    async with running as link:
        async with await local_socket.connect_home(PURPOSE, running.home) as raw:
            answer = await raw.ask(request_)
            assert answer["error"] and answer["hint"] and answer["exit_code"] in (2, 3)
            assert "state" in await raw.ask({"do": "status"})
        assert (await link.state()).waiting == 0


async def test_questions_asked_side_by_side_get_their_own_answers(running: Running) -> None:
    async with running as link:
        state, budget, contacts = await asyncio.gather(link.state(), link.budget(), link.contacts())
        assert (state.genesis, budget.used, contacts[0].name) == (GENESIS, 0, "Bob")


async def test_one_home_has_one_agent(running: Running) -> None:
    async with running:
        again = Agent(running.client, running.home)
        with pytest.raises(KeystoreError, match="running already"):
            await again.run()


async def test_one_home_has_one_agent_and_is_found_whatever_the_environment_says(
    running: Running, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with running:
        elsewhere = tmp_path_factory.mktemp("run")
        elsewhere.chmod(0o700)
        for directory in (str(elsewhere), None):
            monkeypatch.setenv("XDG_RUNTIME_DIR", directory) if directory else monkeypatch.delenv("XDG_RUNTIME_DIR")
            with pytest.raises(KeystoreError, match="running already"):
                await Agent(running.client, running.home).run()
            found = await AgentLink.find(running.home)
            assert found is not None
            async with found:
                assert (await found.state()).genesis == GENESIS
    assert await AgentLink.find(running.home) is None


async def test_commands_do_not_wait_for_ever_for_an_agent_that_was_stopped(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its socket takes connections still, and nobody answers."""

    async def stopped(_: Connection) -> None:
        await asyncio.Event().wait()

    async with await local_socket.serve_home(PURPOSE, running.home, stopped):
        monkeypatch.setattr(link_module, "ANSWER_SECONDS", 0.05)
        link = await AgentLink.find(running.home)
        assert link is not None
        async with link:
            for question in (link.state(), link.queue("Bob", "hello"), link.stop(), anext(aiter(link.changes()))):
                with pytest.raises(Unreachable, match=rf"process {os.getpid()}\) does not answer"):
                    await question


@pytest.mark.parametrize("left", [b"", b"{", b"[]", b"{}", b'{"socket": "/nowhere", "process": 1}', b"\xff" * 5000])
async def test_what_an_agent_that_was_killed_left_in_the_home_is_no_agent(running: Running, left: bytes) -> None:
    (running.home / "agent.address").write_bytes(left)
    (running.home / "agent.lock").write_bytes(b"")
    assert await AgentLink.find(running.home) is None
    async with running as link:
        assert (await link.state()).genesis == GENESIS
    assert not (running.home / "agent.address").exists()


async def test_a_stopped_agent_is_gone_and_leaves_the_keystore_free(running: Running) -> None:
    async with running as link:
        await link.stop()
        await asyncio.wait_for(asyncio.shield(running._task), PATIENCE_SECONDS)
    assert await AgentLink.find(running.home) is None
    with MemberState.open(running.home, PASSPHRASE, running.office.clock) as ann:
        assert ann.identity.name == "Ann"


async def test_a_subscriber_that_leaves_disturbs_nobody(running: Running) -> None:
    async with running as link:
        for _ in range(3):
            changes = link.changes()
            await anext(aiter(changes))
            await changes.aclose()
        assert (await link.state()).genesis == GENESIS


async def test_whoever_asks_an_agent_that_reaches_no_relay_is_not_told_that_all_is_read(
    running: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    running.office.relay.away = Unreachable("the relay cannot be reached", "wait")
    async with running as link:
        async for change in link.changes():
            if change.kind == "trouble":
                break
        code = await asyncio.to_thread(cli.run, ["inbox", "--home", str(running.home), "--json"])
        out, err = capsys.readouterr()
        assert code == 6 and json.loads(out)["messages"] == []
        assert "the agent does not reach the relay: the relay cannot be reached" in err
        assert await asyncio.to_thread(cli.run, ["inbox", "--offline", "--home", str(running.home), "--json"]) == 0


async def test_what_waits_for_the_agent_can_be_taken_back(running: Running) -> None:
    running.office.relay.away = Unreachable("the relay cannot be reached", "wait")
    async with running as link:
        sent = await link.queue("Bob", "too much")
        assert (await link.cancel("Bob", sent.messages[0])).text == "too much"
        assert await link.sent() == [] and (await link.state()).waiting == 0
        with pytest.raises(NotPermitted, match="nothing to take back"):
            await link.cancel("Bob", sent.messages[0])


async def test_commands_go_through_the_agent_without_the_passphrase(
    running: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TESSERA_PASSPHRASE_FILE", raising=False)
    monkeypatch.setattr("getpass.getpass", lambda *_: pytest.fail("asked for the passphrase"))

    async def command(*words: str) -> Any:
        code = await asyncio.to_thread(cli.run, [*words, "--home", str(running.home), "--json"])
        out = capsys.readouterr().out
        return code, json.loads(out)

    async with running:
        code, sent = await command("send", "Bob", "hello")
        assert (code, sent["agent"], sent["state"], sent["waiting"]) == (0, True, "waiting", 1)
        assert (await command("resend"))[1]["agent"] is True
        assert (await command("inbox"))[1]["messages"] == []
        assert (await command("budget"))[0] == 0
        assert len((await command("sent"))[1]["sent"]) == 1
        assert (await command("agent", "--status"))[1]["genesis"] == GENESIS
        code, refused = await command("send", "Carl", "hello")
        assert (code, refused["exit_code"]) == (2, 2)
        assert (await command("agent", "--stop")) == (0, {"stopped": True})
        await asyncio.wait_for(asyncio.shield(running._task), PATIENCE_SECONDS)
    assert (await command("agent", "--status"))[0] == 6
