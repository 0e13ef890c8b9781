"""Runs an ONNX model from memory, on arrays or on frames, whose columns it takes by name where it can."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from domain.registry.errors import IntegrityError, InvalidInput
from veritasvault.adapters.onnx_artifact import PROVIDERS

SIGNATURE = "signature.json"
"""Beside models that were trained here, see `onnx_model`: input, output, and the input's columns."""
_TYPES = {
    "tensor(double)": "float64",
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
    "tensor(bool)": "bool",
    "tensor(string)": "object",
}


class OnnxPredictor:
    """An ONNX Runtime session; threads may share it. One thread computes, so that results repeat."""

    def __init__(self, model: str, contents: Mapping[str, bytes]) -> None:
        """
        Args:
            model: the ONNX file among the contents.
            contents: by path, the model, its external tensors and its signature.

        Raises:
            ModuleNotFoundError: ONNX Runtime is not installed.
            InvalidInput: it cannot open the model.
            IntegrityError: the signature is not one of ours.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        tensors = {path: data for path, data in contents.items() if path not in (model, SIGNATURE)}
        if tensors:
            options.add_external_initializers_from_files_in_memory(
                list(tensors), list(tensors.values()), [len(data) for data in tensors.values()]
            )
        try:
            self._session = onnxruntime.InferenceSession(contents[model], options, providers=list(PROVIDERS))
        except Exception as error:  # ONNX Runtime raises its own tree of errors, one for each status code.
            raise InvalidInput(
                model, len(contents[model]), f"ONNX Runtime cannot open it ({error})"
            ) from error
        self._columns = _columns(contents.get(SIGNATURE), model)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of what the model takes, in its order; empty where no signature of ours names them."""
        return self._columns

    def predict(self, data: Any) -> Any:
        """What the model says of each row.

        Args:
            data: an array of shape (rows, columns), a pandas or polars frame, or arrays by the names of the
                model's inputs. Where the model names its columns, a frame's are taken by name, in whatever
                order they are, and otherwise as they stand.

        Returns:
            An array, for our models of shape (rows,); a dictionary by name for models with several outputs.

        Raises:
            InvalidInput: columns are missing, or the model does not take data of this shape or type.
        """
        try:
            answers = self._session.run(None, self._inputs(data))
        except InvalidInput:
            raise
        except Exception as error:
            raise InvalidInput(
                "data", type(data).__name__, f"the model does not take it ({error})"
            ) from error
        if len(answers) == 1:
            return answers[0]
        return {
            output.name: answer for output, answer in zip(self._session.get_outputs(), answers, strict=True)
        }

    def _inputs(self, data: Any) -> dict[str, Any]:
        inputs = self._session.get_inputs()
        if len(inputs) == 1 and not (isinstance(data, Mapping) and set(data) == {inputs[0].name}):
            return {inputs[0].name: self._matrix(data, inputs[0])}
        missing = [each.name for each in inputs if each.name not in _names(data)]
        if missing:
            raise InvalidInput("data", _names(data), f"give the model's inputs too: {', '.join(missing)}")
        return {each.name: _shaped(data[each.name], each) for each in inputs}

    def _matrix(self, data: Any, wanted: Any) -> Any:
        """The one input of most models; columns by name where they have names."""
        import numpy as np

        kind = _TYPES.get(wanted.type)
        names = _names(data)
        if names and self._columns:
            missing = [name for name in self._columns if name not in names]
            if missing:
                raise InvalidInput("data", names, f"give the model's columns too: {', '.join(missing)}")
            return np.column_stack([np.asarray(data[name], dtype=kind) for name in self._columns])
        array = np.asarray(data.to_numpy() if hasattr(data, "to_numpy") else data, dtype=kind)
        if self._columns and (array.ndim != 2 or array.shape[1] != len(self._columns)):
            raise InvalidInput(
                "data", array.shape, f"give (rows, {len(self._columns)}): {', '.join(self._columns)}"
            )
        return array


def _names(data: Any) -> list[str]:
    """The columns of a frame or a dictionary; none for an array."""
    if isinstance(data, Mapping):
        return [str(name) for name in data]
    return [str(name) for name in getattr(data, "columns", ())]


def _shaped(values: Any, wanted: Any) -> Any:
    """A column as an input of its own: models exported column by column take (rows, 1)."""
    import numpy as np

    array = np.asarray(values, dtype=_TYPES.get(wanted.type))
    return array.reshape(-1, 1) if array.ndim == 1 and len(wanted.shape) == 2 else array


def _columns(signature: bytes | None, model: str) -> tuple[str, ...]:
    """The names of the input's columns that a signature of ours lists; none without one."""
    if signature is None:
        return ()
    try:
        said = json.loads(signature)
        if said.get("format") != 1 or said.get("file") != model:
            return ()
        return tuple(str(name) for name in said["input"]["columns"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(f"{SIGNATURE} beside {model} is not a signature of a model") from error
