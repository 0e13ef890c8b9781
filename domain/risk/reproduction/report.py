"""The report on a reproduction, for people: what was compared, and where and by how much it differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from domain.registry.card.blocks import Block, Blocks, Card, Cell, Code, Facts, Section, Table, Text, Verdict
from domain.registry.events.reproduction import STAGES, Stage
from domain.registry.records import instant_text
from domain.risk.reproduction.differences import ForecastDifference, SizeCount, TableDifference
from domain.risk.reproduction.findings import Finding
from domain.risk.reproduction.service import Reproduction

TITLES: Mapping[Stage, str] = {
    "code": "Code",
    "environment": "Environment",
    "data": "Data",
    "features": "Features",
    "training": "Training",
    "export": "Export",
}
_NOT_REACHED = "not reached"


def report_of(reproduction: Reproduction) -> Card:
    """The report, which renders as Markdown and as one HTML page like a model card."""
    record, verdict, event = reproduction.record, reproduction.verdict, reproduction.event.event
    outcome = "reproduced" if verdict.reproduced else "not reproduced"
    lead = f"{record.reference} was {outcome}: {verdict.reason}."
    if verdict.stage is not None:
        lead = (
            f"{record.reference} was {outcome}. First different: {verdict.stage}. {_begun(verdict.reason)}."
        )
    facts: tuple[tuple[str, Cell], ...] = (
        ("outcome", Verdict(outcome, "good" if verdict.reproduced else "bad")),
        ("first different", verdict.stage),
        ("registered artifact", Code(record.artifact_digest)),
        ("artifact trained again", None if reproduction.artifact is None else Code(reproduction.artifact)),
        ("recorded code", record.code),
        ("code that trained again", None if reproduction.artifact is None else reproduction.code),
        ("engine", f"{reproduction.engine}, registered on {record.engine}"),
        ("tolerance of the trainer", record.inputs.tolerance),
        ("recorded as", f"ledger entry {reproduction.event.index}"),
    )
    stages = Section("stages", "Stages", (_stages(reproduction),))
    differing = [one for one in reproduction.findings if one.amount]
    sections = tuple(Section(one.stage, TITLES[one.stage], details(one)) for one in differing)
    return Card(
        f"Reproduction of {record.reference}", lead, Facts(facts), instant_text(event.at), (stages, *sections)
    )


def _stages(reproduction: Reproduction) -> Table:
    rows = []
    for stage in STAGES:
        finding = reproduction.finding(stage)
        rows.append((TITLES[stage], *_compared(finding, reproduction)))
    return Table(("stage", "compared", "recorded", "found"), tuple(rows))


def _compared(finding: Finding | None, reproduction: Reproduction) -> tuple[Cell, ...]:
    if finding is None:
        same = reproduction.artifact == reproduction.record.artifact_digest
        return ("same" if same else _NOT_REACHED, None, None)
    if finding.recorded is None:
        return "not recorded", None, _code(finding.found)
    said = Verdict("same", "good") if finding.same else Verdict("differs", "bad")
    return said, _code(finding.recorded), _code(finding.found)


def _code(digest: str | None) -> Cell:
    return None if digest is None else Code(digest)


def details(finding: Finding) -> Blocks:
    """What a stage differs in: a sentence, and figures where there are some."""
    blocks: list[Block] = [Text(f"{_begun(finding.amount)}.")]
    if finding.settings:
        rows = tuple((one.name, one.recorded, one.found) for one in finding.settings)
        blocks.append(Table(("setting", "recorded", "found"), rows))
    if finding.table is not None:
        blocks += _table(finding.table)
    if finding.forecasts is not None:
        blocks += [_forecasts(finding.forecasts), *_distribution(finding.forecasts.sizes, "forecasts")]
    return tuple(blocks)


def _table(difference: TableDifference) -> list[Block]:
    rows = Facts(
        (
            ("rows of both", difference.both),
            ("rows that differ", difference.changed),
            ("rows missing", difference.only_recorded),
            ("rows that are new", difference.only_found),
        )
    )
    columns = tuple(
        (one.name, one.changed, one.largest, one.asset, one.date, _exact(one.recorded), _exact(one.found))
        for one in difference.columns
    )
    heads = ("column", "rows", "largest difference", "of", "on", "recorded", "found")
    if not columns:
        return [rows]
    most = difference.columns[0]
    return [rows, Table(heads, columns, bars=(2,)), *_distribution(most.sizes, f"rows of {most.name}")]


def _distribution(sizes: Sequence[SizeCount], of: str) -> list[Block]:
    """How many differ by how much, drawn: noise in the last bits looks other than a change."""
    rows = tuple((one.share, one.rows) for one in sizes)
    return [Table(("difference, as a share of the recorded value", of), rows, bars=(1,))] if rows else []


def _exact(value: float | None) -> Cell:
    """As text, for a table's rounding would hide a small difference."""
    return None if value is None else f"{value:.10g}"


def _forecasts(difference: ForecastDifference) -> Block:
    return Facts(
        (
            ("forecasts", difference.rows),
            ("that differ", difference.changed),
            ("largest difference", f"{difference.largest:.6g}"),
            ("as a share of the forecast", f"{difference.relative:.3g}"),
            ("of", f"{difference.asset} on {difference.date}"),
            ("registered model", f"{difference.recorded:.10g}"),
            ("model trained again", f"{difference.found:.10g}"),
        )
    )


def _begun(sentence: str) -> str:
    return f"{sentence[:1].upper()}{sentence[1:]}".rstrip(".")
