"""Writing canonical rows in blocks, each only once for all the as-of dates that have it in common."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from domain.registry.errors import Unavailable
from domain.risk.block_store import BlockStore
from domain.risk.blocks import block_of, part_name
from domain.risk.dataset import Dataset, Part, rows_schema, write_part
from domain.risk.features.panel import positions
from domain.risk.history import RowHash, RowVectors


def write_blocks(rows: RowVectors, destination: Path, store: BlockStore | None = None) -> Dataset:
    """Write rows, sorted by (asset, date), as a dataset in the directory `destination`; its index comes last.

    Args:
        store: where blocks are found and kept; None writes all of them beside the index.

    Raises:
        Unavailable: `destination` or the store cannot be written.
    """
    try:
        destination.mkdir(parents=True, exist_ok=True)
        if store is None:
            parts = [_beside(destination, block) for block in _cut(rows)]
            return Dataset.seal(destination, parts)
        return Dataset.seal(destination, [_shared(store, block) for block in _cut(rows)], store.files)
    except OSError as error:
        raise Unavailable(
            f"dataset {destination} cannot be written ({error.strerror or error}): "
            "free space or choose another place"
        ) from error


@dataclass(frozen=True, slots=True)
class _Block:
    """Rows of one block; `listed` are the assets whose first row is among them."""

    name: str
    rows: RowVectors
    listed: tuple[str, ...]


def _cut(rows: RowVectors) -> Iterator[_Block]:
    blocks = block_of(rows.date)
    order = np.argsort(blocks, kind="stable")
    starts = np.flatnonzero(np.diff(blocks[order], prepend=np.iinfo(np.int32).min))
    firsts = positions(rows.asset) == 0
    for held in np.split(order, starts[1:]):
        listed = tuple(rows.names[asset] for asset in rows.asset[held[firsts[held]]].tolist())
        yield _Block(part_name(int(blocks[held[0]])), rows.at(held), listed)


def _beside(destination: Path, block: _Block) -> Part:
    written = write_part(block.rows.table(), destination / block.name, rows_schema(block.rows.measures))
    return replace(written, listed=block.listed)


def _shared(store: BlockStore, block: _Block) -> Part:
    hashed = RowHash(block.rows.names)
    hashed.add(block.rows)
    key = store.key("rows", {"block": block.name, "rows": hashed.hexdigest(), "listed": list(block.listed)})
    record = store.find(key)
    if record is not None and store.holds(part := Part.from_json(record)):
        return part
    added = store.add(block.name, block.rows.table(), rows_schema(block.rows.measures))
    part = replace(added, listed=block.listed)
    store.record(key, part.to_json())
    return part
