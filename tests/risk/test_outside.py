"""Models that were trained elsewhere: judged by the same gates on real prices before they can be champion."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from domain.registry.errors import InvalidInput
from domain.registry.registration import RegisteredModel
from domain.risk.outside import Judged, OutsideEvaluation
from domain.risk.pipeline import RunRequest
from domain.risk.promotion_request import AS_REGISTERED
from tests.risk.test_promotion import FIRST, NAME, SECOND, Office, source

__all__ = ["source"]


@pytest.fixture
def office(tmp_path: Path, source: str) -> Office:
    home = tmp_path / "home"
    home.mkdir()
    return Office(home, source)


def outside(office: Office, artifact: Path) -> RegisteredModel:
    """Register an artifact as a vendor's model under the forecast's name."""
    return office.application.registration.register_model(
        office.spec.metadata("a vendor's"), artifact, provenance={"actor": "quant"}
    )


def evaluate(office: Office, version: int, as_of: str = SECOND) -> Judged:
    moment = dt.datetime.now(dt.UTC)
    request = RunRequest(run_after=moment, as_of=as_of, source=office.source)
    return OutsideEvaluation(office.spec, office.application).evaluate(
        f"{NAME}@{version}", request, "inline", "airflow"
    )


def from_elsewhere(office: Office, directory: Path) -> Path:
    """A good model: one that was trained here once, without anything that says so."""
    office.register(FIRST)
    office.application.catalog.retrieve(f"{NAME}@latest", directory)
    return directory


def test_a_good_model_from_outside_passes_the_gates_and_is_promoted_by_a_person(
    office: Office, tmp_path: Path
) -> None:
    """The evidence is kept and verified; without an as-of date it still needs somebody's approval."""
    version = outside(office, from_elsewhere(office, tmp_path / "vendor")).version
    judged = evaluate(office, version)
    assert (judged.passed, judged.recorded) == (True, True)
    assert {gate.gate for gate in judged.gates} == {gate.label for gate in office.spec.gates}
    assert judged.evidence.details["evaluated"]["as_of"] == SECOND
    assert not evaluate(office, version).recorded
    lifecycle, application = office.application.lifecycle, office.application
    proposal = lifecycle.propose("promote", NAME, version, "vendor release 7", "olga")
    assert "needs the approval of risk_officer" in lifecycle.carry_out(NAME, proposal).reasons[0]
    lifecycle.approve(NAME, proposal, "risk_officer")
    assert lifecycle.carry_out(NAME, proposal).reasons == ()
    assert office.champion == version
    assert application.audit.everything().problems == ()


def test_a_challenger_is_compared_with_a_champion_from_outside(office: Office, tmp_path: Path) -> None:
    """The vendor's artifact forecasts as it is, the challenger's recipe is trained before the window."""
    version = outside(office, from_elsewhere(office, tmp_path / "vendor")).version
    evaluate(office, version)
    lifecycle = office.application.lifecycle
    proposal = lifecycle.propose("promote", NAME, version, "vendor release 7", "olga")
    lifecycle.approve(NAME, proposal, "risk_officer")
    lifecycle.carry_out(NAME, proposal)
    office.register(SECOND)
    review = office.review()
    assert review.incumbent == version
    assert "instead of version 2" in review.subject
    assert AS_REGISTERED in review.body


def test_a_bad_model_from_outside_fails_and_is_not_promoted(office: Office, tmp_path: Path) -> None:
    """It forecasts the same for every row; whoever approves it, the gates stand in the way."""
    version = outside(office, constant(tmp_path / "constant.onnx", len(office.spec.columns), 0.3)).version
    judged = evaluate(office, version)
    assert not judged.passed
    assert "qlike better than ewma" in {gate.gate for gate in judged.gates if gate.outcome == "failed"}
    lifecycle = office.application.lifecycle
    proposal = lifecycle.propose("promote", NAME, version, "vendor release 7", "olga")
    lifecycle.approve(NAME, proposal, "risk_officer")
    reasons = lifecycle.carry_out(NAME, proposal).reasons
    assert any("qlike better than ewma" in reason for reason in reasons)


@pytest.mark.parametrize("columns", [3, 12])
def test_a_model_that_takes_other_features_is_refused_in_one_sentence(
    office: Office, tmp_path: Path, columns: int
) -> None:
    version = outside(office, constant(tmp_path / "constant.onnx", columns, 0.3)).version
    with pytest.raises(InvalidInput, match="the model does not take it"):
        evaluate(office, version)
    assert office.application.lifecycle.state(NAME).sequence == 0


def test_what_cannot_be_evaluated_is_said_before_anything_is_done(office: Office, tmp_path: Path) -> None:
    """A format that nothing here runs, a version that was judged already, another model's specification."""
    text = tmp_path / "weights.txt"
    text.write_text("0.3\n")
    version = outside(office, text).version
    with pytest.raises(InvalidInput, match="it is not one ONNX file"):
        evaluate(office, version)
    trained = office.register(FIRST)
    with pytest.raises(InvalidInput, match="it was trained here"):
        evaluate(office, trained)
    office.spec = replace(office.spec, model={**office.spec.model, "name": "another"})
    with pytest.raises(InvalidInput, match="give the specification of volatility_forecast"):
        evaluate(office, version)


def constant(file: Path, columns: int, forecast: float) -> Path:
    """An ONNX model that forecasts the same whatever it is given: a sum of zeros, and the constant."""
    weights = helper.make_tensor("weights", TensorProto.DOUBLE, [columns, 1], np.zeros(columns))
    level = helper.make_tensor("level", TensorProto.DOUBLE, [1], [forecast])
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["features", "weights"], ["nothing"]),
            helper.make_node("Add", ["nothing", "level"], ["forecast"]),
        ],
        "constant",
        [helper.make_tensor_value_info("features", TensorProto.DOUBLE, ["n", columns])],
        [helper.make_tensor_value_info("forecast", TensorProto.DOUBLE, ["n", 1])],
        [weights, level],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save(model, file)
    return file
