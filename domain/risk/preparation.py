"""Preparation: from canonical rows to a feature set, part by part on an engine, in two passes.

The first pass adds up the market's returns, exactly, and is left out when no feature is cross-sectional. The
second computes the features of each part and writes it canonically. Parts depend on data and definition
alone, so the feature set has the same bytes on every engine, for any number of batches and workers.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from domain.registry.errors import IntegrityError, InvalidInput, Unavailable
from domain.risk.dataset import Dataset, Part, write_part
from domain.risk.features.compute import FeatureRows, feature_rows
from domain.risk.features.definition import FeatureDefinition
from domain.risk.features.market import NO_FACTORS, MarketFactors, MarketSums
from domain.risk.features.panel import Panel
from domain.risk.ports import PrepEnginePort

_MOST_BATCHES = 64
_EPOCH = dt.date(1970, 1, 1)

Batch = tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A feature set, and the ids of the processes that computed its parts."""

    dataset: Dataset
    workers: frozenset[int]


@dataclass(frozen=True, slots=True)
class PanelPart:
    """One part of the canonical rows: its table (asset dictionary-encoded) and the panel for kernels."""

    table: pa.Table
    panel: Panel


@dataclass(frozen=True, slots=True)
class _Written:
    part: Part
    worker: int
    longest: int
    last: int


def prepare(
    rows: Dataset,
    definition: FeatureDefinition,
    engine: PrepEnginePort,
    destination: Path,
    *,
    batches: int | None = None,
) -> Prepared:
    """Compute the feature set of canonical rows into the directory `destination`, which workers must reach.

    Calling it again, or twice at once, writes the same bytes: each part appears by a rename. The caller picks
    a directory whose name is the content's address.

    Args:
        batches: into how many tasks the parts are grouped; has no influence on the result.

    Raises:
        InvalidInput: no asset has enough rows for the features (field `as_of`), or a return overflows.
        IntegrityError: a part of the rows changed since it was sealed.
        Unavailable: the engine or the disk failed; the same call may succeed later.
    """
    tasks = _grouped(rows.parts, batches)
    with _scratch(destination) as scratch:
        factors = _write_factors(rows, definition, engine, tasks, scratch)
        build = partial(_build_parts, rows.root, definition, factors, scratch, destination)
        written = [done for batch in engine.map(build, tasks) for done in batch]
        _require_rows(definition, written)
        dataset = Dataset.seal(destination, [done.part for done in written])
    return Prepared(dataset, frozenset(done.worker for done in written))


def read_part(root: Path, part: Part) -> PanelPart:
    """Read a part of canonical rows.

    Raises:
        IntegrityError: its bytes changed; names it.
    """
    data = (root / part.name).read_bytes()
    if hashlib.sha256(data).hexdigest() != part.sha256:
        raise IntegrityError(f"part {part.name} of dataset {root} changed: its SHA-256 is another")
    # One thread: the engine's processes already share the cores.
    table = pq.read_table(pa.BufferReader(data), use_threads=False, read_dictionary=["asset"])
    table = table.combine_chunks()
    return PanelPart(table, panel_of(table))


def panel_of(table: pa.Table) -> Panel:
    """The panel of rows sorted by (asset, date), whose asset column is dictionary-encoded."""
    assets = table.column("asset").combine_chunks()
    return Panel.of_prices(
        assets.indices.to_numpy(),
        table.column("date").cast(pa.int32()).to_numpy(),
        table.column("close").to_numpy(),
    )


def feature_table(part: PanelPart, computed: FeatureRows, definition: FeatureDefinition) -> pa.Table:
    """The rows that have all features, as a table; the target is null where it is not known yet."""
    label = definition.target
    columns = {name: part.table.column(name).take(computed.kept) for name in ("asset", "date")}
    for name, values in computed.columns.items():
        columns[name] = pa.array(values, mask=np.isnan(values) if name == label else None)
    return pa.table(columns)


def _grouped(parts: Sequence[Part], batches: int | None) -> list[Batch]:
    """Deal the parts out in consecutive groups of nearly equal number."""
    if not parts:
        raise InvalidInput("rows", "an empty dataset", "give rows of at least one asset")
    number = min(len(parts), _MOST_BATCHES if batches is None else max(1, batches))
    edges = [len(parts) * place // number for place in range(number + 1)]
    return [tuple(parts[start:stop]) for start, stop in pairwise(edges)]


@contextmanager
def _scratch(destination: Path) -> Iterator[Path]:
    """A directory of this call alone on the destination's file system, so that renames are atomic."""
    scratch = destination / f".scratch-{uuid.uuid4().hex}"
    try:
        scratch.mkdir(parents=True)
        yield scratch
    except OSError as error:
        raise Unavailable(f"feature set {destination} cannot be written: {error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _write_factors(
    rows: Dataset, definition: FeatureDefinition, engine: PrepEnginePort, tasks: list[Batch], scratch: Path
) -> Path | None:
    """The first pass; returns the file of the market's features, None if there are none."""
    if not definition.market_features:
        return None
    sums = MarketSums.merged(engine.map(partial(_add_returns, rows.root, definition), tasks))
    factors = MarketFactors.of(sums, definition.market_features)
    path = scratch / "market.parquet"
    pq.write_table(pa.table({"date": factors.date, **factors.values}), path)
    return path


def _read_factors(path: Path | None, definition: FeatureDefinition) -> MarketFactors:
    if path is None:
        return NO_FACTORS
    table = pq.read_table(path, use_threads=False)
    values = {feature.name: table.column(feature.name).to_numpy() for feature in definition.market_features}
    return MarketFactors(table.column("date").to_numpy(), values)


def _add_returns(root: Path, definition: FeatureDefinition, batch: Batch) -> MarketSums:
    """Task of the first pass."""
    definition.require_same_code()
    return MarketSums.merged([MarketSums.of_panel(read_part(root, part).panel) for part in batch])


def _build_parts(
    root: Path,
    definition: FeatureDefinition,
    factors: Path | None,
    scratch: Path,
    destination: Path,
    batch: Batch,
) -> list[_Written]:
    """Task of the second pass."""
    definition.require_same_code()
    market = _read_factors(factors, definition)
    return [
        _build_part(read_part(root, part), part.name, definition, market, scratch, destination)
        for part in batch
    ]


def _build_part(
    part: PanelPart,
    name: str,
    definition: FeatureDefinition,
    market: MarketFactors,
    scratch: Path,
    destination: Path,
) -> _Written:
    computed = feature_rows(part.panel, definition, market)
    # A retried or doubled task writes beside its twin; the rename makes whichever ends last the same part.
    temporary = scratch / f"{name}.{uuid.uuid4().hex}"
    written = write_part(feature_table(part, computed, definition), temporary, definition.schema)
    temporary.replace(destination / name)
    longest = int(np.max(part.panel.position, initial=-1)) + 1
    last = int(np.max(part.panel.date, initial=0))
    return _Written(replace(written, name=name), os.getpid(), longest, last)


def _require_rows(definition: FeatureDefinition, written: list[_Written]) -> None:
    if any(done.part.rows for done in written):
        return
    longest, last = max(done.longest for done in written), max(done.last for done in written)
    raise InvalidInput(
        "as_of",
        (_EPOCH + dt.timedelta(days=last)).isoformat(),
        f"there is not enough history before it: the features need {definition.window} rows of an asset and "
        f"the longest has {longest}; choose a later date or features with shorter windows",
    )
