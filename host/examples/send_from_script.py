"""Send a text from a script: `send_from_script.py bob "The backup is done."`

For cron jobs and the like. The passphrase comes from the file that TESSERA_PASSPHRASE_FILE names, or the keystore was
unlocked (`tessera unlock`). The text is posted at one record a round; what the day's budget does not allow waits in the
outbox. If an agent runs for this member, it does the posting.
"""

import asyncio
import sys

from tessera_host.agent.link import AgentLink
from tessera_host.client import Client, default_home
from tessera_host.errors import TesseraError


async def send(contact: str, text: str) -> str:
    agent = await AgentLink.find(default_home())
    if agent:
        async with agent:
            await agent.queue(contact, text)
            return "queued with the agent"
    async with await Client.open() as client:
        sent = await client.send(contact, text)
        return f"{sent.state} in round {sent.last_round}" if sent.posted else sent.state


def main() -> int:
    if len(sys.argv) != 3:
        print(f"usage: {sys.argv[0]} CONTACT TEXT", file=sys.stderr)
        return 2
    try:
        print(asyncio.run(send(*sys.argv[1:])))
    except TesseraError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
