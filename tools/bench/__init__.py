"""Benchmarks. None of them is a test: they print what they measured and the limit it is held against.

They compute with the keys of the tests' office (tests/core/office.py), whose folder this package puts on the path.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "firmware"), str(ROOT / "tests" / "core")]
