"""Plots of an evaluation as PNG: forecast against realised, QLIKE per asset, calibration."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from domain.registry.evidence import Attachment
from domain.risk.evaluation import CANDIDATE, Evaluation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

DPI = 110
DECILES = 10
_COLOURS = {"realised": "#8a929c", CANDIDATE: "#0b5fa5", "ewma": "#d97a1d", "persistence": "#b3b9c1"}
_OTHER = "#5b8c5a"
_NAMES = {CANDIDATE: "model", "ewma": "EWMA"}
_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#6b737d",
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#e4e7eb",
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}


def plots(name: str, evaluation: Evaluation) -> tuple[Attachment, ...]:
    """Three PNG attachments; `name` is the model's, for the titles."""
    drawn: dict[str, Callable[[str, Evaluation], Figure]] = {
        "forecast_vs_realised.png": _forecast_vs_realised,
        "qlike_by_asset.png": _qlike_by_asset,
        "calibration.png": _calibration,
    }
    return tuple(
        Attachment(file, "image/png", png(partial(draw, name, evaluation))) for file, draw in drawn.items()
    )


def png(draw: Callable[[], Figure]) -> bytes:
    """What a function draws as the bytes of a PNG; the same figure gives the same bytes."""
    import matplotlib as mpl

    # Neither a user's matplotlibrc nor a display has a say; without `Software` no version is in the file.
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        figure = draw()
        written = io.BytesIO()
        figure.savefig(written, format="png", dpi=DPI, metadata={"Software": None})
    return written.getvalue()


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches, that needs no display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def _forecast_vs_realised(name: str, evaluation: Evaluation) -> Figure:
    """The panel's mean over time, and all forecasts against what came."""
    forecasts = evaluation.forecasts
    figure = new_figure(11, 4.6)
    line, cloud = figure.subplots(1, 2, width_ratios=(1.9, 1))
    days, place = np.unique(forecasts.dates, return_inverse=True)
    for label, values in (("realised", forecasts.realised), (CANDIDATE, forecasts.candidate)):
        mean = np.bincount(place, values) / np.bincount(place)
        line.plot(
            days.astype("O"), 100 * mean, color=_COLOURS[label], linewidth=1.1, label=_NAMES.get(label, label)
        )
    line.set_title(f"{name}: mean of {len(evaluation.assets_covered)} assets, out of sample")
    line.set_ylabel("volatility of the next 5 sessions, % a year")
    line.set_xlabel("session of the forecast")
    line.set_ylim(bottom=0)
    line.margins(x=0.01)
    line.legend(loc="upper left")
    _cloud(figure, cloud, 100 * forecasts.candidate, 100 * forecasts.realised)
    return figure


def _cloud(figure: Figure, axes: Any, forecast: Floats, realised: Floats) -> None:
    """All rows as a density on logarithmic axes, without the outermost thousandth on each side."""
    positive = (forecast > 0) & (realised > 0)
    if not np.any(positive):
        axes.set_title("no row has a volatility above 0")
        return
    both = np.concatenate([forecast[positive], realised[positive]])
    low, high = np.quantile(both, [0.001, 0.999])
    low, high = low / 1.2, high * 1.2
    drawn = axes.hexbin(
        forecast[positive],
        realised[positive],
        gridsize=45,
        xscale="log",
        yscale="log",
        extent=(np.log10(low), np.log10(high), np.log10(low), np.log10(high)),
        bins="log",
        mincnt=1,
        cmap="Blues",
        linewidths=0.1,
    )
    axes.plot([low, high], [low, high], color="#444b54", linewidth=0.9, linestyle="--")
    axes.set(xlim=(low, high), ylim=(low, high), xlabel="forecast, % a year", ylabel="realised, % a year")
    axes.set_title(f"{positive.sum():,} forecasts against what came")
    ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500) if low <= tick <= high]
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(ticks, [f"{tick}" for tick in ticks])
        axis.set_ticks([], minor=True)
    # Plain numbers: powers of ten are set as mathematics, whose first formula takes a third of a second.
    bar = figure.colorbar(drawn, ax=axes, label="rows", pad=0.02, format="%d")
    bar.minorticks_off()


def _qlike_by_asset(name: str, evaluation: Evaluation) -> Figure:
    """One line for each asset: the model beside its baselines, the best for the model on top."""
    rows = sorted(evaluation.by_asset, key=lambda scores: scores.by_model[CANDIDATE]["qlike"], reverse=True)
    figure = new_figure(8, 1.6 + 0.26 * len(rows))
    axes = figure.subplots()
    places = np.arange(len(rows))
    models = [*sorted(evaluation.baselines, reverse=True), CANDIDATE]
    values = {model: [scores.by_model[model]["qlike"] for scores in rows] for model in models}
    spans = np.array([values[model] for model in models])
    axes.hlines(places, spans.min(axis=0), spans.max(axis=0), color="#d5d9de", linewidth=1.5, zorder=1)
    for model in models:
        axes.scatter(
            values[model],
            places,
            s=52 if model == CANDIDATE else 34,
            color=_COLOURS.get(model, _OTHER),
            label=f"{_NAMES.get(model, model)} (all: {_overall(evaluation, model):.3f})",
            zorder=3 if model == CANDIDATE else 2,
        )
    axes.set_yticks(places, [scores.group for scores in rows])
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.set_xlabel("QLIKE on variances, out of sample (less is better)")
    axes.set_title(f"{name}: QLIKE per asset")
    axes.grid(visible=False, axis="y")
    axes.legend(loc="upper center", bbox_to_anchor=(0.45, -0.09 - 0.6 / len(rows)), ncols=len(models))
    return figure


def _overall(evaluation: Evaluation, model: str) -> float:
    metrics = evaluation.metrics if model == CANDIDATE else evaluation.baselines[model]
    return metrics["qlike"]


def _calibration(name: str, evaluation: Evaluation) -> Figure:
    """Root mean realised variance in each tenth of the rows, ordered by forecast."""
    forecasts = evaluation.forecasts
    figure = new_figure(6.6, 6)
    axes = figure.subplots()
    tops = []
    for model, values in sorted(forecasts.by_model.items(), key=lambda item: item[0] == CANDIDATE):
        forecast, realised = _deciles(values, forecasts.realised)
        tops += [100 * forecast.max(), 100 * realised.max()]
        axes.plot(
            100 * forecast,
            100 * realised,
            marker="o",
            markersize=6 if model == CANDIDATE else 4,
            linewidth=1.8 if model == CANDIDATE else 1,
            color=_COLOURS.get(model, _OTHER),
            label=_NAMES.get(model, model),
        )
    top = 1.06 * max(tops)
    axes.plot([0, top], [0, top], color="#444b54", linewidth=0.9, linestyle="--", label="perfect")
    axes.set(xlim=(0, top), ylim=(0, top), aspect="equal")
    axes.set_xlabel("forecast volatility, root of the mean variance of the tenth, % a year")
    axes.set_ylabel("realised volatility of the same rows, % a year")
    axes.set_title(f"{name}: calibration by tenths of the forecast")
    axes.legend(loc="upper left")
    return figure


def _deciles(forecast: Floats, realised: Floats) -> tuple[Floats, Floats]:
    """Volatility forecast and realised in each tenth: roots of mean variances, because variances add up."""
    groups = np.array_split(np.argsort(forecast, kind="stable"), min(DECILES, forecast.size))
    return (
        np.array([np.sqrt(np.mean(np.square(forecast[rows]))) for rows in groups]),
        np.array([np.sqrt(np.mean(np.square(realised[rows]))) for rows in groups]),
    )
