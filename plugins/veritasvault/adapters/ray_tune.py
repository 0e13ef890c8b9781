"""Ray Tune: the fits of a search as trials, on workers of this machine or of a running cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from tempfile import TemporaryDirectory
from typing import Any

from domain.registry.errors import Unavailable
from domain.risk.ports import Item, Result
from veritasvault.adapters.prep_outcome import Outcome, attempt, results
from veritasvault.adapters.ray_prep import RayPrepEngine, translated

_TRIES = 4


class RayTuneEngine(RayPrepEngine):
    """Runs each item as a trial of Ray Tune; one whose worker died begins again.

    What is tried next, and what stops, the search decides between two calls (`domain.risk.tuning`): Tune's
    own searchers and schedulers follow whichever trial ends first.
    """

    name = "ray tune"

    def map(self, task: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Results in the order of the items.

        Raises:
            DomainException: what the first failing task raised; `Unavailable` for a foreign exception.
            Unavailable: a trial kept killing its worker, or the cluster was lost.
        """
        if not items:
            return []
        with translated("finish the search"), TemporaryDirectory(prefix="veritas-ray-tune-") as notes:
            from ray import tune

            # Nothing is stored there but Ray's own notes: what a trial found comes back as an answer.
            found = tune.Tuner(
                tune.with_resources(tune.with_parameters(_trial, task=task), {"cpu": 1}),
                param_space={"number": tune.grid_search(list(range(len(items)))), "items": list(items)},
                run_config=tune.RunConfig(
                    storage_path=notes,
                    failure_config=tune.FailureConfig(max_failures=_TRIES - 1),
                    verbose=0,
                ),
            ).fit()
            outcomes: dict[int, Outcome[Result]] = {}
            for one in found:
                if one.error is not None:
                    raise Unavailable(f"ray could not finish a trial of the search: {one.error}")
                outcomes[one.metrics["number"]] = one.metrics["outcome"]
            return results(outcomes[number] for number in range(len(items)))


def _trial(config: dict[str, Any], task: Callable[[Any], Any]) -> None:
    from ray import tune

    number = config["number"]
    tune.report({"number": number, "outcome": attempt(task, config["items"][number])})
