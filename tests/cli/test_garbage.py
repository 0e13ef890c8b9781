"""`veritas gc` as people run it: what it shows, removes and refuses."""

from __future__ import annotations

import dataclasses
import os
import re
import time
from pathlib import Path

import pytest

from domain.registry.artifact import StagedArtifact
from domain.registry.manifest import Manifest
from tests.cli.console import Console
from tests.exactly_once.candidates import lineage

DAYS = 24 * 3600


def abandon(console: Console, days: int = 0) -> str:
    """Leave a stored model that no version has, so many days old; its id."""
    registry = console.application().registry
    (row,) = console.application().catalog.versions("vendor_vol")
    manifest = Manifest.from_bytes(registry.read_manifest(row.model_id))
    left = dataclasses.replace(manifest, lineage=lineage(99))
    artifact = StagedArtifact(console.directory / "model", manifest.artifact)
    registry.store_model(left.model_id, artifact, left.to_bytes())
    home = console.home / "registry" / "models" / left.model_id
    then = time.time() - days * DAYS - 60
    for path in (*home.rglob("*"), home):
        os.utime(path, (then, then))
    return left.model_id


def test_a_leftover_is_shown_then_removed_and_all_that_is_registered_verifies(console: Console) -> None:
    """A dry run changes nothing; the default grace period is a week."""
    young = abandon(console)
    assert console.run("gc").out == "removed 0 things (0 bytes); 1 younger than the grace period\n"
    old = abandon(console, days=8)
    assert old == young
    for _ in range(2):
        answer = console.run("gc", "--dry-run")
        assert answer.out.startswith("would remove 1 thing (")
        assert "8 days" in answer.out
        assert old in answer.out
    document = console.run("gc", "--json").document
    (garbage,) = document["garbage"]
    assert (garbage["kind"], garbage["name"], document["spared"]) == ("model", old, [])
    assert 8 * DAYS <= garbage["age_seconds"] < 9 * DAYS
    verified = console.run("verify", "--all", "--json").document
    assert (verified["verified"], verified["unlisted"], verified["versions"]) == (True, [], 2)
    kinds = [entry["kind"] for entry in console.run("ledger", "show", "--json").document["entries"]]
    assert sorted(kinds)[:2] == ["Collected", "Condemned"]
    assert re.search(r"Condemned +1 model, 0 attachments\n", console.run("ledger", "show").out)


@pytest.mark.parametrize("grace", ["-1d", "1w", "d", "7", "1.5h", ""])
def test_a_grace_period_that_is_none_is_wrong_usage(console: Console, grace: str) -> None:
    assert "give hours or days" in console.run("gc", f"--grace={grace}", code=2).err


def test_another_ledger_is_refused_and_nothing_removed(console: Console, tmp_path: Path) -> None:
    """With an empty ledger every model would look like a leftover."""
    settings = {"VERITAS_LEDGER": f"sqlite:///{tmp_path}/other.db"}
    stranger = dataclasses.replace(console, settings=settings)
    assert "the registry belongs to the ledger" in stranger.run("gc", "--grace", "0", code=2).err
    assert console.run("verify", "--all", "--json").document["versions"] == 2


def test_a_registry_from_before_there_was_gc_is_adopted_once(console: Console) -> None:
    """Without a mark nobody knows whose it is; the sentence says what to look at and what to say."""
    (console.home / "registry" / "ledger.json").unlink()
    assert "say --adopt once" in console.run("gc", "--grace", "0", code=2).err
    console.run("gc", "--grace", "0", "--adopt")
    assert console.run("gc", "--grace", "0").out.startswith("removed 0 things")
