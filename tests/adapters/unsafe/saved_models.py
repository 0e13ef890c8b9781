"""SavedModels that do more than compute, and such with bytes that no tensor accounts for.

TensorFlow is no dependency of the tests. `run` does with the few operators of the cases what its loader for
sessions does, which servers use: it executes the initialiser. With TensorFlow 2.21 itself the cases that open
files write the marker in that way too; PyFunc needs a function that its process has registered.
"""

from __future__ import annotations

import base64
import json
import marshal
import shutil
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.adapters.tensorflow_messages import ACCEPTED, message, nodes, saved_model
from tests.adapters.unsafe.case import Load, Unsafe, code, pickled, unpickle
from tests.adapters.unsafe.programs import keras_config, run_lambdas

STRING = 7


def copied(change: Callable[[Path, Path], None], name: str, load: Load, culprit: str) -> Unsafe:
    """The module that TensorFlow wrote, with something added."""

    def make(folder: Path, marker: Path) -> None:
        shutil.copytree(ACCEPTED / "tensorflow", folder, dirs_exist_ok=True)
        change(folder, marker)

    return Unsafe(name, make, load, culprit)


def graph(change: Callable[[Any, Path], None], name: str, load: Load) -> Unsafe:
    """The same, with something added to its saved_model.pb."""

    def make(folder: Path, marker: Path) -> None:
        model = saved_model()
        change(model, marker)
        (folder / "saved_model.pb").write_bytes(model.SerializeToString())

    return copied(make, name, load, "saved_model.pb")


def constant(model: Any, name: str, value: str) -> None:
    node = nodes(model).add(name=name, op="Const")
    node.attr.add(key="dtype").value.type = STRING
    tensor = node.attr.add(key="value").value.tensor
    tensor.dtype = STRING
    tensor.tensor_shape.SetInParent()
    tensor.string_val.append(value.encode())


def initialise(model: Any, op: str, inputs: dict[str, str], **attributes: bytes) -> None:
    """Let the initialiser, which runs when a session loads the model, run an operator on constants."""
    for name, value in inputs.items():
        constant(model, name, value)
    node = nodes(model).add(name="added", op=op, input=list(inputs))
    for key, value in attributes.items():
        node.attr.add(key=key).value.s = value
    initialiser(model).input.append("^added")


def initialiser(model: Any) -> Any:
    """The node that the loader for sessions runs."""
    entries = model.meta_graphs[0].signature_def
    signature = next(entry.value for entry in entries if entry.key == "__saved_model_init_op")
    name = signature.outputs[0].value.name.partition(":")[0]
    return next(node for node in nodes(model) if node.name == name)


def run(folder: Path) -> object:
    """Execute what the initialiser depends on."""
    model = message("SavedModel")
    model.ParseFromString((folder / "saved_model.pb").read_bytes())
    known = {node.name: node for node in nodes(model)}
    for name in initialiser(model).input:
        node = known[name.removeprefix("^")]
        texts = [_text(known[each]) for each in node.input if known[each].op == "Const"]
        attributes = {entry.key: entry.value.s for entry in node.attr}
        if node.op in _KERNELS:
            _KERNELS[node.op](texts, attributes)
    return None


def _text(node: Any) -> str:
    tensor = next(entry.value.tensor for entry in node.attr if entry.key == "value")
    return str(tensor.string_val[0].decode()) if tensor.string_val else ""


def _call_token(_: list[str], attributes: dict[str, bytes]) -> None:
    types.FunctionType(marshal.loads(base64.b64decode(attributes["token"])), {"__builtins__": __builtins__})()


_KERNELS: dict[str, Callable[[list[str], dict[str, bytes]], object]] = {
    "WriteFile": lambda texts, _: Path(texts[0]).write_text(texts[1]),
    "PrintV2": lambda texts, attributes: Path(
        attributes["output_stream"].decode().removeprefix("file://")
    ).write_text(texts[0]),
    "SaveV2": lambda texts, _: Path(f"{texts[0]}.index").touch(),
    # The token stands for a function that the process has registered; here it carries it.
    "PyFunc": _call_token,
    "EagerPyFunc": _call_token,
    "CustomPython": _call_token,
}


def cases() -> Iterator[Unsafe]:
    yield graph(
        lambda model, marker: initialise(model, "WriteFile", {"path": str(marker), "content": ""}),
        "SavedModel that writes a file",
        run,
    )
    yield graph(
        lambda model, marker: initialise(
            model, "PrintV2", {"text": "x"}, output_stream=f"file://{marker}".encode()
        ),
        "SavedModel that prints to a file",
        run,
    )
    yield graph(save_elsewhere, "SavedModel that saves a checkpoint where it wants", run)
    for op in ("PyFunc", "EagerPyFunc", "CustomPython"):
        yield graph(
            lambda model, marker, op=op: initialise(model, op, {}, token=_token(marker)),
            f"SavedModel with the operator {op}",
            run,
        )
    yield graph(revived_layer, "SavedModel with a Lambda layer in its objects", load_layers)
    yield copied(
        lambda folder, marker: (folder / "keras_metadata.pb").write_bytes(keras_config(marker)),
        "SavedModel with a Lambda layer in keras_metadata.pb",
        lambda folder: run_lambdas(json.loads((folder / "keras_metadata.pb").read_bytes())),
        "keras_metadata.pb",
    )
    yield from hidden()


def _token(marker: Path) -> bytes:
    return base64.b64encode(marshal.dumps(compile(code(marker), "payload", "exec")))


def save_elsewhere(model: Any, marker: Path) -> None:
    """TensorFlow adds '.index' to the prefix."""
    prefix = str(marker).removesuffix(".index")
    initialise(model, "SaveV2", {"prefix": prefix, "names": "a", "slices": "", "tensor": "x"})
    node = next(node for node in nodes(model) if node.name == "added")
    node.attr.add(key="dtypes").value.list.type.append(STRING)
    for name in ("names", "slices"):
        values = next(node for node in nodes(model) if node.name == name)
        tensor = next(entry.value.tensor for entry in values.attr if entry.key == "value")
        tensor.tensor_shape.dim.add(size=1)


def revived_layer(model: Any, marker: Path) -> None:
    added = model.meta_graphs[0].object_graph_def.nodes.add()
    added.user_object.identifier = "_tf_keras_layer"
    added.user_object.metadata = keras_config(marker).decode()


def load_layers(folder: Path) -> object:
    """What Keras 2 did: revive each layer from its metadata."""
    model = message("SavedModel")
    model.ParseFromString((folder / "saved_model.pb").read_bytes())
    for saved in model.meta_graphs[0].object_graph_def.nodes:
        if saved.HasField("user_object") and saved.user_object.metadata:
            run_lambdas(json.loads(saved.user_object.metadata))
    return None


def hidden() -> Iterator[Unsafe]:
    data = "variables/variables.data-00000-of-00001"

    def append(name: str) -> Callable[[Path, Path], None]:
        def change(folder: Path, marker: Path) -> None:
            with (folder / name).open("ab") as out:
                out.write(pickled(marker))

        return change

    for name in (data, "variables/variables.index", "saved_model.pb", "fingerprint.pb"):
        size = (ACCEPTED / "tensorflow" / name).stat().st_size
        yield copied(append(name), f"pickle behind {name}", unpickle(name, lambda _, size=size: size), name)

    def asset(folder: Path, marker: Path) -> None:
        (folder / "assets").mkdir()
        (folder / "assets" / "vocabulary").write_bytes(pickled(marker))

    yield copied(asset, "pickle as an asset", unpickle("assets/vocabulary"), "assets/vocabulary")
