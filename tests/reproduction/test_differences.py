"""By how much tables, parts, environments and forecasts differ; and the inputs that a version keeps."""

from __future__ import annotations

import datetime as dt
import math
import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.registry.canonical import Digest, digest, digest_of
from domain.registry.card import to_html
from domain.registry.card.blocks import Card, Facts, Section, Table
from domain.registry.errors import IntegrityError
from domain.risk.reproduction.differences import (
    by_size,
    differing_parts,
    environment_differences,
    forecast_difference,
    table_difference,
)
from domain.risk.reproduction.findings import Finding, in_words, judge
from domain.risk.reproduction.inputs import TrainingInputs
from domain.risk.reproduction.report import details
from tests.registry.test_checkpoint import GOLDEN, REWRITE

KEYS = st.tuples(st.sampled_from("abc"), st.integers(0, 5))
VALUES = st.floats(-10, 10) | st.just(math.nan) | st.none()
TABLES = st.dictionaries(KEYS, st.tuples(VALUES, VALUES), max_size=12)


def table(rows: dict[tuple[str, int], tuple[float | None, float | None]]) -> pa.Table:
    keys = sorted(rows)
    return pa.table(
        {
            "asset": pa.array([asset for asset, _ in keys], pa.string()).dictionary_encode(),
            "date": pa.array([dt.date(2020, 1, 1 + day) for _, day in keys], pa.date32()),
            "x": pa.array([rows[key][0] for key in keys], pa.float64()),
            "y": pa.array([rows[key][1] for key in keys], pa.float64()),
        }
    )


def same(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return one == other or (math.isnan(one) and math.isnan(other))


@given(TABLES, TABLES)
def test_a_difference_of_tables_is_what_a_loop_over_their_rows_finds(recorded: dict, found: dict) -> None:  # type: ignore[type-arg]
    """Rows missing, new and changed; for each column how many, and the largest difference of numbers."""
    difference = table_difference(table(recorded), table(found))
    both = recorded.keys() & found.keys()
    changed = {
        name: [key for key in both if not same(recorded[key][place], found[key][place])]
        for place, name in enumerate("xy")
    }
    assert difference.only_recorded == len(recorded.keys() - found.keys())
    assert difference.only_found == len(found.keys() - recorded.keys())
    assert (difference.both, difference.changed) == (len(both), len({*changed["x"], *changed["y"]}))
    assert {one.name: one.changed for one in difference.columns} == {
        name: len(keys) for name, keys in changed.items() if keys
    }
    for one in difference.columns:
        place = "xy".index(one.name)
        sizes = [
            abs(recorded[key][place] - found[key][place])
            for key in changed[one.name]
            if None not in (recorded[key][place], found[key][place])
        ]
        numbers = [size for size in sizes if not math.isnan(size)]
        assert one.largest == (max(numbers) if numbers else None)
        key = (one.asset, dt.date.fromisoformat(one.date).day - 1)
        assert key in changed[one.name]
        assert same(one.recorded, recorded[key][place])
        assert same(one.found, found[key][place])


def test_a_column_that_only_one_table_has_is_named() -> None:
    one = table({("a", 1): (1.0, 2.0)})
    difference = table_difference(one, one.drop_columns(["y"]))
    assert (difference.rows, difference.lacking) == (0, ("y",))
    assert "only one of the two has y" in in_words(difference, "rows")


def test_words_name_the_largest_difference() -> None:
    difference = table_difference(
        table({("a", 1): (1.0, 2.0), ("b", 1): (1.0, 2.0), ("c", 1): (1.0, 2.0)}),
        table({("a", 1): (1.0, 2.25), ("b", 1): (1.5, 2.0)}),
    )
    assert in_words(difference, "rows") == (
        "3 of 3 rows differ, 1 of them missing, most in x of b on 2020-01-02: 1.5 instead of 1"
    )


def test_parts_differ_by_content_or_by_being_there() -> None:
    one, other = ({"name": name, "sha256": digest(name.encode()), "rows": 1} for name in ("a", "b"))
    assert differing_parts([one, other], [one, {**other, "sha256": digest(b"x")}]) == ("b",)
    assert differing_parts([one], [one, other]) == ("b",)
    assert differing_parts([one, other], [one, other]) == ()


def test_environments_differ_setting_by_setting() -> None:
    recorded = {"python": "CPython 3.11", "packages": {"numpy": "2.4", "scipy": "1.17"}}
    found = {"python": "CPython 3.11", "packages": {"numpy": "2.5", "polars": "2.1"}}
    differences = environment_differences(recorded, found)
    assert [(one.name, one.recorded, one.found) for one in differences] == [
        ("numpy", "2.4", "2.5"),
        ("polars", None, "2.1"),
        ("scipy", "1.17", None),
    ]


def test_forecasts_differ_by_their_bits_and_the_worst_is_named() -> None:
    rows = table({("a", 1): (1.0, 1.0), ("b", 1): (1.0, 1.0), ("c", 1): (1.0, 1.0)})
    found = forecast_difference(rows, np.array([0.1, 0.2, 0.3]), np.array([0.1, 0.25, 0.31]))
    assert (found.rows, found.changed, found.asset, found.date) == (3, 2, "b", "2020-01-02")
    assert found.largest == pytest.approx(0.05)
    assert found.relative == pytest.approx(0.25)


ONE, OTHER = digest(b"one"), digest(b"other")


@given(
    st.lists(
        st.tuples(st.floats(allow_infinity=False), st.floats(allow_infinity=False)).filter(
            lambda pair: not same(*pair)
        ),
        min_size=1,
    )
)
def test_every_value_that_differs_is_counted_once_by_the_size_of_its_difference(
    pairs: list[tuple[float, float]],
) -> None:
    recorded, found = (np.array(side) for side in zip(*pairs, strict=True))
    assert sum(count.rows for count in by_size(recorded, found)) == len(pairs)


def test_sizes_are_counted_between_powers_of_ten_and_what_has_none_apart() -> None:
    """Empty places in between are kept, so that a drawing has a scale."""
    recorded = np.array([1.0, 1.0, 200.0, 0.0, math.nan, 1.0])
    found = np.array([1.002, 1.005, 201.0, 1.0, 1.0, 1.5])
    assert [(count.share, count.rows) for count in by_size(recorded, found)] == [
        ("1e-3 to 1e-2", 3),
        ("1e-2 to 1e-1", 0),
        ("1e-1 to 1e0", 1),
        ("missing, or recorded as 0", 2),
    ]


def test_the_report_draws_how_the_differences_are_distributed() -> None:
    """Of forecasts, and of the column that differs most; as bars of one page that loads nothing."""
    keys = {("A", day): (float(day), 1.0) for day in range(1, 4)}
    more = {("A", day): (1.5 * day, 1.0) for day in range(1, 4)}
    forecasts = forecast_difference(table(keys), np.array([1.0, 1.0, 1.0]), np.array([1.0, 1.0 + 1e-9, 1.2]))
    finding = Finding(
        "training",
        ONE,
        OTHER,
        same=False,
        amount="it differs",
        table=table_difference(table(keys), table(more)),
        forecasts=forecasts,
    )
    drawn = [block for block in details(finding) if isinstance(block, Table) and block.bars == (1,)]
    assert [block.rows[0] for block in drawn] == [("1e-1 to 1e0", 3), ("1e-9 to 1e-8", 1)]
    page = to_html(Card("t", "l", Facts(()), "f", (Section("training", "Training", tuple(drawn)),)))
    assert page.count('class="bar"') >= 3
    assert "src=" not in page
    assert set(re.findall(r'href="(.)', page)) == {"#"}


def found_at(*stages: str) -> tuple[Finding, ...]:
    return tuple(Finding(stage, ONE, OTHER, False, f"{stage} differs") for stage in stages)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("stages", "artifact", "first"),
    [
        ((), ONE, None),
        (("environment",), ONE, None),
        (("training", "data", "features"), OTHER, "data"),
        (("code", "training"), OTHER, "code"),
        (("code",), None, "code"),
        (("export",), OTHER, "export"),
    ],
)
def test_the_same_artifact_decides_and_otherwise_the_first_stage(
    stages: tuple[str, ...], artifact: Digest | None, first: str | None
) -> None:
    """Whatever order the findings come in."""
    verdict = judge(found_at(*stages), ONE, artifact, 0.0)
    assert (verdict.stage, verdict.reproduced) == (first, first is None)
    if first is not None:
        assert verdict.reason == f"{first} differs"


INPUTS = TrainingInputs(
    ("rv_1", "domain.risk.downside:worst_day_21"),
    "realised_volatility_5_ahead",
    ("AAPL", "KO"),
    ({"name": "2022-11-28.parquet", "rows": 10, "sha256": digest(b"rows"), "size": 7, "listed": ["KO"]},),
    ({"name": "features-2022-11-28.parquet", "rows": 9, "sha256": digest(b"f"), "size": 7, "listed": []},),
    0.000001,
)


def test_inputs_have_the_golden_bytes() -> None:
    """A version registered today reads forever; REWRITE_GOLDEN=1 rewrites the file on purpose."""
    file = GOLDEN / "inputs.json"
    if REWRITE:
        file.write_bytes(INPUTS.attachment().content)
    assert INPUTS.attachment().content == file.read_bytes()
    assert TrainingInputs.from_bytes(file.read_bytes()) == INPUTS
    assert INPUTS.feature_set == digest_of([dict(part) for part in INPUTS.features or ()])


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"format":"veritasvault/inputs/v2"}'])
def test_no_other_bytes_are_inputs(data: bytes) -> None:
    with pytest.raises(IntegrityError, match=r"inputs\.json"):
        TrainingInputs.from_bytes(data)
