"""Evaluation of covariances: fold by fold, by trainers that saw nothing of what they are tested on."""

from __future__ import annotations

import numpy as np
import pytest

from domain.risk.covariance.evaluation import BASELINES, CovarianceEvaluation
from domain.risk.covariance.learning import learnt_intensity
from domain.risk.covariance.returns import Returns
from domain.risk.covariance.scores import METRICS
from domain.risk.evaluation import CANDIDATE
from domain.risk.folds import check_folds
from domain.risk.problems.contract import Setting
from domain.risk.problems.covariance import COVARIANCE
from domain.risk.training_set import TrainingSet
from tests.risk.covariance.returns_panel import common_market, returns_set
from veritasvault.adapters.covariance_trainer import TRAINERS

PARAMETERS = {"window": 40, "holding": 10}


def evaluated(training: TrainingSet, trainer: str = "learned_shrinkage") -> CovarianceEvaluation:
    return COVARIANCE.evaluate(training, TRAINERS[trainer], PARAMETERS, 0, Setting())


@pytest.fixture(scope="module")
def found() -> CovarianceEvaluation:
    return evaluated(returns_set(common_market()))


def test_every_metric_is_described_and_every_description_has_a_figure(found: CovarianceEvaluation) -> None:
    assert set(found.metrics) == {metric["name"] for metric in METRICS}
    assert set(found.baselines) == set(BASELINES)
    assert set(found.baselines["equal_weights"]) == {"risk", "turnover", "gross_exposure"}


def test_the_folds_are_apart_and_every_test_session_has_a_portfolio(found: CovarianceEvaluation) -> None:
    training = returns_set(common_market())
    assert check_folds(found.folds, training) == ()
    tested = np.unique(np.concatenate([training.dates[fold.test] for fold in found.folds]))
    np.testing.assert_array_equal(found.test.returns.sessions[found.test.sessions], tested)


def test_what_comes_after_a_fold_changes_nothing_that_was_found_in_it(found: CovarianceEvaluation) -> None:
    """Neither the intensity that was learnt before it nor any portfolio: no later return is seen."""
    values = common_market()
    last = found.folds[-1]
    later = returns_set(values).dates[:1300] >= np.datetime64(last.test_start)
    poisoned = evaluated(returns_set(np.where(later[:, None], 3 * values, values)))
    assert len(found.folds) > 1
    for before, after in zip(found.by_year[:-1], poisoned.by_year[:-1], strict=True):
        mine, theirs = before.by_model[CANDIDATE], after.by_model[CANDIDATE]
        assert {name: mine[name] for name in mine if name != "qlike"} == {
            name: theirs[name] for name in theirs if name != "qlike"
        }
    assert found.by_year[-1].by_model != poisoned.by_year[-1].by_model


def test_each_fold_has_the_intensity_that_was_learnt_before_it(found: CovarianceEvaluation) -> None:
    training = returns_set(common_market())
    learnt = [learnt_intensity(Returns.of(training, fold.train), 40, 10) for fold in found.folds]
    assert len(set(learnt)) == len(found.folds) == 2
    for expected, year in zip(learnt, found.by_year, strict=True):
        assert year.by_model[CANDIDATE]["shrinkage"] == pytest.approx(expected, abs=1e-12)


def test_a_covariance_that_is_right_states_the_risk_of_its_portfolio() -> None:
    """Of returns whose covariance never changes, with a window so long that little is left to estimate."""
    training = returns_set(common_market(2000, 3))
    parameters = {"window": 500, "holding": 20}
    found = COVARIANCE.evaluate(training, TRAINERS["sample_covariance"], parameters, 0, Setting())
    assert found.metrics["bias"] == pytest.approx(1.0, abs=0.03)
    assert found.metrics["shrinkage"] == pytest.approx(0.0, abs=1e-12)


def test_a_model_does_not_differ_from_the_baseline_that_it_is() -> None:
    found = evaluated(returns_set(common_market()), "oas")
    by_name = {row["against"]: row for row in found.comparisons}
    assert found.metrics == found.baselines["oas"]
    assert (by_name["oas"]["mean"], by_name["oas"]["p_value"]) == (0.0, 1.0)
    assert by_name["equal_weights"]["p_value"] < 0.05
    assert by_name["equal_weights"]["mean"] < 0


def test_the_same_inputs_give_the_same_evidence(found: CovarianceEvaluation) -> None:
    assert evaluated(returns_set(common_market())).evidence().digest == found.evidence().digest
