"""From a registered challenger to the champion's place, on real prices, with the real policy."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from domain.registry.canonical import Digest
from domain.registry.errors import NotFound, NotPermitted
from domain.registry.events.lifecycle import ModelEvaluatedEvent
from domain.registry.ports import VersionRow
from domain.risk.pipeline import ModelPipeline, RunRequest
from domain.risk.promotion import Promotions, Review
from domain.risk.promotion_request import AS_REGISTERED, TRAINED_BEFORE
from domain.risk.spec import ModelSpec, PromotionSpec
from veritasvault.adapters.uri_source import UriSource
from veritasvault.bootstrap import Application
from veritasvault.settings import Settings

SPEC = Path(__file__).parents[2] / "dags" / "volatility_forecast.toml"
NAME, ASSETS = "volatility_forecast", ("AAPL", "JNJ", "KO", "XOM")
FIRST, SECOND, THIRD = "2016-03-29", "2016-03-30", "2016-03-31"
ROLES = '[roles]\nrisk_officer = ["olga", "quant-research"]\nmodel_validator = ["vera"]\n'


class Office:
    """A registry with its pipeline, and people who decide."""

    def __init__(self, home: Path, source: str) -> None:
        roles = home / "roles.toml"
        roles.write_text(ROLES)
        self.application = Application(
            Settings.read({"VERITAS_HOME": str(home), "VERITAS_ROLES": str(roles)})
        )
        self.spec = ModelSpec.load(SPEC)
        self.source = source

    @property
    def promotions(self) -> Promotions:
        return Promotions(self.spec, self.application)

    def register(self, as_of: str, trainer: str = "ridge", **parameters: float) -> int:
        """A version as of a date, made as the pipeline makes it."""
        training = replace(self.spec.training, trainer=trainer)
        pipeline = ModelPipeline(replace(self.spec, training=training), self.application)
        moment = dt.datetime.now(dt.UTC)
        rows = pipeline.ingest(RunRequest(run_after=moment, as_of=as_of, source=self.source))
        features = pipeline.prepare(rows, "inline")
        validation = pipeline.validate(features, "test run")
        candidate = pipeline.train(features, parameters)
        return pipeline.register(candidate, validation, {"run": "test"}).version

    def review(self, *, again: bool = False) -> Review:
        """As tasks hand it on: as plain JSON."""
        found = self.promotions.review("airflow", again=again)
        assert found is not None
        return Review(**json.loads(json.dumps(asdict(found))))

    def approve(self, review: Review, person: str = "olga", role: str = "risk_officer") -> None:
        mine = review.answered_by(person, "figures are fine", self.application.clock.now())
        self.application.lifecycle.approve(NAME, mine, role)

    def promote(self, review: Review) -> tuple[str, ...]:
        return self.application.lifecycle.carry_out(NAME, review.proposal).reasons

    def decided(self) -> None:
        """Whatever is due is approved and carried out."""
        review = self.review()
        self.approve(review)
        assert self.promote(review) == ()

    @property
    def champion(self) -> int | None:
        return self.application.lifecycle.state(NAME).champion


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Real prices of four shares, 2011 to 2016."""
    directory = tmp_path_factory.mktemp("source")
    frame = pl.read_parquet(UriSource().fetch("sample://sp500", directory))
    years = pl.col("date").is_between(dt.date(2011, 1, 1), dt.date(2016, 12, 31))
    path = directory / "panel.parquet"
    frame.filter(years & pl.col("asset").is_in(ASSETS)).sort("asset", "date").write_parquet(path)
    return str(path)


@pytest.fixture
def office(tmp_path: Path, source: str) -> Office:
    home = tmp_path / "home"
    home.mkdir()
    return Office(home, source)


def test_the_first_version_is_proposed_on_the_evidence_of_its_registration(office: Office) -> None:
    """No champion, nothing to compare with; people are shown its figures and gates."""
    assert office.promotions.due() is None
    office.register(FIRST)
    review = office.review()
    assert (review.version, review.incumbent, review.approvers) == (1, None, {"risk_officer": ["olga"]})
    assert "qlike better than ewma" in review.body
    assert review.evidence in review.body
    assert office.champion is None
    office.approve(review)
    assert office.promote(review) == ()
    assert office.champion == 1


def test_a_challenger_is_compared_with_the_champion_on_the_same_sessions(office: Office) -> None:
    """The comparison is new evidence: kept with the version, verified, and what people approve."""
    office.register(FIRST)
    office.decided()
    office.register(SECOND, alpha=3.0)
    review = office.review()
    assert (review.version, review.incumbent) == (2, 1)
    application = office.application
    evaluated = [found.event for found in application.ledger.view().lifecycle(NAME)]
    event = next(event for event in evaluated if isinstance(event, ModelEvaluatedEvent))
    assert (event.evidence, event.gates[-1].gate) == (review.evidence, "qlike no worse than the champion's")
    row = application.catalog.resolve(f"{NAME}@2")
    kept = json.loads(application.catalog.evidence(row.model_id, event))
    details = kept["details"]
    assert (details["champion"], details["difference"]["qlike"]["sessions"]) == (f"{NAME}@1", 250)
    assert details["window"]["test_end"] < SECOND
    assert kept["metrics"] != kept["baselines"]["champion"]
    assert set(details["forecasts"].values()) == {TRAINED_BEFORE}
    assert "Diebold-Mariano" in review.body
    assert application.audit.everything().problems == ()
    office.approve(review)
    assert office.promote(review) == ()
    assert office.champion == 2


def test_changed_evidence_of_a_comparison_is_found_and_named(office: Office) -> None:
    """By verify, for one version and for all; nobody can say afterwards that people saw something else."""
    office.register(FIRST)
    office.decided()
    office.register(SECOND)
    evidence = office.review().evidence
    (kept,) = office.application.settings.home.rglob(evidence)
    kept.chmod(0o644)
    kept.write_bytes(kept.read_bytes().replace(b"qlike", b"qlikf", 1))
    for report in (office.application.audit.everything(), office.application.audit.version(f"{NAME}@2")):
        (problem,) = report.problems
        assert problem.object == f"evidence {evidence} of {NAME}@2"
    kept.unlink()
    (problem,) = office.application.audit.version(f"{NAME}@2").problems
    assert problem.object == f"evidence {evidence} of {NAME}@2"


def test_a_challenger_that_is_worse_is_refused_without_asking_anybody(office: Office) -> None:
    """The gate says no, the refusal is in the ledger, and the same is not looked at again."""
    office.register(FIRST)
    office.decided()
    office.spec = replace(office.spec, promotion=PromotionSpec(tolerance=0.0))
    office.register(SECOND, alpha=3000.0)
    review = office.review()
    assert review.approvers == {}
    assert any("no worse than the champion's" in reason for reason in office.promote(review))
    assert (office.champion, office.promotions.due()) == (1, None)


def test_nobody_is_asked_twice(office: Office) -> None:
    """Not while a proposal waits, nor when it expired; unless somebody wants them to be asked again."""
    office.register(FIRST)
    review = office.review()
    assert office.promotions.due() is None
    assert office.promotions.review("airflow") is None
    office.application.lifecycle.expire(NAME, review.proposal)
    assert office.promotions.due() is None
    again = office.review(again=True)
    assert (again.version, again.approvers) == (1, review.approvers)


def test_what_was_approved_elsewhere_is_carried_out_by_the_next_run(office: Office) -> None:
    """A run that ended before people answered on the command line leaves nothing undone."""
    office.register(FIRST)
    office.approve(office.review())
    assert office.promotions.due() is not None
    review = office.review()
    assert review.approvers == {}
    assert office.promote(review) == ()
    assert (office.champion, office.promotions.due()) == (1, None)


def test_a_backfilled_version_challenges_nobody(office: Office) -> None:
    """What has seen less than the champion is not even proposed."""
    office.register(SECOND)
    office.decided()
    office.register(FIRST)
    assert office.promotions.due() is None
    assert office.champion == 1


def test_the_newest_of_several_is_the_challenger(office: Office) -> None:
    for day in (FIRST, THIRD, SECOND):
        office.register(day)
    assert office.review().version == 2


def test_nothing_is_due_during_a_halt(office: Office) -> None:
    """Nor is it forgotten: it is due again when promotions go on."""
    office.register(FIRST)
    lifecycle = office.application.lifecycle
    lifecycle.halt("*", "change freeze", "vera")
    assert office.promotions.due() is None
    lifecycle.resume("*", "freeze is over", "olga")
    assert office.promotions.due() is not None


def test_an_approval_after_another_became_champion_changes_nothing(office: Office) -> None:
    """Both were proposed against no champion; the second to be carried out has to be looked at again."""
    office.register(FIRST)
    first = office.review()
    office.register(SECOND)
    second = office.review()
    office.approve(first)
    office.approve(second)
    assert office.promote(second) == ()
    with pytest.raises(Exception, match="the champion of volatility_forecast is version 2 now"):
        office.promote(first)
    assert office.champion == 2


def test_where_nobody_may_approve_the_sentence_says_so(office: Office) -> None:
    office.register(FIRST)
    (office.application.settings.home / "roles.toml").write_text(
        '[roles]\nrisk_officer = ["quant-research"]\n'
    )
    with pytest.raises(NotPermitted, match="nobody may approve volatility_forecast@1 as risk_officer"):
        office.promotions.review("airflow")


def test_data_that_is_not_what_it_was_is_not_compared_on(office: Office) -> None:
    """Without the snapshot that the challenger was trained on there is no comparison, and no proposal."""
    office.register(FIRST)
    office.decided()
    office.register(SECOND)
    office.spec = dataclasses.replace(office.spec, data=replace(office.spec.data, assets=()))
    for stored in office.application.settings.snapshots.rglob("*"):
        if stored.is_file():
            stored.unlink()
    with pytest.raises(NotFound):
        office.promotions.review("airflow")
    assert office.application.lifecycle.state(NAME).waiting == set()


def test_a_proposal_names_the_champion_that_was_compared_with(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another version becomes champion during the comparison: it is compared again, with that one."""
    for day in (FIRST, SECOND, THIRD):
        office.register(day)
        if day == FIRST:
            office.decided()
    compare = Promotions._compared
    seen: list[int | None] = []

    def slow(self: Promotions, row: VersionRow, champion: int | None) -> Any:
        if not seen:
            lifecycle = office.application.lifecycle
            second = lifecycle.propose("promote", NAME, 2, "by hand", "olga")
            lifecycle.approve(NAME, second, "risk_officer")
            lifecycle.carry_out(NAME, second)
        seen.append(champion)
        return compare(self, row, champion)

    monkeypatch.setattr(Promotions, "_compared", slow)
    review = office.review()
    assert (review.version, review.incumbent, seen) == (3, 2, [1, 2])
    row = office.application.catalog.resolve(f"{NAME}@3")
    kept = office.application.registry.read_attachment(row.model_id, Digest(review.evidence))
    assert json.loads(kept)["details"]["champion"] == f"{NAME}@2"


def test_a_proposal_whose_run_is_gone_is_made_again_after_a_while(office: Office) -> None:
    """Nobody lets it expire: after twice the time to answer it does, and people are asked again."""
    office.register(FIRST)
    first = office.review()
    assert office.promotions.due() is None
    office.spec = replace(office.spec, promotion=PromotionSpec(answer_hours=0.0))
    assert office.review().approvers == first.approvers
    kinds = [found.event.KIND for found in office.application.ledger.view().lifecycle(NAME)]
    assert kinds == ["PromotionProposed", "ApprovalExpired", "PromotionProposed"]


def test_an_approved_version_is_carried_out_though_a_newer_one_was_registered(office: Office) -> None:
    """The newer one is looked at afterwards, against the new champion."""
    office.register(FIRST)
    first = office.review()
    office.register(SECOND)
    office.approve(first)
    review = office.review()
    assert (review.version, review.approvers) == (1, {})
    office.promote(review)
    assert (office.champion, office.review().version) == (1, 2)


def test_a_version_whose_gate_failed_does_not_hide_an_older_one(office: Office) -> None:
    office.register(FIRST)
    office.decided()
    office.register(SECOND)
    office.spec = replace(office.spec, promotion=PromotionSpec(tolerance=0.0))
    office.register(THIRD, alpha=3000.0)
    assert office.promote(office.review())
    assert office.review().version == 2


def test_a_champion_with_other_features_forecasts_as_it_is(office: Office) -> None:
    """Its columns are not those of the specification any more; people are told how it forecast."""
    office.register(FIRST)
    office.decided()
    office.spec = replace(office.spec, columns=(*office.spec.columns[1:], office.spec.columns[0]))
    office.register(SECOND)
    review = office.review()
    row = office.application.catalog.resolve(f"{NAME}@2")
    kept = office.application.registry.read_attachment(row.model_id, Digest(review.evidence))
    details = json.loads(kept)["details"]
    assert details["forecasts"] == {"challenger": TRAINED_BEFORE, "champion": AS_REGISTERED}
    assert AS_REGISTERED in review.body
