"""Many processes register at once: the same candidate gives one version, others one each, no gaps."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from domain.registry.registration import ModelRegistration
from tests.exactly_once.candidates import register, write_artifact
from veritasvault.bootstrap import bootstrap

PROCESSES = 32
KEYS = 2
"""Entries that introduce the signing keys, in the append of the first registration."""


def _register(environment: dict[str, str], artifacts: Path, candidate: int, start: object) -> tuple[str, int]:
    application = bootstrap(environment)
    assert isinstance(application.registration, ModelRegistration)
    start.wait()  # type: ignore[attr-defined]
    model = register(application, artifacts, candidate)
    return model.outcome, model.version


def _worker(environment, artifacts, candidate, start, answers) -> None:  # type: ignore[no-untyped-def]
    try:
        answers.put(_register(environment, artifacts, candidate, start))
    except BaseException as error:
        answers.put((f"{type(error).__name__}: {error}", 0))


def _race(environment: dict[str, str], artifacts: Path, candidates: list[int]) -> list[tuple[str, int]]:
    for candidate in candidates:
        write_artifact(artifacts, candidate)
    context = multiprocessing.get_context("fork")
    start, answers = context.Barrier(len(candidates)), context.Queue()
    workers = [
        context.Process(target=_worker, args=(environment, artifacts, candidate, start, answers))
        for candidate in candidates
    ]
    for worker in workers:
        worker.start()
    results = [answers.get(timeout=300) for _ in workers]
    for worker in workers:
        worker.join(timeout=60)
        assert worker.exitcode == 0
    return results


@pytest.fixture(params=["sqlite", "postgresql"])
def environment(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    values = {"VERITAS_HOME": str(tmp_path / "home")}
    if request.param == "postgresql":
        values["VERITAS_LEDGER"] = request.getfixturevalue("postgres_url")()
    return values


def test_the_same_candidate_from_32_processes_is_one_version(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """One process registers, 31 recognise, and all answer version 1."""
    results = _race(environment, tmp_path / "artifacts", [7] * PROCESSES)
    assert sorted(results) == [("recognised", 1)] * (PROCESSES - 1) + [("registered", 1)]
    report = bootstrap(environment).audit.everything()
    assert (report.problems, report.versions, report.entries) == ((), 1, 1 + KEYS)


def test_32_candidates_from_32_processes_are_32_versions_without_gaps(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """Versions 1 to 32 exist once each, in the order of the ledger."""
    results = _race(environment, tmp_path / "artifacts", list(range(PROCESSES)))
    assert sorted(results, key=lambda result: result[1]) == [("registered", n + 1) for n in range(PROCESSES)]
    report = bootstrap(environment).audit.everything()
    assert (report.problems, report.versions, report.entries) == ((), PROCESSES, PROCESSES + KEYS)
