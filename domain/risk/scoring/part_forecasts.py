"""The task that engines run: one part of a feature set becomes a part of forecasts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from domain.risk.blocks import block_named, part_name
from domain.risk.dataset import Dataset, Part, canonical_parquet, part_of

if TYPE_CHECKING:
    from domain.risk.ports import ShippedVersionPort

FORECASTS = "forecasts-"
"""What the names of the parts begin with."""
SCHEMA = pa.schema(
    [("asset", pa.string()), ("date", pa.date32()), ("forecast", pa.float64()), ("model_id", pa.string())]
)
"""One row for each asset and session, sorted; the unit of the forecast is that of the model's target."""


@dataclass(frozen=True, slots=True)
class PartForecasts:
    """What every task needs, wherever it runs.

    Attributes:
        features: the feature set; workers reach its files.
        names: its columns, in the order in which the version is told them.
        first, last: the sessions that are forecast, in days since 1970-01-01, both included.
        version: opened, and verified, by each task.
    """

    features: Dataset
    names: tuple[str, ...]
    first: int
    last: int
    version: ShippedVersionPort

    def __call__(self, part: Part) -> tuple[Part, bytes] | None:
        """The forecasts of a part and their bytes; None if none of its rows is asked for.

        The bytes go back with the answer: 10,000 forecasts are about 100 KB.

        Raises:
            IntegrityError, NotVerified: the version is not what was registered.
            InvalidInput: it does not take these features.
            Unavailable: features or version cannot be read now.
        """
        table = self.features.read(part)
        days = table.column("date").cast(pa.int32()).to_numpy()
        table = table.filter(pa.array((self.first <= days) & (days <= self.last)))
        if not table.num_rows:
            return None
        features = np.column_stack([table.column(name).to_numpy() for name in self.names])
        forecasts = pa.table(
            {
                "asset": table.column("asset").cast(pa.string()),
                "date": table.column("date"),
                "forecast": self.version.forecast(features, self.names),
                "model_id": [self.version.model_id] * table.num_rows,
            }
        )
        data = canonical_parquet(forecasts, SCHEMA)
        return part_of(part_name(block_named(part.name), FORECASTS), forecasts, data), data
