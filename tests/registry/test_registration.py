"""Registration through the fakes: what is recognised, refused, superseded or not reproduced."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.registry.errors import GateFailed, InvalidInput, Unavailable, UnsafeArtifact
from domain.registry.events import (
    KeyIntroducedEvent,
    ModelRegisteredEvent,
    NotReproducedEvent,
    RegistrationRefusedEvent,
)
from domain.registry.evidence import Attachment, DataValidation, Evidence
from domain.registry.gates import DataValidated
from domain.registry.ledger.ledger import Ledger
from domain.registry.ports import Batch, Finding
from domain.registry.registration import ModelRegistration, RegisteredModel
from domain.registry.security import SecurityService
from tests.exactly_once.candidates import EVIDENCE, lineage, metadata
from tests.fakes.ledger import FakeLedger
from tests.fakes.registry import FakeModelRegistry
from tests.fakes.signer import FakeSigner
from veritasvault.adapters.local_signer import LocalSigner

NOON = dt.datetime(2022, 12, 29, 12, tzinfo=dt.UTC)
BAD = dataclasses.replace(EVIDENCE, data_validation=DataValidation(3, ("close of AAPL is null",)))


class StoppedClock:
    """It is always noon."""

    def now(self) -> dt.datetime:
        return NOON


class TextScanner:
    """Admits .txt files."""

    def scan(self, artifact: object) -> tuple[Finding, ...]:
        files = artifact.artifact.files  # type: ignore[attr-defined]
        return tuple(
            Finding(file.path, "is no text", "export it as text")
            for file in files
            if not file.path.endswith(".txt")
        )


class Desk:
    """A registration service on the fakes, and what can be seen of its effects."""

    def __init__(self, directory: Path, port: FakeLedger | None = None) -> None:
        self.directory = directory
        self.port = port or FakeLedger()
        self.repository = FakeModelRegistry()
        self.ledger = Ledger(self.port, LocalSigner(directory / "keys"), sleep=lambda _: None)
        self.service = ModelRegistration(
            self.repository,
            SecurityService(TextScanner(), FakeSigner()),
            self.ledger,
            staging=directory / "staging",
            clock=StoppedClock(),
        )

    def artifact(self, text: str, name: str = "model.txt") -> Path:
        path = self.directory / name
        path.write_text(text)
        return path

    def register(
        self,
        recipe: int = 1,
        text: str = "weights",
        evidence: Evidence = EVIDENCE,
        reason: str | None = None,
        day: int = 28,
        name: str = "volatility",
    ) -> RegisteredModel:
        made = dataclasses.replace(lineage(recipe), as_of=dt.date(2022, 12, day))
        return self.service.register_model(
            metadata(name),
            self.artifact(text),
            lineage=made,
            evidence=evidence,
            gates=(DataValidated(),),
            attachments=(Attachment("plot.txt", "text/plain", b"a plot"),),
            provenance={"run": "test"},
            retrain_reason=reason,
        )

    @property
    def events(self) -> list[object]:
        """What happened to models; the first append has also introduced the two signing keys."""
        return [event for _, event in self.ledger.events() if not isinstance(event, KeyIntroducedEvent)]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_the_first_registration_is_version_1_with_a_receipt(desk: Desk) -> None:
    """A registered model names its version, gates and attachments, and its receipt is for its entry."""
    model = desk.register()
    assert (model.outcome, model.version, model.index, model.receipt.index) == ("registered", 1, 2, 2)
    names = [attachment.name for attachment in model.event.attachments]
    assert names == ["plot.txt", "evidence.json", "model.sig"]
    assert [gate.outcome for gate in model.event.gates] == ["passed"]
    assert model.event.at == NOON
    assert desk.repository.exists(model.model_id)
    for attachment in model.event.attachments:
        assert len(desk.repository.read_attachment(model.model_id, attachment.sha256)) == attachment.size


def test_the_same_work_is_recognised(desk: Desk) -> None:
    """Registering again, also with other provenance and evidence, answers the version there is."""
    first = desk.register()
    again = desk.register(evidence=dataclasses.replace(EVIDENCE, metrics={"qlike": 0.4}))
    assert (again.outcome, again.version, again.model_id) == ("recognised", 1, first.model_id)
    assert len(desk.events) == 1


def test_another_recipe_is_another_version_even_with_the_same_artifact(desk: Desk) -> None:
    """Versions follow recipes: other data that happened to give the same bytes is other work."""
    assert [desk.register(recipe).version for recipe in (1, 2, 3, 2)] == [1, 2, 3, 2]


def test_models_of_other_names_count_for_themselves(desk: Desk) -> None:
    """The same recipe under another name is that name's first version."""
    assert (desk.register().version, desk.register(name="other").version) == (1, 1)


def test_a_recipe_that_gives_another_artifact_is_not_reproduced(desk: Desk) -> None:
    """The first version stays the answer, and the ledger has both digests, once."""
    first = desk.register(text="weights")
    other = desk.register(text="other weights")
    desk.register(text="other weights")
    assert (other.outcome, other.version, other.model_id) == ("not_reproduced", 1, first.model_id)
    (event,) = [event for event in desk.events if isinstance(event, NotReproducedEvent)]
    assert event.first_artifact == first.event.artifact_digest != event.other_artifact


def test_a_reason_to_retrain_registers_the_other_artifact(desk: Desk) -> None:
    """With a reason the other artifact is a version of its own, once, and names what it supersedes."""
    desk.register(text="weights")
    retrained = desk.register(text="better weights", reason="the compiler had a bug")
    assert (retrained.outcome, retrained.version, retrained.event.supersedes) == ("registered", 2, 1)
    assert desk.register(text="better weights", reason="the compiler had a bug").outcome == "recognised"
    assert desk.register(text="better weights").outcome == "recognised"
    assert desk.register(text="weights").version == 1
    assert len(desk.events) == 2


def test_a_correction_of_old_data_names_the_version_it_supersedes(desk: Desk) -> None:
    """Another recipe for the same as-of date supersedes; one for another date does not."""
    assert desk.register(1, day=27).event.supersedes is None
    assert desk.register(2, day=28).event.supersedes is None
    assert desk.register(3, day=27).event.supersedes == 1


def test_a_failed_gate_registers_nothing_and_is_in_the_ledger_once(desk: Desk) -> None:
    """A refusal has its reasons in the error and in one event, and nothing is stored."""
    for _ in range(2):
        with pytest.raises(GateFailed, match="close of AAPL is null"):
            desk.register(evidence=BAD)
    (event,) = desk.events
    assert isinstance(event, RegistrationRefusedEvent)
    assert list(desk.repository.list()) == []
    assert desk.port.last_checkpoint() is not None
    assert desk.register().version == 1


def test_an_unsafe_file_is_refused_before_anything_is_stored(desk: Desk) -> None:
    """The scanner's finding is the error, and neither store nor ledger has a trace."""
    with pytest.raises(UnsafeArtifact, match=r"model\.pkl.*is no text; export it as text"):
        desk.service.register_model(metadata(), desk.artifact("x", "model.pkl"))
    assert desk.events == []
    assert list(desk.repository.list()) == []


def test_a_model_from_outside_has_no_recipe_and_unevaluated_gates(desk: Desk) -> None:
    """Without lineage the model id is what is recognised; another artifact is another version."""
    path = desk.artifact("weights")
    model = desk.service.register_model(metadata(), path, gates=(DataValidated(),))
    assert model.event.recipe is None
    assert [gate.outcome for gate in model.event.gates] == ["unevaluated"]
    assert desk.service.register_model(metadata(), path).outcome == "recognised"
    assert desk.service.register_model(metadata(), desk.artifact("other")).version == 2


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"retrain_reason": " "}, "retrain_reason"),
        ({"lineage": lineage(1)}, "evidence"),
        ({"provenance": {"run": 3}}, "provenance.run"),
        (
            {"attachments": [Attachment("a", "text/plain", b""), Attachment("a", "text/plain", b"1")]},
            "attachments",
        ),
    ],
)
def test_unusable_arguments_are_named(desk: Desk, arguments: dict[str, object], field: str) -> None:
    """Nothing happens, and the error names the argument."""
    with pytest.raises(InvalidInput) as caught:
        desk.service.register_model(metadata(), desk.artifact("weights"), **arguments)  # type: ignore[arg-type]
    assert caught.value.field == field
    assert desk.events == []


def test_staging_is_empty_afterwards(desk: Desk) -> None:
    """Private copies are gone after a success and after a refusal."""
    desk.register()
    with pytest.raises(GateFailed):
        desk.register(2, evidence=BAD)
    assert [path for path in (desk.directory / "staging").rglob("*") if path.is_file()] == []


class LostReply(FakeLedger):
    """Commits every append, and then answers as if the connection broke."""

    def append(self, expected_size: int, batch: Batch) -> None:
        super().append(expected_size, batch)
        raise Unavailable("the reply was lost")


def test_a_reply_lost_at_commit_is_settled(tmp_path: Path) -> None:
    """The caller learns that its own append was committed."""
    desk = Desk(tmp_path, LostReply())
    assert (desk.register().outcome, desk.register().outcome) == ("registered", "recognised")
    assert len(desk.events) == 1


Step = tuple[int, str, bool, str | None]
STEPS = st.tuples(
    st.integers(1, 3), st.sampled_from(["a", "b"]), st.booleans(), st.sampled_from([None, "a reason"])
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=12))
def test_any_sequence_of_submissions_gives_each_result_one_version(
    steps: list[Step], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Against a model of ten lines: one version for each recipe, and one for each retraining."""
    desk = Desk(tmp_path_factory.mktemp("desk"))
    versions: dict[tuple[int, str], int] = {}
    first: dict[int, str] = {}
    for recipe, text, good, reason in steps:
        new = recipe not in first or (reason is not None and (recipe, text) not in versions)
        if new and not good:
            with pytest.raises(GateFailed):
                desk.register(recipe, text, BAD, reason)
            continue
        if new:
            first.setdefault(recipe, text)
            versions[recipe, text] = len(versions) + 1
        model = desk.register(recipe, text, EVIDENCE if good else BAD, reason)
        assert model.version == versions.get((recipe, text), versions[recipe, first[recipe]])
        assert (model.outcome == "registered") == new
    registered = [event for event in desk.events if isinstance(event, ModelRegisteredEvent)]
    assert [event.version for event in registered] == list(range(1, len(versions) + 1))
