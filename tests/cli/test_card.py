"""`veritas models card`: what it prints, what it writes, and what it never does."""

from __future__ import annotations

import pytest

from tests.cli.console import Console, stored


def test_piped_output_is_the_markdown_itself(console: Console) -> None:
    """The same text that --json has, so that it can be kept as a file."""
    shown = console.run("models", "card", "forecast@latest").out
    assert shown.startswith("# forecast@1\n")
    assert shown == console.run("models", "card", "forecast@1", "--json").document["markdown"]


def test_what_nothing_fills_is_listed(console: Console) -> None:
    """A model from outside has a card, and the document says what is missing on it."""
    document = console.run("models", "card", "vendor_vol@1", "--json").document
    assert {"features", "performance", "monitoring"} <= set(document["empty"])
    assert "purpose" not in document["empty"]
    assert document["file"] is None


def test_the_page_has_the_plots_in_it(console: Console) -> None:
    page = console.directory / "card.html"
    answer = console.run("models", "card", "forecast@1", "--html", page, "--json")
    assert answer.document["file"] == str(page)
    assert page.read_text().count("data:image/svg+xml;base64,") == 1


def test_a_file_that_exists_is_never_replaced(console: Console) -> None:
    page = console.directory / "card.html"
    page.write_text("mine")
    answer = console.run("models", "card", "forecast@1", "--html", page, code=2)
    assert answer.sentence.startswith("--html is ")
    assert page.read_text() == "mine"


@pytest.mark.parametrize(("reference", "code"), [("forecast", 2), ("forecast@9", 1), ("nobody@1", 1)])
def test_what_is_not_there_is_one_sentence(console: Console, reference: str, code: int) -> None:
    assert console.run("models", "card", reference, code=code).sentence


def test_a_tampered_version_has_no_card(console: Console) -> None:
    """A changed manifest is named, and nothing is printed or written."""
    row = console.run("models", "show", "forecast@1", "--json").document
    manifest = stored(console.home, row["model_id"]) / "metadata.json"
    manifest.chmod(0o644)
    manifest.write_bytes(manifest.read_bytes().replace(b"Forecast", b"Forecasp"))
    answer = console.run("models", "card", "forecast@1", "--html", console.directory / "card.html", code=1)
    assert "manifest of forecast@1" in answer.sentence
    assert answer.out == ""
    assert not (console.directory / "card.html").exists()
