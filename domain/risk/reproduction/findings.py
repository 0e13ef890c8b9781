"""What a reproduction found, stage by stage, and what follows: reproduced, or where it first differs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from domain.registry.canonical import Digest
from domain.registry.events.reproduction import STAGES, Stage
from domain.risk.reproduction.differences import (
    ForecastDifference,
    SettingDifference,
    TableDifference,
)


@dataclass(frozen=True, slots=True)
class Finding:
    """A stage, compared with the record.

    Attributes:
        recorded: digest in the record; None if the record has none at this stage.
        found: digest of what there was instead; None if it could not be had.
        same: whether they agree; a stage of which the record says nothing agrees.
        amount: what differs and by how much, in one sentence; empty if nothing does.
        settings, table, forecasts: the same as figures, of stages that have them.
    """

    stage: Stage
    recorded: Digest | None
    found: Digest | None
    same: bool
    amount: str = ""
    settings: tuple[SettingDifference, ...] = ()
    table: TableDifference | None = None
    forecasts: ForecastDifference | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a version was reproduced.

    Attributes:
        stage: the first that differs; None if it was reproduced.
        difference: the largest relative difference of a forecast; 0 where the artifact is the same.
        reason: in one sentence.
    """

    stage: Stage | None
    difference: float
    reason: str

    @property
    def reproduced(self) -> bool:
        return self.stage is None


def judge(findings: tuple[Finding, ...], recorded: Digest, found: Digest | None, tolerance: float) -> Verdict:
    """Pure: what the findings of all stages that were reached come to.

    The same artifact is a reproduction, whatever it was made with. Another one is too, if everything that
    goes into the training is the same and no forecast differs by more than the trainer declared.

    Args:
        recorded, found: the artifacts' digests; None if nothing was trained.
        tolerance: relative, see `TrainerPort`.
    """
    differing = sorted((one for one in findings if not one.same), key=lambda one: STAGES.index(one.stage))
    if found == recorded:
        others = ", ".join(one.stage for one in differing)
        although = f", although there is a difference in {others}" if others else ""
        return Verdict(None, 0.0, f"the same artifact{although}")
    first = differing[0]
    if first.stage in ("training", "export") and first.forecasts is not None:
        by = first.forecasts.relative
        if tolerance > 0.0 and by <= tolerance:
            reason = f"no forecast differs by more than {by:.3g} of its value, {tolerance:g} is allowed"
            return Verdict(None, by, reason)
    return Verdict(first.stage, 0.0, first.amount)


def in_words(difference: TableDifference, what: str) -> str:
    """A table's difference as a part of a sentence: how many rows, and the largest difference."""
    total = difference.both + difference.only_recorded
    told = [f"{difference.rows} of {total} {what} differ"]
    if difference.only_recorded:
        told.append(f"{difference.only_recorded} of them missing")
    if difference.only_found:
        told.append(f"{difference.only_found} of them new")
    if difference.lacking:
        told.append(f"only one of the two has {', '.join(difference.lacking)}")
    if difference.columns:
        most = difference.columns[0]
        told.append(
            f"most in {most.name} of {most.asset} on {most.date}: "
            f"{_number(most.found)} instead of {_number(most.recorded)}"
        )
    return ", ".join(told)


def forecasts_in_words(difference: ForecastDifference) -> str:
    """A difference of forecasts as a part of a sentence."""
    return (
        f"{difference.changed} of {difference.rows} forecasts differ, by at most {difference.largest:.6g} "
        f"({difference.relative:.3g} of the value), on {difference.date} for {difference.asset}: "
        f"{difference.found:.6g} instead of {difference.recorded:.6g}"
    )


def settings_in_words(differences: tuple[SettingDifference, ...]) -> str:
    """Differing settings as a part of a sentence."""
    return ", ".join(
        f"{one.name} is {one.found or 'missing'} instead of {one.recorded or 'missing'}"
        for one in differences
    )


def _number(value: Any) -> str:
    return "nothing" if value is None else f"{value:.10g}"
