"""Forecasts by a registered version for the sessions that the rows end with, partition by partition."""

from __future__ import annotations

import datetime as dt
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from domain.registry.catalog import ModelCatalog
from domain.registry.errors import InvalidInput
from domain.registry.ledger.ledger import Ledger
from domain.registry.ports import VersionRow
from domain.risk.champions import champion_of
from domain.risk.pipeline import Features, ModelPipeline, PipelineParts, RunRequest
from domain.risk.problems import listed
from domain.risk.reproduction.record import TrainingRecord
from domain.risk.spec import ModelSpec

if TYPE_CHECKING:
    from domain.risk.dataset import Part
    from domain.risk.ports import ShippedVersionPort
    from domain.risk.scoring.forecast_sets import ForecastSet

_EPOCH = dt.date(1970, 1, 1)


class NotByRow(InvalidInput):
    """Versions of the problem do not answer with one figure for each row."""


class ScoringParts(PipelineParts, Protocol):
    """What a pipeline works with, and where the versions are that forecast."""

    @property
    def catalog(self) -> ModelCatalog: ...
    @property
    def ledger(self) -> Ledger: ...

    def shipped_version(self, reference: str) -> AbstractContextManager[ShippedVersionPort]:
        """A version, verified, that tasks on workers can open as long as the block lasts."""


class ModelScoring:
    """Forecasts by versions of a specification's name. Nothing in the registry changes."""

    def __init__(self, spec: ModelSpec, parts: ScoringParts) -> None:
        self._spec = spec
        self._parts = parts

    def champion(self) -> str | None:
        """The reference of the version in use; None if there is none, or nothing of the name."""
        return champion_of(self._parts.ledger, self._spec.name)

    def score(
        self, reference: str, request: RunRequest, engine: str, since: dt.date | None = None
    ) -> ForecastSet:
        """Forecast a run's session, and keep the forecasts; doing it again gives the same ones.

        Args:
            since: forecast all sessions from this day on. A version has seen those that it was trained on.

        Raises:
            NotByRow: there is no figure for each row.
            InvalidInput: the version has another name than the specification, cannot be run by ONNX Runtime,
                does not answer with one number for each row, or `since` is after the session.
            DataNotArrived: see `ModelPipeline.ingest`.
            IntegrityError, NotVerified, NotPermitted: see `veritas.load`.
            Unavailable: engine, registry or disk failed, or a worker did not find the version as it was
                verified; the same call may succeed later.
        """
        if not listed(self._spec.problem).by_row:
            raise NotByRow(
                "problem",
                self._spec.problem,
                "its versions answer for a window of sessions at once and not row by row, ask them by "
                "veritas.load",
            )
        row = self._parts.catalog.resolve(reference)
        if row.name != self._spec.name:
            raise InvalidInput("--spec", self._spec.name, f"give the specification of {row.name}")
        spec, assets = self._as_trained(row)
        pipeline = ModelPipeline(spec, self._parts)
        rows = pipeline.ingest(request if assets is None else replace(request, assets=assets))
        session = dt.date.fromisoformat(rows.session)
        first = session if since is None else since
        if first > session:
            raise InvalidInput("since", first.isoformat(), f"give a day not after the session, {session}")
        features = pipeline.prepare(rows, engine)
        return self._forecast(f"{row.name}@{row.version}", spec, features, engine, (first, session))

    def _as_trained(self, row: VersionRow) -> tuple[ModelSpec, tuple[str, ...] | None]:
        """The specification with the features that a version takes, whatever it says today, and its assets.

        Of one that was trained elsewhere nobody knows more than the specification.
        """
        if row.recipe is None:
            return self._spec, None
        inputs = TrainingRecord.read(self._parts.catalog, f"{row.name}@{row.version}").inputs
        return replace(self._spec, columns=inputs.columns, target=inputs.target), inputs.assets

    def _forecast(
        self,
        reference: str,
        spec: ModelSpec,
        features: Features,
        engine: str,
        sessions: tuple[dt.date, dt.date],
    ) -> ForecastSet:
        from pathlib import Path

        from domain.risk.dataset import Dataset
        from domain.risk.feature_set import feature_parts
        from domain.risk.features import feature_definition
        from domain.risk.scoring.forecast_sets import ForecastSet
        from domain.risk.scoring.part_forecasts import PartForecasts

        parts, (first, last) = self._parts, sessions
        dataset = feature_parts(parts.workspace.dataset(Path(features.path)))
        names = feature_definition(spec.columns, spec.target).columns
        days = ((first - _EPOCH).days, (last - _EPOCH).days)
        with (
            parts.shipped_version(reference) as version,
            parts.workspace.scratch() as scratch,
            parts.engine(engine) as executor,
        ):
            made = scratch / "forecasts"
            made.mkdir()
            task = PartForecasts(dataset, tuple(names), *days, version)
            found = executor.map(task, [part for part in dataset.parts if _overlaps(part, *days)])
            forecast = [one for one in found if one is not None]
            for part, data in forecast:
                (made / part.name).write_bytes(data)
            kept = Dataset.seal(made, [part for part, _ in forecast])
            return ForecastSet.keep(
                parts.workspace, kept, reference, version.model_id, first.isoformat(), last.isoformat()
            )


def _overlaps(part: Part, first: int, last: int) -> bool:
    """Whether a part's block has any of the days."""
    from domain.risk.blocks import BLOCK_DAYS, block_named

    start = block_named(part.name)
    return start <= last and first < start + BLOCK_DAYS
