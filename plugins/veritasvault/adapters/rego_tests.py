"""Runs the tests of a policy: Rego rules named `test_…`, which pass if they are true."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from domain.registry.errors import DomainException
from veritasvault.adapters.policy_files import PolicyFiles
from veritasvault.adapters.rego_engine import RegoEngine

_PACKAGE = re.compile(r"^package ([\w.]+)", re.MULTILINE)
_TEST = re.compile(r"^(test_\w+)", re.MULTILINE)
Evaluate = Callable[[str, Any], Any]
"""From a rule's path below `data` and an input to its value; None if it is undefined."""


@dataclass(frozen=True, slots=True)
class RegoTestResult:
    """One test, `package.name`, and whether it passed."""

    name: str
    passed: bool


def run_tests(files: PolicyFiles) -> tuple[RegoTestResult, ...]:
    """Run all tests of a policy in this process, in the order of files and names.

    Raises:
        InvalidInput: a file has an error.
    """
    paths = paths_of_tests(files.tests)
    if not paths:
        return ()
    engine = RegoEngine({**files.rules, **files.tests}, files.data, paths)
    return results(paths, engine.evaluate)


def paths_of_tests(sources: Mapping[str, str]) -> list[str]:
    """Where the tests of some sources are below `data`: `veritas/lifecycle_test/test_…`."""
    found: list[str] = []
    for source in sources.values():
        package = _PACKAGE.search(source)
        names = sorted(set(_TEST.findall(source)))
        found += [f"{package.group(1).replace('.', '/')}/{name}" for name in names] if package else []
    return found


def results(paths: list[str], evaluate: Evaluate) -> tuple[RegoTestResult, ...]:
    """The outcome of each test in an engine; one that is undefined or cannot be evaluated has failed."""
    return tuple(RegoTestResult(path.replace("/", "."), _passes(path, evaluate)) for path in paths)


def _passes(path: str, evaluate: Evaluate) -> bool:
    try:
        return evaluate(path, {}) is True
    except DomainException:
        return False
