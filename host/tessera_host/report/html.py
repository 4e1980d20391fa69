"""A document as one HTML file that needs nothing else: no script, no font, nothing loaded from anywhere.

Owns the page: landmarks, headings and captions for screen readers, light and dark, what it looks like in print.
"""

from collections.abc import Sequence
from html import escape

from .document import Basis, Block, Bullets, Document, Figure, Notice, Paragraph, Section, Table
from .plots import FAINT, FIRST, INK, SECOND

_INKS = {INK: "var(--ink)", FAINT: "var(--line)", FIRST: "var(--first)", SECOND: "var(--second)"}

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --line: #c9ced6; --paper: #ffffff; --tint: #f3f5f8;
  --first: #1f5fae; --second: #b4540a; --good: #1a7f4b; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --soft: #a2abb6; --line: #3d444d; --paper: #14171b;
  --tint: #1d2127; --first: #79b0f2; --second: #f0a05a; --good: #57c98c; --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, "Segoe UI", sans-serif; }
main, header, nav { max-width: 56rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2.5rem; } h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .3rem; }
header p { margin: 0; color: var(--soft); }
h2 { font-size: 1.3rem; margin: 2.6rem 0 .8rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line); }
nav ol { columns: 2; padding-left: 1.4rem; } a { color: var(--first); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.2rem; background: var(--tint);
  padding: 1rem 1.2rem; border-radius: .4rem; } dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .92rem; margin: 1.2rem 0; }
caption, figcaption { text-align: left; font-weight: 600; padding-bottom: .4rem; }
.basis { display: block; font-weight: 400; font-size: .85rem; color: var(--soft); }
th, td { text-align: left; vertical-align: top; padding: .45rem .7rem .45rem 0; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere; } th { overflow-wrap: break-word; }
thead th { border-bottom: 2px solid var(--ink); } tbody th { font-weight: 600; }
figure { margin: 1.6rem 0; } figure svg { width: 100%; height: auto; }
figure p { color: var(--soft); font-size: .9rem; }
.notice { border-left: 4px solid var(--first); background: var(--tint); padding: .6rem 1rem; margin: .8rem 0;
  overflow-wrap: anywhere; }
.good { border-color: var(--good); } .bad { border-color: var(--bad); }
footer { max-width: 56rem; margin: 3rem auto 2rem; padding: 0 1.25rem; color: var(--soft); font-size: .85rem; }
@media (max-width: 40rem) { nav ol { columns: 1; } dl { grid-template-columns: 1fr; } dd { margin-bottom: .4rem; } }
@media print { :root { --ink: #000; --soft: #444; --line: #bbb; --paper: #fff; --tint: #f3f3f3; --first: #1f5fae;
  --second: #b4540a; --good: #1a7f4b; --bad: #b3261e; }
  body { font-size: 10pt; } h2 { break-after: avoid; } figure, tr, .notice { break-inside: avoid; }
  tbody tr:first-child, tbody tr:nth-last-child(2) { break-after: avoid; }
  caption, thead { break-after: avoid; }
  nav { display: none; } @page { margin: 18mm; } }
"""


def render(document: Document) -> bytes:
    """The file, UTF-8."""
    parts = [
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(document.title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>",
        f"<header>\n<h1>{escape(document.title)}</h1>\n<p>{escape(document.subject)} · {escape(document.date)}</p>",
        _facts(document),
        "</header>",
        _contents(document.sections),
        "<main>",
        *(_section(number, section) for number, section in enumerate(document.sections, 1)),
        "</main>\n</body>\n</html>\n",
    ]
    return "\n".join(parts).encode()


def _facts(document: Document) -> str:
    pairs = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in document.facts)
    return f"<dl>{pairs}</dl>"


def _contents(sections: Sequence[Section]) -> str:
    items = "".join(
        f'<li><a href="#section-{number}">{escape(section.title)}</a></li>'
        for number, section in enumerate(sections, 1)
    )
    return f'<nav aria-label="Contents">\n<ol>{items}</ol>\n</nav>'


def _section(number: int, section: Section) -> str:
    heading = f'<h2 id="section-{number}">{number}. {escape(section.title)}</h2>'
    blocks = "\n".join(_block(block) for block in section.blocks)
    return f'<section aria-labelledby="section-{number}">\n{heading}\n{blocks}\n</section>'


def _block(block: Block) -> str:
    match block:
        case Paragraph(text):
            return f"<p>{escape(text)}</p>"
        case Bullets(items):
            return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"
        case Notice(tone, text):
            return f'<p class="notice {tone.name.lower()}"><strong>{tone.value}:</strong> {escape(text)}</p>'
        case Table():
            return _table(block)
        case Figure():
            return _figure(block)


def _table(table: Table) -> str:
    total = sum(table.widths)
    columns = "".join(f'<col style="width: {100 * width / total:.1f}%">' for width in table.widths)
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in table.header)
    rows = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        + "</tr>\n"
        for row in table.rows
    )
    return (
        f'<div class="wide"><table><caption>{escape(table.caption)} {_basis(table.basis)}</caption>'
        f"<colgroup>{columns}</colgroup><thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody></table></div>"
    )


def _figure(figure: Figure) -> str:
    svg = figure.plot.svg(_INKS)
    label = f'<svg role="img" aria-label="{escape(figure.description)}"'
    return (
        f"<figure>{svg.replace('<svg', label, 1)}\n<figcaption>{escape(figure.caption)} {_basis(figure.basis)}"
        f"</figcaption>\n<p>{escape(figure.description)}</p></figure>"
    )


def _basis(basis: Basis) -> str:
    return f'<span class="basis">{escape(basis.value)}</span>'
