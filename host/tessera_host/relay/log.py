"""The log of a relay on a server, for programs that collect logs: a line of JSON for each event.

Owns the lines. There is no address in them and nothing that names a member, a token or a session: what is logged about
others' code (asyncio's, say) is which part of it and which kind of error, never its text. Which events there are is
the business of the relay that is watched, and of the command.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

NAME = "tessera.relay"
_FIELDS = "fields"  # of a record of ours


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"time": time, "level": record.levelname.lower()}
        fields = getattr(record, _FIELDS, None)
        if fields is not None:
            return json.dumps(line | {"event": record.getMessage()} | fields)
        line |= {"event": "internal", "part": record.name}
        if record.exc_info and record.exc_info[0]:
            line["error"] = record.exc_info[0].__name__
        return json.dumps(line)


class Log:
    """`as_json`: lines of JSON on `stream` (standard error), also of what other code of this program logs. Otherwise
    nothing is written: what a person is told is the command's business."""

    def __init__(self, as_json: bool, stream: TextIO | None = None) -> None:
        self.as_json = as_json
        self._logger = logging.getLogger(NAME)
        if as_json:
            handler = logging.StreamHandler(stream or sys.stderr)
            handler.setFormatter(_Lines())
            logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)

    def event(self, name: str, level: str = "info", **fields: object) -> None:
        """fields: what json can write."""
        if self.as_json:
            self._logger.log(logging.getLevelNamesMapping()[level.upper()], name, extra={_FIELDS: fields})
