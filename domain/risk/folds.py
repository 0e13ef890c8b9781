"""Walk-forward folds: what each is trained on, what it is tested on, and the proof that they are apart."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from domain.registry.errors import InvalidInput
from domain.risk.training_set import Days, Flags, Integers, TrainingSet, as_day

_LOG = logging.getLogger(__name__)

TEST_YEARS = 8
"""At most so many yearly blocks are tested."""

TRAINING_YEARS = 2
"""The first block is tested when there are rows for so many years before it."""


@dataclass(frozen=True, slots=True)
class Fold:
    """One refit and the block it is tested on.

    Attributes:
        train_end: session of the last row trained on.
        label_end: session that the last label trained on ends with; before `test_start`.
        test_start, test_end: first and last session forecast.
        train, test: indices of the rows in the training set.
    """

    train_end: dt.date
    label_end: dt.date
    test_start: dt.date
    test_end: dt.date
    train: Integers = field(repr=False, compare=False)
    test: Integers = field(repr=False, compare=False)

    def to_json(self) -> dict[str, Any]:
        return {
            "train_end": self.train_end.isoformat(),
            "label_end": self.label_end.isoformat(),
            "test_start": self.test_start.isoformat(),
            "test_end": self.test_end.isoformat(),
            "train_rows": int(self.train.size),
            "test_rows": int(self.test.size),
        }


def plan_folds(
    training: TrainingSet,
    as_of: dt.date,
    *,
    next_session: Callable[[dt.date], dt.date] | None = None,
    years: int = TEST_YEARS,
) -> tuple[Fold, ...]:
    """Yearly blocks counted back from the as-of date, each trained on everything that was known before it.

    A row is trained on when its label window ends before the block's first session; so as many sessions as a
    label looks ahead are purged between the last training row and the block (de Prado 2018, "Advances in
    Financial Machine Learning", section 7.4.1).

    Args:
        next_session: the first session on or after a date, for the error's sentence; weekdays when None.
        years: at most so many blocks are tested.

    Raises:
        InvalidInput: fewer than `TRAINING_YEARS` and one year before the as-of date; says the first one that
            has them.
    """
    earliest = years_before(training.first, -TRAINING_YEARS)
    blocks = [(years_before(as_of, back + 1), years_before(as_of, back)) for back in range(years)]
    long_enough = [block for block in reversed(blocks) if block[0] >= earliest]
    folds = [fold for block in long_enough if (fold := _fold(training, *block)) is not None]
    if not folds:
        possible = (next_session or _next_weekday)(years_before(training.first, -TRAINING_YEARS - 1))
        raise InvalidInput(
            "as_of",
            as_of.isoformat(),
            f"there is too little history before it, the first possible as-of date is {possible.isoformat()}",
        )
    return tuple(folds)


def one_by_one(folds: Sequence[Fold]) -> Iterator[Fold]:
    """The folds in their order; each is logged when it is done, for whoever waits for a training."""
    for number, fold in enumerate(folds, start=1):
        yield fold
        period = f"{fold.test_start} to {fold.test_end}"
        _LOG.info("model %d of %d for the test is trained, for %s", number, len(folds), period)


def plan_window(training: TrainingSet, sessions: int) -> Fold:
    """The last sessions whose outcomes are known, and everything that was known before them to train on.

    Purged as in `plan_folds`.

    Raises:
        InvalidInput: there is nothing to train on before so many sessions.
    """
    days = np.unique(training.dates[training.known])
    fold = None
    if days.size > sessions:
        fold = _fold(training, as_day(days[-sessions - 1]), as_day(days[-1]))
    if fold is None:
        raise InvalidInput(
            "promotion.window_sessions",
            sessions,
            f"make it shorter, the outcomes of {days.size} sessions are known and some have to be trained on",
        )
    return fold


def check_folds(folds: Sequence[Fold], training: TrainingSet) -> tuple[str, ...]:
    """A sentence for each label window or purge of a fold that touches what the fold is tested on.

    Everything is recomputed from the dates of the rows, asset by asset; nothing that planned the folds is
    trusted, neither their stated dates nor the training set's label ends.
    """
    if not folds:
        return ("no fold was evaluated",)
    ends = _recomputed_ends(training)
    found: list[str] = []
    tested_until: np.datetime64 | None = None
    for number, fold in enumerate(folds, start=1):
        name = f"fold {number}"
        if not fold.train.size or not fold.test.size:
            found.append(f"{name} has no rows to train on or to test on")
            continue
        found += [f"{name} {violation}" for violation in _check_fold(fold, training, ends)]
        tested = training.dates[fold.test]
        if tested_until is not None and tested.min() <= tested_until:
            found.append(f"{name} tests sessions that an earlier fold tested, up to {tested_until}")
        tested_until = tested.max()
    return tuple(found)


def years_before(day: dt.date, years: int) -> dt.date:
    """The same day so many years earlier; 28 February for 29 February."""
    try:
        return day.replace(year=day.year - years)
    except ValueError:
        return day.replace(year=day.year - years, day=28)


def _fold(training: TrainingSet, after: dt.date, until: dt.date) -> Fold | None:
    """The fold that tests the sessions after one date and until another; None when a side has no rows."""
    dates, known = training.dates, training.known
    test: Flags = known & (dates > np.datetime64(after)) & (dates <= np.datetime64(until))
    if not np.any(test):
        return None
    start = dates[test].min()
    sessions = np.unique(dates)
    place = int(np.searchsorted(sessions, start))
    if place <= training.horizon:
        return None
    train = known & (training.label_ends < start) & (dates < sessions[place - training.horizon])
    if not np.any(train):
        return None
    return Fold(
        train_end=as_day(dates[train].max()),
        label_end=as_day(training.label_ends[train].max()),
        test_start=as_day(start),
        test_end=as_day(dates[test].max()),
        train=np.flatnonzero(train),
        test=np.flatnonzero(test),
    )


def _check_fold(fold: Fold, training: TrainingSet, ends: Days) -> list[str]:
    found: list[str] = []
    dates, start = training.dates, training.dates[fold.test].min()
    trained = ends[fold.train]
    open_windows = int(np.count_nonzero(np.isnat(trained)) + np.count_nonzero(np.isnat(ends[fold.test])))
    if open_windows:
        found.append(f"has {open_windows} rows whose label window is not over by {training.last}")
    late = ~np.isnat(trained) & (trained >= start)
    if np.any(late):
        row = fold.train[late][0]
        found.append(
            f"learns from {np.count_nonzero(late)} labels that end on or after its first test session"
            f" {start}, such as {training.asset_names[training.assets[row]]} on {dates[row]}"
        )
    sessions = np.unique(dates)
    last = dates[fold.train].max()
    purged = int(np.count_nonzero((sessions > last) & (sessions < start)))
    if purged < training.horizon:
        found.append(f"purges {purged} sessions before {start}, {training.horizon} are needed")
    stated = (fold.train_end, fold.label_end, fold.test_start, fold.test_end)
    closed = trained[~np.isnat(trained)]
    latest = as_day(closed.max()) if closed.size else None
    actual = (as_day(last), latest, as_day(start), as_day(dates[fold.test].max()))
    if stated != actual:
        found.append(f"states other dates than its rows have: {_texts(stated)} instead of {_texts(actual)}")
    return found


def _recomputed_ends(training: TrainingSet) -> Days:
    """Where each row's label window ends, found from each asset's own sessions."""
    ends = np.full(training.dates.shape, np.datetime64("NaT"), dtype="datetime64[D]")
    for asset in np.unique(training.assets):
        rows = np.flatnonzero(training.assets == asset)
        sessions = np.sort(training.dates[rows])
        place = np.searchsorted(sessions, training.dates[rows]) + training.horizon
        over = place < sessions.size
        ends[rows[over]] = sessions[place[over]]
    return ends


def _next_weekday(day: dt.date) -> dt.date:
    return day + dt.timedelta(days=max(0, 7 - day.weekday()) if day.weekday() > 4 else 0)


def _texts(days: Sequence[dt.date | None]) -> str:
    return ", ".join(str(day) for day in days)
