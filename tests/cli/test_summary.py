"""The summary of a registration shows what came of it, verified, with its plots on disk."""

from __future__ import annotations

import io

import pytest

from domain.registry.errors import IntegrityError
from tests.cli.console import Console, stored
from veritasvault.cli.output import Printer
from veritasvault.cli.summary import export_attachments, print_summary, registered_summary


def _printed(console: Console, outcome: str, report: str | None = None) -> str:
    summary = registered_summary(console.application(), "forecast@1", outcome, report)
    stream = io.StringIO()
    print_summary(summary, Printer(stream))
    return stream.getvalue()


def test_it_shows_the_version_its_gates_its_proof_and_its_places(console: Console) -> None:
    text = _printed(console, "registered", "/reports/index.html")
    row = console.application().catalog.resolve("forecast@1")
    places = console.home / "reports" / "forecast@1"
    for expected in (
        "forecast@1 registered\n", row.model_id, row.artifact_digest, "ledger index:    2",
        "verification:    verified", "ewma 0.586, limit 0.5743, qlike 0.544", str(places),
        "calibration.svg", "/reports/index.html",
    ):  # fmt: skip
        assert expected in text
    metrics = next(line for line in text.splitlines() if line.startswith("qlike   "))
    assert metrics.split() == ["qlike", "0.544", "0.586", "1.393"]


@pytest.mark.parametrize(
    ("outcome", "good", "words"),
    [
        ("registered", True, "registered"),
        ("recognised", True, "the same result is version 1 already, nothing was registered twice"),
        ("not_reproduced", False, "not reproduced"),
    ],
)
def test_the_outcome_is_said_in_words(console: Console, outcome: str, good: bool, words: str) -> None:
    assert registered_summary(console.application(), "forecast@latest", outcome).good is good
    assert words in _printed(console, outcome).splitlines()[0]


def test_a_tampered_version_is_not_shown_as_verified(console: Console) -> None:
    model_id = console.application().catalog.resolve("forecast@1").model_id
    (stored(console.home, model_id) / "artifact" / "weights.json").unlink()
    assert not registered_summary(console.application(), "forecast@1", "registered").good
    text = _printed(console, "registered")
    assert "verification:    NOT VERIFIED" in text
    assert "problem file weights.json of forecast@1" in text


def test_a_model_trained_elsewhere_has_no_metrics_and_no_plots(console: Console) -> None:
    summary = registered_summary(console.application(), "vendor_vol@1", "registered")
    stream = io.StringIO()
    print_summary(summary, Printer(stream))
    assert [path.name for path in summary.attachments] == ["model.sig"]
    assert "metrics" not in stream.getvalue()


def test_attachments_are_exported_as_registered_and_again_over_what_is_there(console: Console) -> None:
    application = console.application()
    places = export_attachments(application, "forecast@1")
    names = ["calibration.svg", "evidence.json", "model.sig"]
    assert [place.name for place in places] == names
    content = places[0].read_bytes()
    places[0].write_bytes(b"changed by somebody")
    assert export_attachments(application, "forecast@1") == places
    assert places[0].read_bytes() == content == b"<svg xmlns='http://www.w3.org/2000/svg'/>"
    assert sorted(place.name for place in places[0].parent.iterdir()) == names


def test_a_changed_attachment_is_not_exported(console: Console) -> None:
    application = console.application()
    event = application.catalog.event(application.catalog.resolve("forecast@1"))
    kept = event.attachments[0]
    place = stored(console.home, event.model_id) / "attachments" / kept.sha256
    place.unlink()
    place.write_bytes(b"<svg>other</svg>")
    with pytest.raises(IntegrityError, match=r"attachment calibration\.svg of forecast@1"):
        export_attachments(application, "forecast@1")
