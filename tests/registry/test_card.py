"""Model cards: the golden ones, what they say, and that no text of anybody becomes markup."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example as also
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from domain.registry.card import (
    SECTIONS,
    Card,
    Figure,
    LedgerRecord,
    Subject,
    build_card,
    empty_sections,
    figures,
    required_sections,
    to_html,
    to_markdown,
)
from domain.registry.card.blocks import Table, printable, shown
from domain.registry.evidence import Attachment, Evidence, GateResult
from domain.registry.ledger.view import Recorded
from domain.registry.lineage import Lineage
from domain.registry.metadata import RiskTier
from tests.registry import card_examples as example
from tests.registry.test_checkpoint import GOLDEN, REWRITE
from tests.registry.test_monitoring_events import CALM, DRIFT

RENDERERS: dict[str, Callable[[Card], str]] = {"md": to_markdown, "html": to_html}
SUBJECTS = {"card-candidate": example.CANDIDATE, "card-version": example.VERSION}


@pytest.mark.parametrize("name", SUBJECTS)
@pytest.mark.parametrize("suffix", RENDERERS)
def test_cards_have_the_golden_bytes(name: str, suffix: str) -> None:
    """Cards are kept with the versions they are of; REWRITE_GOLDEN=1 rewrites the files on purpose."""
    file, rendered = GOLDEN / f"{name}.{suffix}", RENDERERS[suffix](build_card(SUBJECTS[name]))
    if REWRITE:
        file.write_text(rendered)
    assert rendered == file.read_text()


def test_evidence_read_back_from_its_attachment_gives_the_same_card() -> None:
    """Canonical JSON sorts names, so a card must not depend on the order in which they were made."""
    evidence = Evidence.from_json(example.EVIDENCE.to_json())
    reordered = dataclasses.replace(
        evidence,
        metrics=dict(reversed(evidence.metrics.items())),
        details=dict(reversed(evidence.details.items())),
    )
    again = dataclasses.replace(example.CANDIDATE, evidence=reordered)
    for render in RENDERERS.values():
        assert render(build_card(again)) == render(build_card(example.CANDIDATE))


def test_both_renderings_say_the_same() -> None:
    """Every word and figure of the Markdown is in the HTML, and the other way round."""
    card = build_card(example.VERSION)
    shared = (_words(_page(to_html(card)).text), _words(_text(_tokens(to_markdown(card)))))
    navigation = {word for section in card.sections for word in _words(section.title)}
    assert shared[0] - navigation == shared[1] - navigation


def test_the_card_says_what_is_known() -> None:
    """The champion beside the model, missing assets, unmet expectations, approvals and proof."""
    text = _text(_tokens(to_markdown(build_card(example.VERSION))))
    for said in (
        "forecast@2",
        "no, the champion is forecast@1",
        "1 of 2 failed",
        "XOM",
        "close of XOM stands still",
        "qlike lies between 0.5000 (2020-12-29 to 2021-12-28) and 0.7000",
        "Every baseline is beaten in 1 of 2.",
        "qlike lies between 0.5500 (BTC/USD)",
        "promoted to champion",
        "risk_officer",
        "Better in calm & stressed markets; ",
        "size 17",
        "signature model.sig",
    ):
        assert said in text, said


def test_the_card_says_whether_differences_to_baselines_could_be_chance() -> None:
    """Each test by its name, with its p-value; evidence from before there were any has no such table."""
    found = {"sessions": 2016, "mean": -0.049, "statistic": -5.9, "p_value": 3.6e-09}
    comparison = {"metric": "qlike", "against": "ewma", "test": "Diebold-Mariano", **found}
    evidence = example.CANDIDATE.evidence
    assert evidence is not None
    details = {**evidence.details, "comparisons": [comparison]}
    subject = dataclasses.replace(example.CANDIDATE, evidence=dataclasses.replace(evidence, details=details))
    told, untold = (_text(_tokens(to_markdown(build_card(one)))) for one in (subject, example.CANDIDATE))
    for said in ("Could the differences be chance?", "Diebold-Mariano", "3.6e-09"):
        assert said in told
        assert said not in untold


def test_the_card_of_a_detector_says_what_was_found_of_each_kind() -> None:
    """Evidence of other models has no such table."""
    kind = {"kind": "wash_trading", "rows": 91, "rows_found": 75, "episodes": 14, "episodes_found": 13}
    evidence = example.CANDIDATE.evidence
    assert evidence is not None
    details = {**evidence.details, "by_kind": [kind]}
    subject = dataclasses.replace(example.CANDIDATE, evidence=dataclasses.replace(evidence, details=details))
    told, untold = (to_markdown(build_card(one)) for one in (subject, example.CANDIDATE))
    assert "| wash trading | 91 | 75 | 14 | 13 |" in told
    assert "What was found of each kind" in told
    assert "What was found of each kind" not in untold


def test_of_the_days_without_drift_the_last_is_on_the_card() -> None:
    """There is one for each day of a version's life; each drift is there."""
    assert example.VERSION.record is not None
    events = [CALM, DRIFT, CALM, CALM]
    watched = tuple(Recorded(20 + place, event) for place, event in enumerate(events))
    record = dataclasses.replace(example.VERSION.record, later=watched)
    card = build_card(dataclasses.replace(example.VERSION, record=record))
    (approvals,) = (section for section in card.sections if section.key == "approvals")
    (table,) = approvals.blocks
    assert isinstance(table, Table)
    assert [row[0] for row in table.rows] == [21, 23]


def test_a_model_from_outside_has_a_card_too() -> None:
    """It says which sections nothing fills, and that the tier requires them."""
    manifest = dataclasses.replace(example.MANIFEST, lineage=None)
    card = build_card(Subject(manifest, None, (GateResult("evaluation", "unevaluated", "not yet"),)))
    empty = {section.key for section in card.sections if not section.blocks}
    assert empty >= {"features", "performance", "stability", "importance", "assets", "regimes", "monitoring"}
    text = to_markdown(card)
    assert "Nothing is known; tier 1 requires it." in text
    assert "Trained elsewhere" in text
    assert "not evaluated" in text


def test_the_page_needs_nothing_from_outside_and_runs_nothing() -> None:
    """No script, no handler, no address but anchors of the page itself and data URIs."""
    page = _page(to_html(build_card(example.VERSION)))
    assert not {tag for tag, _ in page.elements} & {
        "script",
        "iframe",
        "object",
        "embed",
        "link",
        "form",
        "base",
    }
    for _, attributes in page.elements:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href"):
                assert value is not None
                assert value.startswith(("data:image/png;base64,", "#"))
    targets = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    links = {(attributes["href"] or "")[1:] for _, attributes in page.elements if "href" in attributes}
    assert links == targets == {kind.key for kind in SECTIONS}


def test_only_pictures_become_figures() -> None:
    """A page of HTML among the attachments is not shown as a picture."""
    kept = [
        Attachment("b.png", "image/png", example.PIXEL),
        Attachment("a.svg", "image/svg+xml", b"<svg/>"),
        Attachment("card.html", "text/html", b"<script>"),
    ]
    assert [figure.name for figure in figures(kept)] == ["a.svg", "b.png"]


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (161140, "161,140"),
        (12.0, "12"),
        (0.5370039, "0.5370"),
        (-0.00021, "-0.0002"),
        (0.0000123, "1.23e-05"),
        (123.456, "123.5"),
        (1.5e12, "1,500,000,000,000"),
        (1.23456e20, "1.23e+20"),
        (None, "-"),
        ("a\u202eb\x00", "a\\u202eb\\x00"),
    ],
)
def test_cells_are_shown_as_people_read_them(cell: Any, text: str) -> None:
    assert shown(cell) == text


# Requirements


def test_a_stricter_tier_requires_all_that_a_laxer_one_does() -> None:
    low, medium, high = (
        {kind.key for kind in required_sections(tier)}
        for tier in (RiskTier.LOW, RiskTier.MEDIUM, RiskTier.HIGH)
    )
    assert low < medium < high
    assert medium - low == {"stability", "importance", "assets", "regimes", "monitoring"}
    assert high - medium == {"design"}


def test_the_page_on_cards_says_what_each_tier_requires() -> None:
    """Both of its tables have the sections of a card in their order, and the first one their tiers."""
    page = (Path(__file__).parents[2] / "docs" / "model-cards.md").read_text()
    rows = [re.split(r" *\| *", line.strip("| ")) for line in page.splitlines() if line.startswith("| `")]
    keys = [kind.key for kind in SECTIONS]
    assert [row[0].strip("`") for row in rows] == keys + keys
    documented = {row[0].strip("`"): row[3] if len(row) > 3 else "" for row in rows[: len(keys)]}
    for kind in SECTIONS:
        tiers = ", ".join(str(int(tier)) for tier in RiskTier if kind.required_in(tier))
        assert documented[kind.key].strip() == tiers, kind.key


def test_full_evidence_leaves_no_section_empty() -> None:
    assert empty_sections(RiskTier.HIGH, example.EVIDENCE) == ()


@pytest.mark.parametrize(
    ("missing", "sections"),
    [
        ("features", ("features",)),
        ("target", ("features",)),
        ("folds", ("training",)),
        ("by_year", ("stability",)),
        ("by_asset", ("assets",)),
        ("by_regime", ("regimes",)),
        ("importance", ("importance",)),
        ("statements", ("design", "monitoring")),
    ],
)
@pytest.mark.parametrize("spoilt", [None, [], {}, "text", 7, [None], [7]])
def test_what_the_evidence_lacks_empties_its_section(
    missing: str, sections: tuple[str, ...], spoilt: object
) -> None:
    """Also when something of another shape stands in its place; the card is made all the same."""
    evidence = dataclasses.replace(example.EVIDENCE, details={**example.DETAILS, missing: spoilt})
    assert empty_sections(RiskTier.HIGH, evidence) == sections
    card = build_card(dataclasses.replace(example.CANDIDATE, evidence=evidence))
    shown_empty = {section.key for section in card.sections if not section.blocks}
    assert set(sections) - {"assets", "training"} <= shown_empty


def test_blank_statements_fill_nothing() -> None:
    statements = {"assumptions": "  ", "monitoring": "\n", "oversight": 7}
    evidence = dataclasses.replace(example.EVIDENCE, details={**example.DETAILS, "statements": statements})
    assert empty_sections(RiskTier.HIGH, evidence) == ("design", "monitoring")


# Escaping

MARKUP = r"""
<script>alert(1)</script> </style> <!-- --> <img/src=x/onerror=alert(1)> &lt; &#60; &amp; &copy " ' x'onload='
**b** _e_ __b__ `c` ``` ~~~ ~~s~~ [a](b) ![a](b) [a]: <http://a.b> | \ \| $x$ ::: === --- *** >
http://a.example www.a.example a@b.example mailto:a@b.example
"""
PIECES = [
    *MARKUP.split(),
    *("# h", "- x", "+ x", "1. x", "1) x", "> q", "| a | b |", "    code", "\t", "\n", "\n\n", " ", "  \n"),
    *("\u2028", "\x85", "\xa0", "\u202e", "\x7f"),
]
texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=6), min_size=1, max_size=5).map("".join)


def _benign(value: Any) -> Any:
    """The same with an x for each character that is not white space."""
    if isinstance(value, str):
        return re.sub(r"\S", "x", value)
    return value


def _subject(say: Callable[[str], str], said: list[str]) -> Subject:
    """The version of the examples with a text of somebody wherever somebody can write one."""
    one, two, three, *_ = [say(text) for text in said]
    metadata = example.METADATA
    # Made without its checks: they refuse some of these texts, and a card must not rely on that.
    changed = object.__new__(type(metadata))
    for name in metadata.__slots__:
        given = {"purpose": one, "owner": two, "framework": three, "intended_use": two, "limitations": one}
        object.__setattr__(changed, name, given.get(name, getattr(metadata, name)))
    lineage: Lineage = dataclasses.replace(example.LINEAGE, parameters={"trainer": one, "alpha": two})
    details = {
        **example.DETAILS,
        "features": [{"name": one, "about": two, "rows": 3}],
        "target": {"name": three, "about": one, "horizon": 5},
        "data": {"calendar": two},
        "metrics": [{"name": "qlike", "about": three}],
        "by_asset": [example.scores(one, 0.5, 0.6), example.scores(two, 0.5, 0.6)],
        "importance": [{"feature": three, "qlike_rise": 0.1, "folds_worse": 1}],
        "statements": {"assumptions": f"x{one}", "monitoring": f"x{two}"},
    }
    evidence = dataclasses.replace(
        example.EVIDENCE,
        assets_covered=(one, two),
        details=details,
        data_validation=dataclasses.replace(example.EVIDENCE.data_validation, failures=(one,)),
    )
    record = example.VERSION.record
    assert isinstance(record, LedgerRecord)
    approved = dataclasses.replace(example.APPROVED, reason=one, actor=two, role=three)
    event = dataclasses.replace(
        record.event,
        provenance={"actor": one, f"x{two}": three, "source": two},
        attachments=(dataclasses.replace(record.event.attachments[0], name=_allowed(f"x{three[:150]}x")),),
    )
    return dataclasses.replace(
        example.VERSION,
        manifest=dataclasses.replace(example.MANIFEST, metadata=changed, lineage=lineage),
        evidence=evidence,
        gates=tuple(
            dataclasses.replace(gate, gate=_allowed(one), reason=_allowed(two)) for gate in example.GATES
        ),
        figures=(Figure(f"x{one}.png", "image/png", example.PIXEL),),
        origin=event.provenance,
        record=dataclasses.replace(
            record,
            event=event,
            later=(dataclasses.replace(record.later[0], event=approved),),
            champion=None,
        ),
    )


def _allowed(text: str) -> str:
    """The text without what gates and attachments refuse to hold."""
    return "".join(" " if ord(c) < 32 and c != "\n" else c for c in text)


def _lasting(text: str) -> str:
    """A text without white space at its ends, which gates and attachments refuse."""
    return f"x{text}x"


@also([_lasting("\n".join(["", *PIECES, ""]))] * 3)
@also([_lasting(" ".join(PIECES))] * 3)
@given(st.lists(texts.map(_lasting), min_size=3, max_size=3))
def test_no_text_becomes_markup(said: list[str]) -> None:
    """Whatever people write, elements and blocks are those of a card whose texts have only the letter x,
    and every character that was written can be read."""
    hostile = build_card(_subject(str, said))
    benign = build_card(_subject(_benign, said))
    page, plain = _page(to_html(hostile)), _page(to_html(benign))
    assert page.shape == plain.shape
    tokens = _tokens(to_markdown(hostile))
    assert _shape(tokens) == _shape(_tokens(to_markdown(benign)))
    in_page, in_markdown = " ".join(page.text.split()), " ".join(_text(tokens).split())
    for text in said:
        for line in text.split("\n"):
            readable = " ".join(printable(line).split())
            assert readable in in_page
            assert readable in in_markdown


class _Page(HTMLParser):
    """Elements with their attributes, and all text, of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.shape: list[object] = []
        self.text = ""
        self._in_style = False

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        self.shape.append((tag, [item for item in attributes if item[0] not in ("alt", "style")]))
        self._in_style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self.shape.append(f"/{tag}")
        self._in_style = False

    def handle_comment(self, data: str) -> None:
        self.shape.append("comment")

    def handle_pi(self, data: str) -> None:
        self.shape.append("instruction")

    def handle_data(self, data: str) -> None:
        if not self._in_style:
            self.text += data + " " if data.endswith("\n") else data


def _page(html: str) -> _Page:
    page = _Page()
    page.feed(html.replace("</", " </"))
    page.close()
    return page


def _tokens(text: str) -> list[Token]:
    """What a reader of GitHub's Markdown makes of it: raw HTML and bare links are on."""
    return MarkdownIt("gfm-like").parse(text)


def _shape(tokens: list[Token]) -> list[object]:
    """Blocks and inline elements without their texts; a code span counts as text."""
    found: list[object] = []
    for token in tokens:
        inner = [
            (child.type, child.tag)
            for child in token.children or ()
            if child.type not in ("text", "code_inline")
        ]
        found.append((token.type, token.tag, token.level, inner))
    return found


def _text(tokens: list[Token]) -> str:
    return "\n".join(
        "".join(child.content for child in token.children) for token in tokens if token.children is not None
    )


def _words(text: str) -> set[str]:
    """Words without the colons that only one of the renderings writes."""
    return {word.rstrip(":") for word in text.split()}
