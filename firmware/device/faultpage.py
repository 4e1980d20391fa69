# The page that a board with a fault shows to browsers: what is wrong and what to do. It is served in that state only.
# It contains no address, identifier or secret, and takes no input.

import asyncio

from tessera.runtime import const, sleep_ms

_PORT = const(80)
_MOST = const(2)  # visitors at the same time
_REQUEST_BYTES = const(512)  # that are read and ignored
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
<p>On its USB serial line you can type <code>status</code>, <code>log</code>, <code>restart</code> and
<code>factory-reset</code>. Until the fault is gone, the LED is a second on and a second off.</p>
"""


def page(fault, retry_seconds):
    """The HTTP answer (bytes) for a fault in words. retry_seconds: until the next restart, None if there is none."""
    if retry_seconds is None:
        what = "The fault stays until you repair it or provision the relay anew, and restart it."
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
            pass  # the visitor is slow or gone
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
