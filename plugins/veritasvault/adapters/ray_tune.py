"""Ray Tune: the fits of a search as trials, on workers of this machine or of a running cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from tempfile import TemporaryDirectory
from typing import Any

from domain.registry.errors import Unavailable
from domain.risk.ports import Item, Result
from veritasvault.adapters.prep_outcome import Outcome, attempt, results
from veritasvault.adapters.ray_desk import END, Served, served_by
from veritasvault.adapters.ray_prep import TRIES, RayPrepEngine, translated


class RayTuneEngine(RayPrepEngine):
    """Runs each item as a trial of Ray Tune; one whose worker died begins again.

    One experiment of Tune goes on as long as the engine does. What is tried next, and what stops, the search
    decides between two calls (`domain.risk.tuning`): Tune's own searchers and schedulers follow whichever
    trial ends first.
    """

    name = "ray tune"

    _trials: Served

    def _start(self, stack: ExitStack) -> None:
        super()._start(stack)
        self.require_workers()
        self._trials = stack.enter_context(served_by(_tune, check=self.require_workers))

    def map(self, task: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Results in the order of the items.

        Raises:
            DomainException: what the first failing task raised; `Unavailable` for a foreign exception.
            Unavailable: a trial kept killing its worker, or the cluster was lost.
        """
        with translated("finish the search"):
            return results(self._trials.outcomes([(task, item) for item in items]))


def _tune(desk: Any) -> None:
    """Run trials until the desk is closed."""
    from ray import tune

    # Nothing is stored there but Ray's own notes: what a trial found is answered at the desk.
    with TemporaryDirectory(prefix="veritas-ray-tune-") as notes:
        tune.Tuner(
            tune.with_resources(tune.with_parameters(_try, desk=desk), {"cpu": 1}),
            # Without an end; a worker that has begun serves one trial after the other.
            tune_config=tune.TuneConfig(search_alg=_searcher(desk), num_samples=-1, reuse_actors=True),
            run_config=tune.RunConfig(
                storage_path=notes, failure_config=tune.FailureConfig(max_failures=TRIES - 1), verbose=0
            ),
        ).fit()


def _try(config: dict[str, Any], desk: Any) -> None:
    import ray
    from ray import tune

    # There is none if a worker answered, and ended before it could report so.
    if (work := ray.get(desk.work.remote(config["number"]))) is not None:
        ray.get(desk.answer.remote(config["number"], attempt(*work)))
    tune.report({"answered": True})


def _searcher(desk: Any) -> Any:
    """Proposes what was left at a desk: what is tried is decided by the project's own search."""
    import ray
    from ray.tune.search import Searcher

    class DeskSearcher(Searcher):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self._numbers: dict[str, int] = {}

        def suggest(self, trial_id: str) -> Any:
            number = ray.get(desk.next.remote())
            if number is None:
                return None
            if number == END:
                return Searcher.FINISHED
            self._numbers[trial_id] = number
            return {"number": number}

        def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
            """Whoever waits for a trial that was given up is told."""
            if error:
                found = Unavailable(f"ray gave up a trial of the search after {TRIES} workers that ended")
                ray.get(desk.answer.remote(self._numbers[trial_id], Outcome(None, found)))

        def save(self, checkpoint_path: str) -> None:
            """Nothing: the search keeps its own notes."""

        def restore(self, checkpoint_path: str) -> None:
            """Nothing."""

    return DeskSearcher()
