"""A pipeline from prices to a registered version, through its steps, without a scheduler."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from domain.registry.card import required_sections, to_markdown
from domain.registry.errors import DataNotArrived, DomainException, GateFailed, InvalidInput
from domain.registry.events import ModelRegisteredEvent, RegistrationRefusedEvent
from domain.registry.metadata import RiskTier
from domain.registry.registration import RegisteredModel
from domain.risk.pipeline import Candidate, Features, ModelPipeline, Rows, RunRequest
from domain.risk.spec import ModelSpec
from tests.servers.seaweedfs import S3Server
from veritasvault.adapters.uri_source import UriSource
from veritasvault.bootstrap import Application
from veritasvault.settings import Settings

SPEC = Path(__file__).parents[2] / "dags" / "volatility_forecast.toml"
ASSETS = ("AAPL", "JNJ", "KO", "XOM")
CUT = dt.date(2016, 3, 31)


@pytest.fixture(scope="module")
def panel(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """Real prices of four shares, 2011 to 2016."""
    path = UriSource().fetch("sample://sp500", tmp_path_factory.mktemp("sample"))
    frame = pl.read_parquet(path)
    years = pl.col("date").is_between(dt.date(2011, 1, 1), dt.date(2016, 12, 31))
    return frame.filter(years & pl.col("asset").is_in(ASSETS)).sort("asset", "date")


class FixedClock:
    """It is always the same moment."""

    def __init__(self, moment: dt.datetime) -> None:
        self.moment = moment

    def now(self) -> dt.datetime:
        return self.moment


class Desk:
    """One registry, and runs of the volatility pipeline against it."""

    def __init__(self, home: Path, **settings: str) -> None:
        self.home = home
        self.application = Application(Settings.read({"VERITAS_HOME": str(home), **settings}))
        self.spec = ModelSpec.load(SPEC)

    @property
    def pipeline(self) -> ModelPipeline:
        return ModelPipeline(self.spec, self.application)

    def write(self, frame: pl.DataFrame, name: str = "panel.parquet") -> str:
        self.home.mkdir(exist_ok=True)
        path = self.home / name
        frame.write_csv(path) if path.suffix == ".csv" else frame.write_parquet(path)
        return str(path)

    def ingest(
        self, source: str, as_of: str = CUT.isoformat(), assets: tuple[str, ...] | None = None
    ) -> Rows:
        moment = dt.datetime.now(dt.UTC)
        return self.pipeline.ingest(RunRequest(run_after=moment, as_of=as_of, source=source, assets=assets))

    def features(self, source: str, as_of: str = CUT.isoformat(), engine: str = "inline") -> Features:
        return self.pipeline.prepare(self.ingest(source, as_of), engine)

    def candidate(
        self, source: str, as_of: str = CUT.isoformat(), engine: str = "inline"
    ) -> tuple[Features, Candidate]:
        features = self.features(source, as_of, engine)
        return features, self.pipeline.train(features, {})

    def run(self, source: str, as_of: str = CUT.isoformat(), engine: str = "inline") -> RegisteredModel:
        features, candidate = self.candidate(source, as_of, engine)
        validation = self.pipeline.validate(features, "test run")
        return self.pipeline.register(candidate, validation, {"run": "test"})


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "home")


def test_real_prices_become_a_verified_version(desk: Desk, panel: pl.DataFrame) -> None:
    """All gates pass on real data, the version verifies, and evidence, plots and report are kept with it."""
    model = desk.run(desk.write(panel))
    assert (model.outcome, model.version, model.event.as_of) == ("registered", 1, CUT)
    assert {gate.outcome for gate in model.event.gates} == {"passed"}
    names = {attachment.name for attachment in model.event.attachments}
    assert {"evidence.json", "environment.json"} < names
    assert sum(name.endswith(".png") for name in names) == 3
    assert {"source", "snapshot", "engine", "tracked_as", "report"} <= set(model.event.provenance)
    report = desk.application.audit.everything()
    assert (report.problems, report.versions, report.unlisted) == ((), 1, ())
    destination = desk.home / "retrieved"
    desk.application.catalog.retrieve("volatility_forecast@latest", destination)
    assert {path.name for path in destination.iterdir()} == {"model.onnx", "signature.json"}
    assert desk.run(desk.write(panel)).outcome == "recognised"


def test_a_panel_and_its_blocks_may_lie_in_s3(
    desk: Desk, panel: pl.DataFrame, s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a panel in a bucket, through Dask's workers, whose blocks are in it too, to the same model; what a
    rule of the bucket ended is made again."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_key)
    here, client, bucket = desk.run(desk.write(panel)), s3_server.client(), s3_server.make_bucket()
    client.upload_file(str(desk.home / "panel.parquet"), bucket, "raw/panel.parquet")
    settings = {"VERITAS_BLOCKS": f"s3://{bucket}/blocks", "VERITAS_S3_ENDPOINT": s3_server.endpoint}
    there = Desk(tmp_path / "there", **settings)
    source = f"s3://{bucket}/raw/panel.parquet"
    assert there.run(source, engine="dask").model_id == here.model_id
    assert there.application.audit.everything().problems == ()
    found = client.list_objects_v2(Bucket=bucket, Prefix="blocks/")["Contents"]
    assert {item["Key"].split("/")[1] for item in found} == {"files", "records"}
    assert not list((there.home / "workspace").rglob("*blocks*"))
    for item in found[::2]:
        client.delete_object(Bucket=bucket, Key=item["Key"])
    assert there.run(source, engine="dask").outcome == "recognised"


def test_the_card_of_the_registration_is_kept_with_the_version(desk: Desk, panel: pl.DataFrame) -> None:
    """Both files are attachments with every required section filled, and what is shown later agrees."""
    model = desk.run(desk.write(panel))
    catalog = desk.application.catalog
    kept = {
        item.name: catalog.attachment(model.event, item).decode()
        for item in model.event.attachments
        if item.name.startswith("card.")
    }
    assert set(kept) == {"card.md", "card.html"}
    shown = desk.application.cards.card("volatility_forecast@1")
    required = {section.key for section in required_sections(RiskTier.MEDIUM)}
    assert required <= {section.key for section in shown.sections if section.blocks}
    measured = kept["card.md"].partition("## Features and target")[2].partition("## Gates")[0]
    assert measured.strip()
    assert measured in to_markdown(shown)
    for said in (
        "`market_vol_21`",
        "stressed",
        "beats every baseline",
        f"`{model.model_id}`",
        "realised_volatility_5_ahead",
    ):
        assert said in kept["card.md"], said
    assert kept["card.html"].count("data:image/png;base64,") == 3


def test_a_card_that_is_not_complete_is_a_failed_gate(desk: Desk, panel: pl.DataFrame) -> None:
    """A model of tier 2 whose owner does not say how it is monitored is refused, with the section's name."""
    desk.spec = replace(desk.spec, statements={})
    with pytest.raises(GateFailed, match="tier 2 requires sections that nothing fills: monitoring"):
        desk.run(desk.write(panel))
    assert list(desk.application.registry.list()) == []


def test_the_same_work_gives_the_same_evidence(tmp_path: Path, panel: pl.DataFrame) -> None:
    """On another desk too, with what importance draws at random."""
    desks = [Desk(tmp_path / name) for name in ("one", "other")]
    events = [desk.run(desk.write(panel)).event for desk in desks]
    one, other = ({item.name: item.sha256 for item in event.attachments} for event in events)
    assert one["evidence.json"] == other["evidence.json"]


def test_rows_after_the_as_of_date_change_nothing(desk: Desk, panel: pl.DataFrame) -> None:
    """Garbage in every later row gives the same rows, features, recipe and model id."""
    later = pl.col("date") > CUT
    garbage = panel.with_columns(
        pl.when(later).then(pl.lit("no price")).otherwise(pl.col("close").cast(pl.String)).alias("close")
    )
    strangers = pl.DataFrame(
        {"asset": ["ZZZ", None], "date": [dt.date(2016, 5, 2)] * 2, "close": ["-1", None]}
    )
    poisoned = pl.concat([garbage, garbage.filter(later), strangers])
    clean, dirty = (
        desk.candidate(desk.write(frame, name))
        for frame, name in (
            (panel.with_columns(pl.col("close").cast(pl.String)), "clean.csv"),
            (poisoned, "dirty.csv"),
        )
    )
    assert clean[0].rows["snapshot"] != dirty[0].rows["snapshot"]
    assert clean[0].digest == dirty[0].digest
    assert (clean[1].recipe, clean[1].model_id) == (dirty[1].recipe, dirty[1].model_id)


def test_a_late_correction_gives_a_new_version_that_names_the_one_it_supersedes(
    desk: Desk, panel: pl.DataFrame
) -> None:
    """A corrected old price is other work for the same date; a new day's rows are not."""
    until = panel.filter(pl.col("date") <= CUT)
    assert desk.run(desk.write(until)).outcome == "registered"
    assert desk.run(desk.write(panel)).outcome == "recognised"
    corrected = panel.with_columns(
        pl.when((pl.col("asset") == "KO") & (pl.col("date") == dt.date(2013, 6, 3)))
        .then(pl.col("close") * 1.001)
        .otherwise(pl.col("close"))
        .alias("close")
    )
    model = desk.run(desk.write(corrected))
    assert (model.outcome, model.version, model.event.supersedes) == ("registered", 2, 1)


def test_a_run_can_replay_the_snapshot_of_another(desk: Desk, panel: pl.DataFrame) -> None:
    """`snapshot:SHA256` as the source gives what was known then, also after the file has changed."""
    source = desk.write(panel)
    first = desk.ingest(source)
    desk.write(panel.with_columns(pl.col("close") * 2))
    assert desk.ingest(source).digest != first.digest
    assert desk.ingest(f"snapshot:{first.snapshot}").digest == first.digest


def test_parameters_spelled_out_are_the_same_work_as_defaults(desk: Desk, panel: pl.DataFrame) -> None:
    """The form sends every parameter; the recipe is that of a run that sends none."""
    features, candidate = desk.candidate(desk.write(panel))
    defaults = {name: parameter.default for name, parameter in desk.pipeline.parameters.items()}
    assert desk.pipeline.train(features, defaults).recipe == candidate.recipe


def test_a_failed_gate_is_in_the_ledger_and_nothing_is_stored(desk: Desk, panel: pl.DataFrame) -> None:
    """A share whose price stands still for a month fails the data validation, by name."""
    stale = panel.with_columns(
        pl.when((pl.col("asset") == "XOM") & (pl.col("date") > dt.date(2016, 2, 15)))
        .then(80.0)
        .otherwise(pl.col("close"))
        .alias("close")
    )
    with pytest.raises(GateFailed, match="XOM"):
        desk.run(desk.write(stale))
    kinds = [type(event) for _, event in desk.application.ledger.events()]
    assert kinds.count(RegistrationRefusedEvent) == 1
    assert ModelRegisteredEvent not in kinds
    assert list(desk.application.registry.list()) == []


def test_data_that_may_still_arrive_is_waited_for_until_the_deadline(desk: Desk, panel: pl.DataFrame) -> None:
    """Before the deadline the error is retriable, after it it is final; both name the last date there is."""
    source = desk.write(panel.filter(pl.col("date") < CUT))
    evening = dt.datetime(2016, 3, 31, 22, tzinfo=dt.UTC)
    request = RunRequest(run_after=evening, logical_date=evening, source=source)
    for hours, error in ((1, DataNotArrived), (7, InvalidInput)):
        desk.application.clock = FixedClock(evening + dt.timedelta(hours=hours))  # type: ignore[assignment]
        with pytest.raises(error, match="2016-03-30") as caught:
            desk.pipeline.ingest(request)
        assert caught.value.retriable == (error is DataNotArrived)
    desk.write(panel)
    assert desk.pipeline.ingest(request).session == "2016-03-31"


def test_a_source_named_by_its_date_is_waited_for_before_it_exists(desk: Desk, panel: pl.DataFrame) -> None:
    """A file for the session may still come; one whose name has no date is wrong, and so is a late one."""
    evening = dt.datetime(2016, 3, 31, 22, tzinfo=dt.UTC)
    request = RunRequest(run_after=evening, logical_date=evening, source=str(desk.home / "{as_of}.parquet"))
    desk.application.clock = FixedClock(evening + dt.timedelta(hours=1))  # type: ignore[assignment]
    with pytest.raises(DataNotArrived, match=r"2016-03-31\.parquet does not exist yet: retry until 2016"):
        desk.pipeline.ingest(request)
    with pytest.raises(InvalidInput, match="name a file that can be read"):
        desk.pipeline.ingest(replace(request, source=str(desk.home / "panel.parquet")))
    desk.write(panel, "2016-03-31.parquet")
    assert desk.pipeline.ingest(request).session == "2016-03-31"
    desk.application.clock = FixedClock(evening + dt.timedelta(hours=7))  # type: ignore[assignment]
    with pytest.raises(InvalidInput, match="name a file that can be read"):
        desk.pipeline.ingest(replace(request, source=str(desk.home / "late-{as_of}.parquet")))


def test_a_date_with_too_little_history_is_told_the_first_session_that_has_enough(
    desk: Desk, panel: pl.DataFrame
) -> None:
    """One sentence, with a day on which the exchange trades: 1 January and a weekend lie before it."""
    source = desk.write(panel)
    first = panel["date"].sort().unique()[251]
    with pytest.raises(InvalidInput, match="the first possible as-of date is ") as caught:
        desk.candidate(source, "2013-05-01")
    named = dt.date.fromisoformat(caught.value.remedy.rsplit(" ", 1)[-1])
    assert desk.application.calendar.sessions("XNYS", named, named) == [named]
    assert named > first.replace(year=first.year + 3) - dt.timedelta(days=5)
    desk.candidate(source, named.isoformat())


def test_a_weekend_stands_for_its_friday(desk: Desk, panel: pl.DataFrame) -> None:
    """Runs of Saturday, Sunday and Monday before the close are the same work as Friday's."""
    source = desk.write(panel)
    sessions = {desk.ingest(source, day).session for day in ("2016-03-18", "2016-03-19", "2016-03-20")}
    assert sessions == {"2016-03-18"}


def _with(frame: pl.DataFrame, **columns: pl.Expr | pl.Series) -> pl.DataFrame:
    return frame.with_columns(**columns)


FIRST = (pl.col("asset") == "AAPL") & (pl.col("date") == dt.date(2012, 5, 1))
BAD_PANELS = {
    "NaN price": (lambda f: _with(f, close=pl.when(FIRST).then(float("nan")).otherwise("close")), "AAPL"),
    "negative price": (lambda f: _with(f, close=pl.when(FIRST).then(-1.0).otherwise("close")), "2012-05-01"),
    "duplicate date": (lambda f: pl.concat([f, f.filter(FIRST)]), "2012-05-01"),
    "empty": (lambda f: f.head(0), "as_of|source|rows"),
    "one row": (lambda f: f.head(1), "two sessions"),
    "text prices": (lambda f: _with(f, close=pl.lit("high")), "close"),
    "number dates": (lambda f: _with(f, date=pl.lit(7)), "date"),
    "no close": (lambda f: f.drop("close"), "close"),
    "too short": (lambda f: f.filter(pl.col("date") > dt.date(2016, 1, 1)), "as_of"),
}


@pytest.mark.parametrize("what", BAD_PANELS)
def test_a_bad_panel_is_one_sentence(desk: Desk, panel: pl.DataFrame, what: str) -> None:
    """Each kind of bad data ends with one DomainException that names it, and leaves no version behind."""
    spoil, named = BAD_PANELS[what]
    with pytest.raises(DomainException, match=named) as caught:
        desk.candidate(desk.write(spoil(panel)))
    assert "\n" not in str(caught.value)
    assert not caught.value.retriable
    assert desk.application.ledger.view().size == 0


BAD_REQUESTS = {
    "unknown ticker": (
        RunRequest(run_after=dt.datetime.now(dt.UTC), as_of="2016-03-31", assets=("APPL",)),
        "AAPL",
    ),
    "future date": (RunRequest(run_after=dt.datetime.now(dt.UTC), as_of="2999-01-01"), "future"),
    "no date": (RunRequest(run_after=dt.datetime.now(dt.UTC), as_of="yesterday"), "as_of"),
    "no file": (
        RunRequest(run_after=dt.datetime.now(dt.UTC), as_of="2016-03-31", source="/no/such.csv"),
        "source",
    ),
    "no scheme": (
        RunRequest(run_after=dt.datetime.now(dt.UTC), as_of="2016-03-31", source="ftp://x/y.csv"),
        "source",
    ),
    "not a panel": (
        RunRequest(run_after=dt.datetime.now(dt.UTC), as_of="2016-03-31", source=__file__),
        "source",
    ),
}


@pytest.mark.parametrize("what", BAD_REQUESTS)
def test_a_bad_request_is_one_sentence(desk: Desk, panel: pl.DataFrame, what: str) -> None:
    """Each kind of bad parameter ends with one DomainException that names the field."""
    request, named = BAD_REQUESTS[what]
    source = desk.write(panel)
    with pytest.raises(InvalidInput, match=named) as caught:
        desk.pipeline.ingest(request if request.source else replace(request, source=source))
    assert "\n" not in str(caught.value)


def test_what_was_registered_says_where_it_comes_from(desk: Desk, panel: pl.DataFrame) -> None:
    """The event's provenance leads to the snapshot, and the snapshot to the bytes."""
    source = desk.write(panel)
    event = desk.run(source).event
    assert isinstance(event, ModelRegisteredEvent)
    again = desk.ingest(f"snapshot:{event.provenance['snapshot']}")
    manifest = desk.application.catalog.show("volatility_forecast@1").manifest
    assert manifest.lineage is not None
    assert again.digest == manifest.lineage.data
