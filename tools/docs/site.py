"""What the site adds to MkDocs: pages that lie outside docs/, links to files of the repository, pages that the
navigation does not name.

Links in a page are written as they work in the repository. In the site a link to a page outside docs/ leads to that
page, and a link to another file is shown as its path. Both must exist: a broken link is a warning, which ends a strict
build.
"""

import logging
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
# Page of the site -> where it lies. Those that are not there (yet) are left out.
ELSEWHERE = {
    "protocol.md": "firmware/PROTOCOL.md",
    "modules.md": "firmware/modules/README.md",
    "results.md": "tests/RESULTS.md",
    "testing.md": "tests/README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "security.md": "SECURITY.md",
}
MORE = "More"
# Code, which stays as it is, or a link or a picture, whose text may be code.
_PART = re.compile(r"^```.*?^```|`[^`\n]+`|\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)", re.DOTALL | re.MULTILINE)

log = logging.getLogger("mkdocs.hooks.site")


def origin(page: str) -> str:
    """Where a page of the site lies in the repository."""
    return ELSEWHERE.get(page, f"docs/{page}")


def page_of(path: str) -> str | None:
    """The page of the site that a path of the repository is, if it is one."""
    for page, where in ELSEWHERE.items():
        if path == where:
            return page
    return path.removeprefix("docs/") if path.startswith("docs/") else None


def linked(page: str, text: str, target: str) -> str:
    """A link of a page, as Markdown of the site."""
    if re.match(r"[a-z]+:|#", target):
        return f"[{text}]({target})"
    path, _, anchor = target.partition("#")
    found = posixpath.normpath(posixpath.join(posixpath.dirname(origin(page)), path))
    if not (ROOT / found).exists():
        log.warning("%s links to %s, which is not there", origin(page), target)
    inside = page_of(found)
    if inside is None or (ROOT / found).is_dir():
        return text if text.strip("`") in found else f"{text} (`{found}`)"
    relative = posixpath.relpath(inside, posixpath.dirname(page) or ".")
    return f"[{text}]({relative}{'#' + anchor if anchor else ''})"


def for_the_site(page: str, markdown: str) -> str:
    """The page with its links as they lead in the site."""
    return _PART.sub(lambda part: linked(page, part["text"], part["target"]) if part["target"] else part[0], markdown)


def pages_in(nav: list[Any]) -> set[str]:
    found: set[str] = set()
    for entry in nav:
        value = next(iter(entry.values())) if isinstance(entry, dict) else entry
        found |= pages_in(value) if isinstance(value, list) else {value}
    return found


# -- MkDocs calls these


def on_files(files: Files, config: Any) -> Files:
    for page, where in ELSEWHERE.items():
        if (ROOT / where).exists():
            files.append(File.generated(config, page, content=(ROOT / where).read_text()))
    named = pages_in(config.nav)
    others = [file.src_uri for file in files.documentation_pages() if file.src_uri not in named]
    if others and MORE not in {key for entry in config.nav if isinstance(entry, dict) for key in entry}:
        config.nav.append({MORE: sorted(others)})
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    return for_the_site(page.file.src_uri, markdown)
