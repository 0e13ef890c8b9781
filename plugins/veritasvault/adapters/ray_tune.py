"""Ray Tune: the fits of a search as trials, on workers of this machine or of a running cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Self

from domain.registry.errors import Unavailable
from domain.risk.ports import Item, Result
from veritasvault.adapters.prep_outcome import results
from veritasvault.adapters.ray_prep import RayPrepEngine, translated
from veritasvault.adapters.tune_desk import Desk, tune_what_is_left_at

_END_SECONDS = 60.0


class RayTuneEngine(RayPrepEngine):
    """Runs each item as a trial of Ray Tune; one whose worker died begins again.

    One experiment of Tune goes on as long as the engine does, and what `map` is given is left at a desk where
    its trials fetch it. What is tried next, and what stops, the search decides between two calls
    (`domain.risk.tuning`): Tune's own searchers and schedulers follow whichever trial ends first.
    """

    name = "ray tune"

    _desk: Any
    _experiment: Any

    def __enter__(self) -> Self:
        """See `RayPrepEngine.__enter__`."""
        super().__enter__()
        try:
            with translated("begin the search"):
                import ray

                self._desk = ray.remote(num_cpus=0)(Desk).remote()
                self._experiment = ray.remote(num_cpus=0)(tune_what_is_left_at).remote(self._desk)
        except BaseException:
            super().__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        import ray

        with suppress(Exception):  # the cluster may be what failed
            self._desk.close.remote()
            ray.wait([self._experiment], timeout=_END_SECONDS)
        super().__exit__(*exc)

    def map(self, task: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Results in the order of the items.

        Raises:
            DomainException: what the first failing task raised; `Unavailable` for a foreign exception.
            Unavailable: a trial kept killing its worker, or the cluster was lost.
        """
        import ray

        with translated("finish the search"):
            numbers = ray.get(self._desk.leave.remote(task, list(items)))
            outcomes = self._desk.answers.remote(numbers)
            ended, _ = ray.wait([outcomes, self._experiment])
            if outcomes not in ended:
                ray.get(self._experiment)
                raise Unavailable("ray ended the search before its trials: retry")
            return results(ray.get(outcomes))
