"""What a model forecasts for the rows of a file, batch by batch, and how fast it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from domain.registry.errors import InvalidInput
from veritasvault.adapters.table_files import TableFile, Write
from veritasvault.serving.model import Model

FORECAST = "forecast"
"""The column that is added to the rows."""

Floats = NDArray[np.float64]
Native = Callable[[Floats], Floats]
Open = Callable[[pa.Schema], AbstractContextManager[Write]]


@dataclass(slots=True)
class Tally:
    """What was forecast, and what it cost ONNX Runtime and the native predictor, each on one thread.

    Attributes:
        rows: how many.
        onnx, native: seconds; native is 0 where nothing was compared.
        difference: the largest one of a forecast, relative to the native one.
    """

    rows: int = 0
    onnx: float = 0.0
    native: float = 0.0
    difference: float = 0.0

    @property
    def ratio(self) -> float | None:
        """ONNX Runtime's time as a share of the native predictor's; None where nothing was compared."""
        return self.onnx / self.native if self.native else None


@dataclass(frozen=True, slots=True)
class FileForecasts:
    """Forecasts of a verified model for a file's rows, whose other columns are carried through.

    Attributes:
        model: one that names its columns.
        native: computes the same as the model without ONNX Runtime; None compares nothing.

    Raises:
        InvalidInput: the model is not one ONNX file, or names no columns.
    """

    model: Model
    native: Native | None = None

    def __post_init__(self) -> None:
        if not self.model.columns:
            raise InvalidInput(
                "model",
                f"{self.model.name}@{self.model.version}",
                "no signature.json names its columns: give it an array by veritas.load",
            )

    def schema(self, table: TableFile) -> pa.Schema:
        """The columns of the result: those of the file, and `FORECAST`.

        Raises:
            InvalidInput: the file lacks one of the model's columns, has one twice, or has a forecast already.
        """
        columns, names = self.model.columns, table.schema.names
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InvalidInput("columns", twice, "name each column of the file only once")
        missing = [name for name in columns if name not in names]
        if missing:
            raise InvalidInput("columns", names, f"give the model's columns too: {', '.join(missing)}")
        if FORECAST in names:
            raise InvalidInput("columns", FORECAST, "rename it, the model's forecasts get this name")
        schema = table.schema
        for name in columns:
            schema = schema.set(schema.get_field_index(name), pa.field(name, pa.float64()))
        return schema.append(pa.field(FORECAST, pa.float64())).remove_metadata()

    def write(self, table: TableFile, opened: Open, progress: Callable[[int], None]) -> Tally:
        """Forecast and write all rows, in their order.

        Args:
            opened: begins the result, given its columns.
            progress: told after each batch how many rows are done.

        Raises:
            InvalidInput: see `schema`, or a row has no finite number in one of the model's columns.
        """
        schema, tally = self.schema(table), Tally()
        with opened(schema) as add:
            for batch in table.batches():
                numbers = {name: _numbers(batch, name, tally.rows) for name in self.model.columns}
                forecasts = self._forecasts(np.column_stack(list(numbers.values())), tally)
                columns = {name: numbers.get(name, batch.column(name)) for name in batch.schema.names}
                add(pa.RecordBatch.from_pydict({**columns, FORECAST: forecasts}, schema=schema))
                tally.rows += batch.num_rows
                progress(tally.rows)
        return tally

    def _forecasts(self, features: Floats, tally: Tally) -> Floats:
        started = time.perf_counter()
        answer = self.model.predict(features)
        tally.onnx += time.perf_counter() - started
        answered = np.asarray(answer, dtype=np.float64)
        # By its shape and not its size: a matrix over 20 columns has as many cells as 400 rows.
        if answered.shape not in ((len(features),), (len(features), 1)):
            raise InvalidInput("model", self.model.reference, "it does not give one forecast for each row")
        forecasts: Floats = answered.reshape(-1)
        if self.native is not None:
            started = time.perf_counter()
            expected = self.native(features)
            tally.native += time.perf_counter() - started
            apart = np.abs(forecasts - expected) / np.maximum(np.abs(expected), np.finfo(np.float64).tiny)
            tally.difference = max(tally.difference, float(np.max(apart)))
        return forecasts


def _numbers(batch: pa.RecordBatch, name: str, before: int) -> Floats:
    """A column as finite numbers; `before` rows were read before it."""
    column = batch.column(name)
    try:
        values = np.array(
            pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64
        )
    except pa.ArrowException:
        if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            raise InvalidInput(name, str(column.type), "give numbers in this column") from None
        values = np.array([_number(text) for text in column.to_pylist()], dtype=np.float64)
    wrong = np.flatnonzero(~np.isfinite(values))
    if wrong.size:
        place = int(wrong[0])
        raise InvalidInput(
            name,
            column[place].as_py(),
            f"the model needs a finite number, fill or leave out row {before + place + 1}",
        )
    return values


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")
