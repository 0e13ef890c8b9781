"""What was changed behind the ledger's back is named, and the exit code is 1."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.cli.console import Console, stored


def test_a_changed_file_is_named_with_its_model(console: Console) -> None:
    model_id = _model_id(console, "vendor_vol@1")
    _overwrite(stored(console.home, model_id) / "artifact" / "config.json", b'{"alpha": 9}\n')
    for what in ("--all", "vendor_vol@1"):
        found = console.run("verify", what, "--json", code=1).document
        assert [problem["object"] for problem in found["problems"]] == [
            f"file config.json of vendor_vol@1 ({model_id})"
        ]
    answer = console.run("verify", "--all", code=1)
    assert "NOT VERIFIED everything: 1 problem in 2 versions, 5 ledger entries" in answer.out
    assert f"problem file config.json of vendor_vol@1 ({model_id}): its SHA-256" in answer.out
    console.run("verify", "forecast@1")
    assert "config.json" in console.run("models", "retrieve", "vendor_vol@1", "copy", code=1).sentence
    assert not (console.directory / "copy").exists()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda home: _overwrite(home / "metadata.json", b"{}"), "manifest of forecast@1"),
        (lambda home: (home / "metadata.json").unlink(), "manifest of forecast@1"),
        (lambda home: (home / "artifact" / "weights.json").unlink(), "file weights.json of forecast@1"),
        (lambda home: (home / "artifact" / "extra.json").write_text("{}"), "file extra.json of forecast@1"),
        (
            lambda home: _overwrite(next((home / "attachments").iterdir()), b"other"),
            "attachment ",
        ),
    ],
)
def test_each_changed_object_of_a_model_is_named(console: Console, change: object, named: str) -> None:
    home = stored(console.home, _model_id(console, "forecast@1"))
    change(home)  # type: ignore[operator]
    for what in ("--all", "forecast@1"):
        found = console.run("verify", what, "--json", code=1).document
        assert len(found["problems"]) == 1
        assert found["problems"][0]["object"].startswith(named)


def test_a_changed_manifest_is_not_shown(console: Console) -> None:
    manifest = stored(console.home, _model_id(console, "forecast@1")) / "metadata.json"
    _overwrite(manifest, manifest.read_bytes().replace(b"quant", b"fraud"))
    assert "its SHA-256 is not the model id" in console.run("models", "show", "forecast@1", code=1).sentence


def test_a_changed_ledger_entry_is_named_and_marked(console: Console) -> None:
    _execute(
        console,
        "UPDATE entries SET data = CAST(replace(data, 'release', 'disease') AS BLOB) WHERE idx = 4",
    )
    found = console.run("verify", "--all", "--json", code=1).document
    assert "ledger entry 4" in [problem["object"] for problem in found["problems"]]
    shown = console.run("ledger", "show", code=1)
    assert "unreadable" in shown.out
    entries = console.run("ledger", "show", "--json", code=1).document["entries"]
    assert [entry["kind"] for entry in entries] == [
        "KeyIntroduced", "KeyIntroduced", "ModelRegistered", "RegistrationRefused", None
    ]  # fmt: skip


def test_a_version_that_was_pointed_at_another_model_is_not_retrieved(console: Console) -> None:
    other = _model_id(console, "forecast@1")
    _execute(console, f"UPDATE versions SET model_id = '{other}' WHERE name = 'vendor_vol'")
    console.run("verify", "--all", code=1)
    console.run("verify", "vendor_vol@1", code=1)
    answer = console.run("models", "retrieve", "vendor_vol@1", "copy", code=1)
    assert "is not what ledger entry 4 says" in answer.sentence
    assert not (console.directory / "copy").exists()


def test_a_ledger_file_that_is_no_database_is_named_by_every_command(console: Console) -> None:
    console.ledger.write_bytes(b"not a database " * 1000)
    for command in (("models", "list"), ("ledger", "show"), ("models", "show", "forecast@1")):
        assert "ledger.db is damaged" in console.run(*command, code=1).sentence
    found = console.run("verify", "--all", "--json", code=1).document
    assert "ledger.db is damaged" in found["problems"][0]["reason"]


@pytest.mark.parametrize("field", ["entry", "proof", "checkpoint", "index"])
def test_a_changed_receipt_does_not_verify(console: Console, field: str) -> None:
    receipt = console.directory / "receipt.json"
    console.run("models", "receipt", "vendor_vol@1", receipt)
    document = json.loads(receipt.read_bytes())
    changed = {
        "entry": lambda text: text.replace("release 7", "release 8"),
        "proof": lambda steps: [steps[0].swapcase(), *steps[1:]],
        "checkpoint": lambda note: note.replace("\n5\n", "\n4\n"),
        "index": lambda index: index - 1,
    }[field](document[field])
    assert changed != document[field]
    receipt.write_text(json.dumps({**document, field: changed}, separators=(",", ":"), sort_keys=True))
    answer = console.run("verify", "--receipt", receipt, "--json", code=1)
    assert answer.document["error"]["kind"] == "NotVerified"
    keys = console.run("ledger", "checkpoint", "--json").document["keys"]
    console.run("verify", "--receipt", receipt, "--key", keys[0], code=1)


def test_bytes_that_are_no_receipt_do_not_verify(console: Console) -> None:
    (console.directory / "receipt.json").write_bytes(b"\x00\xff")
    answer = console.run("verify", "--receipt", "receipt.json", code=1)
    assert "receipt receipt.json is not" in answer.sentence


def test_a_receipt_of_another_ledger_does_not_verify(console: Console, tmp_path: Path) -> None:
    other = Console(tmp_path / "other", console.directory)
    other.run("register", "--metadata", "model.json", "--artifact", "model")
    other.run("models", "receipt", "vendor_vol@1", "receipt.json")
    answer = console.run("verify", "--receipt", "receipt.json", code=1)
    assert "not a known key" in answer.sentence
    # The same key may sign two ledgers; the receipt still belongs to one.
    shutil.copytree(console.home / "keys", tmp_path / "third" / "keys")
    third = Console(tmp_path / "third", console.directory)
    third.run("register", "--metadata", "model.json", "--artifact", "model")
    third.run("models", "receipt", "vendor_vol@1", "third.json")
    answer = console.run("verify", "--receipt", "third.json", code=1)
    assert "the receipt is from the ledger" in answer.sentence


def test_a_ledger_whose_end_was_cut_off_is_found_by_a_receipt(console: Console) -> None:
    """With its checkpoints cut off too the ledger verifies by itself; who kept a receipt knows better."""
    console.run("models", "receipt", "forecast@1", "receipt.json")
    _execute(
        console,
        "DELETE FROM entries WHERE idx >= 4",
        "DELETE FROM versions WHERE idx >= 4",
        "DELETE FROM checkpoints WHERE size > 4",
    )
    console.run("verify", "--all")
    answer = console.run("verify", "--receipt", "receipt.json", code=1)
    assert "its end was cut off" in answer.sentence


def test_the_key_of_a_signed_ledger_that_is_gone_is_found(console: Console) -> None:
    shutil.rmtree(console.home / "keys")
    checks = {check["name"]: check for check in console.run("doctor", "--json", code=1).document["checks"]}
    assert checks["keys"]["status"] == "fail"
    assert "restore" in checks["keys"]["remedy"]
    assert not (console.home / "keys").exists()
    console.run("verify", "--all", code=1)


def _model_id(console: Console, reference: str) -> str:
    return console.application().catalog.resolve(reference).model_id


def _overwrite(file: Path, content: bytes) -> Path:
    file.unlink()
    file.write_bytes(content)
    return file


def _execute(console: Console, *statements: str) -> None:
    connection = sqlite3.connect(console.ledger)
    with connection:
        for statement in statements:
            changed = connection.execute(statement).rowcount
            assert changed > 0, statement
    connection.close()
