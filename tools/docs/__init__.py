"""What documents are made with: pages that programs write, pictures, the lint of sentences, and the site.

`python -m tools.docs` writes what is generated; `mkdocs build --strict` (`make docs`) builds the site with site.py.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
GENERATED = "<!-- Written by `python -m tools.docs`: change what it is made from. -->\n"
