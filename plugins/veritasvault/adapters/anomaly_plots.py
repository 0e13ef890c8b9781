"""Plots of a detector's evaluation as PNG: scores over time beside what is known, and what was found."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from domain.registry.evidence import Attachment
from domain.risk.anomaly.alarms import ALARM
from domain.risk.anomaly.detection import Detection
from domain.risk.evaluation import CANDIDATE
from veritasvault.adapters.matplotlib_plots import new_figure, png

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ORDINARY, _KNOWN, _ALARM, _MISSED = "#b3b9c1", "#d97a1d", "#0b5fa5", "#d5d9de"
_FEW_KINDS = 6


def plots(name: str, detection: Detection) -> tuple[Attachment, ...]:
    """Two PNG attachments; `name` is the model's, for the titles."""
    drawn: dict[str, Callable[[str, Detection], Figure]] = {
        "anomaly_timeline.png": _timeline,
        "found_by_kind.png": _found_by_kind,
    }
    return tuple(
        Attachment(file, "image/png", png(partial(draw, name, detection))) for file, draw in drawn.items()
    )


def _timeline(name: str, detection: Detection) -> Figure:
    """The highest score of each session, and on which of them something was known to be unusual."""
    alarms = detection.alarms
    days, place = np.unique(alarms.dates, return_inverse=True)
    highest = np.zeros(days.size)
    np.maximum.at(highest, place, alarms.scores)
    known = np.zeros(days.size, dtype=np.bool_)
    known[place[alarms.kinds > 0]] = True
    right = np.zeros(days.size, dtype=np.bool_)
    right[place[(alarms.kinds > 0) & alarms.by_model[CANDIDATE]]] = True
    figure = new_figure(11, 4.6)
    axes = figure.subplots()
    times = days.astype("O")
    axes.vlines(times, 0, highest, color=_ORDINARY, linewidth=0.6, zorder=1)
    for flags, colour, label in (
        (right, _ALARM, "known, with a right alarm"),
        (known & ~right, _KNOWN, "known, without one"),
    ):
        axes.scatter(
            times[flags], highest[flags], s=13, color=colour, label=f"{label} ({flags.sum()})", zorder=3
        )
    axes.axhline(ALARM, color="#444b54", linewidth=0.9, linestyle="--", label="threshold, from training rows")
    metrics = detection.metrics
    axes.set_title(
        f"{name}: precision {metrics['precision']:.0%} at {metrics['alarm_rate']:.1%} alarms, out of sample"
    )
    axes.set_ylabel("highest score of the session")
    axes.set_xlabel("session")
    axes.set_ylim(0, 1.3 * max(ALARM, float(highest.max())))  # room for the legend
    axes.margins(x=0.01)
    axes.legend(loc="upper left")
    return figure


def _found_by_kind(name: str, detection: Detection) -> Figure:
    """Of each kind the share of episodes found; where the kinds are many, they are in the order of time."""
    kinds: list[dict[str, Any]] = [dict(found) for found in reversed(detection.by_kind)]
    figure = new_figure(8, 1.6 + (0.5 if len(kinds) <= _FEW_KINDS else 0.26) * max(1, len(kinds)))
    axes = figure.subplots()
    shares = [found["episodes_found"] / found["episodes"] for found in kinds]
    places = np.arange(len(kinds))
    axes.barh(places, np.ones(len(kinds)), color=_MISSED, height=0.6)
    axes.barh(places, shares, color=_ALARM, height=0.6)
    for row, found in enumerate(kinds):
        text = f"{found['episodes_found']} of {found['episodes']}"
        axes.text(1.01, row, text, va="center", fontsize=9, color="#444b54")
    axes.set_yticks(places, [str(found["kind"]).replace("_", " ") for found in kinds])
    axes.set_xlim(0, 1.14)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
    axes.set_xlabel("episodes (an asset's consecutive days) with an alarm")
    axes.set_title(f"{name}: what was found, out of sample")
    axes.grid(visible=False, axis="y")
    return figure
