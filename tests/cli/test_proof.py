"""`veritas export-proof` and `veritas verify-proof`: the second without settings, home or registry."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.cli.console import SCRIPT, Answer, Console


def stranger(directory: Path, *arguments: object) -> Answer:
    """Run `veritas verify-proof` as an auditor does, without HOME, PATH and settings."""
    done = subprocess.run(
        [SCRIPT, "verify-proof", *map(str, arguments)],
        cwd=directory,
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def signer(console: Console) -> str:
    """The fingerprint that an auditor is told."""
    keys = console.run("keys", "list", "--json").document["keys"]
    return str(next(key["fingerprint"] for key in keys if key["role"] == "checkpoint"))


@pytest.mark.parametrize("options", [(), ("--full",)])
def test_an_auditor_verifies_a_bundle_with_nothing_else(
    console: Console, signer: str, tmp_path: Path, options: tuple[str, ...]
) -> None:
    exported = console.run("export-proof", "forecast@latest", "proof.json", *options, "--json").document
    assert (exported["reference"], exported["signer"]) == ("forecast@1", signer)
    auditor = tmp_path / "auditor"
    auditor.mkdir()
    (console.directory / "proof.json").rename(auditor / "proof.json")
    console.run("models", "retrieve", "forecast@1", auditor / "model")
    console.home.rename(tmp_path / "gone")
    answer = stranger(auditor, "proof.json", "--trust", signer, "--artifact", "model", "--json")
    assert answer.code == 0, answer
    found = answer.document
    assert (found["verified"], found["trusted"], found["complete"]) == (True, True, options == ("--full",))
    assert found["problems"] == []
    assert sorted(path.name for path in auditor.iterdir()) == ["model", "proof.json"]
    claim = "no later event is missing" if options else "later events may be missing"
    assert claim in stranger(auditor, "proof.json", "--trust", signer).out


def test_without_a_trusted_fingerprint_the_signer_is_unknown(console: Console, signer: str) -> None:
    console.run("export-proof", "forecast@1", "proof.json")
    for trust in ((), ("--trust", "0" * 64)):
        answer = stranger(console.directory, "proof.json", *trust)
        assert (answer.code, answer.out.startswith("consistent, signer unknown")) == (1, True), answer
    wrong = stranger(console.directory, "proof.json", "--trust", signer[:16])
    assert wrong.code == 2
    assert "--trust is" in wrong.sentence


def test_changed_bundles_and_files_are_named(console: Console, signer: str) -> None:
    console.run("export-proof", "forecast@1", "proof.json")
    console.run("models", "retrieve", "forecast@1", "copy")
    file = console.directory / "proof.json"
    document = json.loads(file.read_text())
    text = file.read_text().replace("Forecast volatility", "Forecast Volatility", 1)
    assert "Forecast volatility" in document["manifest"]
    (console.directory / "changed.json").write_text(text)
    answer = stranger(console.directory, "changed.json", "--trust", signer)
    assert answer.code == 1
    assert "problem manifest: its SHA-256 is not the model id" in answer.out
    stranger(console.directory, "changed.json", "--trust", signer, "--card", "bad.html")
    assert not (console.directory / "bad.html").exists()
    assert stranger(console.directory, "proof.json", "--trust", signer, "--card", "card.html").code == 0
    assert "forecast@1" in (console.directory / "card.html").read_text()
    (console.directory / "copy" / "weights.json").write_text('{"weights": [0.2, 0.9]}\n')
    (console.directory / "copy" / "more.json").write_text("{}")
    answer = stranger(console.directory, "proof.json", "--trust", signer, "--artifact", "copy", "--json")
    assert answer.code == 1
    named = [problem["object"] for problem in answer.document["problems"]]
    assert named == ["file weights.json", "file more.json"]
    assert console.run("verify-proof", "nothing.json", code=2).sentence.startswith("FILE is")


def test_an_export_replaces_no_file(console: Console) -> None:
    (console.directory / "proof.json").write_text("mine")
    assert "it exists" in console.run("export-proof", "forecast@1", "proof.json", code=2).sentence
    assert (console.directory / "proof.json").read_text() == "mine"
