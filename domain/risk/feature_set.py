"""Reading a feature set: its parts of features and of labels, and both as one table.

A label is stored in the block that ends its window, under the asset and date of the row it is the target of.
So no stored row ever changes when later rows arrive, and a row's target is found by asset and date.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from domain.registry.errors import InvalidInput
from domain.risk.blocks import FEATURES, LABELS
from domain.risk.dataset import Dataset, in_order


def feature_parts(dataset: Dataset) -> Dataset:
    """The parts that hold features; all parts of a dataset that was not made in blocks."""
    return replace(dataset, parts=tuple(part for part in dataset.parts if not part.name.startswith(LABELS)))


def label_parts(dataset: Dataset) -> Dataset:
    """The parts that hold labels."""
    return replace(dataset, parts=tuple(part for part in dataset.parts if part.name.startswith(LABELS)))


def blocks_of(dataset: Dataset) -> list[str]:
    """The names of the blocks that features are there for, as the parts of their rows are called."""
    return [part.name.removeprefix(FEATURES) for part in feature_parts(dataset).parts]


def feature_table(dataset: Dataset) -> pa.Table:
    """Asset, date, features and target, sorted by (asset, date); the target is null until it is known.

    Raises:
        InvalidInput: the dataset has no parts.
        IntegrityError: a part changed since it was sealed; names it.
    """
    tables = list(feature_parts(dataset).tables())
    if not tables:
        raise InvalidInput("features", str(dataset.root), "give a feature set with at least one part")
    features, labels = in_order(tables), list(label_parts(dataset).tables())
    if not labels:
        return features
    known = in_order(labels)
    target = known.column_names[-1]
    places, found = _found(features, known)
    values = known.column(target).to_numpy()[places] if known.num_rows else np.zeros(len(found))
    return features.append_column(target, pa.array(values, pa.float64(), mask=~found))


def _found(features: pa.Table, known: pa.Table) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """For each row of features the place of its label, and whether there is one."""
    names = known.column("asset").combine_chunks().dictionary.to_pylist()
    code = {name: place for place, name in enumerate(names)}
    own = features.column("asset").combine_chunks()
    codes = np.array([code.get(name, -1) for name in own.dictionary.to_pylist()], dtype=np.int64)
    wanted = _key(codes[own.indices.to_numpy()], features)
    there = _key(known.column("asset").combine_chunks().indices.to_numpy().astype(np.int64), known)
    places = np.minimum(np.searchsorted(there, wanted), max(0, len(there) - 1))
    return places, there[places] == wanted if len(there) else np.zeros(len(wanted), dtype=np.bool_)


def _key(asset: NDArray[np.int64], table: pa.Table) -> NDArray[np.int64]:
    """One number for asset and date, in their order."""
    key: NDArray[np.int64] = (asset << 32) + table.column("date").cast(pa.int32()).to_numpy()
    return key
