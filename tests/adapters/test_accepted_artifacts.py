"""What the real libraries wrote comes in by `veritas register`, and comes back byte for byte."""

from __future__ import annotations

import gzip
import json
import pickle
import shutil
from pathlib import Path

import pytest

from domain.registry.metadata import ModelMetadata
from tests.adapters import tensorflow_messages
from tests.cli.console import METADATA, Console
from veritasvault.adapters.formats.saved_model_operators import COMPUTING
from veritasvault.adapters.formats.saved_model_saver import OPERATORS
from veritasvault.adapters.formats.saved_model_schema import MESSAGES
from veritasvault.bootstrap import bootstrap

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
    application = bootstrap({"VERITAS_HOME": str(tmp_path / "home"), "VERITAS_CODE_VERSION": "test"})
    model = application.registration.register_model(ModelMetadata.from_json(METADATA), artifact)
    assert model.outcome == "registered"
    application.registry.retrieve_model(model.model_id, tmp_path / "copy")
    assert contents(tmp_path / "copy") == contents(artifact)


def test_the_command_registers_and_retrieves_all_of_them_at_once(tmp_path: Path) -> None:
    console = Console(tmp_path / "home", tmp_path)
    (tmp_path / "model.json").write_text(json.dumps(METADATA))
    console.run("register", "--metadata", "model.json", "--artifact", tensorflow_messages.ACCEPTED)
    console.run("models", "retrieve", "vendor_vol@1", "copy")
    assert contents(tmp_path / "copy") == contents(tensorflow_messages.ACCEPTED)


def test_the_command_refuses_one_unsafe_file_among_them_and_stores_nothing(tmp_path: Path) -> None:
    """An outside model goes the same way, and what is wrong is one sentence with the file's name."""
    artifact = tmp_path / "model"
    shutil.copytree(tensorflow_messages.ACCEPTED, artifact)
    (artifact / "keras" / "assets").mkdir()
    (artifact / "keras" / "assets" / "weights.txt").write_bytes(gzip.compress(pickle.dumps([1, 2])))
    console = Console(tmp_path / "home", tmp_path)
    (tmp_path / "model.json").write_text(json.dumps(METADATA))
    answer = console.run("register", "--metadata", "model.json", "--artifact", artifact, code=2)
    assert answer.sentence.startswith("artifact is 'keras/assets/weights.txt': it is not UTF-8 text")
    assert [path for path in (tmp_path / "home" / "registry").rglob("*") if path.is_file()] == []


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
