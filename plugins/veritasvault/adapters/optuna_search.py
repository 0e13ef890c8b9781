"""Optuna: what a search tries next, from what it has tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from domain.registry.errors import InvalidInput
from domain.risk.parameters import Value
from domain.risk.tuning_spec import ParameterRange

if TYPE_CHECKING:
    from domain.risk.trial import Trial

_SIGNIFICANT = ".6g"
"""Digits of a number that is tried: enough to tell values apart, and short enough to be written down."""


class OptunaSearch:
    """Tree-structured Parzen estimators (Bergstra et al. 2011), made anew for each batch from all trials.

    So a proposal is a function of the trials before it and the seed, whoever asks and when.
    """

    @property
    def version(self) -> str:
        """See `SearchPort.version`."""
        try:
            return f"optuna {version('optuna')}"
        except PackageNotFoundError as error:
            raise _missing() from error

    def propose(
        self, space: Mapping[str, ParameterRange], tried: Sequence[Trial], count: int, seed: int
    ) -> list[dict[str, Value]]:
        """See `SearchPort.propose`."""
        try:
            import optuna
        except ModuleNotFoundError as error:
            raise _missing() from error
        before = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        try:
            distributions = {name: _distribution(optuna, range_) for name, range_ in space.items()}
            sampler = optuna.samplers.TPESampler(seed=(seed + len(tried)) % 2**32)
            study = optuna.create_study(direction="minimize", sampler=sampler)
            study.add_trials([_frozen(optuna, one, distributions) for one in tried])
            return [_plain(study.ask(distributions).params) for _ in range(count)]
        finally:
            optuna.logging.set_verbosity(before)


def _missing() -> InvalidInput:
    remedy = "install optuna, which the extra tuning has, or leave it out"
    return InvalidInput("training.tuning", "optuna", remedy)


def _distribution(optuna: Any, searched: ParameterRange) -> Any:
    kinds = optuna.distributions
    if searched.choices:
        return kinds.CategoricalDistribution(searched.choices)
    kind = kinds.IntDistribution if searched.whole else kinds.FloatDistribution
    return kind(searched.least, searched.most, log=searched.log)


def _frozen(optuna: Any, trial: Trial, distributions: Mapping[str, Any]) -> Any:
    """A trial as Optuna remembers it; of one that was stopped it knows how far it came."""
    states = optuna.trial.TrialState
    means = {step: sum(trial.values[: step + 1]) / (step + 1) for step in range(len(trial.values))}
    return optuna.trial.create_trial(
        state=states.PRUNED if trial.stopped else states.COMPLETE,
        value=None if trial.stopped else trial.value,
        params={name: trial.parameters[name] for name in distributions},
        distributions=dict(distributions),
        intermediate_values=means,
    )


def _plain(parameters: Mapping[str, Any]) -> dict[str, Value]:
    return {
        name: float(format(value, _SIGNIFICANT)) if isinstance(value, float) else value
        for name, value in parameters.items()
    }
