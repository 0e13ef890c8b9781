"""`veritas monitor`: what it prints and how it ends, on real prices."""

from __future__ import annotations

from pathlib import Path

from domain.risk.spec import ModelSpec
from tests.cli.console import Console
from tests.cli.test_evaluate import SPEC, register_vendor
from veritasvault.bootstrap import bootstrap

REFERENCE = "volatility_forecast@1"


def test_a_calm_session_is_exit_code_0_with_all_figures_and_a_report(empty: Console) -> None:
    """Recorded once, whoever asks again."""
    spec = trained(empty, "2016-03-31")
    arguments = (REFERENCE, "--spec", spec, "--as-of", "2016-06-30")
    document = empty.run("monitor", *arguments, "--report", "page.html", "--json").document
    assert (document["reference"], document["as_of"], document["drift"]) == (REFERENCE, "2016-06-30", False)
    assert document["recorded"]
    page = (empty.directory / "page.html").read_text()
    assert page == Path(document["report"]).read_text()
    again = empty.run("monitor", *arguments).out
    assert "no drift" in again
    assert f"ledger entry {document['index']};" in again


def test_wrong_input_is_one_sentence_and_leaves_no_event(empty: Console) -> None:
    register_vendor(empty, 0.2)
    for arguments, said, code in (
        ((REFERENCE, "--spec", SPEC), "it was trained elsewhere", 2),
        ((REFERENCE, "--spec", empty.directory / "none.toml"), "give a readable TOML file", 2),
        (("volatility_forecast@7", "--spec", SPEC), "has no version 7", 1),
    ):
        assert said in empty.run("monitor", *arguments, code=code).sentence
    kinds = {entry["kind"] for entry in empty.run("ledger", "show", "--json").document["entries"]}
    assert not kinds & {"ModelMonitored", "DriftDetected"}


def trained(console: Console, as_of: str) -> Path:
    """A specification of four shares, and a version that was trained by it."""
    import datetime as dt

    from domain.risk.pipeline import ModelPipeline, RunRequest

    spec = console.directory / "volatility_forecast.toml"
    four = 'calendar = "XNYS", assets = ["AAPL", "JNJ", "KO", "XOM"]'
    spec.write_text(SPEC.read_text().replace('calendar = "XNYS"', four))
    application = bootstrap({"VERITAS_HOME": str(console.home)})
    pipeline = ModelPipeline(ModelSpec.load(spec), application)
    features = pipeline.prepare(pipeline.ingest(RunRequest(dt.datetime.now(dt.UTC), as_of=as_of)), "inline")
    candidate = pipeline.train(features, {})
    pipeline.register(candidate, pipeline.validate(features, "test run"), {"run": "test"})
    return spec
