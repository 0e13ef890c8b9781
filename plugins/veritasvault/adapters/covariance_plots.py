"""Plots of covariances as PNG: risk of portfolios over time and by year, and stated against realised."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from domain.registry.evidence import Attachment
from domain.risk.covariance.evaluation import EQUAL_WEIGHTS, CovarianceEvaluation
from domain.risk.evaluation import CANDIDATE
from domain.risk.features import TRADING_DAYS
from veritasvault.adapters.matplotlib_plots import new_figure, png

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

TRAILING = 63
"""Sessions that a point of the line of risk over time is made of."""

GROUPS = 10
_COLOURS = {
    CANDIDATE: "#0b5fa5", "sample": "#d97a1d", "ledoit_wolf": "#5b8c5a", "oas": "#8a6bb1",
    EQUAL_WEIGHTS: "#b3b9c1",
}  # fmt: skip
_NAMES = {
    CANDIDATE: "model", "ledoit_wolf": "Ledoit-Wolf", "oas": "OAS", EQUAL_WEIGHTS: "equal weights"
}  # fmt: skip
_LINES = (EQUAL_WEIGHTS, "sample", CANDIDATE)


def plots(name: str, evaluation: CovarianceEvaluation) -> tuple[Attachment, ...]:
    """Three PNG attachments; `name` is the model's, for the titles."""
    drawn: dict[str, Callable[[str, CovarianceEvaluation], Figure]] = {
        "risk_over_time.png": _risk_over_time,
        "risk_by_year.png": _risk_by_year,
        "calibration.png": _calibration,
    }
    return tuple(
        Attachment(file, "image/png", png(partial(draw, name, evaluation))) for file, draw in drawn.items()
    )


def _risk_over_time(name: str, evaluation: CovarianceEvaluation) -> Figure:
    """Volatility of the portfolios over the last sessions, out of sample."""
    figure = new_figure(11, 4.6)
    axes = figure.subplots()
    days = evaluation.test.returns.sessions[evaluation.test.sessions].astype("O")
    for model in _LINES:
        squares = np.square(evaluation.tracks[model].returns)
        length = min(TRAILING, squares.size)
        total = np.concatenate([[0.0], np.cumsum(squares)])
        trailing = np.sqrt(TRADING_DAYS * np.maximum(total[length:] - total[:-length], 0.0) / length)
        axes.plot(
            days[length - 1 :], 100 * trailing, color=_COLOURS[model], linewidth=1.2, label=_label(model)
        )
    axes.set_title(f"{name}: risk of portfolios of {len(evaluation.assets_covered)} assets, out of sample")
    axes.set_ylabel(f"volatility of the last {TRAILING} sessions, % a year")
    axes.set_xlabel("session")
    axes.set_ylim(bottom=0)
    axes.margins(x=0.01)
    axes.legend(loc="upper left")
    return figure


def _risk_by_year(name: str, evaluation: CovarianceEvaluation) -> Figure:
    """One line for each tested block: the model beside its baselines, the newest on top."""
    years = evaluation.by_year
    figure = new_figure(8, 1.9 + 0.3 * len(years))
    axes = figure.subplots()
    places = np.arange(len(years))
    models = [*evaluation.baselines, CANDIDATE]
    values = {model: [100 * scores.by_model[model]["risk"] for scores in years] for model in models}
    spans = np.array([values[model] for model in models])
    axes.hlines(places, spans.min(axis=0), spans.max(axis=0), color="#d5d9de", linewidth=1.5, zorder=1)
    for model in models:
        overall = (evaluation.metrics if model == CANDIDATE else evaluation.baselines[model])["risk"]
        axes.scatter(
            values[model],
            places,
            s=52 if model == CANDIDATE else 34,
            color=_COLOURS[model],
            label=f"{_label(model)} (all: {100 * overall:.1f} %)",
            zorder=3 if model == CANDIDATE else 2,
        )
    axes.set_yticks(places, [scores.group.replace("/", " to ") for scores in years])
    axes.set_ylim(-0.7, len(years) - 0.3)
    axes.set_xlabel("volatility of the minimum-variance portfolio, % a year (less is better)")
    axes.set_title(f"{name}: risk by tested block")
    axes.grid(visible=False, axis="y")
    axes.legend(loc="upper center", bbox_to_anchor=(0.4, -0.12 - 0.6 / len(years)), ncols=3)
    return figure


def _calibration(name: str, evaluation: CovarianceEvaluation) -> Figure:
    """Realised volatility in each tenth of the sessions, ordered by what the covariance stated."""
    figure = new_figure(6.6, 6)
    axes = figure.subplots()
    tops = [0.0]
    for model in (model for model in (*evaluation.baselines, CANDIDATE) if model != EQUAL_WEIGHTS):
        track = evaluation.tracks[model]
        stated, realised = _grouped(track.stated, TRADING_DAYS * np.square(track.returns))
        tops += [stated.max(), realised.max()]
        axes.plot(
            stated,
            realised,
            marker="o",
            markersize=6 if model == CANDIDATE else 4,
            linewidth=1.8 if model == CANDIDATE else 1,
            color=_COLOURS[model],
            label=_label(model),
        )
    top = 1.06 * max(tops) or 1.0
    axes.plot([0, top], [0, top], color="#444b54", linewidth=0.9, linestyle="--", label="perfect")
    axes.set(xlim=(0, top), ylim=(0, top), aspect="equal")
    axes.set_xlabel("volatility that the covariance stated for its portfolio, % a year")
    axes.set_ylabel("volatility of the portfolio on the sessions after, % a year")
    axes.set_title(f"{name}: calibration by tenths of the stated risk")
    axes.legend(loc="upper left")
    return figure


def _grouped(stated: Floats, realised: Floats) -> tuple[Floats, Floats]:
    """Volatilities in per cent of each tenth: roots of mean variances, because variances add up."""
    groups = np.array_split(np.argsort(stated, kind="stable"), min(GROUPS, stated.size))
    first, second = (
        100 * np.sqrt(np.array([np.mean(values[rows]) for rows in groups])) for values in (stated, realised)
    )
    return first, second


def _label(model: str) -> str:
    return _NAMES.get(model, model)
