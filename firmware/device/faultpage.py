# What a browser finds on a board that has a fault: a page that says what is wrong and what to do. It is there in that
# state only; nothing on it is an address, an identifier or a secret, and nothing can be asked but for it.

import asyncio

from tessera.runtime import const, sleep_ms

_PORT = const(80)
_MOST = const(2)  # visitors at once
_REQUEST_BYTES = const(512)  # read and not looked at
_PATIENCE_MS = const(2_000)

_PAGE = """HTTP/1.0 503 Service Unavailable\r
Content-Type: text/html; charset=utf-8\r
Cache-Control: no-store\r
Connection: close\r
\r
<!doctype html><title>Relay out of service</title>
<h1>This relay is out of service</h1>
<p>{}</p>
<p>Records that were acknowledged are kept. {}</p>
<p>At its USB cable, a serial terminal answers the commands <code>status</code>, <code>log</code>, <code>restart</code>
and <code>factory-reset</code>. The LED is lit for a second and dark for a second until the fault is gone.</p>
"""


def page(fault, retry_seconds):
    """The answer (bytes) for a fault in words; retry_seconds None if it does not pass by itself."""
    if retry_seconds is None:
        what = "It does not pass by itself: mend it, or provision the relay anew, then restart it."
    else:
        what = "The relay restarts by itself within {} minutes.".format(retry_seconds // 60 + 1)
    return _PAGE.format(_escaped(fault), what).encode()


def _escaped(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class FaultPage:
    """The page on TCP."""

    def __init__(self, answer):
        self._answer = answer
        self._visitors = 0

    async def serve(self, host="0.0.0.0", port=_PORT):
        """Until cancelled."""
        server = await asyncio.start_server(self._visit, host, port)
        try:
            while True:
                await sleep_ms(60_000)
        finally:
            server.close()

    async def _visit(self, reader, writer):
        self._visitors += 1
        try:
            if self._visitors <= _MOST:
                await asyncio.wait_for(self._exchange(reader, writer), _PATIENCE_MS // 1000)
        except (OSError, EOFError, asyncio.TimeoutError):
            pass  # a visitor who is slow or gone
        finally:
            self._visitors -= 1
            writer.close()
            try:
                await writer.wait_closed()
            except OSError:
                pass

    async def _exchange(self, reader, writer):
        await reader.read(_REQUEST_BYTES)
        writer.write(self._answer)
        await writer.drain()
