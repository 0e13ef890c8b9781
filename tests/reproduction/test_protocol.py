"""The protocol by which later commits ask this one to train again, and what they make of its answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from domain.registry.canonical import digest_of
from domain.registry.errors import CodeNotHad, IntegrityError, InvalidInput, RetrainingFailed, Unavailable
from domain.risk.reproduction.record import TrainingRecord
from domain.risk.reproduction.retraining import STEPS, Retraining, Step
from domain.risk.spec import ModelSpec
from domain.risk.workspace import artifact_in
from tests.reproduction.bench import SPEC, Bench, Trained
from tests.reproduction.repository import Repository
from veritasvault.adapters.git_worktrees import GitWorktrees
from veritasvault.adapters.recorded_code import ENTRY, RecordedCode
from veritasvault.adapters.uri_source import UriSource

PATIENCE = 120.0
PLAIN = Retraining("raw.parquet", "2016-03-31", ("KO",), ("rv_1",), "t", "ridge", {}, 0, "inline", "")


def request_of(bench: Bench, trained: Trained, directory: Path) -> Retraining:
    """The request to train a registered version again."""
    directory.mkdir()
    record = TrainingRecord.read(bench.application.catalog, bench.register(trained))
    return record.retraining(bench.source, directory, "inline")


def answers(request: Retraining, threads: int) -> list[dict[str, Any]]:
    """All answers of the entry point, run with this many threads."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": str(threads),
        "POLARS_MAX_THREADS": str(threads),
        "VERITAS_HOME": str(Path(request.directory) / "home"),
    }
    command = [sys.executable, "-m", "veritasvault.retrain"]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        question, found = json.dumps({**request.to_json(), "added later": 1}), []
        while not found or "step" in found[-1]:
            process.stdin.write(f"{question}\n")
            process.stdin.flush()
            found.append(json.loads(process.stdout.readline()))
            question = "next"
    return found


@pytest.mark.parametrize("trainer", ["ridge", "hist_gradient_boosting"])
def test_one_thread_and_two_give_the_same_artifact_bit_for_bit(tmp_path: Path, trainer: str) -> None:
    """In processes of their own, on the whole sample: of so many rows two threads add up other sums."""
    spec = ModelSpec.load(SPEC)
    raw = UriSource().fetch("sample://sp500", tmp_path / "raw")
    found, files = [], []
    for threads in (1, 2):
        directory = tmp_path / str(threads)
        directory.mkdir()
        request = replace(
            PLAIN,
            raw=str(raw),
            as_of="2022-12-28",
            assets=(),
            columns=spec.columns,
            target=spec.target,
            trainer=trainer,
            directory=str(directory),
        )
        found.append(answers(request, threads))
        files.append({path.name: path.read_bytes() for path in (directory / "artifact").iterdir()})
    assert [one.get("step") for one in found[0]] == [*STEPS, None]
    assert sum(part["rows"] for part in found[0][2]["parts"]) > 100_000
    assert found[0] == found[1]
    assert set(files[0]) == {"model.onnx", "signature.json"}
    assert files[0] == files[1]


def test_the_entry_point_answers_as_it_is_published(bench: Bench, trained: Trained, tmp_path: Path) -> None:
    """Fields and files of docs/reproduction.md; whoever changes them breaks later commits."""
    request = request_of(bench, trained, tmp_path / "again")
    code, environment, data, features, training, done = answers(request, 1)
    lineage = trained.lineage
    assert code == {"step": "code", "sources": lineage.sources, "features": lineage.features}
    assert digest_of(environment["environment"]) == lineage.environment
    assert (data["digest"], digest_of(data["parts"])) == (lineage.data, lineage.data)
    assert {"name", "rows", "sha256"} <= set(features["parts"][0])
    assert training == {"step": "training"}
    assert done == {"done": True}
    registered = next(bench.application.catalog.versions()).artifact_digest
    assert artifact_in(tmp_path / "again" / "artifact").digest == registered
    rows = pl.read_parquet(tmp_path / "again" / "rows.parquet")
    assert rows.columns == ["asset", "date", "close"]
    table = pl.read_parquet(tmp_path / "again" / "features.parquet")
    assert table.columns == ["asset", "date", *request.columns, request.target]
    assert 0 < table[request.target].null_count() < 20


def test_the_process_ends_with_its_input(tmp_path: Path) -> None:
    """Whoever asked has seen enough, or was killed."""
    ended = subprocess.run(
        [sys.executable, "-m", "veritasvault.retrain"],
        input="",
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (1, "")


def test_an_error_is_an_answer(tmp_path: Path) -> None:
    """A kind, a sentence, and whether trying again may help."""
    (found,) = answers(replace(PLAIN, directory=str(tmp_path)), 1)
    assert (found["error"], found["retriable"]) == ("InvalidInput", False)
    assert "features" in found["message"]


def test_another_protocol_is_refused() -> None:
    with pytest.raises(InvalidInput, match="protocol is 2: this commit knows 1"):
        Retraining.from_json({**PLAIN.to_json(), "protocol": 2})


def test_a_request_is_read_back_as_it_was_written() -> None:
    assert Retraining.from_json(json.loads(json.dumps(PLAIN.to_json()))) == PLAIN


SCRIPTS = {
    "garbage": ("print('hello', flush=True)", IntegrityError, "no JSON object"),
    "half a step": ('print(\'{"step": "data"}\', flush=True)', IntegrityError, "no step"),
    "no step": ("print('{}', flush=True)", IntegrityError, "no step"),
    "dies": ("raise SystemExit('out of memory')", RetrainingFailed, "no answer: out of memory"),
    "error": (
        'print(\'{"error": "X", "message": "bad data", "retriable": false}\', flush=True)',
        RetrainingFailed,
        "says: bad data",
    ),
    "later": (
        'print(\'{"error": "X", "message": "no disk", "retriable": true}\', flush=True)',
        Unavailable,
        "says: no disk",
    ),
}


def project(root: Path, script: str) -> tuple[Repository, str]:
    """A repository whose entry point is a script, and its commit."""
    repository = Repository.empty(root)
    repository.write("plugins/veritasvault/__init__.py", "")
    repository.write(ENTRY.as_posix(), f"import sys\nsys.stdin.readline()\n{script}\n")
    return repository, repository.commit("A script")


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_old_code_answers_is_believed_only_in_form(tmp_path: Path, name: str) -> None:
    """Whatever it does ends with one of our errors, and its worktree is gone."""
    script, error, said = SCRIPTS[name]
    repository, commit = project(tmp_path / "project", script)
    recorded = RecordedCode(GitWorktrees(repository.root, tmp_path / "worktrees"), {})
    request = replace(PLAIN, directory=str(tmp_path / "again"))
    with pytest.raises(error, match=said), recorded.retraining(commit, request) as steps:
        list(steps)
    assert repository.worktrees() == [repository.root]


ANSWERS_ONCE = 'import os, signal; os.close(0); print(\'{"step": "training"}\', flush=True)'
ENDS = {
    "by itself": ("raise SystemExit('no disk')", RetrainingFailed, "no answer: no disk"),
    "by a signal": ("os.kill(os.getpid(), signal.SIGKILL)", Unavailable, "killed by signal 9: run it again"),
}


@pytest.mark.parametrize("how", ENDS)
def test_old_code_that_ends_between_two_steps_is_told(tmp_path: Path, how: str) -> None:
    """The next question finds a closed pipe; what kills a process may spare the next one."""
    end, error, said = ENDS[how]
    repository, commit = project(tmp_path / "project", f"{ANSWERS_ONCE}\n{end}")
    recorded = RecordedCode(GitWorktrees(repository.root, tmp_path / "worktrees"), {})
    request = replace(PLAIN, directory=str(tmp_path / "again"))
    answered: list[Step] = []
    with pytest.raises(error, match=said), recorded.retraining(commit, request) as steps:
        answered.extend(steps)
    assert [step.name for step in answered] == ["training"]
    assert repository.worktrees() == [repository.root]


def test_old_code_gets_no_settings_keys_or_logins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told where engines are, and gets an empty home."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted")
    monkeypatch.setenv("VERITAS_LEDGER", "postgresql://user:planted@host/db")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    told = "{'step': 'environment', 'environment': dict(os.environ)}"
    script = f"import json, os; print(json.dumps({told}), flush=True)"
    repository, commit = project(tmp_path / "project", script)
    recorded = RecordedCode(
        GitWorktrees(repository.root, tmp_path / "worktrees"),
        {"VERITAS_DASK": "tcp://d:1", "VERITAS_RAY": "ray://r:1"},
    )
    with recorded.retraining(commit, replace(PLAIN, directory=str(tmp_path / "again"))) as steps:
        found = next(steps).found["environment"]
    assert "planted" not in json.dumps(found)
    assert (found["OMP_NUM_THREADS"], found["VERITAS_DASK"]) == ("2", "tcp://d:1")
    assert "VERITAS_RAY" not in found, "code from before this engine refuses it"
    assert found["VERITAS_HOME"].startswith(str(tmp_path / "again"))


def test_only_entries_of_our_own_dead_are_removed_from_a_repository(tmp_path: Path) -> None:
    """A worktree of somebody's, whose disk is not mounted now, stays listed; so does one that is alive."""
    repository, commit = project(tmp_path / "project", "")
    theirs, dead = tmp_path / "theirs", tmp_path / "worktrees" / "stage-1-dead"
    for place in (theirs, dead):
        repository.git("worktree", "add", "--detach", str(place), commit)
        place.rename(tmp_path / f"moved-{place.name}")
    worktrees = GitWorktrees(repository.root, tmp_path / "worktrees")
    with worktrees.checkout(commit) as outer, worktrees.checkout(commit) as inner:
        assert set(repository.worktrees()) == {repository.root, theirs, outer, inner}
        assert (inner / ENTRY).is_file()
        # A repository that is itself a worktree has no directory of its own to look into.
        with GitWorktrees(inner, tmp_path / "others").checkout("HEAD") as again:
            assert (again / ENTRY).read_bytes() == (inner / ENTRY).read_bytes()
    assert set(repository.worktrees()) == {repository.root, theirs}


@pytest.mark.parametrize("there", [True, False])
def test_without_a_repository_the_sentence_names_the_setting(tmp_path: Path, there: bool) -> None:
    """Installed from a wheel there is none; a directory that is none is named."""
    worktrees = GitWorktrees(tmp_path if there else None, tmp_path / "worktrees")
    with pytest.raises(CodeNotHad, match="VERITAS_REPOSITORY"), worktrees.checkout("0" * 40):
        pass
