"""What there is to say of the policy in force: who decides, by which files, and whether as expected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from domain.registry.canonical import Digest
    from veritasvault.adapters.policy_cases import CaseFailure
    from veritasvault.bootstrap import Application


@dataclass(frozen=True, slots=True)
class PolicyReport:
    """The policy that decisions are made by now.

    Attributes:
        place: the directory or the server's URL.
        engine: 'process' or 'server'.
        digest: what decisions name as their policy.
        files: name and SHA-256 of each file that decides.
        cases: how many were asked.
        problems: a sentence for everything that is wrong besides failed cases.
    """

    place: str
    engine: str
    digest: Digest
    files: Mapping[str, Digest]
    cases: int
    failures: tuple[CaseFailure, ...]
    problems: tuple[str, ...]

    @property
    def good(self) -> bool:
        return not self.failures and not self.problems


def report_on(application: Application, directory: Path | None = None) -> PolicyReport:
    """Ask the policy in force for its files, and every case for its decision.

    Args:
        directory: files that a server should decide by, and their cases; None takes the packaged ones.

    Raises:
        InvalidInput: a directory cannot be read, or a file in it has an error.
        Unavailable: the server cannot be asked, or regopy is not installed.
    """
    from domain.registry.policy import policy_digest
    from veritasvault.adapters.policy_cases import cases_of, failures
    from veritasvault.adapters.policy_files import PolicyFiles
    from veritasvault.setting_values import is_url
    from veritasvault.settings import packaged_policy

    place = application.settings.policy
    served = is_url(place)
    files = application.policy.files()
    expected = PolicyFiles.read(directory or packaged_policy() if served else Path(place))
    cases = cases_of(expected)
    problems = []
    if served:
        problems += _differences(files, expected.digests)
    if not cases:
        problems.append("no case says what is expected of the policy: add *_cases.rego")
    return PolicyReport(
        place=place,
        engine="server" if served else "process",
        digest=policy_digest(files),
        files=files,
        cases=len(cases),
        failures=failures(cases, application.policy.ask),
        problems=tuple(problems),
    )


def _differences(served: dict[str, Digest], expected: dict[str, Digest]) -> list[str]:
    if not served:
        return ["the server does not name its files: load what veritas policy bundle makes"]
    other = [name for name in sorted(served | expected) if served.get(name) != expected.get(name)]
    if not other:
        return []
    return [f"the server has another {', '.join(other)}: load a new bundle, or say --files DIRECTORY"]
