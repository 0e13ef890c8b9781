"""Each step of a second training, compared with what the version's record says of the first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from domain.registry.canonical import Digest, digest_of
from domain.registry.errors import IntegrityError, InvalidInput, NotFound
from domain.risk.reproduction.differences import (
    ForecastDifference,
    TableDifference,
    differing_parts,
    environment_differences,
    forecast_difference,
    table_difference,
)
from domain.risk.reproduction.findings import Finding, forecasts_in_words, in_words, settings_in_words
from domain.risk.reproduction.inputs import PartRecord
from domain.risk.reproduction.record import TrainingRecord
from domain.risk.reproduction.retraining import ARTIFACT, FEATURES, ROWS, Step
from domain.risk.workspace import artifact_in

if TYPE_CHECKING:
    import pyarrow as pa

    from domain.risk.dataset import Dataset
    from domain.risk.workspace import Workspace

Floats = NDArray[np.float64]

Forecasts = Callable[[Path, Floats], Floats]
"""The forecasts (n,) of the model in a directory for features (n, k). Raises InvalidInput."""


@dataclass(frozen=True, slots=True)
class Comparisons:
    """Compares steps with a record.

    Attributes:
        directory: where the second training leaves its results.
        registered: a directory with the registered artifact, verified.
        workspace: rows and features of the first training may still be there.
    """

    record: TrainingRecord
    directory: Path
    registered: Path
    forecasts: Forecasts
    workspace: Workspace

    def of(self, step: Step) -> Finding:
        """What the step gave, beside the record."""
        compare = {
            "code": self._code,
            "environment": self._environment,
            "data": self._data,
            "features": self._features,
            "training": self._training,
        }
        return compare[step.name](step.found)

    def _code(self, found: Mapping[str, Any]) -> Finding:
        lineage = self.record.lineage
        if found["sources"] != lineage.sources:
            return Finding(
                "code", lineage.sources, found["sources"], False, "the pipeline's sources are others"
            )
        same = found["features"] == lineage.features
        amount = "" if same else "the code of the features is another"
        return Finding("code", lineage.features, found["features"], same, amount)

    def _environment(self, found: Mapping[str, Any]) -> Finding:
        here, recorded = found["environment"], self.record.lineage.environment
        actual = digest_of(here)
        if actual == recorded:
            return Finding("environment", recorded, actual, True)
        differing = environment_differences(self.record.environment, here)
        amount = settings_in_words(differing) or "the recorded environment was not kept"
        return Finding("environment", recorded, actual, False, amount, settings=differing)

    def _data(self, found: Mapping[str, Any]) -> Finding:
        recorded, actual = self.record.lineage.data, Digest(found["digest"])
        if actual == recorded:
            return Finding("data", recorded, actual, True)
        table = self._compared("rows", recorded, _rows_of, ROWS)
        amount = _amount(table, self.record.inputs.rows, found["parts"], "rows")
        return Finding("data", recorded, actual, False, amount, table=table)

    def _features(self, found: Mapping[str, Any]) -> Finding:
        recorded, actual = self.record.inputs.feature_set, Digest(found["digest"])
        if recorded is None or actual == recorded:
            return Finding("features", recorded, actual, True)
        table = self._compared("features", recorded, _features_of, FEATURES)
        amount = _amount(table, self.record.inputs.features, found["parts"], "rows of features")
        return Finding("features", recorded, actual, False, amount, table=table)

    def _training(self, _found: Mapping[str, Any]) -> Finding:
        # Hashed here and not by the recorded code, whose word nobody has to take for it.
        recorded, actual = self.record.version.manifest.artifact, artifact_in(self.directory / ARTIFACT)
        if actual.digest == recorded.digest:
            return Finding("training", recorded.digest, actual.digest, True)
        one, other = ({file.path: file.sha256 for file in made.files} for made in (recorded, actual))
        files = ", ".join(sorted(path for path in {*one, *other} if one.get(path) != other.get(path)))
        try:
            difference = self._forecasts()
        except InvalidInput as error:
            amount = f"{files} differ, and the forecasts cannot be compared: {error}"
            return Finding("training", recorded.digest, actual.digest, False, amount)
        if difference.changed:
            amount = forecasts_in_words(difference)
            return Finding("training", recorded.digest, actual.digest, False, amount, forecasts=difference)
        amount = f"{files} differ, all {difference.rows} forecasts are the same"
        return Finding("export", recorded.digest, actual.digest, False, amount, forecasts=difference)

    def _forecasts(self) -> ForecastDifference:
        """Of the registered model and the one trained again, on the rows that this was trained on."""
        table = pq.read_table(self.directory / FEATURES)
        names = [name for name in table.column_names if name not in ("asset", "date")][:-1]
        features = np.column_stack([table.column(name).to_numpy() for name in names])
        made = [self.forecasts(place, features) for place in (self.registered, self.directory / ARTIFACT)]
        return forecast_difference(table, *made)

    def _compared(
        self, kind: str, digest: Digest, read: Callable[[Dataset], pa.Table], found: str
    ) -> TableDifference | None:
        """Row by row, if the workspace still has the dataset of the first training as it was."""
        # What is gone, was changed or was written by a later commit only costs the figures.
        with suppress(NotFound, IntegrityError, InvalidInput, OSError, ValueError, KeyError, TypeError):
            dataset = self.workspace.dataset(self.workspace.place(kind, digest))
            if dataset.digest == digest:
                return table_difference(read(dataset), pq.read_table(self.directory / found))
        return None


def _rows_of(dataset: Dataset) -> pa.Table:
    from domain.risk.dataset import in_order

    return in_order(list(dataset.tables()))


def _features_of(dataset: Dataset) -> pa.Table:
    from domain.risk.feature_set import feature_table

    return feature_table(dataset)


def _amount(
    table: TableDifference | None,
    recorded: Sequence[PartRecord] | None,
    found: Sequence[PartRecord],
    what: str,
) -> str:
    """Rows that differ, if both tables are here; else the parts that do, which the record lists."""
    if table is not None and (table.rows or table.lacking):
        return in_words(table, what)
    if recorded is None:
        return f"the {what} are others; the version's record lists no parts of them to compare with"
    names = differing_parts(recorded, found)
    return (
        f"{len(names)} of {len(recorded)} parts of the {what} differ, the first is {names[0]}; "
        "the ones of the first training are not in the workspace any more"
        if names
        else f"the {what} are others"
    )
