"""The cases of a policy: inputs with the reasons that are expected of it, asked as the registry asks.

Rego's own tests replace the input by the word `with`, at which rego-cpp 1.5 ends the whole process. So cases
are documents, which any engine can be asked about, and a server too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from domain.registry.canonical import Json
from domain.registry.errors import InvalidInput
from domain.registry.policy import Decision
from veritasvault.adapters.policy_files import PolicyFiles
from veritasvault.adapters.rego_engine import RegoEngine

_PACKAGE = re.compile(r"^package ([\w.]+)", re.MULTILINE)
Ask = Callable[[Json], Decision]
"""From an input of any form to the decision, such as `RegoPolicy.ask`."""


@dataclass(frozen=True, slots=True)
class PolicyCase:
    """A sentence, an input, and the reasons that are expected; none where it is to be allowed."""

    name: str
    question: Json
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CaseFailure:
    """A case that was answered in another way, and the reasons that were expected and given."""

    name: str
    expected: tuple[str, ...]
    found: tuple[str, ...]


def cases_of(files: PolicyFiles) -> tuple[PolicyCase, ...]:
    """All cases, in the order of files and names.

    Raises:
        InvalidInput: a file has an error, or its `cases` another form.
    """
    paths = [f"{package.replace('.', '/')}/cases" for package in _packages(files)]
    if not paths:
        return ()
    engine = RegoEngine({**files.rules, **files.cases}, files.data, paths)
    return tuple(case for path in paths for case in _read(path, engine.evaluate(path, {})))


def failures(cases: Iterable[PolicyCase], ask: Ask) -> tuple[CaseFailure, ...]:
    """The cases that a policy, in whatever engine, answers in another way."""
    asked = ((case, ask(case.question).reasons) for case in cases)
    return tuple(
        CaseFailure(case.name, case.reasons, found) for case, found in asked if found != case.reasons
    )


def _packages(files: PolicyFiles) -> list[str]:
    found = (_PACKAGE.search(source) for source in files.cases.values())
    return [package.group(1) for package in found if package]


def _read(path: str, value: object) -> list[PolicyCase]:
    try:
        return [
            PolicyCase(name, case["input"], tuple(case["reasons"]))
            for name, case in sorted(dict(value).items())  # type: ignore[call-overload]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(path, value, "give an object of cases, each with input and reasons") from error
