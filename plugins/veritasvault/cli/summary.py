"""What a registration came to, for people: the version, its gates, its proof, and where its plots are."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from veritasvault.cli.output import Printer, Styled, figure

if TYPE_CHECKING:
    from domain.registry.audit import AuditReport
    from domain.registry.events import ModelRegisteredEvent
    from domain.registry.evidence import GateResult
    from veritasvault.bootstrap import Application

_GATE_MEANINGS = {"passed": "good", "failed": "bad", "unevaluated": "unsure"}


@dataclass(frozen=True, slots=True)
class RegisteredSummary:
    """A registration and what verifying it found.

    Attributes:
        outcome: 'registered', 'recognised' or 'not_reproduced'.
        attachments: where the version's attachments were written, plots among them.
        report: the data validation report; None if there is none.
        evidence: metrics and baselines by name; empty for a model trained elsewhere.
    """

    outcome: str
    event: ModelRegisteredEvent
    index: int
    audit: AuditReport
    attachments: tuple[Path, ...]
    report: str | None
    evidence: Mapping[str, Any]

    @property
    def good(self) -> bool:
        """Whether the version is verified and is what the run made."""
        return self.audit.verified and self.outcome != "not_reproduced"


def registered_summary(
    application: Application, reference: str, outcome: str, report: str | None = None
) -> RegisteredSummary:
    """Verify a version, export its attachments, and gather what there is to show.

    Args:
        reference: a model id, NAME@VERSION or NAME@latest.
        outcome: `RegisteredModel.outcome`.
        report: path or address of the data validation report.

    Raises:
        DomainException: the version cannot be found or read, or an attachment was changed.
    """
    from domain.registry.evidence import EVIDENCE

    row = application.catalog.resolve(reference)
    event = application.catalog.event(row)
    exported = export_attachments(application, reference)
    evidence = next((path for path in exported if path.name == EVIDENCE), None)
    return RegisteredSummary(
        outcome=outcome,
        event=event,
        index=row.index,
        audit=application.audit.version(f"{row.name}@{row.version}"),
        attachments=exported,
        report=report,
        evidence={} if evidence is None else json.loads(evidence.read_bytes()),
    )


def print_summary(summary: RegisteredSummary, printer: Printer | None = None) -> None:
    """Print a summary; `make demo` ends with it."""
    out = printer or Printer()
    event = summary.event
    out.line(
        Styled(f"{event.name}@{event.version}", "strong"), outcome_in_words(summary.outcome, event.version)
    )
    print_registered(out, event, summary.index, summary.audit)
    metrics_table(out, summary.evidence)
    if summary.attachments:
        out.heading(f"Plots and evidence in {summary.attachments[0].parent}")
        for path in summary.attachments:
            out.line(" ", path.name)
    if summary.report:
        out.heading("Data validation report")
        out.line(" ", summary.report)


def print_registered(
    printer: Printer, event: ModelRegisteredEvent, index: int, audit: AuditReport | None = None
) -> None:
    """Print a version's identity, its place in the ledger and its gates."""
    printer.fields(
        [
            ("model id", event.model_id),
            ("artifact digest", event.artifact_digest),
            ("as of", event.as_of),
            ("ledger index", index),
            *([] if audit is None else [("verification", _verified(audit))]),
        ]
    )
    for problem in () if audit is None else audit.problems:
        printer.line(Styled("problem", "bad"), str(problem))
    printer.heading("Gates")
    gates_table(printer, event.gates)


def outcome_in_words(outcome: str, version: int) -> Styled:
    """An outcome of a registration as a sentence."""
    words = {
        "registered": Styled("registered", "good"),
        "recognised": Styled(
            f"recognised: the same result is version {version} already, nothing was registered twice", "good"
        ),
        "not_reproduced": Styled(
            f"not reproduced: the same recipe gave another artifact than version {version}, which stays",
            "bad",
        ),
    }
    return words.get(outcome, Styled(outcome, "unsure"))


def gates_table(printer: Printer, gates: Iterable[GateResult]) -> None:
    """Each gate with its outcome, its figures and its sentence."""
    printer.table(
        ("gate", "outcome", "figures", "reason"),
        (
            (
                gate.gate,
                Styled(gate.outcome, _GATE_MEANINGS[gate.outcome]),
                ", ".join(f"{name} {figure(value)}" for name, value in gate.figures.items()) or None,
                gate.reason,
            )
            for gate in gates
        ),
    )


def metrics_table(printer: Printer, evidence: Mapping[str, Any]) -> None:
    """The candidate's metrics beside each baseline's; nothing if there are none."""
    metrics, baselines = evidence.get("metrics") or {}, evidence.get("baselines") or {}
    if not metrics:
        return
    printer.heading("Out-of-sample metrics")
    printer.table(
        ("metric", "this model", *baselines),
        (
            (
                name,
                figure(metrics[name]),
                *(figure(of[name]) if name in of else None for of in baselines.values()),
            )
            for name in metrics
        ),
    )


def export_attachments(application: Application, reference: str) -> tuple[Path, ...]:
    """Write a version's attachments to `<reports>/<name>@<version>/`, so that people can open them.

    Each is checked against the ledger before it is written; files that are there already are replaced.

    Raises:
        NotFound, IntegrityError: an attachment is missing or was changed.
        Unavailable: the directory cannot be written.
    """
    from domain.registry.errors import Unavailable

    catalog = application.catalog
    event = catalog.event(catalog.resolve(reference))
    directory = application.settings.reports / f"{event.name}@{event.version}"
    written = []
    for attachment in event.attachments:
        content = catalog.attachment(event, attachment)
        place = directory / _file_name(attachment.name, attachment.sha256)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            _replace(place, content)
        except OSError as error:
            raise Unavailable(
                f"attachments cannot be written to {directory} ({error.strerror}): make it writable"
            ) from error
        written.append(place)
    return tuple(written)


def _verified(audit: AuditReport) -> Styled:
    if not audit.verified:
        return Styled("NOT VERIFIED", "bad")
    if audit.pending:
        return Styled("verified, not signed yet", "unsure")
    return Styled("verified", "good")


def _file_name(name: str, sha256: str) -> str:
    """The attachment's name if it is a plain file name, its digest if it could lead elsewhere."""
    plain = name.isprintable() and not name.startswith(".") and not set(name) & set('/\\:*?"<>|')
    return name if plain else sha256


def _replace(place: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    handle, temporary = tempfile.mkstemp(dir=place.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(content)
        Path(temporary).replace(place)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
