"""How a task's result or error travels from a worker to the caller, the same way on every engine."""

from __future__ import annotations

import importlib.util
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from domain.registry.errors import DomainException, InvalidInput, Unavailable

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Result]):
    """Either the result of a task, or the error it ended with."""

    result: Result | None
    error: DomainException | None


def require_packages(engine: str, *packages: str) -> None:
    """Require what an engine is made of; these packages are an extra of the project.

    Raises:
        InvalidInput: one is not installed.
    """
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise InvalidInput("engine", engine, f"install {', '.join(missing)}, or choose another engine")


def attempt(task: Callable[[Item], Result], item: Item) -> Outcome[Result]:
    """Run a task in the worker; errors are returned, so that no engine wraps or retries them its own way.

    A foreign exception becomes `Unavailable` here already: the caller may not be able to unpickle it. Its
    traceback goes along as a note.
    """
    try:
        return Outcome(task(item), None)
    except DomainException as error:
        return Outcome(None, error)
    except Exception as error:
        found = Unavailable(f"a preparation task failed: {type(error).__name__}: {error}")
        found.add_note("".join(traceback.format_exception(error)))
        return Outcome(None, found)


def results(outcomes: Iterable[Outcome[Result]]) -> list[Result]:
    """The results in order.

    Raises:
        DomainException: the first error among them, as the task raised it.
    """
    found: list[Result] = []
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error
        found.append(outcome.result)  # type: ignore[arg-type]
    return found
