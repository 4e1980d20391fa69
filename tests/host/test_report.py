"""The annex: every number in it counted once more, nothing in it that was not verified, the same bytes every time."""

import io
import math
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from html.parser import HTMLParser
from itertools import pairwise, takewhile
from pathlib import Path

import pypdfium2
import pytest

from tessera_host.audit import audit
from tessera_host.audit.archive import AuditArchive
from tessera_host.audit.verify import Firmware, LedgerAudit
from tessera_host.planning import plan
from tessera_host.privacy import noise
from tessera_host.report import annex, html, pdf
from tessera_host.report.document import (
    Basis,
    Block,
    Bullets,
    Document,
    Figure,
    Notice,
    Paragraph,
    Section,
    Table,
    Tone,
)
from tessera_host.report.facts import Facts
from tests.support.fake_federation import EPOCH_ROUNDS, FakeFederation
from tests.support.fake_ledger import FIRMWARE, FakeLedger

MADE = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
CHOICE = plan.Choice(
    cover=plan.DELIVERY, epsilon=Fraction("0.1"), delta=Fraction("1e-6"), members=24, round_seconds=300,
    epoch_rounds=288, day_delta=Fraction("1e-5"),
)  # fmt: skip
CONSTANT = plan.Choice(members=24, round_seconds=120, epoch_rounds=720)
ONE = Fraction(2570605633736548272937557300902239823, 2787593149816327892691964784081045188247552)  # δ of that table


@pytest.fixture(scope="module")
def planned() -> Document:
    return annex_of_a_plan()


def annex_of_a_plan() -> Document:
    """With a day that allows less than the tokens do."""
    return annex.of_plan(Facts.of_plan(plan.make(CHOICE)), MADE)


@pytest.fixture(scope="module")
def constant() -> Document:
    return annex.of_plan(Facts.of_plan(plan.make(CONSTANT)), MADE)


@pytest.fixture(scope="module")
def planned_pdf(planned: Document) -> bytes:
    return pdf.render(planned, MADE)


@pytest.fixture(scope="module")
def constant_pdf(constant: Document) -> bytes:
    return pdf.render(constant, MADE)


@pytest.fixture(scope="module")
def ledger() -> FakeLedger:
    return FakeLedger()


def audited(
    ledger: FakeLedger, folder: Path, checkpoints: dict[int, bytes], open_epoch: int
) -> tuple[Document, LedgerAudit]:
    gathered = audit.gather(ledger.federation.known(), AuditArchive(folder), [], [])
    gathered.firmware[FIRMWARE] = Firmware("approved on paper", True)
    answers = ledger.answers(checkpoints, open_epoch)
    found = audit.judge(gathered, ledger.relay(), answers, answers.open_round)
    facts = Facts.of_federation(gathered.federation, gathered.sets.newest)
    return annex.of_audit(facts, MADE, [found], gathered.sets, gathered.against_issuer()), found


def table(document: Document, caption: str) -> Table:
    (found,) = [
        block
        for section in document.sections
        for block in section.blocks
        if isinstance(block, Table) and block.caption.endswith(caption)
    ]
    return found


def blocks(document: Document) -> list[Block]:
    return [block for section in document.sections for block in section.blocks]


def words_of(section: Section) -> list[str]:
    """Its sentences, in paragraphs or bullets."""
    found: list[str] = []
    for block in section.blocks:
        found += [block.text] if isinstance(block, Paragraph | Notice) else []
        found += block.items if isinstance(block, Bullets) else []
    return found


def notices(document: Document, tone: Tone) -> list[str]:
    blocks = [block for section in document.sections for block in section.blocks]
    return [block.text for block in blocks if isinstance(block, Notice) and block.tone is tone]


def rounded_up(value: Fraction) -> str:
    """Five significant digits, up, by decimal arithmetic of its own."""
    exponent = math.floor(math.log10(value))
    mantissa = math.ceil(value / Fraction(10) ** (exponent - 4))
    text = f"{mantissa // 10**4}.{mantissa % 10**4:04d}".rstrip("0").rstrip(".")
    return f"{text}e{exponent}"


# -- copies on several relays

CLUSTER = {"relays": 3, "topology": "mesh", "copies": 2}


@pytest.fixture(scope="module")
def cluster() -> Document:
    return annex.of_plan(Facts.of_plan(plan.make(replace(CHOICE, **CLUSTER))), MADE)


def test_every_copy_is_counted(cluster):
    rows = table(cluster, "What deliveries add up to").rows
    assert [(row[0], row[1]) for row in rows] == [
        ("one delivery", "1"),
        ("one message, all its copies", "2"),
        ("the longest message, 16 parts", "32"),
        ("a member's day, 5 messages", "10"),
        ("a member's day, exchanged for another", "10"),
        ("a member's month", "300"),
    ]
    assert_recounted(rows)
    assert float(rows[1][2]) <= 0.2 and rows[1][3] == rounded_up(2 * ONE), "k times a delivery's at most"


def test_what_all_relays_show_together_is_said(cluster):
    text = cluster.text()
    assert f"learns of one message at most ε = 0.2, δ = {rounded_up(2 * ONE)};" in text
    assert ("Relays", "3; every record is on 2 of them (mesh)") in cluster.facts
    assert dict(row[:2] for row in table(cluster, "Data inventory").rows)["Records"] == "2 of the 3 relays, a copy each"
    assert "any one relay may be lost for good" in text
    assert "Operators of several relays together" in text


def test_copies_of_constant_batches_show_nothing():
    text = annex.of_plan(Facts.of_plan(plan.make(replace(CONSTANT, **CLUSTER))), MADE).text()
    assert "an observer of both learns nothing" in text and "as little as an observer of one, nothing" in text


def test_an_office_with_one_copy_has_no_word_of_copies(planned, constant):
    for document in (planned, constant):
        assert "copies" not in document.text() and "Relays" not in dict(document.facts)


def test_the_copies_of_an_office_are_those_of_its_card(ledger):
    for copies, relays, expected in ((2, 3, 2), (5, 3, 3), (1, 2, 1)):
        said = {"topology": {"kind": "mesh", "copies": copies}}
        known = FakeFederation(relays=relays, said=said).known()
        facts = Facts.of_federation(known, known.newest)
        assert (facts.relays, facts.topology, facts.copies) == (relays, "mesh", expected)


# -- the numbers


def test_one_delivery_is_that_of_the_table(planned):
    rows = dict(table(planned, "One delivery").rows)
    assert rows["ε of one delivery"] == "0.1"
    assert rows["δ of one delivery"].startswith("9.2216e-7") and rows["δ of one delivery"].endswith(str(ONE))
    epsilon, delta = re.fullmatch(r"ε ≤ ([\d.]+), δ ≤ (\S+)", rows["A delivery in another cell instead"]).groups()
    assert binomial_delta(2, float(epsilon)) <= float(delta)
    assert rows["Cover records a cell"] == "0 to 218, 109 on average"


def test_every_sum_is_recounted(planned):
    rows = table(planned, "What deliveries add up to").rows
    assert [(row[0], row[1]) for row in rows] == [
        ("one delivery", "1"),
        ("the longest message, 16 parts", "16"),
        ("a member's day, 10 messages", "10"),
        ("a member's day, exchanged for another", "10"),
        ("a member's month", "300"),
    ]
    assert_recounted(rows)
    assert float(rows[2][3]) == 1e-5 and float(rows[4][3]) == 3e-4


def assert_recounted(rows):
    for what, deliveries, epsilon, delta in rows:
        count = int(deliveries) * (2 if "exchanged" in what else 1)  # a record here instead of there: both counts move
        assert binomial_delta(count, float(epsilon)) <= float(delta) * (1 + 1e-9)
        assert binomial_delta(count, 0.99 * float(epsilon) - 0.01) > float(delta)  # and no more than that


def binomial_delta(deliveries: int, at: float) -> float:
    """δ of k deliveries, each of loss ε, -ε or infinite: here from the closed form of DESIGN §5, with floats."""
    alpha = math.exp(-0.1)
    infinite = (1 - alpha) * alpha**109 / (1 + alpha - 2 * alpha**110)
    likelier = (1 - infinite) / (1 + alpha)  # the ratio of losses ε to -ε is e^ε, up to the two ends
    total = 1 - (1 - infinite) ** deliveries
    for more in range(deliveries + 1):
        loss = 0.1 * (2 * more - deliveries)
        if loss > at:
            log = math.lgamma(deliveries + 1) - math.lgamma(more + 1) - math.lgamma(deliveries - more + 1)
            log += more * math.log(likelier) + (deliveries - more) * math.log(1 - infinite - likelier)
            total += math.exp(log) * -math.expm1(at - loss)
    return total


def test_the_day_within_the_budget_is_the_most_that_fits(planned):
    """ε = 2, δ = 1e-5: ten deliveries fit, eleven do not."""
    assert binomial_delta(10, 2.0) <= 1e-5 < binomial_delta(11, 2.0)


def grown(prior: float, epsilon: str) -> float:
    """Bayes' rule, in percent."""
    return 100 / (1 + (1 - prior) / prior * math.exp(-float(epsilon)))


def says(percent: float, said: str) -> bool:
    """Whether it is said rounded up to a tenth; `percent` is of an ε that was rounded up to a thousandth itself."""
    return percent > 99.9 if said == "over 99.9 %" else percent - 0.026 <= float(said.split()[0]) < percent + 0.1 + 1e-9


def test_suspicions_are_bayes_rule(planned):
    sums = {row[0].split(",")[0]: row[2] for row in table(planned, "What deliveries add up to").rows[:3]}
    for row in table(planned, "What a suspicion can grow to").rows[:3]:
        epsilon = sums[row[0] if row[0] in sums else f"the {row[0]}"]
        # The table of sums is rounded up itself.
        assert all(says(grown(prior, epsilon), said) for prior, said in zip((0.01, 0.1, 0.5), row[1:], strict=True))


def test_the_summary_speaks_of_a_day_and_a_month_before_a_message(planned):
    rows = {row[0]: row for row in table(planned, "What deliveries add up to").rows}
    (said,) = [text for text in words_of(planned.sections[0]) if text.startswith("In a day of 10 messages")]
    day, month, one = re.findall(r"([\d.]+ %|over 99\.9 %) \(ε = ([\d.]+), δ = (\S+)\)", said)
    assert (day[1], month[1], one[1]) == (rows["a member's day, 10 messages"][2], rows["a member's month"][2], "0.1")
    assert all(says(grown(0.01, epsilon), percent) for percent, epsilon, _ in (day, month, one))
    figure = next(block for block in blocks(planned) if isinstance(block, Figure) and "guess" in block.caption)
    assert f"to {day[0]} after a day and to {month[0]} after 30 days" in figure.description


def test_of_constant_batches_nothing_is_said_to_show(constant, constant_pdf):
    (said,) = [text for text in words_of(constant.sections[0]) if text.startswith("Every batch has 24 records")]
    assert "1 % after a day and after a month" in said
    rows = dict(table(constant, "Constant batches").rows)
    assert rows["Records in every batch"] == "24 = 24 members × 1 token"
    cover = dict(constant.facts)["Cover"]
    assert cover == "constant batches of 24 records: what is published never depends on messages"
    (figure,) = [block for block in blocks(constant) if isinstance(block, Figure)]
    assert "1 % after a day and after 30 days" in figure.description
    assert "nois" not in constant.text()
    assert html.render(constant) and constant_pdf


def test_what_goes_beyond_a_day_is_recounted(planned):
    weights = noise.table(CHOICE.epsilon, CHOICE.delta).weights()
    rows = table(planned, "Beyond the day").rows
    for row, shift in zip(rows, (1, 2, 3, 4), strict=False):
        one, other = [*[0] * shift, *weights], [*weights, *[0] * shift]
        both = [
            sum(max(0.0, a - math.exp(2) * b) for a, b in zip(x, y, strict=True))
            for x, y in ((one, other), (other, one))
        ]
        assert max(both) / 2**64 == pytest.approx(float(row[1]), rel=1e-2)
    assert "100 records" in rows[4][0] and 1 <= float(rows[4][1]) / binomial_delta(100, 2.0) < 1.02


def test_the_issuer_s_view_of_addresses_is_in_the_inventory(planned):
    rows = [row for row in table(planned, "Data inventory").rows if row[0] == "Internet addresses"]
    assert [row[1] for row in rows] == ["relay, in memory", "issuer's service, in memory"]
    assert "knows whose" in rows[1][2]


@pytest.mark.parametrize("which", ["planned", "constant"])
def test_what_is_written_in_symbols_is_explained(which, request):
    document = request.getfixturevalue(which)
    explained = " ".join(row[0] for row in table(document, "Words").rows)
    text = document.text()
    for word in ("ε", "δ", "µ", "token", "checkpoint", "issuer", "root key", "cover", "batch", "cell", "agent"):
        assert word not in text.lower() or word in explained.lower(), word


def test_retention_and_words_follow_the_parameters(planned):
    rows = dict(table(planned, "How long what is kept").rows)
    assert rows["Records can be fetched for"] == "3 days and the open epoch"
    assert rows["A record is at most this old"] == "4 days"
    assert "1.1052" in planned.text()  # e^0.1 = 1.10517…


def test_below_the_floor_is_said_to_be(ledger):
    few = plan.make(replace(CHOICE, members=5, allow_small=True))
    document = annex.of_plan(Facts.of_plan(few), MADE)
    (said,) = notices(document, Tone.BAD)
    assert "5 members a bucket are fewer than the floor of 20" in said


def test_plans_of_all_kinds_have_an_annex():
    """A day without a delivery, many deliveries, much noise, none worth the name."""
    for choice in (
        replace(CHOICE, epoch_rounds=50_000, posts_per_token=4),
        replace(CHOICE, round_seconds=10, board="GATEWAY", posts_per_token=320),
        replace(CHOICE, epsilon=Fraction(5), delta=Fraction("0.1")),
        replace(CHOICE, epsilon=Fraction("0.02"), delta=Fraction("1e-7"), board="GATEWAY"),
        replace(CHOICE, cover=plan.DAY, epsilon=None, delta=None, deliveries=21),
        replace(CHOICE, cover=plan.DAY, deliveries=21),
    ):
        document = annex.of_plan(Facts.of_plan(plan.make(choice)), MADE)
        assert all(
            "nan" not in word and "inf" not in word for word in document.text().lower().split() if word[0].isdigit()
        )
        assert html.render(document)


# -- the law


def test_the_annex_names_every_provision_and_what_it_does_not_cover(planned):
    provisions = " ".join(row[0] for row in table(planned, "Provisions and mechanisms").rows)
    for wanted in ("Art. 5(1)(c)", "Art. 25(1)", "Art. 25(2)", "Art. 32(1)(a)", "Art. 32(1)(d)", "2002/58/EC Art. 5(1)",
                   "1798.140(o)", "1798.140(v)"):  # fmt: skip
        assert wanted in provisions
    assert "not legal advice" in planned.text()
    parties = [row[0] for row in table(planned, "What each party can and cannot see").rows]
    assert len(parties) == 7 and "Somebody who was a member" in parties


# -- never more than was verified


def test_a_plan_says_that_nothing_was_verified(planned):
    assert "nothing in it was verified" in notices(planned, Tone.REMARK)[0]
    found = [b.basis for s in planned.sections for b in s.blocks if isinstance(b, Table | Figure)]
    assert Basis.VERIFIED not in found and Basis.COMPUTED not in found


def test_an_audit_names_the_epochs_it_verified_and_no_others(ledger, tmp_path):
    ledger.last = None
    document, found = audited(ledger, tmp_path, ledger.chain([3, 4, 7]), 9)
    assert found.verified == [3, 4, 7]
    assert "3 of 6 epochs were verified, epochs 3 to 4 and 7" in document.text()
    assert "no checkpoint of epochs 5 to 6 and 8" in document.text()
    rows = table(document, "parameters in force in verified epochs").rows
    assert rows == [
        (
            "1",
            "epochs 3 to 4 and 7",
            "a table for one delivery: ε = 0.1, δ = 9.2216e-7; at most 218 records",
            "40 in 2: 20 each",
        )
    ]
    spans = [(row[0], row[4]) for row in table(document, "checkpoints").rows]
    assert spans == [("3 to 4", "verified"), ("7", "verified")]


def test_a_tampered_checkpoint_is_shown_and_nothing_is_claimed_of_it(ledger, tmp_path):
    ledger.last = None
    shown = ledger.chain(range(4))
    shown[2] = shown[2][:60] + bytes([shown[2][60] ^ 1]) + shown[2][61:]
    document, found = audited(ledger, tmp_path, shown, 4)
    assert not found.holds
    bad = " ".join(notices(document, Tone.BAD))
    assert "epoch 2 is not its checkpoint: the relay's ledger key did not sign it" in bad
    assert "the checkpoint of epoch 3 does not follow 1's" in bad
    assert [row[1] for row in table(document, "parameters in force in verified epochs").rows] == ["epoch 0"]
    verdicts = [(row[0], row[4]) for row in table(document, "checkpoints").rows]
    assert verdicts == [("0", "verified"), ("1", "NOT VERIFIED"), ("3", "NOT VERIFIED")]


def test_a_parameter_change_and_unknown_firmware_are_shown(tmp_path):
    ledger = FakeLedger()
    shown = ledger.chain(range(2))
    ledger.parameters = ledger.make_set(2, first_epoch=2, log2_buckets=0, members=40)
    shown |= {2: ledger.sign(2), 3: ledger.sign(3, firmware=b"?" * 32)}
    document, _ = audited(ledger, tmp_path, shown, 4)
    assert any("serial 1 → 2" in text and "buckets 2 → 1" in text for text in notices(document, Tone.REMARK))
    assert any("the firmware of epoch 3" in text for text in notices(document, Tone.BAD))
    rows = table(document, "parameters in force in verified epochs").rows
    assert [(row[0], row[1]) for row in rows] == [("1", "epochs 0 to 1"), ("2", "epoch 2")]
    assert any("unknown" in row[2] for row in table(document, "by the digest that the relay reports").rows)


def test_two_sets_of_one_serial_stand_at_the_top_of_the_annex(tmp_path):
    ledger = FakeLedger()
    shown = ledger.chain(range(2))
    ledger.parameters = ledger.make_set(1, members=60, log2_buckets=1)
    document, found = audited(ledger, tmp_path, shown | ledger.chain(range(2, 4)), 4)
    assert not found.holds and found.verified == []
    first = document.sections[0].blocks[0]
    assert isinstance(first, Notice) and first.tone is Tone.BAD
    assert "the issuer signed two different sets of serial 1" in first.text
    assert "members 40 or 60" in first.text or "members 60 or 40" in first.text  # in the order of their digests
    rows = [(row[0], row[3], row[4]) for row in table(document, "checkpoints").rows]
    assert rows == [("0 to 1", "1", "NOT VERIFIED"), ("2 to 3", "1", "NOT VERIFIED")]


def test_a_relay_without_checkpoints_is_reported_as_unverified(ledger, tmp_path):
    document, _ = audited(ledger, tmp_path, {}, 2)
    assert any("no checkpoint yet. Nothing was verified" in text for text in notices(document, Tone.REMARK))


# -- the files


def test_the_same_facts_give_the_same_bytes(planned, planned_pdf):
    again = annex_of_a_plan()
    assert html.render(planned) == html.render(again)
    assert planned_pdf == pdf.render(again, MADE)


class _Reader(HTMLParser):
    """What a screen reader meets: headings, captions, labels; and what is not closed or loaded from elsewhere."""

    VOID = ("meta", "col", "br", "hr", "img", "link", "input")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_the_page_is_whole_self_contained_and_readable_aloud(ledger, tmp_path):
    ledger.last = None
    document, _ = audited(ledger, tmp_path, ledger.chain(range(3)), 3)
    page = html.render(document).decode()
    reader = _Reader()
    reader.feed(page)
    assert reader.open == []
    tags = [tag for tag, _ in reader.seen]
    assert not {"script", "link", "img", "iframe", "object"} & set(tags)
    assert not any(name in ("src", "srcset") for _, attributes in reader.seen for name in attributes)
    assert [a["href"] for tag, a in reader.seen if tag == "a"] == [f"#section-{n}" for n in range(1, 14)]
    assert tags.count("h1") == 1 and tags.count("h2") == len(document.sections)
    assert tags.count("table") == tags.count("caption")
    assert all(a.get("scope") for tag, a in reader.seen if tag == "th")
    pictures = [a for tag, a in reader.seen if tag == "svg"]
    assert len(pictures) == 4 and all(a["role"] == "img" and a["aria-label"] for a in pictures)
    ids = [a["id"] for _, a in reader.seen if "id" in a]
    assert len(ids) == len(set(ids))
    assert ("html", {"lang": "en"}) in reader.seen
    shown = " ".join(" ".join(reader.words).split())
    for line in document.text().split("\n"):
        for word in line.split():
            assert word in shown
    assert "#010101" not in page and "var(--ink)" in page and "prefers-color-scheme: dark" in page


def test_drawings_are_well_formed_xml(planned):
    drawings = re.findall(r"<svg.*?</svg>", html.render(planned).decode(), flags=re.DOTALL)
    assert len(drawings) == 3
    for drawing in drawings:
        assert ET.fromstring(drawing).tag.endswith("svg")


def test_names_cannot_become_markup(ledger, tmp_path):
    document, _ = audited(ledger, tmp_path, {}, 2)
    hostile = Document("<script>alert(1)</script>", 'a"b', "now", [("<b>", "</dl>")], document.sections)
    page = html.render(hostile).decode()
    assert "<script>" not in page and "<b>" not in page and "&lt;script&gt;" in page


def test_the_pdf_has_a_title_bookmarks_page_numbers_and_every_word(planned, planned_pdf):
    document = pypdfium2.PdfDocument(io.BytesIO(planned_pdf))
    assert document.get_metadata_value("Title") == annex.TITLE
    marks = [mark.get_title() for mark in document.get_toc()]
    assert marks == [f"{n}. {section.title}" for n, section in enumerate(planned.sections, 1)]
    pages = [page.get_textpage().get_text_bounded() for page in document]
    assert all(f"{n} / {len(pages)}" in text for n, text in enumerate(pages, 1))
    words = set(" ".join(pages).replace("￾", "").split())
    missing = {word for word in planned.text().split() if word not in words and len(word) < 25}
    assert not missing
    assert {"ε", "δ"} <= words
    assert planned_pdf.count(b"/Alt ") == 3


def test_no_page_of_the_pdf_runs_over_its_margin(planned_pdf):
    """Every page, drawn: nothing but paper in the outermost 8 mm."""
    document = pypdfium2.PdfDocument(io.BytesIO(planned_pdf))
    for page in document:
        picture = page.render(scale=1).to_pil().convert("L")
        width, height = picture.size
        edge = round(8 / 25.4 * 72)
        for box in ((0, 0, edge, height), (width - edge, 0, width, height), (0, 0, width, edge)):
            assert picture.crop(box).getextrema() == (255, 255)
        assert picture.getextrema()[0] < 100


def test_no_row_of_a_table_stands_alone_on_a_page():
    for heights, room in (([10] * 7, 60), ([10] * 20, 95), ([30] * 9, 25), ([10] * 3, 100), ([200, 90], 150)):
        ends = pdf._breaks([float(height) for height in heights], room, 100)
        rows = [end - begin for begin, end in pairwise([0, *ends])]
        assert sum(rows) == len(heights) and all(rows)
        assert len(rows) == 1 or rows[-1] > 1 or rows[-2] == 1
        for number, (begin, end) in enumerate(pairwise([0, *ends])):
            assert sum(heights[begin:end]) <= (100 if number else room) or end - begin == 1
    assert pdf._breaks([10.0] * 7, 60, 100) == [5, 7]


@pytest.mark.parametrize("which", ["planned", "constant"])
def test_a_table_that_fits_a_page_is_on_one(which, request):
    """The first words of its first and last row."""
    document = request.getfixturevalue(which)
    pages = pypdfium2.PdfDocument(io.BytesIO(request.getfixturevalue(f"{which}_pdf")))
    texts = [" ".join(page.get_textpage().get_text_bounded().split()) for page in pages]
    for found in blocks(document):
        if isinstance(found, Table) and len(found.rows) < 8:
            caption = " ".join(found.caption.split())
            (page,) = [text for text in texts if f"{caption} {found.basis.value}" in text]
            rest = page[page.index(f"{caption} {found.basis.value}") :]
            assert " ".join(found.rows[-1][0].split()[:2]) in rest, caption


@pytest.mark.parametrize("which", ["planned", "constant"])
def test_a_heading_is_on_the_page_on_which_its_first_table_begins(which, request):
    document = request.getfixturevalue(which)
    pages = pypdfium2.PdfDocument(io.BytesIO(request.getfixturevalue(f"{which}_pdf")))
    texts = [" ".join(page.get_textpage().get_text_bounded().split()) for page in pages]
    looked_at = 0
    for number, section in enumerate(document.sections, 1):
        begins = list(takewhile(lambda block: isinstance(block, Paragraph | Notice | Table), section.blocks))
        found = next((block for block in begins if isinstance(block, Table)), None)
        if found:
            (page,) = [text for text in texts if f"{number}. {section.title}" in text]
            assert f"{found.caption} {found.basis.value}" in page, section.title
            looked_at += 1
    assert looked_at > 7


def test_an_epoch_s_rounds_are_drawn_as_they_were_sealed(ledger, tmp_path):
    ledger.last = None
    shown = ledger.chain([0]) | {1: ledger.sign(1, rounds=EPOCH_ROUNDS - 4)}
    document, _ = audited(ledger, tmp_path, shown, 2)
    (figure,) = [
        b for s in document.sections for b in s.blocks if isinstance(b, Figure) and "rounds sealed" in b.caption
    ]
    assert f"{2 * EPOCH_ROUNDS - 4} rounds in 2 epochs" in figure.description
    assert f"the fewest in one epoch: {EPOCH_ROUNDS - 4}" in figure.description
