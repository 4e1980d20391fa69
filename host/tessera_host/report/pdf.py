"""A document as PDF: numbered pages, bookmarks, a title, descriptions of the figures, fonts that know ε, δ and µ.

Owns the layout. The fonts are DejaVu's, which matplotlib brings along.
"""

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fpdf import FPDF, FontFace, ViewerPreferences
from fpdf.enums import TableBordersLayout, TextEmphasis, XPos, YPos
from fpdf.util import Padding

from .document import Basis, Block, Bullets, Document, Figure, Notice, Paragraph, Table, Tone
from .plots import SIZE_INCHES

_FONT = "DejaVu"
_INK, _SOFT, _TINT = (27, 31, 36), (87, 96, 106), (243, 245, 248)
_TONES = {Tone.GOOD: (26, 127, 75), Tone.REMARK: (31, 95, 174), Tone.BAD: (179, 38, 30)}
_MARGIN = 18
_TEXT, _SMALL = 9.5, 8.2
_TABLE_ROOM, _HEADING_ROOM = 48, 65  # mm at least: a caption, a heading is never left alone at the end of a page
_CAPTION_ROOM = 17  # mm: two lines, its basis, and a little
_OWN_ROOM = 16  # mm, of a heading
_LINE, _PADDING = 4.5, 1.2  # mm, of tables


def render(document: Document, made: datetime) -> bytes:
    """The file; `made` is the date it carries, so that the same content gives the same bytes."""
    pages = _Pages(document.title)
    pages.set_creation_date(made.astimezone(UTC))
    pages.front(document)
    for number, section in enumerate(document.sections, 1):
        pages.heading(f"{number}. {section.title}", section.blocks)
        for block in section.blocks:
            pages.block(block)
    return bytes(pages.output())


class _Pages(FPDF):
    """A4 pages that number themselves."""

    def __init__(self, title: str) -> None:
        super().__init__(format="A4")
        self.set_margins(_MARGIN, _MARGIN)
        self.set_auto_page_break(True, margin=_MARGIN + 4)
        for style, file in (("", "DejaVuSans.ttf"), ("B", "DejaVuSans-Bold.ttf")):
            self.add_font(_FONT, style, str(_fonts() / file))
        self.set_title(title)
        self.set_lang("en")
        self.set_creator("tessera")
        self.set_producer("tessera")
        self.viewer_preferences = ViewerPreferences(display_doc_title=True)
        self._title = title
        self._flowing: Table | None = None  # that begins below its section's heading, and is longer than that page
        self.add_page()

    def footer(self) -> None:
        self.set_y(-14)
        self._write_font(_SMALL, _SOFT)
        self.cell(0, 5, self._title)
        self.set_x(_MARGIN)
        self.cell(0, 5, f"{self.page_no()} / {{nb}}", align="R")

    def front(self, document: Document) -> None:
        self._write_font(19, _INK, bold=True)
        self._lines(document.title, 8.5)
        self._write_font(_TEXT, _SOFT)
        self._lines(f"{document.subject} · {document.date}", 6)
        self.ln(3)
        self._grid(None, list(document.facts), (3, 7))
        self.ln(2)

    def heading(self, text: str, blocks: Sequence[Block]) -> None:
        """On the page on which what follows it begins, and with its first table: on one page, or that goes on."""
        before, table = self._opening(blocks)
        room = _OWN_ROOM + before + (self._room(table) if table else _HEADING_ROOM - _OWN_ROOM)
        if table and room > self.eph:
            self._flowing = table
            room = _OWN_ROOM + before + self._beginning(table)
        if self.will_page_break(min(room, self.eph)):
            self.add_page()
        self.ln(5)
        self.start_section(text)
        self._write_font(13, _INK, bold=True)
        self._lines(text, 7)
        self.set_draw_color(201, 206, 214)
        self.line(_MARGIN, self.get_y() + 0.5, self.w - _MARGIN, self.get_y() + 0.5)
        self.ln(3)

    def _opening(self, blocks: Sequence[Block]) -> tuple[float, Table | None]:
        """Of a section that begins with texts and a table, mm of these texts, and the table."""
        before = 0.0
        for block in blocks:
            match block:
                case Paragraph(text):
                    before += self._text_height(text, self.epw) + 2
                case Notice(tone, text):
                    before += self._text_height(f"{tone.value}: {text}", self.epw - 8) + 6.5
                case Table():
                    return before, block
                case _:
                    break
        return 0.0, None

    def _text_height(self, text: str, width: float) -> float:
        self._write_font(_TEXT, _INK)
        lines: Any = self.multi_cell(width, 5.2, text, dry_run=True, output="LINES", align="L")
        return 5.2 * len(lines)

    def block(self, block: Block) -> None:
        match block:
            case Paragraph(text):
                self._write_font(_TEXT, _INK)
                self._lines(text, 5.2)
                self.ln(2)
            case Bullets(items):
                self._bullets(list(items))
            case Notice(tone, text):
                self._notice(tone, text)
            case Table():
                self._table(block)
            case Figure():
                self._figure(block)

    def _bullets(self, items: list[str]) -> None:
        self._write_font(_TEXT, _INK)
        for item in items:
            self.cell(5, 5.2, "•")
            self.multi_cell(self.epw - 5, 5.2, item, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
            self.ln(0.8)
        self.ln(2)

    def _notice(self, tone: Tone, text: str) -> None:
        words = f"{tone.value}: {text}"
        height = self._text_height(words, self.epw - 8) + 4
        if self.will_page_break(height):
            self.add_page()
        top = self.get_y()
        self.set_fill_color(*_TINT)
        self.rect(_MARGIN, top, self.epw, height, style="F")
        self.set_fill_color(*_TONES[tone])
        self.rect(_MARGIN, top, 1.2, height, style="F")
        self.set_xy(_MARGIN + 5, top + 2)
        self.multi_cell(self.epw - 8, 5.2, words, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.set_y(top + height + 2.5)

    def _table(self, table: Table) -> None:
        """On one page if it fits one, with the heading of its section."""
        room = self._beginning(table) if table is self._flowing else self._room(table)
        self._caption(table.caption, table.basis, room)
        self._grid(list(table.header), [list(row) for row in table.rows], tuple(table.widths))
        self.ln(4)

    def _room(self, table: Table) -> float:
        """All of it with its caption, mm, if that fits a page under a heading; else its beginning."""
        whole = self._with_caption(table, len(table.rows))
        return whole if whole + _OWN_ROOM <= self.eph else self._beginning(table)

    def _beginning(self, table: Table) -> float:
        """Its caption and two rows, mm."""
        return max(_TABLE_ROOM, self._with_caption(table, 2))

    def _with_caption(self, table: Table, rows: int) -> float:
        """Its caption, header and so many rows, mm."""
        shown = [list(row) for row in (table.header, *table.rows[:rows])]
        return _CAPTION_ROOM + sum(self._heights(shown, tuple(table.widths)))

    def _caption(self, caption: str, basis: Basis, room: float) -> None:
        if self.will_page_break(room):
            self.add_page()
        self._write_font(_TEXT, _INK, bold=True)
        self._lines(caption, 5.2)
        self._write_font(_SMALL, _SOFT)
        self._lines(basis.value, 4.6)
        self.ln(1)

    def _heights(self, rows: list[Any], widths: tuple[int, ...]) -> list[float]:
        """Of rows of a grid, mm."""
        columns = [self.epw * width / sum(widths) for width in widths]
        padding = Padding(_PADDING, _PADDING, _PADDING, _PADDING)
        found = []
        for row in rows:
            lines = []
            for column, (width, cell) in enumerate(zip(columns, row, strict=True)):
                self._write_font(_SMALL, _INK, bold=column == 0)
                text: Any = self.multi_cell(
                    width, _LINE, cell, dry_run=True, output="LINES", align="L", padding=padding
                )
                lines.append(len(text))
            found.append(max(lines) * _LINE + 2 * _PADDING)
        return found

    def _grid(self, header: list[str] | None, rows: list[Any], widths: tuple[int, ...]) -> None:
        """Rows stay whole, and none stands alone on the next page."""
        heights = self._heights(rows, widths)
        head = sum(self._heights([header], widths)) if header else 0
        begin = 0
        for end in _breaks(heights, self.page_break_trigger - self.get_y() - head, self.eph - head):
            if begin:
                self.add_page()
            self._rows(header, rows[begin:end], widths)
            begin = end

    def _rows(self, header: list[str] | None, rows: list[Any], widths: tuple[int, ...]) -> None:
        self._write_font(_SMALL, _INK)
        self.set_draw_color(201, 206, 214)
        self.set_fill_color(255, 255, 255)
        options: dict[str, Any] = {
            "col_widths": widths,
            "line_height": _LINE,
            "padding": _PADDING,
            "text_align": "LEFT",
            "v_align": "TOP",
            "borders_layout": TableBordersLayout.HORIZONTAL_LINES,
            "headings_style": FontFace(emphasis=TextEmphasis.B, fill_color=_TINT),
            "first_row_as_headings": header is not None,
        }
        with self.table(**options) as grid:
            for row in ([header] if header else []) + rows:
                line = grid.row()
                for column, cell in enumerate(row):
                    line.cell(cell, style=FontFace(emphasis=TextEmphasis.B) if column == 0 else None)

    def _figure(self, figure: Figure) -> None:
        width = self.epw
        height = width * SIZE_INCHES[1] / SIZE_INCHES[0]
        self._caption(figure.caption, figure.basis, height + 26)
        self.image(io.BytesIO(figure.plot.png()), x=_MARGIN, w=width, h=height, alt_text=figure.description)
        self.set_y(self.get_y() + 1)
        self._write_font(_SMALL, _SOFT)
        self._lines(figure.description, 4.6)
        self.ln(4)

    def _lines(self, text: str, height: float) -> None:
        self.multi_cell(0, height, text, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def _write_font(self, size: float, colour: tuple[int, int, int], bold: bool = False) -> None:
        self.set_font(_FONT, "B" if bold else "", size)
        self.set_text_color(*colour)


def _breaks(heights: list[float], room: float, page: float) -> list[int]:
    """After how many rows each page ends, the last too: `room` is left on this page, `page` on each that follows."""
    ends: list[int] = []
    left = room
    for at, height in enumerate(heights):
        if height > left and at > (ends[-1] if ends else 0):
            ends.append(at)
            left = page
        left -= height
    if ends and len(heights) - ends[-1] == 1 and ends[-1] - (ends[-2] if len(ends) > 1 else 0) > 1:
        ends[-1] -= 1  # the last row takes the one before it along
    return [*ends, len(heights)]


def _fonts() -> Path:
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf"
