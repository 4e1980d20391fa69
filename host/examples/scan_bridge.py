"""A branch's scanner mails to Tessera: an SMTP server on this computer that passes what it gets on to a contact.

    scan_bridge.py bob --port 2525

The scanner is set to send to this computer and port, without encryption: run it on the scanner's own network only. The
text of a mail becomes a text, each attachment of at most 3255 bytes (with its name) a file. What is longer is refused
with a reason that the scanner shows, because a message has 16 parts at most: Tessera carries notes and small forms, not
photographs. A mail is accepted once it is in the outbox, durably; from there it leaves at one record a round.

Needs aiosmtpd: `pip install aiosmtpd`, or '.[bridge]' in the folder with tessera's source.
"""

import argparse
import asyncio
import sys
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP

from tessera_host.client import Client
from tessera_host.errors import InvalidInput, TesseraError, UsageError
from tessera_host.protocol.records import split_file

MAIL_BYTES = 1 << 20


class Bridge:
    """The handler of aiosmtpd: one mail in, texts and files for one contact out."""

    def __init__(self, client: Client, contact: str) -> None:
        self._client = client
        self._contact = contact

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        try:
            queued = await self._pass_on(mail)
        except (InvalidInput, UsageError) as error:
            return f"554 {_ascii(str(error))}"
        except TesseraError as error:
            return f"451 {_ascii(str(error))}"
        return f"250 passed on as {queued} messages"

    async def _pass_on(self, mail: EmailMessage) -> int:
        """All of it, or nothing: the attachments are looked at before anything is queued."""
        files = [_file(part) for part in mail.iter_attachments()]
        for name, content in files:
            check_file(name, content)
        body = mail.get_body(("plain",))
        text = str(body.get_content()).strip() if body else ""
        subject = str(mail["subject"] or "").strip()
        words = "\n".join(part for part in (subject, text) if part)
        if words:
            await self._client.queue(self._contact, words)
        for name, content in files:
            await self._client.queue_file(self._contact, name, content)
        if not words and not files:
            raise UsageError("the mail is empty", "scan again")
        return len(files) + bool(words)


def _file(part: Any) -> tuple[str, bytes]:
    content = part.get_payload(decode=True)
    return part.get_filename() or "scan", content if isinstance(content, bytes) else b""


def check_file(name: str, content: bytes) -> None:
    """Raises InvalidInput for what does not fit into one message."""
    split_file(name, content, 0)


def _ascii(text: str) -> str:
    """An SMTP reply is one line of ASCII."""
    return text.encode("ascii", "replace").decode().replace("\r", " ").replace("\n", " ")


async def serve(contact: str, host: str, port: int) -> None:
    """Until interrupted: take mail, and run the steady engine, which posts it."""
    async with await Client.open() as client:
        names = [known.name for known in await client.contacts()]
        if contact not in names:
            raise UsageError(f"there is no contact '{contact}'", f"known: {', '.join(names)}")
        bridge = Bridge(client, contact)
        loop = asyncio.get_running_loop()
        listening = await loop.create_server(lambda: SMTP(bridge, data_size_limit=MAIL_BYTES), host, port)
        print(f"mail to {host}:{listening.sockets[0].getsockname()[1]} goes to {contact}", flush=True)
        async with listening:
            await client.run()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("contact")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=2525)
    options = parser.parse_args()
    try:
        asyncio.run(serve(options.contact, options.host, options.port))
    except TesseraError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
