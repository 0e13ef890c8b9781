"""What the verification of one version looked at, object by object."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from domain.registry.audit import (
    Audit,
    attachment_label,
    entry_label,
    evidence_label,
    file_label,
    manifest_label,
)
from domain.registry.inventory.detail import VersionDetail, VersionDetails
from domain.registry.ledger.verification import Problem


@dataclass(frozen=True, slots=True)
class Checked:
    """An object that was read and compared.

    Attributes:
        detail: what its bytes are, or what is wrong with them.
    """

    what: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What verifying a version found.

    Attributes:
        pending: whether no checkpoint covers its entry yet, so that no signature vouches for it.
        checked: every object, the ledger's entry first; those with a problem are not `ok`.
        problems: empty if the version is verified.
    """

    pending: bool
    checked: tuple[Checked, ...]
    problems: tuple[Problem, ...]

    @property
    def verified(self) -> bool:
        return not self.problems


def verify_version(audit: Audit, details: VersionDetails, name: str, version: int) -> Verification:
    """Read and hash all that is stored of a version, and prove its entry.

    Raises:
        NotFound, InvalidInput: there is no such version.
        IntegrityError: its row or its name's lifecycle was changed.
        Unavailable: ledger, registry or a witness cannot be read now.
    """
    detail = details.detail(name, version)
    report = audit.version(f"{name}@{version}")
    wrong: dict[str, list[str]] = {}
    for problem in report.problems:
        wrong.setdefault(problem.object, []).append(problem.reason)
    expected = dict(_expected(detail))
    checked = (
        Checked(what, what not in wrong, "; ".join(wrong.get(what, [expected.get(what, "")])))
        for what in {**expected, **wrong}
    )
    return Verification(bool(report.pending), tuple(checked), report.problems)


def _expected(detail: VersionDetail) -> Iterator[tuple[str, str]]:
    """What there has to be, and what it has to be."""
    row, event, manifest = detail.row, detail.event, detail.manifest
    proof = "proved under the newest checkpoint" if detail.signed else "no checkpoint covers it yet"
    yield entry_label(row.index), proof
    if event is None:
        return
    yield manifest_label(event), f"SHA-256 {event.model_id}, the model id"
    for file in () if manifest is None else manifest.artifact.files:
        yield file_label(event, file.path), f"{file.size} bytes, SHA-256 {file.sha256}"
    for kept in () if manifest is None else event.attachments:
        yield attachment_label(event, kept), f"{kept.size} bytes, SHA-256 {kept.sha256}"
    for evaluated in detail.evaluations:
        yield evidence_label(evaluated), f"SHA-256 {evaluated.evidence}"
