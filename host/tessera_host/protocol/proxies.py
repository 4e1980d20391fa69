"""Proxies between a client and the network: which one is used for a host, and the way through it.

Owns the order of those who name one: --proxy, TESSERA_PROXY, the settings, and the variables that other programs know,
too. HTTP's CONNECT is made here: the library python-socks, which makes SOCKS5's, reads the answer to CONNECT with
whatever came behind it, and a relay is the one that speaks first.
"""

import asyncio
import base64
import contextlib
import os
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import unquote, urlsplit

from tessera import announcement

from .. import config
from ..duration import DAY_SECONDS
from ..errors import UsageError
from .addresses import is_host, is_loopback

ENVIRONMENT = "TESSERA_PROXY"
USUAL = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")  # as curl has them, for what is encrypted
SETTING = "the setting 'proxy'"
NONE = "none"
NEXT_ADDRESS_SECONDS = 0.25  # a name may have several, and the first may be silent for minutes (RFC 8305 §5)
HEAD_BYTES = 8192  # of the answer to CONNECT
_SCHEMES = {"http": 8080, "socks5": 1080, "socks5h": 1080}


@dataclass(frozen=True)
class Proxy:
    """A proxy; `origin` is what named it. The proxy resolves names of hosts."""

    scheme: str
    host: str
    port: int
    origin: str
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @classmethod
    def read(cls, text: str, origin: str) -> Self | None:
        """Read a proxy's URL; None for `none`. Raises UsageError, which does not show what may be a password."""
        if text.strip().lower() == NONE:
            return None
        try:
            url = urlsplit(text if "://" in text else f"http://{text}")
            scheme, host = url.scheme.lower(), url.hostname or ""
            usual_port = _SCHEMES[scheme]
            port = usual_port if url.port is None else url.port
            if not is_host(host) or not port or url.path not in ("", "/") or url.query or url.fragment:
                raise ValueError
        except (ValueError, KeyError):
            raise UsageError(
                f"{origin} does not name a proxy that tessera can use",
                "write http://HOST:PORT or socks5://HOST:PORT, with USER:PASSWORD@ before HOST if "
                "the proxy asks for them, or none",
            ) from None
        user, password = (unquote(part) if part is not None else None for part in (url.username, url.password))
        return cls(scheme, host, port, origin, user, password)

    def __str__(self) -> str:
        """Without the password."""
        where: str = announcement.address(self.host, self.port)
        return f"{self.scheme}://{where} ({self.origin})"


class ProxyFailed(ConnectionError):
    """The proxy is not there, does not let this connection through, or is no such proxy; the error says which."""


_option: str | None = None  # of the command that runs


@contextlib.contextmanager
def using(text: str | None) -> Iterator[None]:
    """Use what --proxy says, for what is done inside. Raises UsageError."""
    global _option
    if text is not None:
        Proxy.read(text, "--proxy")
    before, _option = _option, text
    try:
        yield
    finally:
        _option = before


def chosen(host: str) -> Proxy | None:
    """Choose the proxy for connections to this name or address; None for none. Raises UsageError, InvalidInput."""
    settled = ((_option, "--proxy"), (os.environ.get(ENVIRONMENT), ENVIRONMENT), (config.load().proxy, SETTING))
    for text, origin in settled:
        if text:
            return Proxy.read(text, origin)
    for name in USUAL:
        if text := os.environ.get(name):
            return None if _is_excepted(host) else Proxy.read(text, name)
    return None


def _is_excepted(host: str) -> bool:
    """By NO_PROXY, or because a proxy's own computer is another one than this: these variables are set for all
    programs, and nobody means this computer's own servers by them."""
    from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # half of the library

    if is_loopback(host):
        return True
    excepted = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    return bool(proxy_bypass_environment(host, {"no": excepted}))


# -- the way through


async def connect(proxy: Proxy, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to the host through the proxy. Raises OSError, ProxyFailed if the proxy is the cause."""
    if proxy.scheme == "http":
        return await _by_http(proxy, host, port)
    return await _by_socks(proxy, host, port)


async def _by_http(proxy: Proxy, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """RFC 9110 §9.3.6."""
    target = announcement.address(host, port)
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.user is not None:
        named = base64.b64encode(f"{proxy.user}:{proxy.password or ''}".encode()).decode()
        lines.append(f"Proxy-Authorization: Basic {named}")
    request = "".join(f"{line}\r\n" for line in [*lines, ""]).encode()
    try:
        reader, writer = await asyncio.open_connection(
            proxy.host, proxy.port, limit=HEAD_BYTES, happy_eyeballs_delay=NEXT_ADDRESS_SECONDS
        )
    except OSError as error:
        raise _not_there(error) from None
    try:
        writer.write(request)
        await writer.drain()
        _check_answer(await reader.readuntil(b"\r\n\r\n"))
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        writer.transport.abort()
        raise ProxyFailed("the proxy does not speak HTTP") from None
    except BaseException:
        writer.transport.abort()
        raise
    return reader, writer


def _check_answer(head: bytes) -> None:
    answer = re.match(rb"HTTP/1\.[01] ([0-9]{3})( [ -~]{0,80})?[^\r\n]*\r\n", head)
    if answer is None:
        raise ProxyFailed("the proxy does not speak HTTP")
    if not answer[1].startswith(b"2"):
        raise ProxyFailed(f"the proxy answers {answer[1].decode()}{(answer[2] or b'').decode()}")


async def _by_socks(proxy: Proxy, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """RFC 1928, RFC 1929."""
    from python_socks import ProxyConnectionError, ProxyError, ProxyType
    from python_socks.async_.asyncio import Proxy as Socks

    failure = _not_there(OSError("no address was found for its name"))
    for address in await _addresses(proxy):
        way = Socks(ProxyType.SOCKS5, address, proxy.port, proxy.user, proxy.password, rdns=True)
        try:
            return await asyncio.open_connection(sock=await way.connect(host, port, timeout=DAY_SECONDS))
        except ProxyConnectionError as error:
            failure = _not_there(error)
        except (ProxyError, ValueError, LookupError) as error:  # what it answers may be anything
            raise ProxyFailed(f"the proxy refuses the connection, or does not speak SOCKS5: {error}") from None
    raise failure


async def _addresses(proxy: Proxy) -> list[str]:
    """The library takes the first alone."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(proxy.host, proxy.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise _not_there(error) from None
    return [str(address[0]) for *_, address in found]


def _not_there(error: OSError) -> ProxyFailed:
    why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
    return ProxyFailed(f"the proxy does not answer: {why}")
