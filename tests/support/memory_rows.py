"""An issuer's keystore of rows without a file: for targets that copy its state, change it and compare.

Owns what `host/tessera_host/keys/keystore_database.py` gives whom it is handed to: `data`, `table` and `change`.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

Row = tuple[Any, int, int]  # value, until, part


@dataclass
class MemoryTable:
    rows: dict[bytes, Row] = field(default_factory=dict)

    def get(self, name: bytes) -> Any:
        return copy.deepcopy(self.rows[name][0]) if name in self.rows else None

    def put(self, name: bytes, value: Any, until: int = 0, part: int = 0) -> None:
        self.rows[name] = copy.deepcopy(value), until, part

    def delete(self, name: bytes) -> None:
        self.rows.pop(name, None)

    def values(self, part: int | None = None) -> list[Any]:
        return [copy.deepcopy(value) for value, _, its in self.rows.values() if part in (None, its)]

    def __len__(self) -> int:
        return len(self.rows)

    def clear(self) -> None:
        self.rows.clear()

    def keep_part(self, part: int) -> None:
        self.rows = {name: row for name, row in self.rows.items() if row[2] == part}

    def forget(self, epoch: int, most: int) -> None:
        over = [name for name, (_, until, _) in self.rows.items() if 0 < until <= epoch]
        for name in over[:most]:
            del self.rows[name]


@dataclass
class MemoryRows:
    data: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, MemoryTable] = field(default_factory=dict)

    def table(self, name: str) -> Any:
        return self.tables.setdefault(name, MemoryTable())

    @contextmanager
    def change(self) -> Iterator[None]:
        before = copy.deepcopy(self.tables)
        try:
            yield
        except BaseException:
            for name, table in self.tables.items():
                table.rows = before[name].rows if name in before else {}
            raise
