"""Versions are trained again by the commit that trained them, in a worktree that is gone afterwards."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.reproduction.bench import Bench, Trained
from tests.reproduction.repository import Repository

pytestmark = pytest.mark.timeout(900)
PATIENCE = 240.0
LIBRARY = "domain/risk/features/library.py"


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> tuple[Repository, dict[str, str]]:
    """Three commits: before reproductions, the code that runs here, and code with another feature."""
    repository = Repository.empty(tmp_path_factory.mktemp("history") / "project")
    repository.take_the_code()
    entry = repository.root / "plugins" / "veritasvault" / "retrain.py"
    text = entry.read_text()
    entry.unlink()
    commits = {"before": repository.commit("Before versions could be reproduced")}
    entry.write_text(text)
    commits["trained"] = repository.commit("What trains the version")
    repository.replace(LIBRARY, "@feature(rows=252)", "@feature(rows=242)")
    repository.replace(LIBRARY, "trailing(panel.close, 252", "trailing(panel.close, 242")
    commits["changed"] = repository.commit("Look back 242 days only")
    return repository, commits


def registered(bench: Bench, trained: Trained, code: str) -> str:
    return bench.register(replace(trained, provenance={**trained.provenance, "code": code}))


def ended(process: Any) -> tuple[int, Any]:
    """The exit code and the JSON document of a command."""
    out, errors = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in errors, errors
    return process.returncode, json.loads(out)


def test_a_version_is_trained_again_by_its_own_commit(
    bench: Bench, trained: Trained, history: tuple[Repository, dict[str, str]]
) -> None:
    """The code that runs is another, which would give another artifact; no worktree is left."""
    repository, commits = history
    reference = registered(bench, trained, commits["trained"])
    code, document = ended(repository.veritas(bench.home, "reproduce", reference, "--json"))
    assert (code, document["reproduced"], document["stage"]) == (0, True, None), document
    assert document["code"] == {"recorded": commits["trained"], "used": commits["trained"]}
    assert document["other_artifact"] == document["artifact_digest"]
    assert repository.worktrees() == [repository.root]
    assert list((bench.home / "worktrees").iterdir()) == []
    assert Path(document["report"]).with_name("report.md").read_text().startswith("# Reproduction of")


def test_the_code_that_runs_would_have_given_another_artifact(
    bench: Bench, trained: Trained, history: tuple[Repository, dict[str, str]]
) -> None:
    """Of a version whose commit nobody recorded: an obstacle, and with --here a training that differs."""
    repository, commits = history
    reference = registered(bench, trained, "unknown")
    code, document = ended(repository.veritas(bench.home, "reproduce", reference, "--json"))
    assert (code, document["stage"], document["other_artifact"]) == (1, "code", None)
    code, document = ended(repository.veritas(bench.home, "reproduce", reference, "--here", "--json"))
    assert (code, document["stage"], document["code"]["used"]) == (1, "code", commits["changed"])
    assert "nobody recorded the commit" in document["reason"]
    stages = {one["stage"]: one for one in document["stages"]}
    assert stages["data"]["same"]
    assert "most in drawdown_252" in stages["features"]["amount"]
    assert "forecasts differ, by at most" in stages["training"]["amount"]


def test_a_commit_with_other_sources_than_the_record_says_is_found_out(
    bench: Bench, trained: Trained, history: tuple[Repository, dict[str, str]]
) -> None:
    """What the provenance calls the code proves nothing; its digests do."""
    repository, commits = history
    reference = registered(bench, trained, commits["changed"])
    code, document = ended(repository.veritas(bench.home, "reproduce", reference, "--json"))
    assert (code, document["stage"]) == (1, "code")
    assert f"it is not what {commits['changed']} was" in document["reason"]
    assert document["stages"][0]["recorded"] == trained.lineage.sources


def test_a_commit_from_before_there_were_reproductions_is_told_as_such(
    bench: Bench, trained: Trained, history: tuple[Repository, dict[str, str]]
) -> None:
    repository, commits = history
    reference = registered(bench, trained, commits["before"])
    code, document = ended(repository.veritas(bench.home, "reproduce", reference, "--json"))
    assert (code, document["stage"]) == (1, "code")
    assert "from before versions could be reproduced" in document["reason"]
    assert repository.worktrees() == [repository.root]


@pytest.mark.parametrize("collected", [False, True])
def test_a_killed_command_leaves_nothing_that_blocks_the_next(
    bench: Bench, trained: Trained, history: tuple[Repository, dict[str, str]], collected: bool
) -> None:
    """kill -9 while the old code trains: that ends too, and the next command removes worktree and entry; so
    it does if gc came first, which takes the worktree alone."""
    repository, commits = history
    reference = registered(bench, trained, commits["trained"])
    process = repository.veritas(bench.home, "reproduce", reference, "--json")
    trainer = until(lambda: trains(bench.home))
    process.kill()
    process.communicate()
    until(lambda: not Path(f"/proc/{trainer}").exists())
    assert len(repository.worktrees()) == 2
    if collected:
        _, document = ended(repository.veritas(bench.home, "gc", "--grace", "0", "--json"))
        assert [one["kind"] for one in document["garbage"]] == ["staging"]
        assert list((bench.home / "worktrees").iterdir()) == []
    code, document = ended(repository.veritas(bench.home, "reproduce", reference, "--json"))
    assert (code, document["reproduced"]) == (0, True), document
    assert repository.worktrees() == [repository.root]
    assert list((bench.home / "worktrees").iterdir()) == []


def test_people_see_what_is_under_way_and_what_came_of_it(
    bench: Bench, trained: Trained, history: tuple[Repository, dict[str, str]]
) -> None:
    """On a terminal the stage under way is shown; the answer is a table."""
    repository, commits = history
    reference = registered(bench, trained, commits["trained"])
    ours, theirs = os.openpty()
    process = repository.veritas(bench.home, "reproduce", reference, stderr=theirs)
    os.close(theirs)
    out, _ = process.communicate(timeout=PATIENCE)
    shown = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert process.returncode == 0
    for stage in ("code", "environment", "data", "features", "training"):
        assert f"reproducing {reference}: {stage} …" in shown
    assert out.startswith(f"reproduced {reference}: the same artifact\n")
    assert "training     same" in out


def trains(home: Path) -> int | None:
    """The process that trains by old code on this home, once it has begun."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            command = (place / "cmdline").read_bytes()
            settings = (place / "environ").read_bytes()
        except OSError:
            continue
        if b"veritasvault.retrain" in command and str(home).encode() in settings:
            return int(place.name)
    return None


def until(attempt: Any) -> Any:
    """What `attempt` gives once it gives something."""
    deadline = time.monotonic() + PATIENCE
    while not (found := attempt()):
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)
    return found
