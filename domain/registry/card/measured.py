"""The sections of a card that come from evidence: data, features, training, errors, and what people state."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from domain.registry.card import details
from domain.registry.card.blocks import Block, Blocks, Cell, Code, Facts, Table, Text, Verdict
from domain.registry.card.kinds import kinds
from domain.registry.card.others import comparisons, rivals, tuning
from domain.registry.evidence import Evidence

CANDIDATE = "candidate"
"""Under this name tables of scores hold the model itself, beside its baselines."""

THIS = "this model"
_PERIOD = re.compile(r"^(\d{4}-\d\d-\d\d)/(\d{4}-\d\d-\d\d)$")

MOST_ROWS = 50
"""So many groups of a table are shown, the worst ones; the evidence has them all."""


def data(evidence: Evidence) -> Blocks:
    """The rows that were learnt from, the expectations they met, and the probe for look-ahead."""
    found = details.facts(evidence, "data")
    rows: list[tuple[str, Cell]] = [(_words(name), details.cell(found[name])) for name in sorted(found)]
    missing = sorted(set(evidence.assets_expected) - set(evidence.assets_covered))
    if evidence.assets_expected:
        rows.append(("assets asked for", len(evidence.assets_expected)))
        rows.append(("assets without forecasts", ", ".join(missing) or 0))
    validation, probed = evidence.data_validation, evidence.look_ahead
    if validation is not None:
        rows.append(("expectations checked", validation.checked))
        rows.append(("expectations unmet", "; ".join(validation.failures) or 0))
    if probed is not None:
        rows.append(("sessions probed for look-ahead", ", ".join(probed.probes) or 0))
        rows.append(("look-ahead found", "; ".join(probed.violations) or 0))
    blocks = (_facts(rows), _assets(evidence))
    return tuple(block for block in blocks if block is not None)


def features(evidence: Evidence) -> Blocks:
    """What the model sees, and what it forecasts."""
    listed = details.table(evidence, "features")
    target = details.facts(evidence, "target")
    if not listed or not target:
        return ()
    horizon = details.number(target, "horizon")
    about = details.text(details.facts(evidence, "problem"), "about")
    return (
        *((Text(about, "What is to be found out"),) if about else ()),
        Facts(
            (
                ("target", Code(details.text(target, "name"))),
                ("meaning", details.text(target, "about") or None),
                ("horizon", None if horizon is None else f"{horizon} sessions"),
            )
        ),
        Table(
            ("feature", "meaning", "rows it is made of"),
            tuple(
                (
                    Code(details.text(row, "name")),
                    details.text(row, "about") or None,
                    details.number(row, "rows"),
                )
                for row in listed
            ),
        ),
    )


def training(evidence: Evidence) -> Blocks:
    """How the model was tested: what each refit learnt from, and the block it forecast."""
    folds = details.table(evidence, "folds")
    if not folds:
        return ()
    columns = ("learns until", "labels end", "tested from", "tested until", "rows learnt", "rows tested")
    names = ("train_end", "label_end", "test_start", "test_end", "train_rows", "test_rows")
    return (
        Text(
            "Each row is a refit on everything known before a block, and the block it forecast. The model "
            "that is registered learnt from all rows with a label.",
            "Walk-forward evaluation",
        ),
        Table(columns, tuple(tuple(details.cell(row.get(name)) for name in names) for row in folds)),
    )


def performance(evidence: Evidence) -> Blocks:
    """The metrics over all tested rows beside those of each baseline, and what they mean."""
    if not evidence.metrics:
        return ()
    known = measures(evidence)
    of_models = [(THIS, evidence.metrics), *sorted(evidence.baselines.items())]
    rows = tuple((model, *(metrics.get(measure.name) for measure in known)) for model, metrics in of_models)
    meanings = tuple((measure.name, measure.about) for measure in known if measure.about)
    table = Table(("forecasts of", *(measure.name for measure in known)), rows)
    said: Blocks = (Facts(meanings, "What the metrics mean"),) if meanings else ()
    others = (*comparisons(evidence), *rivals(evidence, [one.name for one in known]), *tuning(evidence))
    return (table, *said, *kinds(evidence), *others)


def stability(evidence: Evidence) -> Blocks:
    """The scores of each tested block, and in how many of them every baseline was beaten."""
    return _scored(evidence, "by_year", "period", worst_first=False)


def assets(evidence: Evidence) -> Blocks:
    """The scores of each asset, the worst first."""
    return _scored(evidence, "by_asset", "asset", worst_first=True)


def regimes(evidence: Evidence) -> Blocks:
    """The scores in calm, normal and stressed markets."""
    scored = _scored(evidence, "by_regime", "market", worst_first=False)
    if not scored:
        return ()
    rule = (
        "Sessions are told apart by the volatility of the market's mean return over the 21 days up to the "
        "forecast, which was known when it was made; thirds are cut at the terciles of the tested sessions."
    )
    return (Text(rule), *scored)


def importance(evidence: Evidence) -> Blocks:
    """How much worse forecasts become when a feature is shuffled."""
    listed = details.table(evidence, "importance")
    if not listed:
        return _not_applicable(evidence, "importance")
    folds = len(details.table(evidence, "folds"))
    return (
        Text(
            "The rise of QLIKE, out of sample, when one feature's values are shuffled among the tested rows. "
            "Features that say the same thing stand in for each other, so each of them can look unimportant."
        ),
        Table(
            ("feature", "rise of QLIKE", f"blocks with a rise, of {folds}"),
            tuple(
                (
                    Code(details.text(row, "feature")),
                    details.number(row, "qlike_rise"),
                    details.number(row, "folds_worse"),
                )
                for row in listed
            ),
            bars=(1,),
        ),
    )


STATEMENTS: Mapping[str, Mapping[str, str]] = {
    "design": {"assumptions": "Assumptions", "alternatives": "Alternatives considered"},
    "monitoring": {"monitoring": "Monitoring", "oversight": "Human oversight"},
}
"""What people may state of a model beside its metadata: by section, by name, with its title on the card."""


def design(evidence: Evidence) -> Blocks:
    """What the design takes for granted, and what else was considered."""
    return _stated(evidence, "design")


def monitoring(evidence: Evidence) -> Blocks:
    """How the model is watched in use, and who steps in."""
    return _stated(evidence, "monitoring")


@dataclass(frozen=True, slots=True)
class Measure:
    """A metric: its name, what it means, and whether less of it is better."""

    name: str
    about: str = ""
    less_is_better: bool = True


def measures(evidence: Evidence) -> tuple[Measure, ...]:
    """The metrics there are, the one that counts first; described ones before others."""
    described = [
        Measure(details.text(row, "name"), details.text(row, "about"), row.get("better") != "more")
        for row in details.table(evidence, "metrics")
    ]
    known = [measure for measure in described if measure.name in evidence.metrics]
    names = {measure.name for measure in known}
    return (*known, *(Measure(name) for name in sorted(evidence.metrics) if name not in names))


def _scored(evidence: Evidence, name: str, group: str, *, worst_first: bool) -> Blocks:
    rows = details.table(evidence, name)
    if not rows or not evidence.metrics:
        return ()
    known = [
        measure
        for measure in measures(evidence)
        if any(_score(row, CANDIDATE, measure.name) is not None for row in rows)
    ]
    if not known:
        return ()
    first, *others = known
    if worst_first:
        rows = sorted(rows, key=lambda row: _badness(row, first))
    baselines = sorted(evidence.baselines)
    headings = [f"{first.name} of {model}" for model in (THIS, *baselines)]
    cells = tuple(
        (
            _group(row),
            details.number(row, "rows"),
            *(_score(row, model, first.name) for model in (CANDIDATE, *baselines)),
            *(_score(row, CANDIDATE, other.name) for other in others),
            _beaten(row, baselines, first),
        )
        for row in rows[:MOST_ROWS]
    )
    columns = (group, "forecasts", *headings, *(other.name for other in others), "beats every baseline")
    table = Table(columns, cells, bars=(2,))
    return (*_span(rows, first, group, baselines), table)


def _span(
    rows: Sequence[Mapping[str, Any]], measure: Measure, group: str, baselines: Sequence[str]
) -> tuple[Block, ...]:
    """The best and the worst group in a sentence, and what is not in the table."""
    known = [
        (score, _group(row)) for row in rows if (score := _score(row, CANDIDATE, measure.name)) is not None
    ]
    if not known:
        return ()
    (low, lowest), (high, highest) = min(known), max(known)
    said = f"{measure.name} lies between {low:.4f} ({lowest}) and {high:.4f} ({highest})."
    if baselines:
        won = sum(_wins(row, baselines, measure) is True for row in rows)
        said += f" Every baseline is beaten in {won} of {len(rows)}."
    if len(rows) > MOST_ROWS:
        said += f" The table shows the worst {MOST_ROWS}; evidence.json has all."
    return (Text(said),)


def _wins(row: Mapping[str, Any], baselines: Sequence[str], measure: Measure) -> bool | None:
    mine = _score(row, CANDIDATE, measure.name)
    theirs = [score for model in baselines if (score := _score(row, model, measure.name)) is not None]
    if mine is None or not theirs:
        return None
    return mine < min(theirs) if measure.less_is_better else mine > max(theirs)


def _beaten(row: Mapping[str, Any], baselines: Sequence[str], measure: Measure) -> Cell:
    wins = _wins(row, baselines, measure)
    if wins is None:
        return None
    return Verdict("yes", "good") if wins else Verdict("no", "unsure")


def _badness(row: Mapping[str, Any], measure: Measure) -> tuple[float, str]:
    score = _score(row, CANDIDATE, measure.name)
    bad = 0.0 if score is None else float(score)
    return (-bad if measure.less_is_better else bad, details.text(row, "group"))


def _score(row: Mapping[str, Any], model: str, metric: str) -> float | int | None:
    return details.number(details.scores(row).get(model, {}), metric)


def _group(row: Mapping[str, Any]) -> str:
    """The group's name; that of a block is made of its first and last session."""
    group = details.text(row, "group")
    return _PERIOD.sub(r"\1 to \2", group)


def _assets(evidence: Evidence) -> Text | None:
    covered = evidence.assets_covered
    if not covered:
        return None
    more = f" and {len(covered) - MOST_ROWS} more" if len(covered) > MOST_ROWS else ""
    return Text(", ".join(covered[:MOST_ROWS]) + more, "Assets with forecasts")


def _stated(evidence: Evidence, section: str) -> Blocks:
    stated = details.facts(evidence, "statements")
    return tuple(
        Text(details.text(stated, name), title)
        for name, title in STATEMENTS[section].items()
        if details.text(stated, name).strip()
    )


def _not_applicable(evidence: Evidence, section: str) -> Blocks:
    """Why a model of this kind has nothing to say in a section, if its problem states a reason."""
    reason = details.text(details.facts(evidence, "not_applicable"), section)
    return (Text(f"Not applicable: {reason}"),) if reason.strip() else ()


def _facts(rows: Sequence[tuple[str, Cell]]) -> Facts | None:
    return Facts(tuple(rows), "Rows and checks") if rows else None


def _words(name: str) -> str:
    return name.replace("_", " ")
