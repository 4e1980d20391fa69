"""One whole exchange between a member and a relay, byte by byte, from the test vectors.

Owns how it is shown. The bytes come from tests/vectors/channel.json, which the second implementation made.
"""

import json
from typing import Any

from tools.docs import GENERATED, ROOT

VECTORS = ROOT / "tests" / "vectors" / "channel.json"
BYTES_A_LINE = 32
WHAT = {
    "AUTH": "the member shows a token of the open epoch and proves that it is its own; the relay answers with the "
    "first resumption secret and the posts that are left",
    "POST": "a record of 240 bytes into bucket 0x0102; the relay names the round in which it will appear",
    "FETCH": "rounds 40 to 42 of that bucket, with the proof of the reading key; the relay answers with the cells of "
    "the sealed rounds and an end",
    "CELL": "",
    "END": "round 42 is not sealed yet: it is the next to ask for",
    "VOID": "a frame that does nothing, as an agent sends when there is nothing to post",
}


def shown(text: str) -> str:
    """Bytes in hexadecimal, in lines; zeros at the end are counted instead."""
    content = bytes.fromhex(text)
    kept = content.rstrip(b"\0")
    lines = [kept[start : start + BYTES_A_LINE].hex() for start in range(0, len(kept), BYTES_A_LINE)]
    zeros = len(content) - len(kept)
    return "\n".join([*lines, *([f"… {zeros} zero bytes"] if zeros else [])])


def block(text: str) -> str:
    return f"```text\n{shown(text)}\n```\n"


def frames(rows: list[dict[str, Any]]) -> list[str]:
    lines = []
    for row in rows:
        to = "client → relay" if row["from"] == "client" else "relay → client"
        what = WHAT[row["name"]] if row["from"] == "client" or row["name"] == "END" else ""
        size = len(row["sealed"]) // 2
        lines.append(f"### {to}: {row['name']}\n")
        lines.append(
            f"Frame {row['number']} of this direction, {size} bytes on the wire{': ' + what if what else ''}.\n"
        )
        lines += ["Plaintext:\n", block(row["plaintext"]), "On the wire:\n", block(row["sealed"])]
    return lines


def page() -> str:
    row = next(row for row in json.loads(VECTORS.read_text())["handshakes"] if row["name"] == "admitted")
    lines = [
        GENERATED,
        "# One exchange, byte by byte\n",
        "A member connects, is admitted, posts, fetches, and sends a VOID. The bytes are those of\n"
        "`tests/vectors/channel.json`, which the second implementation (`tools/spec/reference.py`) made from\n"
        "[the protocol page](../firmware/PROTOCOL.md) alone. Long runs of zeros at an end are counted.\n",
        "## What both sides know\n",
        "| | |\n|---|---|",
    ]
    known = {
        "access key": "access_key",
        "relay's static key": "relay_key",
        "relay's static secret": "relay_secret",
        "client's ephemeral secret": "client_ephemeral_secret",
        "relay's ephemeral secret": "relay_ephemeral_secret",
        "protocol name (ASCII)": "protocol_name",
    }
    lines += [f"| {label} | `{row[name]}` |" for label, name in known.items()]
    lines += [
        "",
        "## Handshake (PROTOCOL §4)\n",
        "relay → client: nonce, 16 bytes\n",
        block(row["nonce"]),
        "client → relay: hello, 81 bytes: ephemeral key (33), check by the access key (16), ciphertext (32)\n",
        block(row["message_1"]),
        "relay → client: reply, 65 bytes: ephemeral key (33), ciphertext (32)\n",
        block(row["message_2"]),
        "Both sides now have\n",
        "| | |\n|---|---|",
        f"| key client → relay | `{row['k1']}` |",
        f"| key relay → client | `{row['k2']}` |",
        f"| handshake hash | `{row['handshake_hash']}` |",
        "",
        "The states in between are in the vectors (`trace`).\n",
        "## Frames (PROTOCOL §5)\n",
        *frames(row["frames"]),
    ]
    return "\n".join(lines)
