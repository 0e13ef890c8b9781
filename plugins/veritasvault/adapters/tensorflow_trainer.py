"""A small recurrent network by TensorFlow; stored as a SavedModel, and as ONNX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domain.registry.errors import Unavailable
from domain.risk.parameters import TrainerParameter, choose
from domain.risk.ports import TrainedModel, TrainerPort
from veritasvault.adapters.frameworks import versions
from veritasvault.adapters.onnx_export import INPUT, OUTPUT
from veritasvault.adapters.onnx_model import OnnxModel, checked, one_thread, probes_of
from veritasvault.adapters.onnx_sequence import sequence_bytes
from veritasvault.adapters.saved_model_bytes import write_saved_model
from veritasvault.adapters.sequence_network import PARAMETERS, Inputs, Lesson, Weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SAVED_MODEL = "saved_model"
"""The directory of the SavedModel in an artifact."""

_FIRST, _SECOND, _LEAST = 0.9, 0.999, 1e-8
"""How slowly Adam forgets means and squares of gradients, and what it adds to a root; its authors' values."""


class TensorFlowSequenceTrainer:
    """The network of `sequence_network`: QLIKE of variances, by Adam (Kingma and Ba 2015)."""

    framework = "TensorFlow"
    tolerance = 0.0

    def parameters(self) -> Mapping[str, TrainerParameter]:
        return PARAMETERS

    def train(
        self,
        features: Floats,
        target: Floats,
        parameters: Mapping[str, Any],
        seed: int,
        names: Sequence[str] = (),
    ) -> TrainedModel:
        """See `TrainerPort.train`.

        Raises:
            InvalidInput: also when TensorFlow is not installed.
            Unavailable: something else in this process made TensorFlow start with more than one thread.
        """
        features, target, names = checked(features, target, names)
        chosen = choose("tensorflow_sequence", self.parameters(), parameters)
        versions(self.framework, "tensorflow_sequence")
        with one_thread():
            lesson = Lesson.of(features, target, names, chosen, seed)
            learnt = _learn(lesson)
            network = TensorFlowNetwork(lesson.inputs, learnt)
            learnt = learnt.levelled(lesson.variances, network.log_variances(lesson.seen))
        network = TensorFlowNetwork(lesson.inputs, learnt)
        return OnnxModel(network, names, probes_of(features), network.write)


@dataclass(frozen=True, slots=True)
class TensorFlowNetwork:
    """A learnt network, run by TensorFlow."""

    inputs: Inputs
    weights: Weights

    def predict(self, features: Floats) -> Floats:
        """Annualised volatility, shape (n,), for features of shape (n, k)."""
        import numpy as np

        volatilities: Floats = np.exp(0.5 * self.log_variances(self.inputs.standardised(features)))
        return volatilities

    def log_variances(self, seen: Floats) -> Floats:
        """Shape (n,), for what the network sees, shape (n, k)."""
        tf = _tensorflow()
        with tf.device("/CPU:0"):
            weights = {name: tf.constant(array) for name, array in self.weights.arrays().items()}
            answer: Floats = _forward(tf, tf.constant(seen), self.inputs, weights).numpy()
        return answer

    def to_onnx(self) -> bytes:
        """See `Predictor.to_onnx`."""
        return sequence_bytes(self.inputs, self.weights)

    def write(self, directory: Path) -> None:
        """A SavedModel with the signature of the ONNX form: `features` in, `annualised_volatility` out."""
        tf = _tensorflow()
        inputs, width = self.inputs, self.inputs.mean.size

        class Forecast(tf.Module):  # type: ignore[misc, name-defined]
            def __init__(self, weights: Weights) -> None:
                super().__init__()
                self.weights = {
                    name: tf.Variable(array, name=name) for name, array in weights.arrays().items()
                }

            @tf.function(input_signature=[tf.TensorSpec((None, width), tf.float64, name=INPUT)])  # type: ignore[untyped-decorator, unused-ignore]
            def forecast(self, features: Any) -> Any:
                logs = tf.math.log(tf.maximum(features, inputs.floors))
                seen = (tf.where(inputs.in_logs, logs, features) - inputs.mean) / inputs.scale
                return {OUTPUT: tf.exp(0.5 * _forward(tf, seen, inputs, self.weights))}

        with tf.device("/CPU:0"):
            module = Forecast(self.weights)
            write_saved_model(module, module.forecast, directory / SAVED_MODEL)


@dataclass(frozen=True, slots=True)
class RestoredNetwork:
    """A SavedModel of ours, run by TensorFlow; `loaded` holds the variables that its function reads."""

    loaded: Any

    def predict(self, features: Floats) -> Floats:
        """Annualised volatility, shape (n,), for features of shape (n, k)."""
        forecast = self.loaded.signatures["serving_default"]
        volatilities: Floats = forecast(**{INPUT: _tensorflow().constant(features)})[OUTPUT].numpy()
        return volatilities


def restored(directory: Path) -> RestoredNetwork:
    """The network that an artifact's directory holds beside its ONNX form.

    Raises:
        InvalidInput: TensorFlow is not installed.
        Unavailable: something else in this process made TensorFlow start with more than one thread.
    """
    versions(TensorFlowSequenceTrainer.framework, "tensorflow_sequence")
    tf = _tensorflow()
    with tf.device("/CPU:0"):
        return RestoredNetwork(tf.saved_model.load(str(directory / SAVED_MODEL)))


def _learn(lesson: Lesson) -> Weights:
    tf = _tensorflow()
    with tf.device("/CPU:0"):
        weights = {name: tf.Variable(array) for name, array in lesson.start.arrays().items()}
        means, squares = (
            {name: tf.Variable(tf.zeros_like(weight)) for name, weight in weights.items()} for _ in range(2)
        )
        seen, variances = tf.constant(lesson.seen), tf.constant(lesson.variances)

        @tf.function  # type: ignore[untyped-decorator, unused-ignore]
        def step(rows: Any, rate: Any, first_power: Any, second_power: Any) -> None:
            with tf.GradientTape() as tape:
                answer = _forward(tf, tf.gather(seen, rows), lesson.inputs, weights)
                # The gamma deviance of variances, without what does not depend on the forecast: twice QLIKE.
                loss = tf.reduce_mean(tf.gather(variances, rows) * tf.exp(-answer) + answer)
            for name, gradient in tape.gradient(loss, weights).items():
                tf.raw_ops.ResourceApplyAdam(
                    var=weights[name].handle, m=means[name].handle, v=squares[name].handle,
                    beta1_power=first_power, beta2_power=second_power, lr=rate, beta1=_double(tf, _FIRST),
                    beta2=_double(tf, _SECOND), epsilon=_double(tf, _LEAST), grad=gradient,
                )  # fmt: skip

        for number, (rows, rate) in enumerate(lesson.steps(), start=1):
            powers = (_double(tf, base**number) for base in (_FIRST, _SECOND))
            step(tf.constant(rows), _double(tf, rate), *powers)
        return Weights(**{name: weight.numpy() for name, weight in weights.items()})


def _forward(tf: Any, seen: Any, inputs: Inputs, weights: Mapping[str, Any]) -> Any:
    """Log variance, shape (n,): the formula of `Weights`."""
    state = tf.zeros((tf.shape(seen)[0], weights["head"].shape[0]), tf.float64)
    for columns in inputs.columns:
        x = tf.gather(seen, columns, axis=1)
        a = tf.matmul(x, weights["input"], transpose_b=True) + weights["input_bias"]
        b = tf.matmul(state, weights["recurrent"], transpose_b=True) + weights["recurrent_bias"]
        (a_r, a_u, c), (b_r, b_u, d) = tf.split(a, 3, axis=1), tf.split(b, 3, axis=1)
        r, u = tf.sigmoid(a_r + b_r), tf.sigmoid(a_u + b_u)
        state = (1.0 - u) * tf.tanh(c + r * d) + u * state
    regression = tf.linalg.matvec(seen, weights["linear"])
    return regression + tf.linalg.matvec(state, weights["head"]) + weights["bias"]


def _double(tf: Any, number: float) -> Any:
    return tf.constant(number, tf.float64)


def _tensorflow() -> Any:
    """TensorFlow with one thread and deterministic operators, which it can be told before it starts alone.

    Raises:
        Unavailable: it has started otherwise.
    """
    import os

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError as error:
        raise Unavailable(
            "TensorFlow was started with several threads in this process, which make its sums differ: "
            "train in a process of its own"
        ) from error
    tf.config.experimental.enable_op_determinism()
    return tf


TRAINERS: Mapping[str, TrainerPort] = {"tensorflow_sequence": TensorFlowSequenceTrainer()}
