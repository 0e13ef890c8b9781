"""Data validation with Great Expectations: it judges, Polars derives figures and points at the cells."""

from __future__ import annotations

import datetime as dt
import math
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from domain.registry.canonical import encode
from domain.registry.errors import Unavailable
from domain.registry.evidence import Attachment, DataValidation
from domain.risk.block_store import BlockStore
from domain.risk.dataset import Dataset
from domain.risk.expectations import (
    Between,
    Columns,
    Expectation,
    Filled,
    PriceChecks,
    Unique,
    feature_expectations,
    row_expectations,
)
from domain.risk.feature_set import feature_table, label_parts
from domain.risk.judged_blocks import JudgedTable, Table
from domain.risk.ports import ValidationReport
from domain.risk.price_anomalies import with_feature_anomalies, with_price_anomalies
from veritasvault.adapters.gx_docs import Judged, publish
from veritasvault.adapters.gx_judgement import EXAMPLES, SITE, Verdicts, judge, judge_digest


class GxValidator:
    """Checks rows and features in one checkpoint, and writes Data Docs per run.

    Args:
        directory: where reports go, one directory per run.
        checks: thresholds for raw prices.
    """

    def __init__(self, directory: Path, checks: PriceChecks | None = None) -> None:
        self._directory = directory
        self._checks = checks or PriceChecks()

    def validate(
        self,
        rows: Dataset,
        features: Dataset,
        run: str,
        *,
        store: BlockStore | None = None,
        measures: Sequence[str] = (),
    ) -> ValidationReport:
        """Check both; `run` names the report, and the same run replaces its own report.

        Args:
            store: where it is kept which blocks met everything, so that they are not judged again; None
                judges all of them. What is found is the same.
            measures: columns that the rows have beside the price.

        Raises:
            IntegrityError: a part of a dataset changed.
            Unavailable: the report cannot be written.
        """
        prices, prepared = _frame(list(rows.tables())), _features_frame(features)
        judged_by = judge_digest()
        tables = [
            JudgedTable.of(table, judged_by, store)
            for table in (_rows_table(prices, self._checks, measures), _features_table(prepared, prices))
        ]
        building = self._directory / f".building-{uuid.uuid4().hex}"
        try:
            building.mkdir(parents=True)
            results = _judged(tables, building, run, store)
            judged = [
                Judged(table.table.name, table.table.frame.height, table.blocks, len(table.met))
                for table in tables
            ]
            report = publish(building / SITE, self._directory, run, judged, results)
        except OSError as error:
            raise Unavailable(
                f"the report of {run} cannot be written to {self._directory} ({error}): "
                "free space or choose another place"
            ) from error
        finally:
            shutil.rmtree(building, ignore_errors=True)
        failures = tuple(str(result["sentence"]) for result in results if not result["met"])
        content = encode({"checked": len(results), "failed": len(failures), "results": results})
        attachment = Attachment("data-validation.json", "application/json", content)
        return ValidationReport(DataValidation(len(results), failures), (attachment,), str(report))


def _judged(
    tables: Sequence[JudgedTable], building: Path, run: str, store: BlockStore | None
) -> list[dict[str, Any]]:
    """The results of all tables; Great Expectations judges what is not known, and what met all is kept."""
    unjudged = [table.unjudged for table in tables]
    asked = [
        part
        for table, part in zip(tables, unjudged, strict=True)
        if not part.frame.is_empty() or table.table.frame.is_empty()
    ]
    verdicts = judge(asked, building, run) if asked else {}
    if store is not None:
        _remember(tables, unjudged, verdicts, building, store)
    return [
        result
        for table, part in zip(tables, unjudged, strict=True)
        for result in _results(table.table, part, verdicts.get(part.name))
    ]


def _remember(
    tables: Sequence[JudgedTable],
    unjudged: Sequence[Table],
    verdicts: Verdicts,
    building: Path,
    store: BlockStore,
) -> None:
    """Keep what met everything; where something did not, the blocks without it are judged by themselves."""
    for table, part in zip(tables, unjudged, strict=True):
        verdict = verdicts.get(part.name, {})
        if all(verdict.values()):
            table.remember(store)
            continue
        unmet = [part.expectations[place] for place, met in verdict.items() if not met]
        spoiled = frozenset[int]().union(
            *(table.blocks_with(_unmet(part.frame, item)) for item in unmet if not isinstance(item, Columns))
        )
        rest = table.without(table.met | spoiled)
        if spoiled and not rest.frame.is_empty():
            again = judge([rest], building / f"rest-of-{part.name}", "", docs=False)
            if all(again[rest.name].values()):
                table.remember(store, spoiled)


def _features_frame(dataset: Dataset) -> pl.DataFrame:
    """Features with their target, which is found among the labels unless it is there already."""
    if not label_parts(dataset).parts:
        return _frame(list(dataset.tables()))
    return _frame([feature_table(dataset)])


def _frame(tables: Sequence[pa.Table]) -> pl.DataFrame:
    frames = [pl.DataFrame(pl.from_arrow(table)) for table in tables]
    if not frames:
        return pl.DataFrame(schema={"asset": pl.String, "date": pl.Date})
    plain = [frame.with_columns(pl.col(pl.Categorical).cast(pl.String)) for frame in frames]
    return pl.concat(plain, how="diagonal_relaxed")


def _rows_table(prices: pl.DataFrame, checks: PriceChecks, measures: Sequence[str]) -> Table:
    expectations = row_expectations(checks, measures)
    if not _fits(prices, expectations):
        return Table("rows", prices, _only_columns(expectations))
    frame = with_price_anomalies(prices, checks)
    return Table("rows", frame, expectations, tuple(frame.columns[prices.width :]))


def _features_table(prepared: pl.DataFrame, prices: pl.DataFrame) -> Table:
    """The last column is the target, those between it and the date are the features."""
    names = prepared.columns
    expectations = feature_expectations(names[2:-1], names[-1] if len(names) > 2 else "target")
    if not _fits(prepared, expectations) or not {"asset", "date"} <= set(prices.columns):
        return Table("features", prepared, _only_columns(expectations))
    numbers = pl.col(names[2:]).fill_nan(math.inf)  # pandas reads NaN as null, which a target may be
    frame = with_feature_anomalies(prepared.with_columns(numbers), prices, names[-1])
    return Table("features", frame, expectations, tuple(frame.columns[len(names) :]))


def _fits(frame: pl.DataFrame, expectations: Sequence[Expectation]) -> bool:
    """Whether the columns are what is expected; without them the other checks mean nothing."""
    columns = next(item for item in expectations if isinstance(item, Columns))
    return tuple((name, _kind(frame.schema[name])) for name in frame.columns) == columns.kinds


def _kind(dtype: pl.DataType) -> str:
    known: dict[Any, str] = {pl.String: "text", pl.Date: "date", pl.Float64: "number"}
    return known.get(dtype, str(dtype))


def _only_columns(expectations: Sequence[Expectation]) -> tuple[Expectation, ...]:
    return tuple(item for item in expectations if isinstance(item, Columns))


def _results(table: Table, judged: Table, verdict: Mapping[int, bool] | None) -> list[dict[str, Any]]:
    """One plain record per expectation, with sentences for those that are not met; no times, no run.

    Args:
        judged: the rows that the verdict is on; all others met everything.
        verdict: None where there are no such rows.
    """
    return [
        _result(table, judged.frame, item, verdict is None or verdict[place])
        for place, item in enumerate(table.expectations)
    ]


def _result(table: Table, judged: pl.DataFrame, item: Expectation, met: bool) -> dict[str, Any]:
    result: dict[str, Any] = {
        "table": table.name,
        "rows": table.frame.height,
        "expectation": type(item).__name__,
        **{name: _plain(value) for name, value in asdict(item).items() if name != "unmet"},
        "met": met,
    }
    if met:
        return result
    if isinstance(item, Columns):
        found = ", ".join(f"{name} ({_kind(table.frame.schema[name])})" for name in table.frame.columns)
        return result | {"unmet": 1, "sentence": f"{table.name}: {item.unmet.format(value=found)}"}
    bad = _unmet(judged, item)
    examples = [_cell(row, item) for row in bad.head(EXAMPLES).iter_rows(named=True)]
    sentence = item.unmet.format(**examples[0]) if examples else f"{item} could not be checked"
    more = f" (and {bad.height - 1} more)" if bad.height > 1 else ""
    return result | {
        "unmet": bad.height,
        "examples": examples,
        "sentence": f"{table.name}: {sentence}{more}",
    }


def _unmet(frame: pl.DataFrame, item: Filled | Unique | Between) -> pl.DataFrame:
    """The rows that do not meet an expectation, in order."""
    match item:
        case Filled(column):
            missing = pl.col(column).is_null()
            if frame.schema[column].is_float():
                missing |= pl.col(column).is_nan()
            return frame.filter(missing)
        case Unique(columns):
            return frame.filter(pl.struct(columns).is_first_distinct().not_())
        case Between():
            value = pl.col(item.column)
            below = value <= item.minimum if item.open_below else value < item.minimum
            return frame.filter(below | (value > item.maximum))


def _cell(row: dict[str, Any], item: Filled | Unique | Between) -> dict[str, Any]:
    column = getattr(item, "column", "")
    cell = {"asset": row.get("asset"), "date": row.get("date"), "column": column, "value": row.get(column)}
    if "{factor}" in item.unmet:
        cell["factor"] = f"{row['factor']:.4g}"
    return {name: _plain(value) for name, value in cell.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
