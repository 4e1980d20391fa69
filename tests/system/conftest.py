# How the files share the processors: with `-n 3 --dist loadgroup` two emulated boards run at once at most, because each
# of them keeps a processor busy, and beside them what mostly waits for rounds to pass.

from pathlib import Path

import pytest

BOARDS = {
    "test_appliance.py": "a board",
    "test_board.py": "another board",
    "test_console.py": "another board",
    "test_flash.py": "another board",
    "test_readme.py": "another board",
    "test_update.py": "another board",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    ours = [item for item in items if item.path.parent == here]
    for item in ours:
        item.add_marker(pytest.mark.xdist_group(BOARDS.get(item.path.name, item.path.name)))
    ours.sort(key=lambda item: item.path.name not in BOARDS)  # the long ones begin first
    items[:] = [item for item in items if item.path.parent != here] + ours
