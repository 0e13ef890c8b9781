"""Data validation with Great Expectations: it judges, Polars derives figures and points at the cells."""

from __future__ import annotations

import datetime as dt
import math
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from domain.registry.canonical import encode
from domain.registry.errors import Unavailable
from domain.registry.evidence import Attachment, DataValidation
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
from domain.risk.ports import ValidationReport
from domain.risk.price_anomalies import with_feature_anomalies, with_price_anomalies
from veritasvault.adapters.gx_docs import place_of, publish
from veritasvault.adapters.gx_import import great_expectations

EXAMPLES = 5
"""How many cells are shown for each expectation that is not met."""

_NATIVE = {"text": "str", "date": "datetime64", "number": "float64"}


@dataclass(frozen=True, slots=True)
class Table:
    """Rows or features, then the columns derived from them, and what is expected of both."""

    name: str
    frame: pl.DataFrame
    expectations: tuple[Expectation, ...]
    derived: tuple[str, ...] = ()


class GxValidator:
    """Checks rows and features in one checkpoint, and writes Data Docs per run.

    Args:
        directory: where reports go, one directory per run.
        checks: thresholds for raw prices.
    """

    def __init__(self, directory: Path, checks: PriceChecks | None = None) -> None:
        self._directory = directory
        self._checks = checks or PriceChecks()

    def validate(self, rows: Dataset, features: Dataset, run: str) -> ValidationReport:
        """Check both; `run` names the report, and the same run replaces its own report.

        Raises:
            IntegrityError: a part of a dataset changed.
            Unavailable: the report cannot be written.
        """
        prices, prepared = _frame(list(rows.tables())), _features_frame(features)
        tables = (_rows_table(prices, self._checks), _features_table(prepared, prices))
        building = self._directory / f".building-{uuid.uuid4().hex}"
        try:
            building.mkdir(parents=True)
            verdicts = _judge(tables, building, run)
            report = publish(building / "site", self._directory, run)
        except OSError as error:
            raise Unavailable(
                f"the report of {run} cannot be written to {self._directory} ({error}): "
                "free space or choose another place"
            ) from error
        finally:
            shutil.rmtree(building, ignore_errors=True)
        results = [result for table in tables for result in _results(table, verdicts[table.name])]
        failures = tuple(str(result["sentence"]) for result in results if not result["met"])
        content = encode({"checked": len(results), "failed": len(failures), "results": results})
        attachment = Attachment("data-validation.json", "application/json", content)
        return ValidationReport(DataValidation(len(results), failures), (attachment,), str(report))


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


def _rows_table(prices: pl.DataFrame, checks: PriceChecks) -> Table:
    expectations = row_expectations(checks)
    if not _fits(prices, expectations):
        return Table("rows", prices, _only_columns(expectations))
    frame = with_price_anomalies(prices, checks)
    return Table("rows", frame, expectations, tuple(frame.columns[3:]))


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


def _judge(tables: Sequence[Table], building: Path, run: str) -> dict[str, dict[int, bool]]:
    """Whether each expectation is met, by table and place; Data Docs go to `building/site`."""
    gx = great_expectations()
    context = _context(gx, building)
    source = context.data_sources.add_pandas("panel")
    definitions = []
    for table in tables:
        path = building / f"{table.name}.parquet"
        _staged(table.frame).write_parquet(path, compression="uncompressed")
        batch = source.add_parquet_asset(table.name, path=path).add_batch_definition(table.name)
        suite = gx.ExpectationSuite(table.name, expectations=_translated(gx.expectations, table))
        definition = gx.ValidationDefinition(name=table.name, data=batch, suite=context.suites.add(suite))
        definitions.append(context.validation_definitions.add(definition))
    checkpoint = gx.Checkpoint(
        name="panel",
        validation_definitions=definitions,
        actions=[gx.checkpoint.UpdateDataDocsAction(name="docs")],
        # Lists of all unexpected rows cost minutes on large failures; Polars points at the cells instead.
        result_format={"result_format": "BASIC", "partial_unexpected_count": EXAMPLES},
    )
    found = context.checkpoints.add(checkpoint).run(run_id=gx.RunIdentifier(run_name=place_of(run)))
    verdicts: dict[str, dict[int, bool]] = {table.name: {} for table in tables}
    for validation in found.run_results.values():
        verdict = verdicts[validation.suite_name]
        for result in validation.results:
            place = result.expectation_config.meta["place"]
            verdict[place] = bool(result.success) and verdict.get(place, True)
    return verdicts


def _context(gx: Any, building: Path) -> Any:
    """A project of its own, so that validations at the same time share nothing."""
    context = gx.get_context(mode="file", project_root_dir=building)
    context.variables.progress_bars = {"globally": False}
    site = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(building / "site")}
    context.update_data_docs_site(
        "local_site",
        {
            "class_name": "SiteBuilder",
            "show_how_to_buttons": False,
            "store_backend": site,
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        },
    )
    return context


def _staged(frame: pl.DataFrame) -> pl.DataFrame:
    """Types that pandas reads without making Python objects of cells."""
    return frame.with_columns(pl.col(pl.Date).cast(pl.Datetime("ms")))


def _translated(gxe: Any, table: Table) -> list[Any]:
    """Each expectation in Great Expectations' words; `place` in its meta says which of ours it is."""
    translated = []
    for place, item in enumerate(table.expectations):
        meta = {"place": place}
        match item:
            case Columns(kinds):
                names = [*(name for name, _ in kinds), *table.derived]
                translated.append(gxe.ExpectTableColumnsToMatchOrderedList(column_list=names, meta=meta))
                translated.extend(
                    gxe.ExpectColumnValuesToBeOfType(column=name, type_=_NATIVE[kind], meta=meta)
                    for name, kind in kinds
                )
            case Filled(column):
                translated.append(gxe.ExpectColumnValuesToNotBeNull(column=column, meta=meta))
            case Unique(columns):
                translated.append(gxe.ExpectCompoundColumnsToBeUnique(column_list=list(columns), meta=meta))
            case Between():
                translated.append(
                    gxe.ExpectColumnValuesToBeBetween(
                        column=item.column,
                        min_value=item.minimum,
                        max_value=item.maximum,
                        strict_min=item.open_below,
                        meta=meta,
                    )
                )
    return translated


def _results(table: Table, verdict: dict[int, bool]) -> list[dict[str, Any]]:
    """One plain record per expectation, with sentences for those that are not met; no times, no run."""
    return [_result(table, item, verdict[place]) for place, item in enumerate(table.expectations)]


def _result(table: Table, item: Expectation, met: bool) -> dict[str, Any]:
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
    bad = _unmet(table.frame, item)
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
