"""The real panel: no alarm over 250 sessions as it is, and drift that is put into it is found in time."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from domain.risk.features import feature_definition
from domain.risk.monitoring.calibration import YEAR, Calibration
from domain.risk.monitoring.judgement import Judgement, sentence
from domain.risk.monitoring.measures import Measures
from domain.risk.monitoring.observed import Observed
from domain.risk.preparation import prepare
from domain.risk.rows import canonical_rows
from domain.risk.spec import ModelSpec, MonitoringSpec
from domain.risk.training_set import TrainingSet
from veritasvault.adapters.inline_prep import InlinePrepEngine
from veritasvault.adapters.trainers import trainer
from veritasvault.adapters.uri_source import UriSource

SPEC = ModelSpec.load(Path(__file__).parents[3] / "dags" / "volatility_forecast.toml")
SETTINGS = MonitoringSpec()
LAST, TRAINED = dt.date(2022, 12, 28), np.datetime64("2021-12-31")
BREAK = np.datetime64("2022-03-01")
"""The first session of what is put into the panel."""

Change = Callable[[pl.DataFrame], pl.DataFrame]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Change], TrainingSet]:
    """Features of the sample panel with its prices changed, made by the project's own steps."""

    def make(change: Change) -> TrainingSet:
        home = tmp_path_factory.mktemp("panel")
        prices = pl.read_parquet(UriSource().fetch("sample://sp500", home)).sort("asset", "date")
        change(prices).write_parquet(home / "changed.parquet")
        rows = canonical_rows(home / "changed.parquet", LAST, None, home / "rows")
        definition = feature_definition(SPEC.columns, SPEC.target)
        prepared = prepare(rows.dataset, definition, InlinePrepEngine(), home / "features")
        return TrainingSet.of(prepared.dataset, definition, rows.assets)

    return make


@pytest.fixture(scope="module")
def panel(made: Callable[[Change], TrainingSet]) -> TrainingSet:
    return made(lambda prices: prices)


def as_of(panel: TrainingSet, day: np.datetime64) -> TrainingSet:
    """What was known of a panel on a day."""
    seen = panel.dates <= day
    return dataclasses.replace(
        panel,
        assets=panel.assets[seen],
        dates=panel.dates[seen],
        label_ends=panel.label_ends[seen],
        features=panel.features[seen],
        target=np.where(panel.label_ends[seen] <= day, panel.target[seen], np.nan),
    )


def judged(panel: TrainingSet, recent: TrainingSet, day: np.datetime64 = TRAINED) -> Judgement:
    """A champion that was trained on what was known on a day, judged on every session since."""
    trained = as_of(panel, day)
    model = trainer(SPEC.training.trainer).train(*trained.labelled(), {}, 0, trained.names)
    observed = Observed.of(trained, recent, model.predict)
    return judged_as_observed(observed)


def judged_as_observed(observed: Observed) -> Judgement:
    measures = Measures.of(observed, SETTINGS.window_sessions, SPEC.promotion.metric, SETTINGS.least_psi)
    return Judgement.of(measures, SETTINGS.false_alarm_rate)


def sessions_to(judgement: Judgement, kind: str, subject: str | None = None) -> int:
    """How many sessions of the drift were seen when the first breach of a kind was found."""
    places = [
        place
        for place, one in enumerate(judgement.measures.subjects)
        if one.kind == kind and subject in (None, one.name)
    ]
    days = judgement.measures.days
    found = days[np.any(judgement.breaches[:, places], axis=1) & (days >= BREAK)]
    assert found.size, f"no {kind} drift was found"
    return int(np.count_nonzero((days >= BREAK) & (days <= found[0])))


def alarms(judgement: Judgement) -> np.ndarray:
    """The sessions after the training on which anything is breached, of the first 250."""
    measures = judgement.measures
    since = slice(measures.history, measures.history + YEAR)
    return measures.days[since][np.any(judgement.breaches[since], axis=1)]


@pytest.mark.parametrize("trained", ["2009-12-31", "2014-12-31", "2021-12-31"])
def test_the_panel_as_it_is_raises_no_alarm_over_250_sessions(panel: TrainingSet, trained: str) -> None:
    judgement = judged(panel, panel, np.datetime64(trained))
    assert alarms(judgement).tolist() == []
    assert (judgement.rate, sentence(judgement.findings())) == (pytest.approx(0.05, abs=0.003), "")


def test_no_more_years_of_the_history_alarm_than_stated(panel: TrainingSet) -> None:
    """Each of 31 years by the 30 others: what the rate claims, on real prices with their two crises."""
    history = judged(panel, panel).measures
    statistics = history.statistics[: history.history]
    statistics = statistics[np.all(np.isfinite(statistics), axis=1)]
    years = len(statistics) // YEAR
    blocks = statistics[-years * YEAR :].reshape(years, YEAR, -1)
    alarmed = 0
    for year in range(years):
        calibration = Calibration.of(np.concatenate(np.delete(blocks, year, axis=0)))
        alarmed += bool(
            np.any(calibration.p_values(blocks[year]) <= calibration.rate(SETTINGS.false_alarm_rate))
        )
    assert years == 31
    assert alarmed <= SETTINGS.false_alarm_rate * years


def test_a_tripled_volatility_is_found_within_a_quarter(
    panel: TrainingSet, made: Callable[[Change], TrainingSet]
) -> None:
    """Sooner it looks like the crises that the champion was trained on."""
    judgement = judged(panel, made(tripled))
    assert alarms(judgement)[0] >= BREAK
    assert sessions_to(judgement, "data") <= 63
    assert sessions_to(judgement, "prediction") <= 63


def test_prices_that_are_scaled_from_a_day_on_are_found_within_two_weeks(
    panel: TrainingSet, made: Callable[[Change], TrainingSet]
) -> None:
    judgement = judged(panel, made(halved))
    assert alarms(judgement)[0] >= BREAK
    assert sessions_to(judgement, "data") <= 10


def test_one_shifted_feature_is_found_within_a_month_and_named(panel: TrainingSet) -> None:
    place = panel.names.index("log_return")
    features = panel.features.copy()
    features[panel.dates >= BREAK, place] += features[:, place].std()
    judgement = judged(panel, dataclasses.replace(panel, features=features))
    assert alarms(judgement)[0] >= BREAK
    assert sessions_to(judgement, "data", "log_return") <= 21
    drifted = {one.subject for one in judgement.findings() if one.breached and one.kind == "data"}
    assert drifted == {"log_return"}


def test_forecasts_that_are_worth_less_than_the_baseline_are_found_when_outcomes_are_known(
    panel: TrainingSet,
) -> None:
    """Half of what they should be, from a day on; known five sessions later."""
    trained = as_of(panel, TRAINED)
    model = trainer(SPEC.training.trainer).train(*trained.labelled(), {}, 0, trained.names)
    observed = Observed.of(trained, panel, model.predict)
    late = observed.days[observed.session] >= BREAK
    broken = dataclasses.replace(
        observed, forecasts=np.where(late, observed.forecasts / 2, observed.forecasts)
    )
    judgement = judged_as_observed(broken)
    assert alarms(judgement)[0] >= BREAK
    assert 5 < sessions_to(judgement, "performance") <= 30


def tripled(prices: pl.DataFrame) -> pl.DataFrame:
    """Every log return from the day on, three times."""
    returns = pl.col("close").log().diff().over("asset").fill_null(0.0)
    grown = (
        pl.when(pl.col("date") >= BREAK.item()).then(3 * returns).otherwise(returns).cum_sum().over("asset")
    )
    return prices.with_columns(close=pl.col("close").first().over("asset") * grown.exp())


def halved(prices: pl.DataFrame) -> pl.DataFrame:
    """Every price from the day on."""
    return prices.with_columns(
        close=pl.when(pl.col("date") >= BREAK.item()).then(pl.col("close") / 2).otherwise(pl.col("close"))
    )
