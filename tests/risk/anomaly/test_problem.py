"""The problem of unusual rows: thresholds come from training rows, no label is learnt, attacks are found."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from domain.registry.gates import CHAMPION, judge_all
from domain.risk.anomaly.detection import Detection
from domain.risk.features import feature_definition
from domain.risk.folds import check_folds, plan_window
from domain.risk.ports import TrainedModel
from domain.risk.preparation import prepare
from domain.risk.problems import problem
from domain.risk.problems.contract import Setting
from domain.risk.rows import canonical_rows
from domain.risk.spec import ModelSpec
from domain.risk.training_set import TrainingSet
from domain.risk.vaults.attacks import ATTACKS
from domain.risk.vaults.flows import vault_flows
from veritasvault.adapters.anomaly_plots import plots
from veritasvault.adapters.inline_prep import InlinePrepEngine
from veritasvault.adapters.trainers import trainer

SPEC = ModelSpec.load(Path(__file__).parents[3] / "dags" / "vault_anomaly.toml")
POSED = problem("anomaly")
LAST = dt.date(2022, 3, 31)
CLASSES = Setting(classes=ATTACKS)


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> TrainingSet:
    """Eight vaults over four years, with a seed that nothing was tuned on."""
    home = tmp_path_factory.mktemp("flows")
    vault_flows(23, 8, last=LAST).write_parquet(home / "flows.parquet")
    definition = feature_definition(SPEC.columns, SPEC.target)
    rows = canonical_rows(home / "flows.parquet", LAST, None, home / "rows", measures=definition.measures)
    made = prepare(rows.dataset, definition, InlinePrepEngine(), home / "features")
    return TrainingSet.of(made.dataset, definition, rows.assets)


@pytest.fixture(scope="module")
def found(training: TrainingSet) -> Detection:
    return evaluated(training, trainer("student_t"))


def evaluated(training: TrainingSet, of: Any) -> Detection:
    detection = POSED.evaluate(training, of, {}, 0, CLASSES)
    assert isinstance(detection, Detection)
    return detection


class Watched:
    """A trainer that keeps what it is given."""

    framework, tolerance, problem = "NumPy", 0.0, "anomaly"

    def __init__(self) -> None:
        self.given: list[tuple[np.ndarray, np.ndarray]] = []

    def parameters(self) -> Mapping[str, Any]:
        return trainer("student_t").parameters()

    def train(
        self,
        features: np.ndarray,
        target: np.ndarray,
        parameters: Mapping[str, Any],
        seed: int,
        names: Sequence[str] = (),
    ) -> TrainedModel:
        self.given.append((features, target))
        return trainer("student_t").train(features, target, parameters, seed, names)


def test_attacks_of_another_seed_are_found_and_baselines_are_beaten(found: Detection) -> None:
    """On flows with no part in the choice of features; the gates that do not need a registration pass."""
    assert found.metrics["precision"] > 0.45
    assert found.metrics["episodes_found"] > 0.85
    assert found.metrics["alarm_rate"] < 0.02
    assert {kind["kind"] for kind in found.by_kind} == set(ATTACKS)
    for kind in found.by_kind:
        assert kind["episodes_found"] >= 0.7 * kind["episodes"], kind
    for name in ("volume_z", "return_z", "random"):
        assert found.baselines[name]["precision"] < 0.5 * found.metrics["precision"]
        assert found.evidence().p_value("false_discovery_rate", name) < 0.01  # type: ignore[operator]
    compared = [gate for gate in SPEC.gates if "better than" in gate.label]
    assert {gate.outcome for gate in judge_all(compared, found.evidence())} == {"passed"}


def test_a_detector_is_given_no_label_and_no_row_of_its_fold_or_after(training: TrainingSet) -> None:
    watched = Watched()
    detection = evaluated(training, watched)
    assert len(watched.given) == len(detection.folds) == 2
    for fold, (features, target) in zip(detection.folds, watched.given, strict=True):
        assert target.size == 0
        np.testing.assert_array_equal(features, training.features[fold.train])
        assert training.dates[fold.train].max() < training.dates[fold.test].min()
    assert check_folds(detection.folds, training) == ()


def test_what_happens_in_a_tested_year_moves_none_of_its_thresholds(
    training: TrainingSet, found: Detection
) -> None:
    """With the last year's rows ten times as unusual, the alarms of the year before are the same."""
    late = training.dates > np.datetime64(found.folds[-2].test_end)
    wild = replace(training, features=np.where(late[:, None], 10 * training.features, training.features))
    other = evaluated(wild, trainer("student_t"))
    before = found.alarms.dates <= np.datetime64(found.folds[-2].test_end)
    for name, alarms in found.alarms.by_model.items():
        np.testing.assert_array_equal(alarms[before], other.alarms.by_model[name][before])
    assert other.metrics["alarm_rate"] > 0.3


def test_other_labels_change_figures_and_no_alarm(training: TrainingSet, found: Detection) -> None:
    target = np.where(np.isnan(training.target), np.nan, 0.0)
    other = evaluated(replace(training, target=target), trainer("student_t"))
    np.testing.assert_array_equal(other.alarms.scores, found.alarms.scores)
    assert "recall" not in other.metrics
    assert other.metrics["false_discovery_rate"] == 1.0
    assert other.by_kind == []


def test_the_same_inputs_give_the_same_evidence(training: TrainingSet, found: Detection) -> None:
    assert evaluated(training, trainer("student_t")).evidence().digest == found.evidence().digest


def test_two_versions_are_compared_on_the_same_window(training: TrainingSet) -> None:
    """By their own thresholds; a champion that raises ten times as many alarms is mostly wrong."""
    window = plan_window(training, 250)
    challenger, champion = (
        POSED.fit(training, window.train, trainer("student_t"), {"alarm_rate": rate}, 0)
        for rate in (0.01, 0.1)
    )
    evidence = POSED.compare(training, window, challenger, champion, "false_discovery_rate", {"about": "x"})
    mine, theirs = evidence.metrics, evidence.baselines[CHAMPION]
    assert mine["false_discovery_rate"] < theirs["false_discovery_rate"]
    assert theirs["alarm_rate"] > 5 * mine["alarm_rate"]
    assert evidence.details["window"]["test_rows"] == window.test.size
    assert evidence.baselines.keys() == {CHAMPION, "random", "volume_z", "return_z"}


def test_both_plots_are_drawn_and_the_same_twice(found: Detection) -> None:
    once, again = plots("vault_anomaly", found), plots("vault_anomaly", found)
    assert [plot.name for plot in once] == ["anomaly_timeline.png", "found_by_kind.png"]
    assert [plot.content for plot in once] == [plot.content for plot in again]
