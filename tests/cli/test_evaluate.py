"""`veritas evaluate`: what it prints and how it ends, on real prices."""

from __future__ import annotations

from pathlib import Path

from domain.risk.spec import ModelSpec
from tests.cli.console import Console
from tests.risk.test_outside import constant

SPEC = Path(__file__).parents[2] / "dags" / "volatility_forecast.toml"
METADATA = """name = "volatility_forecast"
purpose = "Forecast volatility"
owner = "quant"
risk_tier = 2
framework = "vendor 7"
intended_use = "Position sizing"
limitations = "US equities only"
"""


def register_vendor(console: Console, forecast: float) -> None:
    """A vendor's model that forecasts the same for every row."""
    model = constant(console.directory / "model.onnx", len(ModelSpec.load(SPEC).columns), forecast)
    metadata = console.directory / "forecast.toml"
    metadata.write_text(METADATA)
    console.run("register", "--metadata", metadata, "--artifact", model)


def test_a_model_that_fails_a_gate_ends_with_exit_code_1_and_says_which(empty: Console) -> None:
    """What was found is in the ledger, and the version's lifecycle shows it."""
    register_vendor(empty, 0.2)
    document = empty.run(
        "evaluate", "volatility_forecast@1", "--spec", SPEC, "--as-of", "2022-12-28", "--json", code=1
    ).document
    assert (document["reference"], document["passed"], document["recorded"]) == (
        "volatility_forecast@1",
        False,
        True,
    )
    failed = {gate["gate"] for gate in document["gates"] if gate["outcome"] == "failed"}
    assert "qlike better than ewma" in failed
    (event,) = empty.run("lifecycle", "volatility_forecast", "--json").document["events"]
    assert (event["kind"], event["evidence"]) == ("ModelEvaluated", document["evidence"])
    assert empty.run("verify", "--all", "--json").document["problems"] == []


def test_wrong_input_is_one_sentence_and_leaves_no_event(empty: Console) -> None:
    register_vendor(empty, 0.2)
    for arguments, said in (
        (("volatility_forecast@1", "--spec", empty.directory / "none.toml"), "give a readable TOML file"),
        (("volatility_forecast@1", "--spec", SPEC, "--as-of", "yesterday"), "as_of is"),
    ):
        assert said in empty.run("evaluate", *arguments, code=2).sentence
    assert (
        "has no version 7" in empty.run("evaluate", "volatility_forecast@7", "--spec", SPEC, code=1).sentence
    )
    assert empty.run("lifecycle", "volatility_forecast", "--json").document["events"] == []
