"""Problems: a specification names one, and records of before there was a choice are read as forecasts."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from domain.registry.errors import InvalidInput
from domain.risk.problems import (
    FORECAST,
    PROBLEMS,
    parameters_of,
    problem,
    problem_of,
    recorded,
    require_solves,
)
from domain.risk.reproduction.retraining import Retraining
from domain.risk.spec import ModelSpec
from veritasvault.adapters.trainers import trainer
from veritasvault.bootstrap import PLOTS

SPEC = Path(__file__).parents[2] / "dags" / "volatility_forecast.toml"


@pytest.fixture
def tables() -> dict[str, Any]:
    return tomllib.loads(SPEC.read_text())


def test_a_specification_that_names_no_problem_forecasts(tables: dict[str, Any]) -> None:
    assert ModelSpec.parse(tables).problem == FORECAST
    assert ModelSpec.parse({"problem": FORECAST, **tables}) == ModelSpec.parse(tables)


@pytest.mark.parametrize("name", ["covariances", "", 7, None, ["forecast"]])
def test_an_unknown_problem_is_one_sentence(tables: dict[str, Any], name: object) -> None:
    with pytest.raises(InvalidInput, match="use one of forecast") as caught:
        ModelSpec.parse({"problem": name, **tables})
    assert caught.value.field == "problem"


def test_a_trainer_for_another_problem_is_one_sentence() -> None:
    require_solves(trainer("ridge"), "ridge", FORECAST)
    with pytest.raises(InvalidInput, match="its problem is forecast, use a trainer for anomaly"):
        require_solves(trainer("ridge"), "ridge", "anomaly")


@pytest.mark.parametrize("name", list(PROBLEMS))
def test_a_lineage_gives_back_problem_and_parameters(name: str) -> None:
    made = recorded(name, "one", {"alpha": 2.0})
    assert (problem_of(made), made["trainer"], parameters_of(made)) == (name, "one", {"alpha": 2.0})


def test_recipes_of_forecasts_are_what_they_were_before_there_were_problems() -> None:
    assert recorded(FORECAST, "ridge", {"alpha": 2.0}) == {"trainer": "ridge", "alpha": 2.0}


def test_a_request_of_a_commit_that_knew_no_problems_asks_for_a_forecast() -> None:
    asked = Retraining("raw", "2016-03-31", ("KO",), ("rv_1",), "t", "ridge", {}, 0, "inline", "").to_json()
    del asked["problem"]
    assert Retraining.from_json(asked).problem == FORECAST


@pytest.mark.parametrize("name", list(PROBLEMS))
def test_a_problem_describes_what_promotions_compare_by_as_less_for_better(name: str) -> None:
    """The list is read where a DAG file is, and must not import what it lists."""
    better = {metric["name"]: metric["better"] for metric in problem(name).metrics}
    assert {better[metric] for metric in PROBLEMS[name].comparable} == {"less"}


def test_only_problems_have_plots() -> None:
    assert PLOTS.keys() <= PROBLEMS.keys()
