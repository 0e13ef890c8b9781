"""Nothing unsafe comes in: each artifact of the corpus runs under a careless load, and is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from domain.registry.errors import UnsafeArtifact
from domain.registry.metadata import ModelMetadata
from tests.adapters.unsafe.case import MARKER, Unsafe
from tests.adapters.unsafe_corpus import CORPUS
from tests.cli.console import METADATA
from tests.processes import ChildError, in_child
from veritasvault.bootstrap import bootstrap


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    folder = tmp_path / "artifact"
    folder.mkdir()
    return folder


def load(case: Unsafe, folder: Path) -> None:
    """What the consumer trips over afterwards does not matter; the payload has run by then."""

    def work() -> None:
        case.load(folder)

    try:
        in_child(work)
    except ChildError as error:
        print(error)


def test_the_corpus_has_at_least_forty_cases_of_different_names() -> None:
    assert len({case.name for case in CORPUS}) == len(CORPUS) >= 40


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case.name)
def test_it_runs_under_a_careless_load(case: Unsafe, tmp_path: Path, artifact: Path) -> None:
    """Otherwise the refusal would prove nothing."""
    marker = tmp_path / MARKER
    case.make(artifact, marker)
    assert not marker.exists()
    load(case, artifact)
    assert marker.exists()


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case.name)
def test_it_is_refused_by_file_and_reason_and_nothing_is_stored_or_run(
    case: Unsafe, tmp_path: Path, artifact: Path
) -> None:
    marker = tmp_path / MARKER
    case.make(artifact, marker)
    home = tmp_path / "home"
    application = bootstrap({"VERITAS_HOME": str(home), "VERITAS_CODE_VERSION": "test"})
    with pytest.raises(UnsafeArtifact) as refused:
        application.registration.register_model(ModelMetadata.from_json(METADATA), artifact)
    assert refused.value.value == case.culprit
    assert len(refused.value.remedy) > 20
    assert not marker.exists()
    assert application.ledger.view().size == 0
    assert [path for path in (home / "registry").rglob("*") if path.is_file()] == []
