"""What alarms are worth: metrics of detectors, and what a detector has to beat.

A detector's score is relative to its threshold: above `ALARM` it raises one. Rows are labelled by their kind,
0 where they are ordinary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from domain.risk.training_set import Flags, Floats, Integers

ALARM = 1.0

METRICS = (
    {
        "name": "false_discovery_rate",
        "about": "Share of the alarms that hit no labelled row: 0 if every alarm is right; 1 without alarms.",
        "better": "less",
    },
    {
        "name": "precision",
        "about": "Share of the alarms that hit a labelled row, the rest of the false discovery rate.",
        "better": "more",
    },
    {"name": "recall", "about": "Share of the labelled rows that an alarm hit.", "better": "more"},
    {
        "name": "episodes_found",
        "about": "Share of the episodes, an asset's consecutive rows of one kind, with an alarm on any row.",
        "better": "more",
    },
    {
        "name": "alarm_rate",
        "about": "Share of the tested rows with an alarm. The threshold is set on training rows, so this is "
        "what came of the share that was asked for.",
        "better": "less",
    },
)
"""What `worth` finds in words, the one that counts first."""


def worth(alarms: Flags, kinds: Floats, episodes: Integers) -> dict[str, float]:
    """The metrics by name; recall and episodes are left out where no row is labelled.

    Args:
        alarms, kinds, episodes: of each row, shape (n,), n >= 1; `episodes` as by `episodes_of`.
    """
    labelled = kinds > 0
    raised = int(np.count_nonzero(alarms))
    right = int(np.count_nonzero(alarms & labelled))
    precision = right / raised if raised else 0.0
    found = {
        "false_discovery_rate": 1.0 - precision,
        "precision": precision,
        "alarm_rate": raised / alarms.size,
    }
    if np.any(labelled):
        known = np.unique(episodes[labelled]).size
        found["recall"] = right / int(np.count_nonzero(labelled))
        found["episodes_found"] = np.unique(episodes[labelled & alarms]).size / known
    return found


def episodes_of(assets: Integers, kinds: Floats) -> Integers:
    """A number for each stretch of an asset's rows of one kind, shape (n,); rows sorted by (asset, date)."""
    begins = (np.diff(assets, prepend=-1) != 0) | (np.diff(kinds, prepend=-1.0) != 0)
    return np.cumsum(begins)


def by_kind(names: Sequence[str], alarms: Flags, kinds: Floats, episodes: Integers) -> list[dict[str, Any]]:
    """For each kind with labelled rows: rows and episodes there are, and how many of both were found.

    Args:
        names: of the kinds 1, 2, …; a kind without one is called by its number.
    """
    found = []
    for code in np.unique(kinds[kinds > 0]).astype(int).tolist():
        of_kind = kinds == code
        found.append(
            {
                "kind": names[code - 1] if code <= len(names) else str(code),
                "rows": int(np.count_nonzero(of_kind)),
                "rows_found": int(np.count_nonzero(of_kind & alarms)),
                "episodes": int(np.unique(episodes[of_kind]).size),
                "episodes_found": int(np.unique(episodes[of_kind & alarms]).size),
            }
        )
    return found


def threshold(scores: Floats, rate: float) -> float:
    """The score that a share of these rows exceeds, the quantile 1 - rate."""
    return float(np.quantile(scores, 1.0 - rate))


_SURPRISES: Mapping[str, str] = MappingProxyType(
    {"return_z": "return_surprise", "volume_z": "volume_surprise"}
)


def baselines(names: Sequence[str], features: Floats, seed: int) -> dict[str, Floats]:
    """Scores that a detector has to beat, shape (n,): chance, and the size of one surprise alone.

    `return_z` and `volume_z` are the distance of a return or a volume from its mean in standard deviations,
    whatever its sign; they are there if the features are.
    """
    drawn: Floats = np.random.default_rng((seed, features.shape[0])).random((features.shape[0],))
    scores: dict[str, Floats] = {"random": drawn}
    for name, column in _SURPRISES.items():
        if column in names:
            scores[name] = np.abs(features[:, names.index(column)])
    return scores


RESAMPLED = 2_000


def chance(alarms: Flags, others: Flags, kinds: Floats, months: Integers, seed: int) -> tuple[float, float]:
    """Difference of two detectors' false discovery rates, and how probable so large a one is by chance.

    Months are drawn again with replacement, all assets together, since alarms come in clusters (a block
    bootstrap: Künsch 1989, Annals of Statistics 17). The p-value is twice the smaller share of the
    resampled differences on either side of 0.

    Args:
        months: of each row, shape (n,), as numbers.
    """
    _, place = np.unique(months, return_inverse=True)
    labelled = kinds > 0

    def totals(flags: Flags) -> Floats:
        return np.bincount(place, weights=flags.astype(np.float64)).astype(np.float64)

    counts = np.stack([totals(a) for a in (alarms & labelled, alarms, others & labelled, others)])
    random = np.random.default_rng((seed, RESAMPLED))
    months_drawn = random.integers(0, counts.shape[1], (RESAMPLED, counts.shape[1]))
    difference = _rates(counts[:, months_drawn].sum(axis=2))
    smaller = min(np.count_nonzero(difference <= 0.0), np.count_nonzero(difference >= 0.0))
    return float(_rates(counts.sum(axis=1))), min(1.0, 2.0 * (float(smaller) + 1.0) / (RESAMPLED + 1.0))


def _rates(counts: Floats) -> Floats:
    """One false discovery rate less the other; counts are (4, …), no alarm at all counts as all wrong."""
    mine, theirs = counts[0] / np.maximum(counts[1], 1.0), counts[2] / np.maximum(counts[3], 1.0)
    difference: Floats = theirs - mine
    return difference
