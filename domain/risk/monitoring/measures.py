"""Everything that is watched, on every session: features, forecasts, and losses once outcomes are known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np

from domain.registry.events.monitoring import DriftKind
from domain.risk.metrics import LOSSES
from domain.risk.monitoring.distances import by_session, distances, rolled
from domain.risk.monitoring.observed import BASELINE, Observed
from domain.risk.training_set import Days, Flags, Floats

FORECASTS = "forecasts"
"""The subject of prediction drift."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Something that is watched.

    Attributes:
        statistics: of these it is judged, each large where there is drift; columns (s, m), NaN where the
            window is not complete.
        figures: what people are shown beside it, by name, shape (s,) each.
        material: on which sessions it is large enough to matter, however improbable it is, shape (s,).
    """

    kind: DriftKind
    name: str
    statistics: Floats = field(repr=False)
    figures: dict[str, Floats] = field(repr=False)
    material: Flags = field(repr=False)


@dataclass(frozen=True, slots=True)
class Measures:
    """All subjects on all sessions.

    Attributes:
        days: the sessions, ascending, shape (s,).
        history: how many of them, the first ones, the version was trained on.
        window: how many sessions each value is made of.
    """

    days: Days
    history: int
    window: int
    subjects: tuple[Subject, ...]

    @classmethod
    def of(cls, observed: Observed, window: int, metric: str, least_psi: float) -> Self:
        """Measure what was observed.

        Args:
            window: sessions, the newest included.
            metric: of `LOSSES`, by which forecasts are compared with what came.
            least_psi: below this a difference of distributions does not matter.
        """
        watched: list[tuple[DriftKind, str, Floats]] = [
            ("data", name, observed.features[:, place]) for place, name in enumerate(observed.names)
        ]
        watched.append(("prediction", FORECASTS, observed.forecasts))
        subjects = [
            _distribution(observed, kind, name, values, window, least_psi) for kind, name, values in watched
        ]
        subjects.append(_performance(observed, window, metric))
        return cls(observed.days, observed.sessions_of_reference, window, tuple(subjects))

    @property
    def statistics(self) -> Floats:
        """Those of all subjects side by side, shape (s, m)."""
        return np.column_stack([subject.statistics for subject in self.subjects])


def _distribution(
    observed: Observed, kind: DriftKind, name: str, values: Floats, window: int, least_psi: float
) -> Subject:
    found = distances(values, observed.session, observed.reference, window)
    return Subject(
        kind,
        name,
        np.column_stack([found.ks, found.shift]),
        {"psi": found.psi, "ks": found.ks, "shift": found.shift},
        found.psi >= least_psi,
    )


def _performance(observed: Observed, window: int, metric: str) -> Subject:
    """Mean losses of the last sessions whose outcome was known, as the logarithm of their ratio.

    Against the baseline's on the same rows, for every forecast is worse in turbulent times; without a
    baseline the version's own.
    """
    loss = _known_mean(observed, observed.forecasts, window, metric)
    if observed.baseline is None:
        return Subject(
            "performance", metric, _log(loss)[:, None], {"loss": loss}, np.ones(loss.shape, dtype=np.bool_)
        )
    other = _known_mean(observed, observed.baseline, window, metric)
    return Subject(
        "performance",
        f"{metric} against {BASELINE}",
        (_log(loss) - _log(other))[:, None],
        {"loss": loss, "baseline_loss": other},
        loss > other,
    )


def _known_mean(observed: Observed, forecasts: Floats, window: int, metric: str) -> Floats:
    """Mean loss over the window that ends `horizon` sessions before each session, shape (s,)."""
    known = np.isfinite(observed.realised)
    losses = LOSSES[metric](observed.realised[known], forecasts[known])
    session, count = observed.session[known], observed.days.size
    rows = rolled(by_session(session, None, count), window)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = rolled(by_session(session, losses, count), window) / rows
    found = np.full(count, np.nan)
    found[observed.horizon :] = mean[: -observed.horizon]
    return found


def _log(loss: Floats) -> Floats:
    # Forecasts that are all perfect are better than any that are not.
    return np.log(np.maximum(loss, np.finfo(np.float64).tiny))
