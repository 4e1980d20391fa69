"""A WebSocket's bytes made by hand, as RFC 6455 has them, so that every rule of it can be broken."""

import base64
import os
import struct

BINARY, TEXT, CONT, CLOSE, PING, PONG = 2, 1, 0, 8, 9, 10
KEY = base64.b64encode(bytes(range(16))).decode()
REQUEST = (
    "GET /berlin HTTP/1.1\r\nHost: relay\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n"
)


def frame(opcode: int, data: bytes = b"", *, fin: bool = True, masked: bool = True, bits: int = 0) -> bytes:
    """RFC 6455 §5.2."""
    length = len(data)
    size = bytes([length]) if length < 126 else b"\x7e" + struct.pack(">H", length)
    size = size if length < 1 << 16 else b"\x7f" + struct.pack(">Q", length)
    mask = os.urandom(4) if masked else b""
    body = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data)) if masked else data
    return bytes([fin << 7 | bits | opcode, size[0] | masked << 7]) + size[1:] + mask + body
