"""What alarms are worth: every metric by hand, baselines at the same rate, and a p-value that holds."""

from __future__ import annotations

import numpy as np
import pytest

from domain.risk.anomaly.alarms import METRICS, baselines, by_kind, chance, episodes_of, threshold, worth

ASSETS = np.array([0, 0, 0, 0, 0, 1, 1, 1])
KINDS = np.array([0.0, 1.0, 1.0, 0.0, 2.0, 2.0, 0.0, 1.0])
ALARMS = np.array([True, True, False, False, False, True, True, False])
EPISODES = episodes_of(ASSETS, KINDS)


def test_an_episode_ends_with_its_kind_and_with_its_asset() -> None:
    assert EPISODES.tolist() == [1, 2, 2, 3, 4, 5, 6, 7]


def test_metrics_are_what_they_are_by_hand() -> None:
    """4 alarms, 2 of them right; 5 labelled rows in 4 episodes, of which 2 have an alarm."""
    assert worth(ALARMS, KINDS, EPISODES) == {
        "false_discovery_rate": 0.5,
        "precision": 0.5,
        "alarm_rate": 0.5,
        "recall": 0.4,
        "episodes_found": 0.5,
    }
    assert {metric["name"] for metric in METRICS} == worth(ALARMS, KINDS, EPISODES).keys()


def test_no_alarm_is_all_wrong_and_no_label_leaves_recall_unknown() -> None:
    silent = worth(np.zeros(8, dtype=bool), KINDS, EPISODES)
    assert (silent["false_discovery_rate"], silent["recall"], silent["alarm_rate"]) == (1.0, 0.0, 0.0)
    unlabelled = worth(ALARMS, np.zeros(8), EPISODES)
    assert unlabelled == {"false_discovery_rate": 1.0, "precision": 0.0, "alarm_rate": 0.5}


def test_kinds_are_counted_by_rows_and_episodes_under_their_names() -> None:
    assert by_kind(["wash"], ALARMS, KINDS, EPISODES) == [
        {"kind": "wash", "rows": 3, "rows_found": 1, "episodes": 2, "episodes_found": 1},
        {"kind": "2", "rows": 2, "rows_found": 1, "episodes": 2, "episodes_found": 1},
    ]


def test_a_threshold_gives_the_rate_on_the_rows_it_is_set_on() -> None:
    scores = np.random.default_rng(3).permutation(1000.0 * np.arange(1000))
    assert np.mean(scores > threshold(scores, 0.01)) == 0.01


def test_baselines_are_the_size_of_one_surprise_and_chance() -> None:
    features = np.array([[-3.0, 1.0, 7.0], [2.0, -4.0, 7.0]])
    found = baselines(("return_surprise", "volume_surprise", "other"), features, 0)
    assert found["return_z"].tolist() == [3.0, 2.0]
    assert found["volume_z"].tolist() == [1.0, 4.0]
    assert found["random"].tolist() == baselines(("other",), features[:, 2:], 0)["random"].tolist()
    assert baselines(("other",), features[:, 2:], 0).keys() == {"random"}


def test_a_detector_that_knows_is_no_chance_and_two_that_guess_are() -> None:
    random = np.random.default_rng(0)
    months = np.repeat(np.arange(60), 40)
    kinds = (random.random(months.size) < 0.05).astype(float)
    knows, guesses, other = kinds > 0, *(random.random((2, months.size)) < 0.05)
    mean, p_value = chance(knows, guesses, kinds, months, 0)
    assert mean < -0.8
    assert p_value == pytest.approx(2 / 2001)
    assert chance(guesses, knows, kinds, months, 0)[0] == -mean
    assert chance(guesses, other, kinds, months, 0)[1] > 0.05
    assert chance(guesses, guesses, kinds, months, 0) == (0.0, 1.0)


def test_guessing_detectors_differ_significantly_about_as_rarely_as_said() -> None:
    """Of 100 pairs that guess, at most 12 have a p-value of 5 % or less; 5 are expected."""
    random = np.random.default_rng(1)
    months = np.repeat(np.arange(48), 25)
    rare = 0
    for _ in range(100):
        kinds = (random.random(months.size) < 0.1).astype(float)
        one, other = random.random((2, months.size)) < 0.1
        rare += chance(one, other, kinds, months, 0)[1] <= 0.05
    assert rare <= 12
