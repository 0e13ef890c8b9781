"""SavedModels: what TensorFlow writes is admitted, whatever could do more than compute is not."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.registry.ports import Finding
from tests.adapters.artifacts import staged
from tests.adapters.tensorflow_messages import ACCEPTED, function, message, nodes, saved_model
from tests.adapters.unsafe.saved_models import constant, initialise
from veritasvault.adapters.format_scanner import FormatScanner
from veritasvault.adapters.formats.base import Refused
from veritasvault.adapters.formats.protobuf_wire import varint
from veritasvault.adapters.formats.saved_model_format import check_object_graph

GRAPH, INDEX = "saved_model.pb", "variables/variables.index"
DATA = "variables/variables.data-00000-of-00001"


def files(name: str = "tensorflow") -> dict[str, bytes]:
    root = ACCEPTED / name
    return {
        path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def scan(root: Path, content: dict[str, bytes]) -> tuple[Finding, ...]:
    with tempfile.TemporaryDirectory(dir=root) as fresh:
        return FormatScanner().scan(staged(Path(fresh), content))


def refused(root: Path, content: dict[str, bytes], path: str) -> str:
    """The reason for which one of the files is refused; fails if none or another is."""
    (finding,) = scan(root, content)
    assert finding.path == path
    assert finding.remedy
    return finding.reason


def changed(root: Path, change: Callable[[Any], None]) -> str:
    """The reason for which the model is refused after something was changed in its graph."""
    model = saved_model()
    change(model)
    return refused(root, {**files(), GRAPH: model.SerializeToString()}, GRAPH)


@pytest.mark.parametrize("name", ["tensorflow", "keras"])
def test_what_tensorflow_writes_is_admitted_at_every_depth(tmp_path: Path, name: str) -> None:
    content = files(name)
    assert scan(tmp_path, content) == ()
    assert scan(tmp_path, {f"models/1/{path}": each for path, each in content.items()}) == ()


def test_the_messages_survive_the_classes_of_the_tests(tmp_path: Path) -> None:
    """Otherwise the changes below would be refused for another reason than they say."""
    model = saved_model()
    assert scan(tmp_path, {**files(), GRAPH: model.SerializeToString()}) == ()


@pytest.mark.parametrize(
    "op", ["PyFunc", "EagerPyFunc", "PyFuncStateless", "ReadFile", "WriteFile", "PrintV2", "Abort", "MyOp"]
)
def test_an_operator_that_may_do_more_than_compute_is_refused_wherever_it_is(tmp_path: Path, op: str) -> None:
    def in_graph(model: Any) -> None:
        nodes(model).add(name="added", op=op)

    def in_function(model: Any) -> None:
        function(model, "train").node_def.add(name="added", op=op)

    for change in (in_graph, in_function):
        assert f"the operator {op!r}" in changed(tmp_path, change)


def test_a_table_that_is_read_from_a_file_is_refused(tmp_path: Path) -> None:
    """Its path goes through variables, so nobody can tell which file it is."""

    def change(model: Any) -> None:
        nodes(model).add(name="added", op="InitializeTableFromTextFileV2")

    assert "InitializeTableFromTextFileV2" in changed(tmp_path, change)


def test_the_saver_in_the_graph_or_in_other_functions_is_refused(tmp_path: Path) -> None:
    assert "outside of the functions that save it" in changed(
        tmp_path, lambda model: initialise(model, "RestoreV2", {"prefix": "/etc/passwd"})
    )

    def in_public(model: Any) -> None:
        function(model, "inference_train").node_def.add(name="added", op="SaveV2", input=["x"])

    assert "which opens files" in changed(tmp_path, in_public)


def test_a_saver_that_others_can_call_is_refused(tmp_path: Path) -> None:
    def offered(model: Any) -> None:
        name = function(model, "traced_save").signature.name
        model.meta_graphs[0].object_graph_def.nodes.add().function.concrete_functions.append(name)

    def called(model: Any) -> None:
        node = function(model, "train").node_def.add(name="added", op="StatefulPartitionedCall", input=["x"])
        node.attr.add(key="f").value.func.name = function(model, "traced_save").signature.name

    def branched(model: Any) -> None:
        node = nodes(model).add(name="added", op="If")
        branches = node.attr.add(key="branches").value.list.func
        branches.add().name = function(model, "traced_restore").signature.name

    assert "offers the function" in changed(tmp_path, offered)
    assert "calls a function that opens files" in changed(tmp_path, called)
    assert "calls a function that opens files" in changed(tmp_path, branched)


def test_a_saver_whose_file_the_model_chooses_is_refused(tmp_path: Path) -> None:
    def prefix_of_its_own(model: Any) -> None:
        constant(model, "mine", "/elsewhere/weights")
        name = function(model, "traced_save").signature.name
        for node in nodes(model):
            if any(entry.value.func.name == name for entry in node.attr):
                node.input[0] = "mine"

    def placeholder_with_default(model: Any) -> None:
        next(node for node in nodes(model) if node.name == "saver_filename").op = "PlaceholderWithDefault"

    for change in (prefix_of_its_own, placeholder_with_default):
        assert "chooses itself which file is opened" in changed(tmp_path, change)


@pytest.mark.parametrize("part", ["/../../escaped", "/..", "a/../b", "/a//b", "\0", "~/x"])
def test_a_saver_that_leaves_its_prefix_is_refused(tmp_path: Path, part: str) -> None:
    def joined(model: Any) -> None:
        saver = function(model, "traced_save")
        node = next(
            node
            for node in saver.node_def
            if node.op == "Const" and any(b"_temp/part" in e.value.tensor.string_val for e in node.attr)
        )
        tensor = next(entry.value.tensor for entry in node.attr if entry.key == "value")
        tensor.string_val[0] = part.encode()

    def separated(model: Any) -> None:
        saver = function(model, "traced_save")
        join = next(node for node in saver.node_def if node.op == "StringJoin")
        join.attr.add(key="separator").value.s = part.encode()

    for change in (joined, separated):
        assert "of another name than it is given" in changed(tmp_path, change)


def test_a_saver_that_opens_what_a_constant_names_is_refused(tmp_path: Path) -> None:
    def change(model: Any) -> None:
        restore = function(model, "traced_restore")
        names = next(node for node in restore.node_def if node.op == "Const").name
        next(node for node in restore.node_def if node.op == "RestoreV2").input[0] = f"{names}:output:0"

    assert "of another name than it is given" in changed(tmp_path, change)


def test_functions_that_are_missing_or_pose_as_operators_are_refused(tmp_path: Path) -> None:
    def missing(model: Any) -> None:
        node = nodes(model).add(name="added", op="PartitionedCall")
        node.attr.add(key="f").value.func.name = "PyFunc"

    def posing(model: Any) -> None:
        model.meta_graphs[0].graph_def.library.function.add().signature.name = "PyFunc"
        nodes(model).add(name="added", op="PyFunc")

    def nested(model: Any) -> None:
        node = nodes(model).add(name="added", op="PartitionedCall")
        reference = node.attr.add(key="f").value.func
        reference.name = function(model, "train").signature.name
        reference.attr.add(key="g").value.func.name = "hidden"

    assert "'PyFunc' that it does not define" in changed(tmp_path, missing)
    assert "the operator 'PyFunc'" in changed(tmp_path, posing)
    assert "'hidden'" in changed(tmp_path, nested)


def test_what_revives_python_is_refused(tmp_path: Path) -> None:
    def objects(model: Any) -> Any:
        return model.meta_graphs[0].object_graph_def.nodes

    def layer(model: Any) -> None:
        objects(model).add().user_object.identifier = "_tf_keras_layer"

    def described(model: Any) -> None:
        objects(model)[0].user_object.metadata = '{"class_name": "Lambda"}'

    def registered(model: Any) -> None:
        objects(model)[0].registered_name = "Custom.Model"

    def saver(model: Any) -> None:
        objects(model)[0].registered_saver = "Custom.Saver"

    def opaque(model: Any) -> None:
        objects(model)[0].serialized_user_proto.type_url = "type.googleapis.com/evil"

    def collection(model: Any) -> None:
        entry = model.meta_graphs[0].collection_def.add(key="queue_runners")
        entry.value.bytes_list.value.append(b"x")

    for change in (layer, described, registered, saver):
        assert "revives a Python" in changed(tmp_path, change)
    for change in (opaque, collection):
        assert "only its writer knows" in changed(tmp_path, change)


def test_tensors_that_do_not_fit_and_handles_are_refused(tmp_path: Path) -> None:
    def added(model: Any) -> Any:
        return nodes(model).add(name="added", op="Const").attr.add(key="value").value.tensor

    def longer(model: Any) -> None:
        tensor = added(model)
        tensor.dtype, tensor.tensor_content = 1, b"\0" * 8
        tensor.tensor_shape.dim.add(size=1)

    def texts(model: Any) -> None:
        tensor = added(model)
        tensor.dtype, tensor.tensor_content = 7, b"\x01x"

    for change in (longer, texts):
        assert "than its shape needs" in changed(tmp_path, change)
    assert "handle or a variant" in changed(tmp_path, lambda model: added(model).variant_val.add())


def test_asset_names_that_leave_the_directory_are_refused(tmp_path: Path) -> None:
    for name in ("../up", "/etc/passwd", "a/b", "..", ""):

        def change(model: Any, name: str = name) -> None:
            model.meta_graphs[0].asset_file_def.add(filename=name)

        assert "names the asset" in changed(tmp_path, change)


def test_no_model_and_another_version_are_refused(tmp_path: Path) -> None:
    assert "is empty" in refused(tmp_path, {**files(), GRAPH: b""}, GRAPH)
    assert "no SavedModel" in refused(tmp_path, {**files(), GRAPH: b"\x08\x01"}, GRAPH)
    assert "no SavedModel" in changed(tmp_path, lambda m: setattr(m, "saved_model_schema_version", 2))


def test_parts_without_their_model_are_refused(tmp_path: Path) -> None:
    for path in ("fingerprint.pb", INDEX):
        assert "no saved_model.pb" in refused(tmp_path, {path: files()[path]}, path)
    assert "no model" in refused(tmp_path, {DATA: files()[DATA]}, DATA)
    without_index = {path: content for path, content in files().items() if path != INDEX}
    assert "no model" in refused(tmp_path, without_index, DATA)
    without_data = {path: content for path, content in files().items() if path != DATA}
    assert "is not in the artifact" in refused(tmp_path, without_data, INDEX)
    for path in ("other.pb", "saved_model.pbtxt", "keras_metadata.pb", "variables/other.index"):
        assert "not an allowed format" in refused(tmp_path, {**files(), path: b"x"}, path)


def test_every_change_of_size_of_the_variables_is_found(tmp_path: Path) -> None:
    for path in (INDEX, DATA):
        content = files()[path]
        for at in range(0, len(content) + 1, 7):
            for other in (content[:at] + b"\x01" + content[at:], content[:at] + content[at + 1 :]):
                if other != content:
                    assert scan(tmp_path, {**files(), path: other}), (path, at)


def test_the_object_graph_among_the_variables_is_checked(tmp_path: Path) -> None:
    content = files()[DATA]
    assert content.count(b"\x12\x07weights") == 1
    other = content.replace(b"\x12\x07weights", b"\x7a\x07weights")
    assert "unknown field 15" in refused(tmp_path, {**files(), DATA: other}, DATA)
    graph = message("TrackableObjectGraph")
    graph.nodes.add().registered_saver.name = "Custom.Saver"
    with pytest.raises(Refused, match="revives a Python class"):
        check_object_graph(graph.SerializeToString())


def test_texts_among_the_variables_must_be_text(tmp_path: Path) -> None:
    content = files()[DATA]
    assert content.count(b"BRK.B") == 1
    assert "control character" in refused(
        tmp_path, {**files(), DATA: content.replace(b"BRK.B", b"BR\0.B")}, DATA
    )
    assert "no UTF-8" in refused(tmp_path, {**files(), DATA: content.replace(b"BRK.B", b"BR\xff.B")}, DATA)


@pytest.mark.parametrize("argument", ["x", "another"])
def test_a_saver_that_opens_what_another_argument_names_is_refused(tmp_path: Path, argument: str) -> None:
    """Only the first argument is the prefix; the graph may have put a constant into any other."""

    def change(model: Any) -> None:
        restore = function(model, "traced_restore")
        restore.signature.input_arg.add(name=argument)
        next(node for node in restore.node_def if node.op == "RestoreV2").input[0] = argument

    assert "of another name than it is given" in changed(tmp_path, change)


def test_an_index_that_is_no_plain_table_is_refused(tmp_path: Path) -> None:
    """It has one block of tensors, then an empty one, an index of one entry, and a footer."""
    content = files()[INDEX]
    following, _ = varint(content, len(content) - 48, len(content), "")
    block = following - 5

    def changed_at(at: int, value: bytes) -> dict[str, bytes]:
        at %= len(content)
        return {**files(), INDEX: content[:at] + value + content[at + len(value) :]}

    assert (content[block], content[block - 8 : block]) == (0, struct.pack("<2I", 0, 1))
    assert "uncompressed" in refused(tmp_path, changed_at(block, b"\1"), INDEX)
    assert "whole" in refused(tmp_path, changed_at(block - 8, b"\1"), INDEX)
    assert "belong to no tensor" in refused(tmp_path, changed_at(-9, b"\1"), INDEX)
    assert "does not end as a table" in refused(tmp_path, changed_at(-1, b"\0"), INDEX)
    assert refused(tmp_path, changed_at(content.index(b"weights/"), b"a"), INDEX)
    assert refused(tmp_path, {**files(), INDEX: b""}, INDEX)


@settings(max_examples=200)
@given(data=st.data())
def test_a_changed_file_gives_findings_and_never_a_foreign_exception(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = files(data.draw(st.sampled_from(["tensorflow", "keras"])))
    path = data.draw(st.sampled_from(sorted(content)))
    other = bytearray(content[path])
    at = data.draw(st.integers(0, len(other) - 1))
    kind = data.draw(st.sampled_from(["flip", "cut", "insert", "remove"]))
    if kind == "flip":
        other[at] ^= 1 << data.draw(st.integers(0, 7))
    elif kind == "cut":
        del other[at:]
    elif kind == "insert":
        other[at:at] = data.draw(st.binary(min_size=1, max_size=9))
    else:
        del other[at : at + data.draw(st.integers(1, 64))]
    for finding in scan(tmp_path_factory.getbasetemp(), {**content, path: bytes(other)}):
        assert finding.path in (path, DATA, INDEX)
        assert finding.reason
        assert finding.remedy
        assert "cannot be parsed" not in finding.reason
