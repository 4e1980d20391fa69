"""How a client's connection gets to a relay or the issuer's service: straight or through a proxy, TCP or WebSocket.

Owns the sockets until a channel has them. Which proxy it is, is `proxies`'; what a place means, `addresses`'.
"""

import asyncio
import os
import ssl
from dataclasses import dataclass
from typing import Any

from ..errors import InvalidInput
from . import proxies
from .addresses import Address
from .proxies import Proxy


@dataclass(frozen=True)
class Way:
    """The address that a card names, and the proxy to go through, if there is one."""

    address: Address
    proxy: Proxy | None

    def __str__(self) -> str:
        return f"{self.address}{f' through the proxy {self.proxy}' if self.proxy else ''}"

    async def dial(self) -> tuple[Any, Any]:
        """Connect, and return the two ends of a connection, as asyncio's StreamReader and StreamWriter. Raises OSError,
        EOFError."""
        reader, writer = await self._connect()
        if not self.address.scheme:
            return reader, writer
        try:
            if self.address.scheme == "wss":
                await writer.start_tls(ssl.create_default_context(), server_hostname=self.address.name)
            from .websocket import WebSocket  # who has TCP alone does not need the library

            socket = await WebSocket.opened(self.address, reader, writer)
            return socket, socket
        except BaseException:
            writer.transport.abort()
            raise

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        name, port = self.address.name, self.address.port
        if self.proxy:
            return await proxies.connect(self.proxy, name, port)
        return await asyncio.open_connection(name, port, happy_eyeballs_delay=proxies.NEXT_ADDRESS_SECONDS)


def way(host: str, port: int) -> Way:
    """Choose the way to what a card names. Raises UsageError and InvalidInput for a proxy that is not valid."""
    try:
        address = Address.of(host, port)
    except ValueError:
        raise InvalidInput(f"'{host[:40]}' is not an address", "ask IT for the newest federation card") from None
    return Way(address, proxies.chosen(address.name))


def reason(error: Exception) -> str:
    """Say for people what an error of the network means."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid for this name: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"the TLS handshake with it failed ({error.reason})"
    if isinstance(error, EOFError):
        return "it closed the connection"
    number = getattr(error, "errno", None)
    return os.strerror(number) if number and number > 0 else str(error) or type(error).__name__
