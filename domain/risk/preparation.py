"""Preparation: from canonical rows to a feature set, block by block, each computed once.

Features and labels of a block depend on rows of the block and before it, so the blocks of one as-of date
serve all later ones. What is missing is computed by tasks on an engine, in two passes: the first adds up the
market's returns, exactly, and is left out when no feature is cross-sectional; the second computes features
and labels. Blocks depend on data, definition and environment alone, so the feature set has the same bytes on
every engine, for any number of tasks, and whatever was in the store.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa

from domain.registry.canonical import digest_of
from domain.registry.errors import InvalidInput, Unavailable
from domain.risk.block_features import Run, build, market_sums
from domain.risk.block_store import BlockStore
from domain.risk.blocks import iso
from domain.risk.dataset import Dataset
from domain.risk.features.definition import FeatureDefinition
from domain.risk.features.market import NO_FACTORS, MarketFactors, MarketSums
from domain.risk.history import all_rows
from domain.risk.ports import PrepEnginePort
from domain.risk.prepared_history import History, longest_known, remember

Made = TypeVar("Made")

_MOST_TASKS = 16
_LEAST_BLOCKS = 16
"""A task of fewer blocks would read and compute more warm-up than rows of its own."""
_MOST_ROWS = 1 << 20
"""Rows of a task, about: 300 bytes each are in memory at once, and 16 of each earlier row."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A feature set, and what it cost.

    Attributes:
        workers: ids of the processes that computed blocks.
        computed: how many blocks were computed; the others were in the store.
    """

    dataset: Dataset
    workers: frozenset[int]
    computed: int

    def told(self, engine: str) -> str:
        """What was done, for people, by a run that asked for this engine."""
        blocks = f"{self.computed} of {len(self.dataset.parts) // 2} blocks computed"
        if self.workers <= {os.getpid()}:
            return f"{blocks}, here: there was nothing to share on {engine}"
        return f"{blocks}, by {len(self.workers)} process(es) on {engine}; the others were in the store"


def prepare(
    rows: Dataset,
    definition: FeatureDefinition,
    engine: PrepEnginePort,
    destination: Path,
    *,
    store: BlockStore | None = None,
    tasks: int | None = None,
) -> Prepared:
    """Assemble the feature set of canonical rows in the directory `destination`, which workers must reach.

    Calling it again, or twice at once, gives the same bytes. The caller picks a directory whose name is the
    content's address.

    Args:
        store: where blocks are found and kept; None computes all of them, into the destination.
        tasks: into how many tasks the missing blocks are grouped; has no influence on the result.

    Raises:
        InvalidInput: no asset has enough rows for the features (field `as_of`), or a return overflows.
        IntegrityError: a part of the rows changed since it was sealed, or a block has other bytes than the
            same inputs once gave.
        Unavailable: the engine or the disk failed; the same call may succeed later.
    """
    if not rows.parts:
        raise InvalidInput("rows", "an empty dataset", "give rows of at least one asset")
    store = store or private_store(destination / ".blocks")
    with _translated(destination):
        destination.mkdir(parents=True, exist_ok=True)
        known = longest_known(rows, definition, store)
        runs = _runs(rows, len(known.blocks), tasks)
        sums = _flat(
            engine.map(partial(market_sums, rows, definition), runs) if definition.market_window else []
        )
        work = [(run, _factors(definition, run, known, sums)) for run in runs]
        built = _flat(engine.map(partial(build, rows, definition, store), work))
        parts = [one.parts for one in built]
        history = known.followed_by(parts, sums, definition)
        if parts:
            # Tomorrow's rows have all blocks but the last in common, which grows.
            whole = known.followed_by(parts[:-1], sums[:-1], definition)
            remember(rows, [one for one in (whole, history) if one.blocks], definition, store)
        _require_rows(definition, rows, history)
        files = [part for block in history.blocks for part in (block.features, block.labels)]
        dataset = Dataset.seal(destination, files, store.files)
    workers = [one.worker for one in built if one.worker is not None]
    return Prepared(dataset, frozenset(workers), len(workers))


def private_store(root: Path) -> BlockStore:
    """A store for one call alone, in this process's environment."""
    return BlockStore.below(root, digest_of({"numpy": np.__version__, "pyarrow": pa.__version__}))


def _runs(rows: Dataset, known: int, tasks: int | None) -> list[Run]:
    """Deal the blocks that are not known out in runs of nearly as many rows each."""
    counts = [part.rows for part in rows.parts[known:]]
    if not counts:
        return []
    before = np.cumsum(counts)
    number = tasks or max(1, before[-1] // _MOST_ROWS, min(_MOST_TASKS, len(counts) // _LEAST_BLOCKS))
    shares = before[-1] * np.arange(1, number) / number
    edges = {0, *np.searchsorted(before, shares, side="right").tolist(), len(counts)}
    if tasks is None:
        edges.update(_further_cuts(counts, edges))
    return [Run(known + start, known + stop) for start, stop in pairwise(sorted(edges))]


def _further_cuts(counts: Sequence[int], edges: Collection[int]) -> Iterator[int]:
    """Where runs between `edges` have to be cut again to have at most `_MOST_ROWS`, or one block."""
    held = 0
    for place, count in enumerate(counts):
        if place in edges:
            held = 0
        elif held + count > _MOST_ROWS:
            yield place
            held = 0
        held += count


def _factors(
    definition: FeatureDefinition, run: Run, known: History, sums: Sequence[MarketSums]
) -> MarketFactors:
    """The market's features on the dates of a run, from the sums of the run and of the window before it.

    Args:
        sums: of each block after the known ones.
    """
    if not definition.market_window:
        return NO_FACTORS
    first, stop = run.first - len(known.blocks), run.stop - len(known.blocks)
    before = MarketSums.successive([known.sums, *sums[:first]]).last(definition.market_window)
    series = MarketSums.successive([before, *sums[first:stop]])
    return MarketFactors.of(series, definition.market_features).since(len(before.date))


def _flat(batches: Sequence[Sequence[Made]]) -> list[Made]:
    return [one for batch in batches for one in batch]


@contextmanager
def _translated(destination: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(f"feature set {destination} cannot be written: {error}") from error


def _require_rows(definition: FeatureDefinition, rows: Dataset, history: History) -> None:
    if any(block.features.rows for block in history.blocks):
        return
    found = all_rows(rows)
    raise InvalidInput(
        "as_of",
        iso(int(found.date.max())),
        f"there is not enough history before it: the features need {definition.window} rows of an asset and "
        f"the longest has {int(np.bincount(found.asset).max())}; "
        "choose a later date or features with shorter windows",
    )
