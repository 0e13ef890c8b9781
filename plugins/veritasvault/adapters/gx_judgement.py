"""Great Expectations judges tables: our expectations in its words, one checkpoint, and Data Docs of it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl

from domain.registry.canonical import Digest, digest, digest_of
from domain.risk.expectations import Between, Columns, Filled, Unique
from domain.risk.judged_blocks import Table
from veritasvault.adapters.gx_docs import place_of
from veritasvault.adapters.gx_import import great_expectations

EXAMPLES = 5
"""How many cells are shown for each expectation that is not met."""

SITE = "site"
"""The directory below `building` that Data Docs go to."""

Verdicts = dict[str, dict[int, bool]]
"""Whether each expectation is met, by table and place."""

_NATIVE = {"text": "str", "date": "datetime64", "number": "float64"}


def judge_digest() -> Digest:
    """Digest of all that could change a verdict on the same cells: this module and the packages it uses."""
    packages = {name: version(name) for name in ("great-expectations", "pandas", "polars", "pyarrow")}
    return digest_of({"code": digest(Path(__file__).read_bytes()), "packages": packages})


def judge(tables: Sequence[Table], building: Path, run: str, *, docs: bool = True) -> Verdicts:
    """Judge tables in the directory `building`; Data Docs, named by the run, go to its `SITE`."""
    gx = great_expectations()
    building.mkdir(parents=True, exist_ok=True)
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
        # Lists of all unexpected rows cost minutes on large failures; Polars points at the cells instead.
        result_format={"result_format": "BASIC", "partial_unexpected_count": EXAMPLES},
    )
    found = context.checkpoints.add(checkpoint).run(run_id=gx.RunIdentifier(run_name=place_of(run)))
    if docs:
        # Once for all tables: as an action of the checkpoint they would be built anew after each.
        context.build_data_docs()
    verdicts: Verdicts = {table.name: {} for table in tables}
    for validation in found.run_results.values():
        verdict = verdicts[validation.suite_name]
        for result in validation.results:
            place = result.expectation_config.meta["place"]
            verdict[place] = bool(result.success) and verdict.get(place, True)
    return verdicts


def _context(gx: Any, building: Path) -> Any:
    """A project of its own in memory, so that validations at the same time share nothing.

    One on disk reads its YAML anew a hundred times.
    """
    from great_expectations.data_context.types.base import DataContextConfig, InMemoryStoreBackendDefaults

    site = {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": {
            "class_name": "TupleFilesystemStoreBackend",
            "base_directory": str(building / SITE),
        },
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }
    # Left to itself, it makes a directory for a site of its own, and leaves it.
    stores = InMemoryStoreBackendDefaults(init_temp_docs_sites=False)
    config = DataContextConfig(store_backend_defaults=stores, data_docs_sites={"local_site": site})
    context = gx.get_context(mode="ephemeral", project_config=config)
    context.variables.progress_bars = {"globally": False}
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
