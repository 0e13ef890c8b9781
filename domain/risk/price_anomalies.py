"""Derives the figures, per row, that show gaps, stale prices, unadjusted splits and misplaced features."""

from __future__ import annotations

import math

import polars as pl

from domain.risk.expectations import PriceChecks


def with_price_anomalies(rows: pl.DataFrame, checks: PriceChecks) -> pl.DataFrame:
    """Return the rows sorted by (asset, date), with one column per figure after their own.

    - missed_sessions: sessions of the panel between this row and the asset's previous one.
    - break_days: calendar days between this session and the panel's previous one.
    - stale_sessions: length of a stale run of equal closes, on the run's last row; 0 elsewhere.
    - split_jump: the log return where it looks like an unadjusted split; 0.0 elsewhere.
    - factor: close divided by the asset's previous close.
    """
    sessions = _sessions(rows)
    framed = rows.join(sessions, on="date", how="left").sort("asset", "date")
    framed = framed.with_columns(
        (pl.col("session").diff().over("asset") - 1).fill_null(0).clip(0).alias("missed_sessions"),
        (pl.col("close") / pl.col("close").shift().over("asset")).alias("factor"),
    )
    framed = _with_stale_runs(framed, checks)
    framed = _with_split_jumps(framed, checks)
    return framed.drop("session").sort("asset", "date")


def _sessions(rows: pl.DataFrame) -> pl.DataFrame:
    """The dates found across the panel, numbered, with the calendar days since the one before."""
    dates = rows.select(pl.col("date").drop_nulls().unique().sort()).with_row_index("session")
    return dates.with_columns(
        pl.col("session").cast(pl.Int64),
        pl.col("date").diff().dt.total_days().fill_null(0).alias("break_days"),
    )


def _with_stale_runs(framed: pl.DataFrame, checks: PriceChecks) -> pl.DataFrame:
    """Runs of equal closes that are unlikely for the asset.

    With u of n neighbouring sessions unchanged, a run of k further equal closes has likelihood p^k with
    p = (u + 1) / (n + 2), the rule of succession.
    """
    unchanged = (pl.col("close") == pl.col("close").shift()).over("asset").fill_null(False)
    framed = framed.with_columns(unchanged=unchanged).with_columns(
        run=(~pl.col("unchanged")).cum_sum().over("asset"),
        before=pl.col("unchanged").cast(pl.Int64).cum_sum().over("asset"),
        place=pl.int_range(pl.len()).over("asset"),
    )
    runs = framed.group_by("asset", "run").agg(
        first=pl.col("place").min(), last=pl.col("place").max(), length=pl.len(), total=pl.col("before").max()
    )
    # A run of k equal closes has k - 1 unchanged ones, all after its first row.
    long = runs.filter(pl.col("length") >= checks.shortest_stale)
    if long.is_empty():
        return framed.drop("unchanged", "run", "before", "place").with_columns(
            stale_sessions=pl.lit(0, pl.Int64)
        )
    counts = framed.select("asset", "place", "before")
    ends = framed.group_by("asset").agg(end=pl.col("place").max())
    near = long.join(ends, on="asset").with_columns(
        low=(pl.col("first") - checks.neighbourhood).clip(0),
        high=pl.min_horizontal(pl.col("last") + checks.neighbourhood, pl.col("end")),
    )
    for bound in ("low", "high", "first"):
        found = counts.rename({"place": bound, "before": f"before_{bound}"})
        near = near.join(found, on=["asset", bound], how="left")
    neighbours = (pl.col("first") - pl.col("low")) + (pl.col("high") - pl.col("last"))
    still = (pl.col("before_first") - pl.col("before_low")) + (pl.col("before_high") - pl.col("total"))
    likelihood = ((still + 1) / (neighbours + 2)).log() * (pl.col("length") - 1)
    stale = near.filter(likelihood < math.log(checks.stale_likelihood)).select(
        "asset", place="last", stale_sessions=pl.col("length").cast(pl.Int64)
    )
    return (
        framed.join(stale, on=["asset", "place"], how="left")
        .with_columns(pl.col("stale_sessions").fill_null(0))
        .drop("unchanged", "run", "before", "place")
    )


def _with_split_jumps(framed: pl.DataFrame, checks: PriceChecks) -> pl.DataFrame:
    """Jumps near a split's factor, or beyond any plausible move, that do not undo each other.

    The market's move, as the median log return of the session, hides or fakes a factor no more than it must:
    a jump counts as near with it or without it.
    """
    ordered = framed.sort("asset", "date").with_row_index("at").with_columns(jump=pl.col("factor").log())
    market = pl.col("jump").median().over("date")
    near = pl.lit(False)
    for ratio in checks.split_ratios:
        for jump in (pl.col("jump"), pl.col("jump") - market):
            near |= (jump.abs() - math.log(ratio)).abs() <= checks.split_tolerance
    large = near | (pl.col("jump").abs() > checks.unexplained_jump)
    suspects = ordered.filter(large & pl.col("jump").is_finite()).select("at", "asset", "close", "jump")
    lasting = [
        (at, jump)
        for at, asset, close, jump in suspects.iter_rows()
        if _lasts(ordered, at, asset, close, jump, checks)
    ]
    marks = pl.DataFrame(lasting, schema={"at": pl.UInt32, "split_jump": pl.Float64}, orient="row")
    return (
        ordered.join(marks, on="at", how="left")
        .with_columns(pl.col("split_jump").fill_null(0.0))
        .drop("at", "jump")
    )


def _lasts(
    ordered: pl.DataFrame, at: int, asset: str, close: float, jump: float, checks: PriceChecks
) -> bool:
    """Whether the price neither comes back from a jump nor came back by it."""
    reach = checks.reversal_sessions
    before = ordered.slice(max(0, at - reach), min(at, reach))
    after = ordered.slice(at + 1, reach)
    undone = _log_distance(after, asset, math.log(close) - jump) <= checks.reversal_distance
    undoing = _log_distance(before, asset, math.log(close)) <= checks.reversal_distance
    return not (undone or undoing)


def _log_distance(rows: pl.DataFrame, asset: str, level: float) -> float:
    """The least distance of the asset's log closes from a level; infinite where it has none."""
    closes = rows.filter((pl.col("asset") == asset) & (pl.col("close") > 0)).get_column("close")
    distance = (closes.log() - level).abs().min()
    return math.inf if distance is None else float(distance)  # type: ignore[arg-type]


def with_feature_anomalies(features: pl.DataFrame, rows: pl.DataFrame, target: str) -> pl.DataFrame:
    """Return the features sorted by (asset, date), with two columns that are 1 where a row is wrong.

    - open_label: the target is null although a later row of the asset has one.
    - unknown_row: `rows` have no price of that asset on that date.
    """
    ordered = features.sort("asset", "date")
    labelled = pl.col(target).is_not_null().cast(pl.Int64)
    later = labelled.reverse().cum_sum().reverse().over("asset") - labelled
    known = rows.select("asset", "date", known=pl.lit(1)).unique()
    return (
        ordered.with_columns(open_label=(pl.col(target).is_null() & (later > 0)).cast(pl.Int64))
        .join(known, on=["asset", "date"], how="left", maintain_order="left")
        .with_columns(unknown_row=pl.col("known").is_null().cast(pl.Int64))
        .drop("known")
    )
