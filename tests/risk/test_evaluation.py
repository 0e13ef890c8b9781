"""Walk-forward evaluation: what each fold may learn from, what it finds, and who notices when it cheats."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from domain.registry.canonical import encode
from domain.registry.errors import IntegrityError, InvalidInput
from domain.registry.evidence import Evidence, LookAhead
from domain.risk.dataset import Dataset, write_part
from domain.risk.evaluation import TrainingSet, check_folds, walk_forward
from domain.risk.folds import Fold, plan_folds, years_before
from domain.risk.metrics import LOSSES
from domain.risk.training_set import Floats, label_ends
from tests.risk.oracle_panel import HORIZON, training_set

START, SESSIONS = np.datetime64("2012-01-02"), 1800
TARGET = "realised_volatility_5_ahead"


@pytest.fixture(scope="module")
def training() -> TrainingSet:
    """Random walks of three assets on the weekdays of almost seven years."""
    days = np.busday_offset(START, np.arange(SESSIONS))
    moves = np.random.default_rng(0).standard_t(4, (SESSIONS, 3)) * [0.008, 0.012, 0.02]
    return training_set(["AAA", "BBB", "CCC"], days, 100 * np.exp(moves.cumsum(axis=0)))


class MeanTrainer:
    """Forecasts the mean of the targets it was given, and remembers what those were."""

    framework = "numpy"
    tolerance = 0.0

    def __init__(self) -> None:
        self.seen: list[tuple[Floats, Floats]] = []

    def parameters(self) -> Mapping[str, Any]:
        return {}

    def train(
        self,
        features: Floats,
        target: Floats,
        parameters: Mapping[str, Any],
        seed: int,
        names: Sequence[str] = (),
    ) -> MeanModel:
        self.seen.append((features, target))
        return MeanModel(float(target.mean()))


class MeanModel:
    def __init__(self, mean: float) -> None:
        self.mean = mean

    def predict(self, features: Floats) -> Floats:
        return np.full(features.shape[0], self.mean)

    def save(self, directory: Path) -> None:
        raise NotImplementedError


def with_rows(fold: Fold, training: TrainingSet, train: np.ndarray) -> Fold:
    """The fold trained on other rows, stating the dates that they have."""
    ends = training.label_ends[train]
    return replace(
        fold,
        train=train,
        train_end=training.dates[train].max().item(),
        label_end=ends[~np.isnat(ends)].max().item(),
    )


def test_blocks_are_years_counted_back_from_the_as_of_date(training: TrainingSet) -> None:
    folds = plan_folds(training, training.last)
    as_of = training.last
    edges = [(fold.test_start, fold.test_end) for fold in folds]
    assert len(folds) == 3
    for back, (start, end) in enumerate(reversed(edges)):
        assert years_before(as_of, back + 1) < start <= years_before(as_of, back + 1) + dt.timedelta(3)
        assert end <= years_before(as_of, back)
    assert edges[-1][1] == training.dates[training.known].max().item()


def test_no_more_than_eight_years_are_tested() -> None:
    days = np.busday_offset(START, np.arange(4000))
    moves = np.random.default_rng(1).normal(0, 0.01, (4000, 1))
    long = training_set(["AAA"], days, np.exp(moves.cumsum(axis=0)))
    assert len(plan_folds(long, long.last)) == 8


def test_each_fold_learns_from_everything_known_before_it_and_from_nothing_later(
    training: TrainingSet,
) -> None:
    """The last row trained on is the sixth session before the block: five are purged, no more, no fewer."""
    sessions = np.unique(training.dates)
    for fold in plan_folds(training, training.last):
        start = np.searchsorted(sessions, np.datetime64(fold.test_start))
        expected = np.flatnonzero(training.dates <= sessions[start - HORIZON - 1])
        np.testing.assert_array_equal(fold.train, expected)
        assert fold.label_end == sessions[start - 1].item()


def test_the_trainer_is_given_the_rows_of_the_fold(training: TrainingSet) -> None:
    trainer = MeanTrainer()
    found = walk_forward(training, trainer, {}, 0)
    for fold, (features, target) in zip(found.folds, trainer.seen, strict=True):
        np.testing.assert_array_equal(features, training.features[fold.train])
        np.testing.assert_array_equal(target, training.target[fold.train])


def test_whoever_waits_for_an_evaluation_sees_how_far_it_is(
    training: TrainingSet, caplog: pytest.LogCaptureFixture
) -> None:
    """Each model of the test is a line in the log."""
    with caplog.at_level("INFO", "domain.risk.folds"):
        folds = walk_forward(training, MeanTrainer(), {}, 0).folds
    assert [record.message for record in caplog.records] == [
        f"model {place} of {len(folds)} for the test is trained, for {fold.test_start} to {fold.test_end}"
        for place, fold in enumerate(folds, start=1)
    ]


def test_later_rows_change_nothing_in_earlier_folds(training: TrainingSet) -> None:
    """Garbage after the second block leaves the first two blocks' figures alone."""
    before = walk_forward(training, MeanTrainer(), {}, 0)
    late = training.dates >= np.datetime64(before.folds[2].test_start)
    poisoned = replace(
        training,
        features=np.where(late[:, None], 1e3, training.features),
        target=np.where(late & training.known, 9.0, training.target),
    )
    after = walk_forward(poisoned, MeanTrainer(), {}, 0)
    assert after.by_year[:2] == before.by_year[:2]
    assert after.by_year[2] != before.by_year[2]


def test_an_honest_plan_has_no_violation(training: TrainingSet) -> None:
    assert check_folds(plan_folds(training, training.last), training) == ()


def one_row_late(fold: Fold, training: TrainingSet) -> Fold:
    """One more session is trained on, whose labels end on the first test session."""
    next_session = training.dates[training.dates > np.datetime64(fold.train_end)].min()
    return with_rows(fold, training, np.flatnonzero(training.known & (training.dates <= next_session)))


def one_asset_late(fold: Fold, training: TrainingSet) -> Fold:
    """One asset alone is trained on up to the test's start."""
    extra = np.flatnonzero((training.assets == 2) & (training.dates == np.datetime64(fold.label_end)))
    return with_rows(fold, training, np.sort(np.concatenate([fold.train, extra])))


def on_the_test(fold: Fold, training: TrainingSet) -> Fold:
    """The test's own rows are trained on."""
    return with_rows(fold, training, np.sort(np.concatenate([fold.train, fold.test])))


def unfinished_labels(fold: Fold, training: TrainingSet) -> Fold:
    """Rows are forecast whose labels are not over by the end of the data."""
    rows = np.sort(np.concatenate([fold.test, np.flatnonzero(~training.known)]))
    return replace(fold, test=rows, test_end=training.last)


def other_dates(fold: Fold, training: TrainingSet) -> Fold:
    """The fold says that it stopped learning a year earlier."""
    return replace(fold, label_end=years_before(fold.label_end, 1))


@pytest.mark.parametrize(
    ("cheat", "sentence"),
    [
        (one_row_late, "end on or after its first test session"),
        (one_row_late, "purges 4 sessions"),
        (one_asset_late, "such as CCC on"),
        (on_the_test, "end on or after its first test session"),
        (unfinished_labels, "whose label window is not over"),
        (other_dates, "states other dates"),
    ],
)
def test_a_fold_that_sees_the_future_is_found(
    cheat: Callable[[Fold, TrainingSet], Fold], sentence: str, training: TrainingSet
) -> None:
    *honest, last = plan_folds(training, training.last)
    violations = check_folds([*honest, cheat(last, training)], training)
    assert any(sentence in violation and violation.startswith("fold 3 ") for violation in violations)


def test_a_wrong_label_end_in_the_training_set_is_found(training: TrainingSet) -> None:
    """The check recomputes where labels end: a plan made with windows of one day is caught."""
    careless = replace(training, horizon=1, label_ends=label_ends(training.assets, training.dates, 1))
    folds = plan_folds(careless, careless.last)
    assert check_folds(folds, careless) == ()
    lied = replace(careless, horizon=HORIZON)
    assert any("end on or after" in violation for violation in check_folds(folds, lied))


def test_two_folds_that_test_the_same_sessions_are_found(training: TrainingSet) -> None:
    folds = plan_folds(training, training.last)
    assert any("an earlier fold tested" in found for found in check_folds([*folds, folds[-1]], training))


def test_an_evaluation_without_folds_is_a_violation(training: TrainingSet) -> None:
    assert check_folds([], training) == ("no fold was evaluated",)


def test_an_asset_that_paused_is_purged_by_its_own_label_windows(training: TrainingSet) -> None:
    """CCC did not trade in the 30 sessions before a block: its last rows' labels reach into the block."""
    sessions = np.unique(training.dates)
    start = np.datetime64(plan_folds(training, training.last)[-1].test_start)
    place = int(np.searchsorted(sessions, start))
    paused = (training.assets == 2) & (training.dates >= sessions[place - 30]) & (training.dates < start)
    kept = ~paused
    gappy = replace(
        training,
        assets=training.assets[kept],
        dates=training.dates[kept],
        label_ends=label_ends(training.assets[kept], training.dates[kept], HORIZON),
        features=training.features[kept],
        target=training.target[kept],
    )
    folds = plan_folds(gappy, gappy.last)
    assert check_folds(folds, gappy) == ()
    of_ccc = gappy.dates[folds[-1].train][gappy.assets[folds[-1].train] == 2]
    assert of_ccc.max() == sessions[place - 30 - HORIZON - 1]


def test_a_date_before_enough_history_is_told_the_first_possible_one(training: TrainingSet) -> None:
    """The date in the sentence works, and the day before it does not."""
    first = years_before(training.first, -3)
    assert first == dt.date(2015, 12, 18), "the panel's own dates moved"
    with pytest.raises(InvalidInput, match="the first possible as-of date is 2015-12-18") as refused:
        plan_folds(training, first - dt.timedelta(1))
    assert refused.value.field == "as_of"
    assert len(plan_folds(training, first)) == 1


def test_the_first_possible_date_is_a_session(training: TrainingSet) -> None:
    """On a weekend the sentence names the Monday, or what the caller's calendar says."""
    rows = training.dates >= np.datetime64("2013-01-03")
    later = TrainingSet(
        training.asset_names,
        training.expected,
        training.names,
        HORIZON,
        training.assets[rows],
        training.dates[rows],
        training.label_ends[rows],
        training.features[rows],
        training.target[rows],
    )
    with pytest.raises(InvalidInput, match=r"is 2016-01-04$"):
        plan_folds(later, dt.date(2015, 6, 1))
    with pytest.raises(InvalidInput, match=r"is 2016-01-08$"):
        plan_folds(later, dt.date(2015, 6, 1), next_session=lambda day: day + dt.timedelta(5))


def test_the_leap_day_has_a_year_before_it() -> None:
    assert years_before(dt.date(2020, 2, 29), 1) == dt.date(2019, 2, 28)
    assert years_before(dt.date(2020, 2, 29), 4) == dt.date(2016, 2, 29)


def test_candidate_and_baselines_are_scored_on_the_same_rows(training: TrainingSet) -> None:
    found = walk_forward(training, MeanTrainer(), {}, 0)
    rows = np.concatenate([fold.test for fold in found.folds])
    rows.sort()
    place = training.names.index("ewma_vol")
    np.testing.assert_array_equal(found.forecasts.realised, training.target[rows])
    np.testing.assert_array_equal(found.forecasts.by_model["ewma"], training.features[rows, place])
    assert set(found.baselines) == {"persistence", "ewma"}
    assert sum(scores.rows for scores in found.by_asset) == rows.size
    assert sum(scores.rows for scores in found.by_year) == rows.size
    weighted = sum(scores.rows * scores.by_model["candidate"]["qlike"] for scores in found.by_asset)
    assert weighted / rows.size == pytest.approx(found.metrics["qlike"], rel=1e-12)


def test_the_candidate_is_compared_with_each_baseline_on_the_tested_rows(training: TrainingSet) -> None:
    """The difference is the mean of the sessions' means; the evidence answers with the test's p-value."""
    found = walk_forward(training, MeanTrainer(), {}, 0)
    told = found.forecasts
    evidence = found.evidence()
    assert [(one["metric"], one["against"]) for one in found.comparisons] == [
        (metric, baseline) for baseline in found.baselines for metric in ("qlike", "rmse")
    ]
    for one in found.comparisons:
        losses = LOSSES[one["metric"]]
        rows = losses(told.realised, told.candidate) - losses(told.realised, told.by_model[one["against"]])
        daily = [rows[told.dates == day].mean() for day in np.unique(told.dates)]
        assert one["sessions"] == len(daily)
        assert one["mean"] == pytest.approx(np.mean(daily))
        assert evidence.p_value(one["metric"], one["against"]) == one["p_value"]


def test_evidence_is_canonical_json_and_the_same_each_time(training: TrainingSet) -> None:
    """Evidence reads back equal, and names expected assets that have no forecasts."""
    wider = replace(training, expected=(*training.expected, "DDD"))
    checked = LookAhead((), 3)
    evidence = walk_forward(wider, MeanTrainer(), {}, 0).evidence(checked)
    again = walk_forward(wider, MeanTrainer(), {}, 0).evidence(checked)
    assert encode(evidence.to_json()) == encode(again.to_json())
    assert Evidence.from_json(evidence.to_json()) == evidence
    assert evidence.assets_covered == ("AAA", "BBB", "CCC")
    assert evidence.assets_expected[-1] == "DDD"
    assert [fold["train_rows"] > 0 for fold in evidence.details["folds"]] == [True] * 3


def sealed(root: Path, table: pa.Table) -> Dataset:
    root.mkdir(exist_ok=True)
    return Dataset.seal(root, [write_part(table, root / "part-00000.parquet", table.schema)])


def small_table(**changed: pa.Array) -> pa.Table:
    days = [dt.date(2020, 1, 1) + dt.timedelta(day) for day in range(7)]
    columns = {
        "asset": pa.array(["A"] * 7 + ["B"] * 7),
        "date": pa.array(days * 2, pa.date32()),
        "rv_5": pa.array([0.1 * place for place in range(1, 15)]),
        TARGET: pa.array(([0.2, 0.3] + [None] * 5) * 2, pa.float64()),
    }
    return pa.table({**columns, **changed})


def test_a_feature_set_is_loaded_with_the_end_of_each_label(tmp_path: Path) -> None:
    loaded = TrainingSet.load(sealed(tmp_path, small_table()), ["rv_5"], TARGET)
    assert loaded.asset_names == loaded.expected == ("A", "B")
    assert [str(day) for day in loaded.label_ends[:3]] == ["2020-01-06", "2020-01-07", "NaT"]
    assert [str(day) for day in loaded.label_ends[7:10]] == ["2020-01-06", "2020-01-07", "NaT"]
    features, target = loaded.labelled()
    np.testing.assert_array_equal(target, [0.2, 0.3, 0.2, 0.3])
    np.testing.assert_allclose(features[:, 0], [0.1, 0.2, 0.8, 0.9])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rv_5": pa.array([0.1] * 13 + [float("nan")])}, "rv_5 is nan.*2020-01-07 for B"),
        ({"rv_5": pa.array([0.1] * 13 + [None])}, "rv_5 is nan"),
        ({TARGET: pa.array([-0.1] + [None] * 13, pa.float64())}, "2020-01-01 for A"),
        ({TARGET: pa.array([float("nan")] + [None] * 13, pa.float64())}, "or null"),
        ({"date": pa.array([dt.date(2020, 1, 7 - day) for day in range(7)] * 2, pa.date32())}, "sort them"),
        ({"date": pa.array([dt.date(2020, 1, 1)] * 14, pa.date32())}, "each pair only once"),
    ],
)
def test_a_feature_set_that_cannot_be_learnt_from_is_refused(
    changed: dict[str, pa.Array], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match=message):
        TrainingSet.load(sealed(tmp_path, small_table(**changed)), ["rv_5"], TARGET)


def test_missing_columns_rows_and_changed_bytes_are_named(tmp_path: Path) -> None:
    whole = sealed(tmp_path / "whole", small_table())
    with pytest.raises(InvalidInput, match="rv_99"):
        TrainingSet.load(whole, ["rv_99"], TARGET)
    with pytest.raises(InvalidInput, match="no rows"):
        TrainingSet.load(sealed(tmp_path / "empty", small_table().slice(0, 0)), ["rv_5"], TARGET)
    part = whole.paths[0]
    part.write_bytes(part.read_bytes()[:-1] + b"\0")
    with pytest.raises(IntegrityError, match=r"part-00000\.parquet"):
        TrainingSet.load(whole, ["rv_5"], TARGET)
