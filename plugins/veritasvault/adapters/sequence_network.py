"""A small recurrent network over horizons: what it sees, where it starts and in which steps it learns.

The frameworks learn it, each with its own arithmetic; inputs, first weights and batches are the same for all.
A HAR regression in logarithms (Corsi 2009) reads all features. A gated recurrent unit (Cho et al. 2014,
"Learning phrase representations using RNN encoder-decoder") reads the horizons of one feature, the longest
first and each beside the other features, and corrects the regression where the response is not linear.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from domain.risk.parameters import TrainerParameter
from veritasvault.adapters.onnx_model import LEAST_VOLATILITY

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_WINDOW = re.compile(r"(.+)_(\d+)")

PARAMETERS: Mapping[str, TrainerParameter] = {
    "hidden": TrainerParameter(8, "Width of the recurrent state.", 1, 256),
    "epochs": TrainerParameter(4, "How often the training reads all rows.", 1, 1000),
    "batch_size": TrainerParameter(4096, "Rows of a step; with fewer an epoch has more steps.", 1, 1e6),
    "learning_rate": TrainerParameter(0.01, "Step length at the start, falls to 0 as a cosine.", 1e-6, 1.0),
    "floor": TrainerParameter(
        0.1, "Smallest volatility told apart, as a share of its mean; logarithms need one.", 0.01, 1.0
    ),
}


def sequence_of(names: Sequence[str]) -> tuple[int, ...]:
    """Places of the features that differ in their window alone (`rv_63`, `rv_5`), the longest window first.

    Of several such families the largest, of equally large ones the first; all features as they stand where no
    two differ in their window alone.
    """
    families: dict[str, list[tuple[int, int]]] = {}
    for place, name in enumerate(names):
        if (found := _WINDOW.fullmatch(name)) is not None:
            families.setdefault(found[1], []).append((-int(found[2]), place))
    largest = max(families.values(), key=len, default=[])
    if len(largest) < 2:
        return tuple(range(len(names)))
    return tuple(place for _, place in sorted(largest))


@dataclass(frozen=True, slots=True)
class Inputs:
    """How features, shape (n, k), become what the network sees: logarithms where possible, standardised.

    Attributes:
        in_logs: columns without a negative value in training, shape (k,), bool.
        floors: smallest value of these that is told apart, shape (k,), positive.
        mean, scale: of the transformed columns in training, shape (k,); scale is positive.
        steps: places of the columns that are read one after another.
    """

    in_logs: NDArray[np.bool_]
    floors: Floats
    mean: Floats
    scale: Floats
    steps: tuple[int, ...]

    @classmethod
    def of(cls, features: Floats, names: Sequence[str], floor: float) -> Inputs:
        """Learnt from the features of a training; `floor` is a share of a column's mean."""
        import numpy as np

        in_logs = np.all(features >= 0.0, axis=0)
        floors = np.where(in_logs, np.maximum(floor * features.mean(axis=0), LEAST_VOLATILITY), 1.0)
        blank = cls(in_logs, floors, np.zeros(len(names)), np.ones(len(names)), sequence_of(names))
        seen = blank.standardised(features)
        spread = seen.std(axis=0)
        return cls(in_logs, floors, seen.mean(axis=0), np.where(spread > 0.0, spread, 1.0), blank.steps)

    @property
    def columns(self) -> tuple[tuple[int, ...], ...]:
        """Of each step the places it reads: its own, then those of all columns that are no steps."""
        beside = tuple(place for place in range(self.mean.size) if place not in self.steps)
        return tuple((step, *beside) for step in self.steps)

    def standardised(self, features: Floats) -> Floats:
        """What the network sees, shape (n, k)."""
        import numpy as np

        logs = np.log(np.maximum(features, self.floors))
        seen: Floats = (np.where(self.in_logs, logs, features) - self.mean) / self.scale
        return seen


@dataclass(frozen=True, slots=True)
class Weights:
    """The network: log variance is linear · x + head · state + bias, with the state behind the last step.

    A step is state = (1 - u) * tanh(c + r * d) + u * state, where the gates r and u are the logistic of the
    first and second third of a + b, c and d are the last third of a and of b, a = input x + input_bias and
    b = recurrent state + recurrent_bias.

    Attributes:
        input: shape (3 h, m), m columns of a step. recurrent: shape (3 h, h).
        input_bias, recurrent_bias: shape (3 h,).
        head: shape (h,). linear: shape (k,). bias: shape (1,).
    """

    input: Floats
    recurrent: Floats
    input_bias: Floats
    recurrent_bias: Floats
    head: Floats
    linear: Floats
    bias: Floats

    @property
    def hidden(self) -> int:
        return int(self.head.size)

    @classmethod
    def start(cls, seen: Floats, variances: Floats, inputs: Inputs, hidden: int, seed: int) -> Weights:
        """The HAR regression by least squares, and a recurrent unit that says nothing of it yet."""
        import numpy as np

        logs = np.log(variances)
        # One row of penalty: columns may say the same, or nothing.
        gram = seen.T @ seen + np.eye(seen.shape[1])
        linear: Floats = np.linalg.solve(gram, seen.T @ (logs - logs.mean()))
        random, bound = np.random.default_rng(seed), hidden**-0.5
        width = len(inputs.columns[0])
        return cls(
            input=random.uniform(-bound, bound, (3 * hidden, width)),
            recurrent=random.uniform(-bound, bound, (3 * hidden, hidden)),
            input_bias=np.zeros(3 * hidden),
            recurrent_bias=np.zeros(3 * hidden),
            head=np.zeros(hidden),
            linear=linear,
            bias=np.array([_level(variances, seen @ linear)]),
        )

    def levelled(self, variances: Floats, log_variances: Floats) -> Weights:
        """The same with the bias under which variance over forecast variance is 1 on average in training.

        There QLIKE has its minimum in the scale of the forecasts (docs/adr/0006).
        """
        from dataclasses import replace

        return replace(self, bias=self.bias + _level(variances, log_variances))

    def arrays(self) -> dict[str, Floats]:
        """By name."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Lesson:
    """What is learnt from, and in which steps.

    Attributes:
        seen: shape (n, k). variances: what is to be forecast, shape (n,), positive.
        learning_rate: at the start.
        batch_size: rows of a step.
    """

    inputs: Inputs
    seen: Floats
    variances: Floats
    start: Weights
    seed: int
    epochs: int
    batch_size: int
    learning_rate: float

    @classmethod
    def of(
        cls, features: Floats, target: Floats, names: Sequence[str], chosen: Mapping[str, Any], seed: int
    ) -> Lesson:
        """The lesson of a training, with the parameters `PARAMETERS`."""
        import numpy as np

        inputs = Inputs.of(features, names, float(chosen["floor"]))
        floor = max(float(chosen["floor"]) * float(target.mean()), LEAST_VOLATILITY)
        seen, variances = inputs.standardised(features), np.square(np.maximum(target, floor))
        start = Weights.start(seen, variances, inputs, int(chosen["hidden"]), seed)
        return cls(
            inputs, seen, variances, start, seed,
            int(chosen["epochs"]), int(chosen["batch_size"]), float(chosen["learning_rate"]),
        )  # fmt: skip

    def steps(self) -> Iterator[tuple[NDArray[np.int64], float]]:
        """Of each step its rows, in an order that follows from the seed, and its learning rate."""
        import numpy as np

        rows = self.variances.size
        random, done = np.random.default_rng((self.seed, 1)), 0
        total = self.epochs * -(-rows // self.batch_size)
        for _ in range(self.epochs):
            order = random.permutation(rows)
            for first in range(0, rows, self.batch_size):
                rate = self.learning_rate * 0.5 * (1.0 + float(np.cos(np.pi * done / total)))
                yield order[first : first + self.batch_size], rate
                done += 1


def _level(variances: Floats, log_variances: Floats) -> float:
    import numpy as np

    return float(np.log(np.mean(variances * np.exp(-log_variances))))
