"""`veritas migrate`: what a person who moves a registry sees, and what they can go wrong with."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.cli.console import Console, stored


@pytest.fixture
def place(console: Console) -> list[str]:
    """Options that name a new registry and a new ledger."""
    directory = console.directory / "new"
    return ["--to", (directory / "registry").as_uri(), "--to-ledger", f"sqlite:///{directory}/ledger.db"]


def moved(console: Console, place: list[str]) -> Console:
    """The command with the settings that a person has after the move."""
    return replace(console, settings={"VERITAS_REGISTRY": place[1], "VERITAS_LEDGER": place[3]})


def models_of(console: Console, registry: str) -> dict[str, bytes]:
    root = Path(registry.removeprefix("file://")) / "models"
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_home_moves_and_the_new_place_has_all_of_it(console: Console, place: list[str]) -> None:
    """The answer names the settings to make; with them everything verifies, receipts from before too."""
    receipt = console.directory / "receipt.json"
    console.run("models", "receipt", "vendor_vol@1", receipt)
    before = models_of(console, f"file://{console.home}/registry")
    ledger = console.ledger.read_bytes()
    answer = console.run("migrate", *place)
    assert "complete veritasvault/ledger/" in answer.out
    assert "up to entry 4: 2 of 2 versions copied, 5 ledger entries written, all verified" in answer.out
    assert f"VERITAS_REGISTRY={place[1]}\nVERITAS_LEDGER={place[3]}\n" in answer.out
    assert answer.err == ""
    new = moved(console, place)
    assert new.run("verify", "--all").out == "verified everything: 2 versions, 5 ledger entries\n"
    new.run("verify", "--receipt", receipt)
    assert models_of(console, place[1]) == before == models_of(console, f"file://{console.home}/registry")
    assert console.ledger.read_bytes() == ledger
    artifact = console.directory / "model"
    (artifact / "config.json").write_text('{"alpha": 2}\n')
    new.run("register", "--metadata", console.directory / "model.json", "--artifact", artifact)
    assert new.run("verify", "--all").out == "verified everything: 3 versions, 6 ledger entries\n"


def test_the_answer_as_json(console: Console, place: list[str]) -> None:
    first = console.run("migrate", *place, "--json").document
    again = console.run("migrate", *place, "--json").document
    assert (first["complete"], first["versions"], first["copied"], first["entries"]) == (True, 2, 2, 5)
    assert (again["complete"], again["versions"], again["copied"], again["entries"]) == (True, 2, 0, 0)
    assert first["from"] == {
        "registry": f"file://{console.home}/registry",
        "ledger": f"sqlite:///{console.ledger}",
    }
    assert first["to"] == {"registry": place[1], "ledger": place[3]}
    assert (first["checkpoint"], first["left_behind"], first["problems"]) == (5, 0, [])
    assert first["signer_known"] is True


def test_a_damaged_object_is_named_and_nothing_is_listed_there(console: Console, place: list[str]) -> None:
    """Exit code 1; mended, the same command ends the move."""
    model_id = console.run("models", "show", "vendor_vol@1", "--json").document["model_id"]
    file = stored(console.home, model_id) / "artifact" / "config.json"
    good = file.read_bytes()
    file.unlink()
    file.write_bytes(b'{"alpha": 9}\n')
    answer = console.run("migrate", *place, code=1)
    assert (
        f"problem vendor_vol@1 at the source: models/{model_id}/artifact/config.json was changed"
        in answer.out
    )
    assert "INCOMPLETE 1 of 2 versions copied, the ledger was not" in answer.out
    document = console.run("migrate", *place, "--json", code=1).document
    assert document["complete"] is False
    assert [problem["object"] for problem in document["problems"]] == ["vendor_vol@1 at the source"]
    new = moved(console, place)
    assert new.run("models", "list").out == "Nothing is registered yet.\n"
    file.unlink()
    file.write_bytes(good)
    assert "1 of 2 versions copied" in console.run("migrate", *place).out
    new.run("verify", "--all")


def test_a_growing_source_is_said(console: Console, place: list[str]) -> None:
    """What nothing signs yet is left behind, and the second move brings it."""
    from domain.registry.events.lifecycle import PromotionsHaltedEvent
    from tests.fakes.events import AT

    halted = PromotionsHaltedEvent("forecast", 0, "odd prices", "alice", AT)
    console.application().ledger.commit(lambda view: (halted,))
    answer = console.run("migrate", *place)
    assert "left behind 1 entry of the source, not signed yet: run veritas ledger checkpoint" in answer.out
    console.run("ledger", "checkpoint")
    assert "0 of 2 versions copied, 1 ledger entry written" in console.run("migrate", *place).out


def test_models_that_move_without_what_the_ledger_lists_since_are_incomplete(console: Console) -> None:
    """Exit code 1 and what to do: the ledger stays, and lists more than anybody would find there."""
    from domain.registry.events.lifecycle import PromotionsHaltedEvent
    from tests.fakes.events import AT

    halted = PromotionsHaltedEvent("forecast", 0, "odd prices", "alice", AT)
    console.application().ledger.commit(lambda view: (halted,))
    place = ("--to", (console.directory / "new").as_uri())
    answer = console.run("migrate", *place, code=1)
    assert "INCOMPLETE 2 of 2 versions copied, the ledger stays and has 1 entry more" in answer.out
    assert "run veritas ledger checkpoint, and this again" in answer.out
    assert "VERITAS_REGISTRY=" not in answer.out
    document = console.run("migrate", *place, "--json", code=1).document
    assert (document["complete"], document["left_behind"], document["problems"]) == (False, 1, [])
    console.run("ledger", "checkpoint")
    assert console.run("migrate", *place, "--json").document["complete"] is True


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        ((), 2, "give --to URI, --to-ledger URL or both"),
        (("--to", "ftp://host/models"), 2, "--to is 'ftp://host/models': give file:///directory, s3://"),
        (("--from", "models", "--to", "file:///tmp/new"), 2, "--from is 'models': give file:///directory"),
        (("--to-ledger", "mysql://u:planted-secret@h/d"), 2, "use sqlite:///path or postgresql://host/database"),
        (("--from-ledger", "sqlite:////none/l.db", "--to", "file:///none/r"), 1, "there is nothing to move"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_sentence(
    console: Console, options: tuple[str, ...], code: int, sentence: str
) -> None:
    answer = console.run("migrate", *options, code=code)
    assert sentence in answer.sentence
    assert "planted-secret" not in answer.err + answer.out


def test_the_same_place_is_refused(console: Console) -> None:
    same = f"file://{console.home}/registry"
    assert "source and destination are the same" in console.run("migrate", "--to", same, code=2).sentence


def test_another_registry_at_the_destination_stays_as_it_is(console: Console, prepared: Path) -> None:
    """Two homes that were made apart are never mixed."""
    other = Console(console.directory / "other", console.directory)
    shutil.copytree(prepared / "work" / "model", console.directory / "others")
    other.run("register", "--metadata", console.directory / "model.json", "--artifact", "others")
    place = ["--to", f"file://{other.home}/registry", "--to-ledger", f"sqlite:///{other.ledger}"]
    before = models_of(console, place[1]), other.ledger.read_bytes()
    sentence = console.run("migrate", *place, code=1).sentence
    assert sentence.startswith("the destination's ledger is refused and unchanged, it is the ledger ")
    assert (models_of(console, place[1]), other.ledger.read_bytes()) == before


def test_a_home_without_the_keys_cannot_vouch_for_a_copy(console: Console, place: list[str]) -> None:
    """The public keys are what everything is verified with, so they have to be there."""
    console.run("ledger", "checkpoint")
    stranger = replace(console, settings={"VERITAS_HOME": str(console.directory / "stranger")})
    old = ["--from", f"file://{console.home}/registry", "--from-ledger", f"sqlite:///{console.ledger}"]
    assert "is not a known key" in stranger.run("migrate", *old, *place, code=1).sentence
    keys: dict[str, Any] = {path.name: path for path in (console.home / "keys").glob("*.*")}
    for name, path in keys.items():
        if not name.endswith(".pem"):
            shutil.copy(path, console.directory / "stranger" / "keys" / name)
    answer = stranger.run("migrate", *old, *place)
    assert "unknown key the ledger does not know the key that would sign its next checkpoint" in answer.out
    assert json.loads(stranger.run("migrate", *old, *place, "--json").out)["signer_known"] is False
