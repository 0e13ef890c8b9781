"""Forecasts that were kept: a dataset in the workspace, at its content's address, and how it is found."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import pyarrow as pa

from domain.registry.errors import IntegrityError, NotFound
from domain.registry.metadata import as_model_name
from domain.risk.dataset import Dataset
from domain.risk.workspace import Workspace

_RECORD = "forecasts.json"


@dataclass(frozen=True, slots=True)
class ForecastSet:
    """Reference to the forecasts of one version.

    Attributes:
        reference: NAME@VERSION of the version that forecast.
        first, session: the first and the last session, YYYY-MM-DD.
        digest: of the dataset; the same rows, version and sessions give the same one.
        path: its directory.
    """

    reference: str
    model_id: str
    first: str
    session: str
    rows: int
    digest: str
    path: str

    @classmethod
    def keep(
        cls, workspace: Workspace, made: Dataset, reference: str, model_id: str, first: str, session: str
    ) -> Self:
        """Move a finished dataset to its address; the same one may be there already."""
        name = reference.partition("@")[0]
        home = workspace.place(_kind(name), made.digest)
        found = cls(reference, model_id, first, session, made.rows, made.digest, str(home))
        (made.root / _RECORD).write_text(json.dumps(asdict(found)))
        workspace.keep(made.root, _kind(name), made.digest)
        return found

    def table(self) -> pa.Table:
        """Asset, date, forecast and model id of each row, in the order of sessions' blocks.

        Raises:
            IntegrityError: the dataset is not the one that was kept.
            NotFound: it is gone.
        """
        dataset = Dataset.open(Path(self.path))
        if dataset.digest != self.digest:
            raise IntegrityError(f"forecasts {self.path} changed: their digest is another")
        return pa.concat_tables([table.cast(_plain(table.schema)) for table in dataset.tables()])


def newest(workspace: Workspace, name: str, session: dt.date | None = None) -> ForecastSet:
    """The forecasts of a name for a session, else for its last one; of several those of the last run.

    Raises:
        InvalidInput: no such name can be.
        NotFound: there are none.
    """
    found = [
        (one.session, place.stat().st_mtime_ns, one)
        for place, one in _kept(workspace, as_model_name("NAME", name))
        if session is None or one.session == session.isoformat()
    ]
    if not found:
        when = "" if session is None else f" for {session}"
        raise NotFound(f"no forecasts of {name}{when} are kept: run the DAG score_models")
    return max(found, key=lambda each: each[:2])[2]


def _kept(workspace: Workspace, name: str) -> Iterator[tuple[Path, ForecastSet]]:
    for place in workspace.kept(_kind(name)):
        try:
            record: dict[str, Any] = json.loads((place / _RECORD).read_bytes())
        except FileNotFoundError:
            continue  # removed meanwhile
        # Where it lies is known; the workspace may have moved.
        yield place, ForecastSet(**{**record, "path": str(place)})


def _kind(name: str) -> str:
    return f"forecasts/{name}"


def _plain(schema: pa.Schema) -> pa.Schema:
    """The schema with texts as texts, not as dictionaries that differ from part to part."""
    return pa.schema(
        [(each.name, pa.string() if pa.types.is_dictionary(each.type) else each.type) for each in schema]
    )
