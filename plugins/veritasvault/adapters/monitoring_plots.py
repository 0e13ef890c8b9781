"""Plots of a monitoring as PNG: how unusual the last sessions are, distributions, and losses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from domain.registry.evidence import Attachment
from veritasvault.adapters.matplotlib_plots import new_figure, png

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from domain.risk.monitoring.judgement import Judgement
    from domain.risk.monitoring.observed import Observed

    Floats = NDArray[np.float64]

SHOWN_SESSIONS = 500
_TRAINED, _RECENT, _BREACHED = "#b3b9c1", "#0b5fa5", "#c62828"
_COLUMNS = 3


def monitoring_plots(name: str, observed: Observed, judgement: Judgement) -> tuple[Attachment, ...]:
    """PNG attachments; `name` is the version's, for the titles."""
    drawn = {
        "population_stability.png": lambda: _stability(name, judgement),
        "distributions.png": lambda: _distributions(observed, judgement),
        "losses.png": lambda: _losses(name, judgement),
    }
    return tuple(Attachment(file, "image/png", png(draw)) for file, draw in drawn.items())


def _stability(name: str, judgement: Judgement) -> Figure:
    """PSI of each feature and of the forecasts over the last sessions; red where it is a breach."""
    measures = judgement.measures
    days = measures.days[-SHOWN_SESSIONS:].astype("O")
    drawn = new_figure(11, 4.6)
    axes = drawn.subplots()
    for place, subject in enumerate(measures.subjects):
        if "psi" not in subject.figures:
            continue
        values = subject.figures["psi"][-SHOWN_SESSIONS:]
        axes.plot(days, values, linewidth=1.0, label=subject.name)
        breached = judgement.breaches[-SHOWN_SESSIONS:, place]
        axes.plot(days[breached], values[breached], ".", color=_BREACHED, markersize=4)
    if measures.history < measures.days.size:
        axes.axvline(
            measures.days[measures.history].astype("O"), color="#444b54", linestyle="--", linewidth=0.9
        )
    axes.set_title(f"{name}: PSI of the last {measures.window} sessions, dots where it is a breach")
    axes.set_ylim(bottom=0)
    axes.margins(x=0.01)
    axes.legend(loc="upper left", ncols=_COLUMNS, fontsize=8)
    return drawn


def _distributions(observed: Observed, judgement: Judgement) -> Figure:
    """What the version was trained on, and the last sessions: features and forecasts side by side."""
    measures = judgement.measures
    recent = observed.session > observed.days.size - 1 - measures.window
    shown = [*zip(observed.names, observed.features.T, strict=True), ("forecasts", observed.forecasts)]
    rows = -(-len(shown) // _COLUMNS)
    drawn = new_figure(11, 2.5 * rows)
    places = drawn.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for place, (axes, (label, values)) in enumerate(zip(places, shown, strict=False)):
        both = np.concatenate([values[observed.reference], values[recent]])
        low, high = np.quantile(both, [0.001, 0.999])
        bins = np.linspace(low, high if high > low else low + 1.0, 41)
        colour = _BREACHED if judgement.breaches[-1, place] else _RECENT
        for part, shade, kind in ((observed.reference, _TRAINED, "bar"), (recent, colour, "step")):
            share = np.full(np.count_nonzero(part), 1.0 / np.count_nonzero(part))
            axes.hist(values[part], bins, weights=share, color=shade, histtype=kind, linewidth=1.4)
        axes.set_title(label)
        axes.set_yticks([])
    for axes in places[len(shown) :]:
        axes.set_visible(False)
    drawn.suptitle("grey: trained on; line: last sessions, red where drifted", fontsize=10)
    return drawn


def _losses(name: str, judgement: Judgement) -> Figure:
    """Mean losses of the version and of the baseline, on the sessions when they were known."""
    measures = judgement.measures
    subject = measures.subjects[-1]
    days = measures.days[-SHOWN_SESSIONS:].astype("O")
    drawn = new_figure(11, 3.8)
    axes = drawn.subplots()
    for label, colour in (("baseline_loss", "#d97a1d"), ("loss", _RECENT)):
        if label in subject.figures:
            said = "version" if label == "loss" else "baseline"
            axes.plot(days, subject.figures[label][-SHOWN_SESSIONS:], color=colour, linewidth=1.1, label=said)
    if measures.history < measures.days.size:
        axes.axvline(
            measures.days[measures.history].astype("O"), color="#444b54", linestyle="--", linewidth=0.9
        )
    axes.set_title(f"{name}: mean loss of {measures.window} sessions, once known ({subject.name})")
    axes.set_ylim(bottom=0)
    axes.margins(x=0.01)
    axes.legend(loc="upper left")
    return drawn
