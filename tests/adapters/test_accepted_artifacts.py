"""What the real libraries wrote comes in by `veritas register`, and comes back byte for byte."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.adapters import tensorflow_messages
from tests.cli.console import METADATA, Console
from veritasvault.adapters.formats.saved_model_operators import COMPUTING
from veritasvault.adapters.formats.saved_model_saver import OPERATORS
from veritasvault.adapters.formats.saved_model_schema import MESSAGES

ARTIFACTS = sorted(path for path in tensorflow_messages.ACCEPTED.iterdir())
TENSORFLOW = json.loads((tensorflow_messages.ACCEPTED.parent / "tensorflow.json").read_text())
ABLE_TO_DO_MORE = {
    "Abort", "DebugIdentityV2", "EagerPyFunc", "FixedUnigramCandidateSampler", "ImmutableConst",
    "InitializeTableFromTextFileV2", "LoadAndRemapMatrix", "MatchingFiles", "Print", "PrintV2", "PyFunc",
    "PyFuncStateless", "ReadFile", "RecordInput", "RemoteCall", "Send", "TextLineReaderV2", "WriteFile",
    "WriteScalarSummary", "XlaCallModule", "DecodeProtoV2", "ParseTensor", "RpcCall", "GeneratorDataset",
}  # fmt: skip


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_there_is_an_artifact_of_each_library() -> None:
    names = {path.name.partition("_onnx")[0].partition("_skops")[0] for path in ARTIFACTS}
    assert names >= {"scikit_learn", "pytorch", "xgboost", "tensorflow", "keras"}


@pytest.mark.parametrize("artifact", ARTIFACTS, ids=lambda path: path.name)
def test_it_is_registered_and_retrieved_as_it_was(artifact: Path, tmp_path: Path) -> None:
    console = Console(tmp_path / "home", tmp_path)
    (tmp_path / "model.json").write_text(json.dumps(METADATA))
    console.run("register", "--metadata", "model.json", "--artifact", artifact)
    console.run("models", "retrieve", "vendor_vol@1", "copy")
    assert contents(tmp_path / "copy") == contents(artifact)


def test_the_table_of_messages_is_the_one_of_tensorflow() -> None:
    theirs = {
        kind: {int(number): tuple(field) for number, field in fields.items()}
        for kind, fields in TENSORFLOW["messages"].items()
    }
    assert theirs == MESSAGES


def test_every_admitted_operator_is_one_of_tensorflow_and_none_is_known_to_do_more_than_compute() -> None:
    assert set(TENSORFLOW["operators"]) >= COMPUTING | OPERATORS
    assert not COMPUTING & ABLE_TO_DO_MORE
    assert not OPERATORS & COMPUTING
