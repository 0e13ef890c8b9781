"""Data validation: the real panel passes, and what is spoiled is named with its asset and date."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from domain.registry.canonical import decode
from domain.registry.errors import IntegrityError, Unavailable
from domain.risk.dataset import Dataset, write_part
from domain.risk.history import all_rows
from domain.risk.ports import ValidationReport
from domain.risk.rows import canonical_rows
from veritasvault.adapters.gx_validator import GxValidator
from veritasvault.adapters.uri_source import UriSource

FEATURES = ("log_return", "rv_5", "drawdown_252", "market_vol_21")
TARGET = "realised_volatility_5_ahead"


@pytest.fixture(scope="module")
def panel(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """The whole sample panel."""
    home = tmp_path_factory.mktemp("panel")
    rows = canonical_rows(
        UriSource().fetch("sample://sp500", home), dt.date(2022, 12, 28), None, home / "rows"
    )
    return pl.DataFrame(pl.from_arrow(all_rows(rows.dataset).table())).cast({"asset": pl.String})


@pytest.fixture(scope="module")
def recent(panel: pl.DataFrame) -> pl.DataFrame:
    """Its last three years, quicker to check."""
    return panel.filter(pl.col("date") >= dt.date(2020, 1, 1))


def features_of(rows: pl.DataFrame) -> pl.DataFrame:
    """Features of the right shape and range; what they mean does not matter to a validation."""
    move = pl.col("close").log().diff().over("asset")
    last = pl.col("date").rank("ordinal", descending=True).over("asset")
    return (
        rows.sort("asset", "date")
        .with_columns(log_return=move)
        .drop_nulls()
        .with_columns(
            rv_5=pl.col("log_return").abs(),
            drawdown_252=-pl.col("log_return").abs().clip(0.0, 0.9),
            market_vol_21=pl.lit(0.2),
        )
        .with_columns(pl.when(last > 5).then(pl.col("rv_5")).alias(TARGET))
        .select("asset", "date", *FEATURES, TARGET)
    )


def dataset(frame: pl.DataFrame, home: Path) -> Dataset:
    """A frame in parts, as given: unsorted and wrong rows stay so."""
    home.mkdir(parents=True)
    names = frame.get_column("asset").unique(maintain_order=True).to_list() or [None]
    parts = []
    for number, first in enumerate(range(0, len(names), 8)):
        kept = frame.filter(pl.col("asset").is_in(names[first : first + 8], nulls_equal=True))
        table = kept.to_arrow()
        parts.append(write_part(table, home / f"part-{number:05d}.parquet", _plain(table.schema)))
    return Dataset.seal(home, parts)


def _plain(schema: Any) -> Any:
    import pyarrow as pa

    texts = (pa.large_string(), pa.string_view())
    return pa.schema([(f.name, pa.string() if f.type in texts else f.type) for f in schema])


def validate(
    rows: pl.DataFrame, tmp_path: Path, features: pl.DataFrame | None = None, run: str = "a run"
) -> ValidationReport:
    if features is None:
        features = features_of(rows.drop_nulls().filter(pl.col("close") > 0).unique(["asset", "date"]))
    home = tmp_path / f"data-{len(list(tmp_path.iterdir()))}"
    return GxValidator(tmp_path / "reports").validate(
        dataset(rows, home / "rows"), dataset(features, home / "features"), run
    )


def cell(asset: str, date: str) -> pl.Expr:
    return (pl.col("asset") == asset) & (pl.col("date") == dt.date.fromisoformat(date))


def test_the_sample_panel_passes(panel: pl.DataFrame, tmp_path: Path) -> None:
    report = validate(panel, tmp_path)
    assert report.summary.failures == ()
    assert report.summary.checked >= 20


@pytest.mark.parametrize(
    ("asset", "date", "factor", "shown"),
    [
        ("AAPL", "2021-03-03", 0.5, "0.48"),
        ("MSFT", "2022-12-28", 1 / 3, "0.3299"),
        ("XOM", "2020-06-01", 10.0, "10"),
    ],
)
def test_a_split_without_adjustment_is_named(
    asset: str, date: str, factor: float, shown: str, recent: pl.DataFrame, tmp_path: Path
) -> None:
    after = (pl.col("asset") == asset) & (pl.col("date") >= dt.date.fromisoformat(date))
    spoiled = recent.with_columns(close=pl.when(after).then(pl.col("close") * factor).otherwise("close"))
    (failure,) = validate(spoiled, tmp_path).summary.failures
    named = rf"rows: {asset} jumps by a factor of {shown}\S* on {date}, like a split without adjustment"
    assert re.fullmatch(named, failure)


def test_a_crash_that_recovers_is_no_split(recent: pl.DataFrame, tmp_path: Path) -> None:
    bad = cell("AAPL", "2021-03-01")
    spoiled = recent.with_columns(close=pl.when(bad).then(pl.col("close") * 0.5).otherwise("close"))
    assert validate(spoiled, tmp_path).summary.failures == ()


def test_a_stale_price_is_named(recent: pl.DataFrame, tmp_path: Path) -> None:
    days = recent.filter(pl.col("asset") == "JPM")["date"].sort()
    still = (pl.col("asset") == "JPM") & pl.col("date").is_between(days[300], days[311])
    value = recent.filter(cell("JPM", str(days[300])))["close"][0]
    spoiled = recent.with_columns(close=pl.when(still).then(value).otherwise("close"))
    assert validate(spoiled, tmp_path).summary.failures == (
        f"rows: JPM has the same close on 12 sessions in a row up to {days[311]}",
    )


def test_a_gap_is_named(recent: pl.DataFrame, tmp_path: Path) -> None:
    days = recent.filter(pl.col("asset") == "KO")["date"].sort()
    spoiled = recent.filter(~((pl.col("asset") == "KO") & pl.col("date").is_between(days[100], days[105])))
    assert validate(spoiled, tmp_path).summary.failures == (
        f"rows: KO misses 6 sessions in a row before {days[106]}",
    )


def test_sessions_that_all_assets_miss_are_named(recent: pl.DataFrame, tmp_path: Path) -> None:
    spoiled = recent.filter(~pl.col("date").is_between(dt.date(2021, 5, 1), dt.date(2021, 5, 31)))
    (failure,) = validate(spoiled, tmp_path).summary.failures
    assert failure.startswith(
        "rows: no asset has a row in the 32 days before 2021-06-01, where AAPL goes on (and 19 more)"
    )


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (None, "rows: PG on 2021-03-01 has no close"),
        (float("nan"), "rows: PG on 2021-03-01 has no close"),
        (-1.5, "rows: PG on 2021-03-01 has a close of -1.5"),
        (0.0, "rows: PG on 2021-03-01 has a close of 0.0"),
        (float("inf"), "rows: PG on 2021-03-01 has a close of inf"),
    ],
)
def test_a_price_that_is_none_is_named(
    value: float | None, sentence: str, recent: pl.DataFrame, tmp_path: Path
) -> None:
    bad = cell("PG", "2021-03-01")
    spoiled = recent.with_columns(close=pl.when(bad).then(pl.lit(value, pl.Float64)).otherwise("close"))
    features = features_of(recent)
    assert sentence in validate(spoiled, tmp_path, features).summary.failures


def test_a_duplicate_is_named(recent: pl.DataFrame, tmp_path: Path) -> None:
    spoiled = pl.concat([recent, recent.filter(cell("GE", "2021-03-01"))]).sort("asset", "date")
    failures = validate(spoiled, tmp_path, features_of(recent)).summary.failures
    assert failures == ("rows: GE on 2021-03-01 has more than one row",)


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (pl.col("close").cast(pl.String), "asset (text), date (date), close (text)"),
        (pl.col("close").alias("price"), "asset (text), date (date), close (number), price (number)"),
    ],
)
def test_wrong_columns_are_named(spoil: pl.Expr, found: str, recent: pl.DataFrame, tmp_path: Path) -> None:
    failures = validate(recent.with_columns(spoil), tmp_path, features_of(recent)).summary.failures
    assert failures == (f"rows: the columns or their types differ: {found}",)


@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [
        ("rv_5", -0.1, "features: CVX on 2021-03-01 has rv_5 -0.1, outside of its bounds"),
        ("rv_5", float("nan"), "features: CVX on 2021-03-01 has rv_5 inf, outside of its bounds"),
        ("rv_5", None, "features: CVX on 2021-03-01 has no rv_5"),
        ("market_vol_21", 70.0, "features: CVX on 2021-03-01 has market_vol_21 70.0, outside of its bounds"),
        ("drawdown_252", 0.1, "features: CVX on 2021-03-01 has drawdown_252 0.1, outside of its bounds"),
        (
            "log_return",
            float("-inf"),
            "features: CVX on 2021-03-01 has log_return -inf, outside of its bounds",
        ),
        (TARGET, float("nan"), f"features: CVX on 2021-03-01 has {TARGET} inf, outside of its bounds"),
        (TARGET, None, "features: CVX on 2021-03-01 has no target although later rows have one"),
    ],
)
def test_a_feature_out_of_its_range_is_named(
    column: str, value: float | None, sentence: str, recent: pl.DataFrame, tmp_path: Path
) -> None:
    bad = cell("CVX", "2021-03-01")
    spoiled = features_of(recent).with_columns(
        pl.when(bad).then(pl.lit(value, pl.Float64)).otherwise(column).alias(column)
    )
    assert validate(recent, tmp_path, spoiled).summary.failures == (sentence,)


def test_features_without_a_price_are_named(recent: pl.DataFrame, tmp_path: Path) -> None:
    short = recent.filter(pl.col("date") < dt.date(2022, 12, 28))
    (failure,) = validate(short, tmp_path, features_of(recent)).summary.failures
    assert failure == "features: AAPL on 2022-12-28 has features but no price (and 19 more)"


def test_the_attachment_is_canonical_and_the_same_on_every_run(recent: pl.DataFrame, tmp_path: Path) -> None:
    spoiled = recent.filter(~cell("KO", "2021-03-01")).with_columns(
        close=pl.when(cell("PG", "2021-03-01")).then(float("inf")).otherwise("close")
    )
    features = features_of(recent)
    one, two = (validate(spoiled, tmp_path, features, run) for run in ("one", "two"))
    assert one.attachments == two.attachments
    (attachment,) = one.attachments
    assert (attachment.name, attachment.media_type) == ("data-validation.json", "application/json")
    content = decode(attachment.content, "the attachment")
    assert isinstance(content, dict)
    assert content["checked"] == one.summary.checked == len(content["results"])
    sentences = tuple(result["sentence"] for result in content["results"] if not result["met"])
    assert sentences == one.summary.failures != ()


def test_the_report_can_be_read_offline_and_a_rerun_replaces_it(recent: pl.DataFrame, tmp_path: Path) -> None:
    run = "manual__2022-12-28T00:00:00+00:00 <b>"
    first, again = validate(recent, tmp_path, run=run), validate(recent, tmp_path, run=run)
    assert first.report == again.report
    page = Path(first.report)
    pages = list(page.parent.rglob("*.html"))
    assert len([path for path in pages if "validations" in path.parts]) == 2
    loading = re.compile(
        r"""<(?:script|img|iframe)[^>]*src=["']?https?:|<link[^>]*href=["']?https?:|url\(['"]?http"""
    )
    for path in pages:
        assert not loading.search(path.read_text()), path
    for link in re.findall(r'href="((?:validations|expectations)[^"]*)"', page.read_text()):
        assert (page.parent / link).is_file(), link
    index = (tmp_path / "reports" / "index.html").read_text()
    assert index.count("<li>") == 1
    assert "manual__2022-12-28T00:00:00+00:00 &lt;b&gt;" in index
    assert f'href="{page.parent.name}/index.html"' in index
    assert sorted(path.name for path in (tmp_path / "reports").iterdir()) == sorted(
        [".lock", "index.html", page.parent.name]
    )


CHECK = (
    "import sys; from pathlib import Path\n"
    "from domain.risk.dataset import Dataset\n"
    "from veritasvault.adapters.gx_validator import GxValidator\n"
    "from veritasvault.adapters.gx_import import great_expectations; great_expectations()\n"
    "rows, features, reports = (Path(argument) for argument in sys.argv[1:4])\n"
    "print('ready', flush=True); sys.stdin.readline()\n"
    "report = GxValidator(reports).validate(Dataset.open(rows), Dataset.open(features), sys.argv[4])\n"
    "print(report.report, report.summary.failures)\n"
)


def test_four_processes_may_report_to_one_directory_at_once(recent: pl.DataFrame, tmp_path: Path) -> None:
    """Two for the same run, and two for runs of their own, all started together."""
    rows, features, reports = tmp_path / "rows", tmp_path / "features", tmp_path / "reports"
    dataset(recent, rows)
    dataset(features_of(recent), features)
    workers = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", CHECK, str(rows), str(features), str(reports), run],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for run in ("run 0", "run 0", "run 1", "run 2")
    ]
    assert [worker.stdout.readline() for worker in workers if worker.stdout] == ["ready\n"] * 4
    for worker in workers:
        assert worker.stdin
        worker.stdin.write("go\n")
        worker.stdin.flush()
    printed = [worker.communicate()[0].strip() for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 4
    assert all(text.endswith(" ()") for text in printed)
    places = [Path(text.removesuffix(" ()")) for text in printed]
    assert all(place.is_file() for place in places)
    assert places[0] == places[1]
    assert len(set(places)) == 3
    assert (reports / "index.html").read_text().count("<li>") == 3


def test_changed_data_is_an_integrity_error_and_a_place_that_cannot_be_written_is_unavailable(
    recent: pl.DataFrame, tmp_path: Path
) -> None:
    rows, features = dataset(recent, tmp_path / "rows"), dataset(features_of(recent), tmp_path / "features")
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="the report of r cannot be written to"):
        GxValidator(tmp_path / "file" / "reports").validate(rows, features, "r")
    part = rows.paths[0]
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    with pytest.raises(IntegrityError, match=r"part part-00000.parquet of dataset"):
        GxValidator(tmp_path / "reports").validate(rows, features, "r")


def test_nothing_is_looked_up_on_the_network_and_nothing_is_logged(
    recent: pl.DataFrame, tmp_path: Path
) -> None:
    small = recent.filter(pl.col("asset").is_in(["AAPL", "XOM"]))
    dataset(small, tmp_path / "rows")
    dataset(features_of(small), tmp_path / "features")
    script = (
        "import json, logging, socket, sys; from pathlib import Path\n"
        "def refuse(*arguments, **options): raise AssertionError(f'network: {arguments}')\n"
        "socket.getaddrinfo = refuse; socket.socket.connect = refuse\n"
        "logging.basicConfig(level=logging.INFO)\n"
        "from domain.risk.dataset import Dataset\n"
        "from veritasvault.adapters.gx_validator import GxValidator\n"
        "rows, features = (Dataset.open(Path(p)) for p in sys.argv[1:3])\n"
        "report = GxValidator(Path(sys.argv[3])).validate(rows, features, 'r')\n"
        "print(json.dumps(report.summary.failures))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, *(str(tmp_path / name) for name in ("rows", "features", "reports"))],
        capture_output=True,
        text=True,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == []
    assert "great_expectations" not in run.stderr


def test_injected_splits_and_stale_runs_are_mostly_found_anywhere_in_the_panel(panel: pl.DataFrame) -> None:
    """The figures behind the checks: 15 equal closes are found always, splits in nine cases of ten."""
    from domain.risk.expectations import PriceChecks
    from domain.risk.price_anomalies import with_price_anomalies

    random, checks = np.random.default_rng(7), PriceChecks()
    splits, stale = [], []
    for _ in range(60):
        asset = str(random.choice(panel["asset"].unique().sort().to_list()))
        one = panel.filter(pl.col("asset") == asset).sort("date")
        at, factor = (
            int(random.integers(400, one.height - 20)),
            float(random.choice([0.5, 1 / 3, 0.1, 2, 10])),
        )
        place = pl.int_range(pl.len())
        split = one.with_columns(close=pl.when(place >= at).then(pl.col("close") * factor).otherwise("close"))
        splits.append(with_price_anomalies(split, checks)["split_jump"][at] != 0)
        still = one.with_columns(
            close=pl.when(place.is_between(at, at + 14)).then(one["close"][at]).otherwise("close")
        )
        stale.append(with_price_anomalies(still, checks)["stale_sessions"].max() >= 15)
    assert np.mean(splits) >= 0.9
    assert np.mean(stale) >= 0.98
