"""Canonical rows as vectors."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from domain.risk.dataset import ROWS_SCHEMA, Dataset, in_order
from domain.risk.features.panel import Integers, Panel
from domain.risk.features.windows import Floats

Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class RowVectors:
    """Rows sorted by (asset, date) as vectors of shape (n,).

    Attributes:
        names: the assets, sorted; `asset` indexes them.
        date: days since 1970-01-01.
        measures: what the features need beside prices, by column name; each of shape (n,).
    """

    names: tuple[str, ...]
    asset: Integers
    date: Integers
    close: Floats
    measures: Mapping[str, Floats] = field(default_factory=dict)

    @classmethod
    def of(cls, table: pa.Table) -> RowVectors:
        """From a table of `rows_schema` that is in order."""
        assets = table.column("asset").combine_chunks()
        return cls(
            tuple(assets.dictionary.to_pylist()),
            assets.indices.to_numpy(),
            table.column("date").cast(pa.int32()).to_numpy(),
            table.column("close").to_numpy(),
            {
                name: table.column(name).to_numpy()
                for name in table.column_names
                if name not in ROWS_SCHEMA.names
            },
        )

    @property
    def panel(self) -> Panel:
        """What kernels see."""
        return Panel.of_prices(self.asset, self.date, self.close, self.measures)

    def at(self, rows: Places | slice) -> RowVectors:
        """Some of the rows, in order."""
        measures = {name: values[rows] for name, values in self.measures.items()}
        return RowVectors(self.names, self.asset[rows], self.date[rows], self.close[rows], measures)

    def table(self) -> pa.Table:
        """As a table of `rows_schema`, asset dictionary-encoded."""
        names = pa.DictionaryArray.from_arrays(pa.array(self.asset), pa.array(self.names, pa.string()))
        date = pa.array(self.date).cast(pa.date32())
        return pa.table({"asset": names, "date": date, "close": self.close, **self.measures})


class RowHash:
    """SHA-256 over rows and the names of their assets, whatever pieces of whole assets they come in.

    Args:
        names: what `asset` of all pieces indexes.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._counts = np.zeros(len(names), dtype=np.int64)
        self._columns: dict[str, hashlib._Hash] = {}

    def add(self, rows: RowVectors) -> None:
        """Rows of assets that come after those before."""
        self._counts += np.bincount(rows.asset, minlength=len(self._names))
        self._hash("date", rows.date.astype("<i4"))
        self._hash("close", rows.close.astype("<f8"))
        for name, values in rows.measures.items():
            self._hash(name, values.astype("<f8"))

    def hexdigest(self) -> str:
        """Of everything added; more may follow."""
        present = np.flatnonzero(self._counts)
        names = "\n".join(self._names[asset] for asset in present.tolist())
        hashed = hashlib.sha256(f"{names}\0".encode())  # no name has a line break or a control character
        hashed.update(self._counts[present].astype("<i8").data)
        for name, column in self._columns.items():
            hashed.update(f"{name}\0".encode() + column.digest())
        return hashed.hexdigest()

    def _hash(self, name: str, values: NDArray[Any]) -> None:
        self._columns.setdefault(name, hashlib.sha256()).update(np.ascontiguousarray(values).data)


def all_rows(rows: Dataset) -> RowVectors:
    """All rows of a panel.

    Raises:
        IntegrityError: a part changed since it was sealed; names it.
    """
    return RowVectors.of(in_order(list(rows.tables())))
