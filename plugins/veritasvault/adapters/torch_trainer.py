"""A small recurrent network by PyTorch; stored as safetensors with the name of its code, and as ONNX."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from domain.registry.canonical import decode, encode
from domain.risk.parameters import TrainerParameter, choose
from domain.risk.ports import TrainedModel, TrainerPort
from veritasvault.adapters.frameworks import versions
from veritasvault.adapters.onnx_model import OnnxModel, checked, one_thread, probes_of
from veritasvault.adapters.onnx_sequence import sequence_bytes
from veritasvault.adapters.sequence_network import PARAMETERS, Inputs, Lesson, Weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

TENSORS, NETWORK = "network.safetensors", "network.json"
ARCHITECTURE = f"{__name__}:restored"
"""What makes the network of its file; kept with each artifact."""

_GATES = {
    "weight_ih_l0": "input", "weight_hh_l0": "recurrent", "bias_ih_l0": "input_bias",
    "bias_hh_l0": "recurrent_bias",
}  # fmt: skip
"""PyTorch's names of what a gated recurrent unit learns."""


class Learner(Protocol):
    """Learns on a device, from batches in so many shards; wherever these are, with the same result."""

    def __call__(self, lesson: Lesson, device: str, shards: int) -> Weights: ...


class TorchSequenceTrainer:
    """The network of `sequence_network`: QLIKE of variances, by Adam (Kingma and Ba 2015).

    Args:
        learn_shards: learns what has more than one shard; None does so in this process.
    """

    framework = "PyTorch"
    tolerance = 0.0

    def __init__(self, learn_shards: Learner | None = None) -> None:
        self._learn_shards = learn_shards

    def parameters(self) -> Mapping[str, TrainerParameter]:
        device = "Where it learns; gpu is one if there is one, with other last bits than a processor's."
        shards = "Into how many parts a batch is split, for as many workers of Ray Train if a run is on Ray."
        return {
            **PARAMETERS,
            "device": TrainerParameter("cpu", device, choices=("cpu", "gpu")),
            "shards": TrainerParameter(1, shards, 1, 64),
        }

    def train(
        self,
        features: Floats,
        target: Floats,
        parameters: Mapping[str, Any],
        seed: int,
        names: Sequence[str] = (),
    ) -> TrainedModel:
        """See `TrainerPort.train`; also raises InvalidInput when PyTorch is not installed."""
        features, target, names = checked(features, target, names)
        chosen = choose("torch_sequence", self.parameters(), parameters)
        versions(self.framework, "torch_sequence")
        with one_thread():
            lesson = Lesson.of(features, target, names, chosen, seed)
            device, shards = str(chosen["device"]), int(chosen["shards"])
            elsewhere = self._learn_shards if shards > 1 else None
            learnt = (elsewhere or learn)(lesson, device, shards)
            network = TorchNetwork(lesson.inputs, learnt)
            learnt = learnt.levelled(lesson.variances, network.log_variances(lesson.seen))
        network = TorchNetwork(lesson.inputs, learnt)
        return OnnxModel(network, names, probes_of(features), partial(_write, network))


@dataclass(frozen=True, slots=True)
class TorchNetwork:
    """A learnt network, run by PyTorch on the processor."""

    inputs: Inputs
    weights: Weights

    def predict(self, features: Floats) -> Floats:
        """Annualised volatility, shape (n,), for features of shape (n, k)."""
        import numpy as np

        volatilities: Floats = np.exp(0.5 * self.log_variances(self.inputs.standardised(features)))
        return volatilities

    def log_variances(self, seen: Floats) -> Floats:
        """Shape (n,), for what the network sees, shape (n, k)."""
        import torch

        with _deterministic(), torch.no_grad():
            tensors, unit = _tensors(self.weights, "cpu")
            answer: Floats = _forward(torch.from_numpy(seen), self.inputs, tensors, unit).numpy()
        return answer

    def to_onnx(self) -> bytes:
        """See `Predictor.to_onnx`."""
        return sequence_bytes(self.inputs, self.weights)


def restored(directory: Path) -> TorchNetwork:
    """The network that an artifact's directory holds beside its ONNX form.

    Raises:
        InvalidInput: PyTorch is not installed.
    """
    versions(TorchSequenceTrainer.framework, "torch_sequence")
    import numpy as np
    from safetensors.numpy import load

    about: Any = decode((directory / NETWORK).read_bytes(), NETWORK)
    arrays = load((directory / TENSORS).read_bytes())
    of_inputs = {name: arrays.pop(name) for name in ("in_logs", "floors", "mean", "scale")}
    of_inputs["in_logs"] = of_inputs["in_logs"].astype(np.bool_)
    return TorchNetwork(Inputs(**of_inputs, steps=tuple(about["steps"])), Weights(**arrays))


def _write(network: TorchNetwork, directory: Path) -> None:
    """Tensors, and what they are tensors of."""
    from safetensors.numpy import save

    inputs, weights = network.inputs, network.weights
    of_inputs = {name: getattr(inputs, name) for name in ("in_logs", "floors", "mean", "scale")}
    about: dict[str, Any] = {
        "format": 1,
        "file": TENSORS,
        "framework": TorchSequenceTrainer.framework,
        "architecture": ARCHITECTURE,
        "hidden": weights.hidden,
        "steps": list(inputs.steps),
    }
    (directory / TENSORS).write_bytes(save({**of_inputs, **weights.arrays()}))
    (directory / NETWORK).write_bytes(encode(about))


def learn(
    lesson: Lesson,
    device: str,
    shards: int,
    own: Sequence[int] | None = None,
    collect: Callable[[list[Any]], list[Any]] = list,
) -> Weights:
    """Learn, with each step's gradient the sum of its shards', in their order.

    Args:
        own: the shards whose gradients are computed here; None are all.
        collect: gets these, vectors on the processor, and gives those of all shards.
    """
    with _deterministic():
        return _learn(lesson, device, shards, range(shards) if own is None else own, collect)


def _learn(
    lesson: Lesson,
    device: str,
    shards: int,
    own: Sequence[int],
    collect: Callable[[list[Any]], list[Any]],
) -> Weights:
    import numpy as np
    import torch

    place = "cuda" if device == "gpu" and torch.cuda.is_available() else "cpu"
    tensors, unit = _tensors(lesson.start, place)
    for tensor in tensors.values():
        tensor.requires_grad_()
    learning = [*unit.parameters(), *tensors.values()]
    adam = torch.optim.Adam(learning, lr=lesson.learning_rate)
    seen, variances = (torch.from_numpy(array).to(place) for array in (lesson.seen, lesson.variances))

    def gradient(rows: NDArray[np.int64], of: int) -> Any:
        """Of some rows' part of a loss over `of` rows, as one vector."""
        if not rows.size:
            return torch.zeros(sum(weights.numel() for weights in learning), dtype=torch.float64)
        chosen = torch.from_numpy(rows).to(place)
        answer = _forward(seen[chosen], lesson.inputs, tensors, unit)
        # The gamma deviance of variances, without what does not depend on the forecast: twice QLIKE.
        loss = (variances[chosen] * torch.exp(-answer) + answer).sum() / of
        return torch.cat([part.reshape(-1) for part in torch.autograd.grad(loss, learning)]).cpu()

    for rows, rate in lesson.steps():
        parts = np.array_split(rows, shards)
        # Added one after another: another order would have other last bits.
        total = sum(collect([gradient(parts[shard], rows.size) for shard in own]))
        for weights, part in zip(learning, total.split([one.numel() for one in learning]), strict=True):
            weights.grad = part.reshape(weights.shape).to(place)
        adam.param_groups[0]["lr"] = rate
        adam.step()
    learnt = {name: getattr(unit, theirs) for theirs, name in _GATES.items()} | tensors
    return Weights(**{name: tensor.detach().cpu().numpy() for name, tensor in learnt.items()})


def _tensors(weights: Weights, device: str) -> tuple[dict[str, Any], Any]:
    """The weights outside of the recurrent unit, and the unit."""
    import torch

    unit = torch.nn.GRU(weights.input.shape[1], weights.hidden, batch_first=True, dtype=torch.float64)
    unit.load_state_dict({theirs: torch.tensor(getattr(weights, name)) for theirs, name in _GATES.items()})
    others = {name: torch.tensor(getattr(weights, name)).to(device) for name in ("head", "linear", "bias")}
    return others, unit.to(device)


def _forward(seen: Any, inputs: Inputs, tensors: Mapping[str, Any], unit: Any) -> Any:
    _, state = unit(seen[:, inputs.columns])
    return seen @ tensors["linear"] + state[0] @ tensors["head"] + tensors["bias"]


@contextmanager
def _deterministic() -> Iterator[None]:
    """One thread and deterministic algorithms; afterwards as it was, for others may use PyTorch too."""
    import os

    import torch

    # Without it a GPU's matrix products are not deterministic, which PyTorch refuses.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(strict)
        torch.set_num_threads(threads)


TRAINERS: Mapping[str, TrainerPort] = {"torch_sequence": TorchSequenceTrainer()}
