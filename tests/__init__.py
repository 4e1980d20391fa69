"""The tests and what they share; how they are run stands in README.md.

Modules that MicroPython runs as well have no package: they are imported by their bare names, on every runtime. This
puts their folders on the path.
"""

import sys
from pathlib import Path

_TREE = Path(__file__).resolve().parents[1]
for _folder in ("firmware", "host", "tests/core", "tests/powercut"):
    if str(_TREE / _folder) not in sys.path:
        sys.path.append(str(_TREE / _folder))
