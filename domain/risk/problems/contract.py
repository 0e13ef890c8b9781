"""What a problem has to say, see `domain.risk.problems`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from domain.registry.evidence import Evidence, LookAhead
from domain.risk.folds import Fold
from domain.risk.ports import TrainedModel, TrainerPort
from domain.risk.regimes import MarketVolatility
from domain.risk.training_set import Integers, TrainingSet


@dataclass(frozen=True, slots=True)
class Setting:
    """What an evaluation knows beside its rows.

    Attributes:
        as_of: the session the run stands for; None for the training set's last.
        next_session: the first session on or after a date, see `plan_folds`.
        market: what tells regimes apart; None leaves them out.
        classes: what the target's values 1, 2, … stand for, see `Target`.
    """

    as_of: dt.date | None = None
    next_session: Callable[[dt.date], dt.date] | None = None
    market: MarketVolatility | None = None
    classes: tuple[str, ...] = ()


class Evaluated(Protocol):
    """What an evaluation found; the same inputs give the same bits."""

    @property
    def folds(self) -> Sequence[Fold]:
        """Every refit with the rows it learnt from and those it was tested on."""

    def evidence(
        self, look_ahead: LookAhead | None = None, described: Mapping[str, Any] | None = None
    ) -> Evidence:
        """The facts that gates judge; `described` is added to the details, which the card is made of."""


class Problem(Protocol):
    """A kind of thing to find out."""

    @property
    def metrics(self) -> Sequence[Mapping[str, str]]:
        """Each metric's `name`, what it is `about`, and whether `less`, `more` or `neither` is `better`."""

    @property
    def unmonitored(self) -> str:
        """Why nothing watches its versions, one sentence; empty where `ModelMonitoring` does."""

    def evaluate(
        self,
        training: TrainingSet,
        trainer: TrainerPort,
        parameters: Mapping[str, Any],
        seed: int,
        setting: Setting,
    ) -> Evaluated:
        """Refit for each fold before the as-of date, and test on sessions that the fit has not seen.

        Raises:
            InvalidInput: too little history before the as-of date, or wrong parameters.
        """

    def fit(
        self,
        training: TrainingSet,
        rows: Integers,
        trainer: TrainerPort,
        parameters: Mapping[str, Any],
        seed: int,
    ) -> TrainedModel:
        """Train on some rows, all of which have a label.

        Args:
            rows: ascending indices, shape (m,).

        Raises:
            InvalidInput: wrong parameters, or rows that nothing can be learnt from.
        """

    def compare(
        self,
        training: TrainingSet,
        window: Fold,
        challenger: TrainedModel,
        champion: TrainedModel,
        metric: str,
        about: Mapping[str, Any],
    ) -> Evidence:
        """Score two models on the sessions of `window.test`, and the baselines beside them.

        Args:
            metric: one that `PROBLEMS` lists as comparable.
            about: what is compared with what, for the evidence's details; plain JSON.
        """
