"""Each unusable input gives one sentence, its exit code, the same as JSON, and nothing half-written."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.console import METADATA, Console

UNKNOWN_ID = "0" * 64


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (("models", "show", "forecast"), 2, "REF is 'forecast': give a model id"),
        (("models", "show", "forecast@"), 2, "give a model id"),
        (("models", "show", "@1"), 2, "REF is ''"),
        (("models", "show", "forecast@0"), 2, "REF is 'forecast@0'"),
        (("models", "show", "forecast@99999999999999999999"), 2, "give a model id"),
        (("models", "show", "Forecast@1"), 2, "use at most 63 of a-z"),
        (("models", "show", "forecast@9"), 1, "forecast has no version 9: it has 1 to 1"),
        (("models", "show", "forecast@champion"), 1, "forecast has no champion now"),
        (("models", "show", "nobody@1"), 1, "model nobody is not registered"),
        (("models", "show", UNKNOWN_ID), 1, f"model id {UNKNOWN_ID} is not registered"),
        (("models", "retrieve", "nobody@1", "copy"), 1, "model nobody is not registered"),
        (("models", "retrieve", "vendor_vol@1", "model"), 2, "destination is"),
        (("models", "receipt", "nobody@latest"), 1, "model nobody is not registered"),
        (("models", "receipt", "vendor_vol@1", "model.json"), 2, "it exists, give the name of a new file"),
        (("models", "receipt", "vendor_vol@1", "no/where.json"), 2, "cannot be written"),
        (("models", "list", "nobody"), 1, "model nobody is not registered"),
        (("models", "list", "No Body"), 2, "NAME is 'No Body'"),
        (("models", "list", "--limit", "0"), 2, "--limit"),
        (("models", "list", "--limit", "many"), 2, "--limit"),
        (("verify",), 2, "give one of REF, --all and --receipt FILE"),
        (("verify", "forecast@1", "--all"), 2, "give one of REF, --all and --receipt FILE"),
        (("verify", "--all", "--key", "x"), 2, "--key needs --receipt FILE"),
        (("verify", "nobody@1"), 1, "model nobody is not registered"),
        (("verify", "--receipt", "none.json"), 2, "--receipt is 'none.json': it cannot be read"),
        (("reproduce", "nobody@1"), 1, "model nobody is not registered"),
        (("reproduce", "vendor_vol@1"), 2, "it was trained elsewhere, the registry has no lineage"),
        (("reproduce", "forecast@1"), 2, "its provenance names no snapshot"),
        (("reproduce", "forecast@1", "--engine", "none"), 2, "--engine"),
        (("predict", "nobody@1", "--input", "rows.csv", "--output", "o.csv"), 1, "nobody is not registered"),
        (("predict", "forecast@1", "--input", "rows.csv"), 2, "--output is None: give a file"),
        (("predict", "forecast@1", "--input", "rows.xls", "--output", "o.csv"), 2, "ends in .parquet or"),
        (("predict", "forecast@1", "--input", "rows.csv", "--output", "o.txt"), 2, "--output is 'o.txt'"),
        (("predict", "vendor_vol@1", "--input", "r.csv", "--output", "o.csv"), 2, "it is not one ONNX file"),
        (("ledger", "show", "--from", "-1"), 2, "--from"),
        (("nothing",), 2, "No such command 'nothing'"),
        (("models", "show"), 2, "Missing argument 'REF'"),
        (("models", "show", "forecast@1", "--nothing"), 2, "No such option"),
    ],
)
def test_a_bad_argument_is_answered_by_one_sentence(
    console: Console, arguments: tuple[str, ...], code: int, expected: str
) -> None:
    answer = console.run(*arguments, "--json", code=code)
    assert expected in answer.sentence
    error = answer.document["error"]
    assert error["message"] == answer.sentence
    assert error["exit_code"] == code


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("none.json", None, "it cannot be read"),
        ("model.yaml", "name: x", "give a file that ends in .json or .toml"),
        ("model.json", "{", "it is not JSON in UTF-8"),
        ("model.toml", "name = ", "it is not TOML in UTF-8"),
        ("model.json", b"\xff\xfe", "it is not JSON in UTF-8"),
        ("model.json", '{"name": "a", "name": "b"}', "name stands in it twice"),
        ("model.json", "[" * 100_000, "it is not JSON in UTF-8"),
        ("model.json", "[]", "give an object"),
        ("model.json", json.dumps({k: v for k, v in METADATA.items() if k != "owner"}), "metadata.owner"),
        (
            "model.json",
            json.dumps({**METADATA, "licence": "MIT"}),
            "metadata.licence is 'MIT': no such",
        ),
        ("model.json", json.dumps({**METADATA, "risk_tier": 4}), "metadata.risk_tier is 4"),
        ("model.json", json.dumps({**METADATA, "risk_tier": True}), "metadata.risk_tier is True"),
        ("model.json", json.dumps({**METADATA, "name": "../x"}), "metadata.name is '../x'"),
        ("model.json", json.dumps({**METADATA, "purpose": " "}), "metadata.purpose"),
        ("model.json", json.dumps({**METADATA, "owner": 7}), "metadata.owner is 7"),
    ],
)
def test_unusable_metadata_registers_nothing(
    console: Console, name: str, content: str | bytes | None, expected: str
) -> None:
    file = console.directory / "given" / name
    file.parent.mkdir()
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    answer = console.run("register", "--metadata", file, "--artifact", "model", code=2)
    assert expected in answer.sentence
    _nothing_was_stored(console)


def _pickle(place: Path) -> None:
    place.write_bytes(pickle.dumps({"weights": [1.0]}))


def _renamed_pickle(place: Path) -> None:
    place.mkdir()
    _pickle(place / "model.onnx")


def _link(place: Path) -> None:
    place.symlink_to("/etc/hostname")


def _linked_inside(place: Path) -> None:
    place.mkdir()
    _link(place / "config.json")


def _empty(place: Path) -> None:
    place.mkdir()


def _pipe(place: Path) -> None:
    os.mkfifo(place)


def _absent(place: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("make", "name", "expected"),
    [
        (_absent, "gone.onnx", "there is no such file or directory"),
        (_pickle, "model.pkl", "model.pkl"),
        (_pickle, "model.joblib", "model.joblib"),
        (_renamed_pickle, "model", "model.onnx"),
        (_link, "config.json", "it is a symbolic link"),
        (_linked_inside, "model", "it is a symbolic link"),
        (_empty, "model", "it holds no file"),
        (_pipe, "config.json", "device, pipe or socket"),
    ],
)
def test_an_unusable_artifact_registers_nothing(
    console: Console, make: Callable[[Path], None], name: str, expected: str
) -> None:
    artifact = console.directory / "given" / name
    artifact.parent.mkdir()
    make(artifact)
    answer = console.run("register", "--metadata", "model.json", "--artifact", artifact, "--json", code=2)
    assert expected in answer.sentence
    assert answer.document["error"]["kind"] in ("InvalidInput", "UnsafeArtifact")
    _nothing_was_stored(console)


def test_an_unknown_setting_is_named_with_the_known_ones(empty: Console) -> None:
    console = Console(empty.home, empty.directory, {"VERITAS_REGISTERY": "s3://x"})
    sentence = console.run("models", "list", code=2).sentence
    assert "VERITAS_REGISTERY is 'not shown': no such setting" in sentence


@pytest.mark.parametrize(
    ("setting", "value", "code"),
    [
        ("VERITAS_LEDGER", "mysql://u:secret@h/d", 2),
        ("VERITAS_LEDGER", "nonsense", 2),
        ("VERITAS_REGISTRY", "ftp://u:secret@x/y", 2),
        ("VERITAS_LEDGER", "postgresql://u:secret@127.0.0.1:1/d", 1),
    ],
)
def test_an_unusable_setting_is_one_sentence_without_the_password(
    empty: Console, setting: str, value: str, code: int
) -> None:
    answer = Console(empty.home, empty.directory, {setting: value}).run("models", "list", code=code)
    assert "secret" not in answer.sentence


def test_a_home_that_cannot_be_written_is_one_sentence(console: Console) -> None:
    empty = console.directory / "home"
    empty.mkdir(mode=0o555)
    refused = Console(empty, console.directory, obeys_permissions=True)
    command = ("register", "--metadata", "model.json", "--artifact", "model")
    answer = refused.run(*command, "--json", code=1)
    assert answer.document["error"]["kind"] == "Unavailable"
    assert str(empty) in answer.sentence
    assert list(empty.iterdir()) == []
    checks = {check["name"]: check for check in refused.run("doctor", "--json", code=1).document["checks"]}
    assert [checks[name]["status"] for name in ("home", "registry", "ledger")] == ["fail"] * 3


def test_a_registry_that_became_read_only_is_still_read_and_verified(console: Console) -> None:
    for directory, _, _ in os.walk(console.home):
        Path(directory).chmod(0o555)
    console.ledger.chmod(0o444)
    reader = Console(console.home, console.directory, obeys_permissions=True)
    try:
        assert len(reader.run("models", "list", "--json").document["versions"]) == 2
        reader.run("verify", "--all")
        (console.directory / "model" / "config.json").write_text("{}")
        command = ("register", "--metadata", "model.json", "--artifact", "model")
        assert "writ" in reader.run(*command, code=1).sentence
    finally:
        for directory, _, _ in os.walk(console.home):
            Path(directory).chmod(0o755)


def _nothing_was_stored(console: Console) -> None:
    assert len(list((console.home / "registry" / "models").iterdir())) == 2
    assert not list((console.home / "registry" / ".staging").glob("*"))
    assert console.application().ledger.port.size() == 5
