"""What a card is made from: manifest, evidence and gates, and what the ledger says of a version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from domain.registry.card.blocks import Figure

if TYPE_CHECKING:
    # Gates ask which sections there are each time a DAG file is parsed, and need no ledger for that.
    from domain.registry.events import ModelRegisteredEvent
    from domain.registry.evidence import Attachment, Evidence, GateResult
    from domain.registry.ledger.checkpoint import Checkpoint
    from domain.registry.ledger.view import Recorded
    from domain.registry.manifest import Manifest

PICTURES = ("image/png", "image/jpeg", "image/svg+xml")
"""Media types that pages show as pictures, in which nothing can run."""


@dataclass(frozen=True, slots=True)
class Rival:
    """The champion that a version is compared with: its reference, as-of date, and out-of-sample metrics."""

    reference: str
    as_of: str | None
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class LedgerRecord:
    """What the ledger says of a version.

    Attributes:
        index: the entry that registered it.
        later: events since then that concern it, in the order of the ledger.
        signed: the newest checkpoint, if it covers the registration.
        in_use: whether it is the champion of its name.
        champion: the champion, if there is another one.
    """

    index: int
    event: ModelRegisteredEvent
    later: tuple[Recorded, ...] = ()
    signed: Checkpoint | None = None
    in_use: bool = False
    champion: Rival | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """A version, or a candidate that is about to become one.

    Attributes:
        evidence: None for a model trained elsewhere.
        origin: which source and snapshot the data came from, and who made the run; by name.
        record: None before the registration.
    """

    manifest: Manifest
    evidence: Evidence | None
    gates: tuple[GateResult, ...]
    figures: tuple[Figure, ...] = ()
    origin: Mapping[str, str] = field(default_factory=dict)
    record: LedgerRecord | None = None


def figures(attachments: Sequence[Attachment]) -> tuple[Figure, ...]:
    """The attachments that are pictures, in the order of their names."""
    pictures = [
        Figure(item.name, item.media_type, item.content)
        for item in attachments
        if item.media_type in PICTURES
    ]
    return tuple(sorted(pictures, key=lambda picture: picture.name))
