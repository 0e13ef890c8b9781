"""The recurrent network over horizons as ONNX: its few steps one after another, all in float64.

ONNX Runtime's own `GRU` computes in float32 alone.
"""

from __future__ import annotations

from typing import Any

from veritasvault.adapters.onnx_export import INPUT, OUTPUT, model_bytes
from veritasvault.adapters.sequence_network import Inputs, Weights


def sequence_bytes(inputs: Inputs, weights: Weights) -> bytes:
    """See `Predictor.to_onnx`."""
    import numpy as np
    from onnx import helper

    def node(operator: str, taken: list[str], *given: str, **attributes: Any) -> None:
        nodes.append(helper.make_node(operator, taken, given, **attributes))

    nodes: list[Any] = []
    constants: dict[str, Any] = {
        "floors": inputs.floors,
        "in_logs": inputs.in_logs,
        "mean": inputs.mean,
        "scale": inputs.scale,
        "input": np.ascontiguousarray(weights.input.T),
        "recurrent": np.ascontiguousarray(weights.recurrent.T),
        "input_bias": weights.input_bias,
        "recurrent_bias": weights.recurrent_bias,
        "head": weights.head,
        "linear": weights.linear,
        "bias": weights.bias,
        "half": np.array([0.5]),
        "one": np.array([1.0]),
        "no_state": np.zeros((inputs.mean.size, weights.hidden)),
    }
    node("Max", [INPUT, "floors"], "floored")
    node("Log", ["floored"], "logs")
    node("Where", ["in_logs", "logs", INPUT], "transformed")
    node("Sub", ["transformed", "mean"], "centred")
    node("Div", ["centred", "scale"], "seen")
    node("MatMul", ["seen", "no_state"], "state_0")
    for step, columns in enumerate(inputs.columns):
        constants[f"columns_{step}"] = np.array(columns, dtype=np.int64)
        of = {name: f"{name}_{step}" for name in ("x", "a", "b", "c", "d", "r", "u", "state")}
        node("Gather", ["seen", f"columns_{step}"], of["x"], axis=1)
        node("MatMul", [of["x"], "input"], f"{of['a']}_unbiased")
        node("Add", [f"{of['a']}_unbiased", "input_bias"], of["a"])
        node("MatMul", [of["state"], "recurrent"], f"{of['b']}_unbiased")
        node("Add", [f"{of['b']}_unbiased", "recurrent_bias"], of["b"])
        node("Split", [of["a"]], f"a_r_{step}", f"a_u_{step}", of["c"], axis=1)
        node("Split", [of["b"]], f"b_r_{step}", f"b_u_{step}", of["d"], axis=1)
        for gate in ("r", "u"):
            node("Add", [f"a_{gate}_{step}", f"b_{gate}_{step}"], f"{gate}_open_{step}")
            node("Sigmoid", [f"{gate}_open_{step}"], of[gate])
        node("Mul", [of["r"], of["d"]], f"kept_{step}")
        node("Add", [of["c"], f"kept_{step}"], f"new_open_{step}")
        node("Tanh", [f"new_open_{step}"], f"new_{step}")
        node("Sub", ["one", of["u"]], f"rest_{step}")
        node("Mul", [f"rest_{step}", f"new_{step}"], f"taken_{step}")
        node("Mul", [of["u"], of["state"]], f"carried_{step}")
        node("Add", [f"taken_{step}", f"carried_{step}"], f"state_{step + 1}")
    node("MatMul", ["seen", "linear"], "regression")
    node("MatMul", [f"state_{len(inputs.columns)}", "head"], "correction")
    node("Add", ["regression", "correction"], "unbiased")
    node("Add", ["unbiased", "bias"], "log_variance")
    node("Mul", ["log_variance", "half"], "log_volatility")
    node("Exp", ["log_volatility"], OUTPUT)
    return model_bytes("sequence_volatility", nodes, constants, inputs.mean.size)
