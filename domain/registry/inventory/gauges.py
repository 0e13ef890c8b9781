"""Figures on the registry for those who watch many systems: champions, ledger and the last audit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from domain.registry.events.audit import RegistryAuditedEvent
from domain.registry.inventory.models import InventoryModel

HELP: Mapping[str, str] = MappingProxyType(
    {
        "ledger_entries": "Entries of the ledger.",
        "ledger_unsigned_entries": "Entries behind the last checkpoint, which no signature vouches for yet.",
        "versions": "Registered versions of a model.",
        "champion_version": "The version in use; 0 if there is none.",
        "champion_age_days": "Days since the data ends that the version in use was trained on.",
        "champion_deadline_days": "How many days old the version in use may be.",
        "champion_overdue": "1 if the version in use is older than it may be, else 0.",
        "champion_drifted": "1 if the last monitoring found drift of the version in use, else 0.",
        "monitoring_timestamp_seconds": "When the version in use was monitored, in seconds since 1970.",
        "promotions_halted": "1 if no version can become champion now, else 0.",
        "audit_timestamp_seconds": "When the last audit was recorded, in seconds since 1970.",
        "audit_verified": "1 if the last recorded audit found everything as it was registered, else 0.",
        "audit_damaged_models": "Models of which the last recorded audit found something missing or changed.",
    }
)
"""Every figure by its name, with what it means."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """One figure.

    Attributes:
        name: one of `HELP`.
        labels: what it is about, such as the model.
    """

    name: str
    value: float
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def gauges(
    models: Iterable[InventoryModel], *, entries: int, pending: int, audit: RegistryAuditedEvent | None
) -> Iterator[Gauge]:
    """The figures, for each model and for the whole; those of what is there and can be read alone.

    Args:
        entries, pending: how many entries the ledger has, and how many of them are not signed.
        audit: the newest.
    """
    yield Gauge("ledger_entries", entries)
    yield Gauge("ledger_unsigned_entries", pending)
    for model in models:
        yield from _of_model(model)
    if audit is not None:
        yield Gauge("audit_timestamp_seconds", audit.at.timestamp())
        yield Gauge("audit_verified", int(audit.verified))
        yield Gauge("audit_damaged_models", len(audit.damaged))


def _of_model(model: InventoryModel) -> Iterator[Gauge]:
    about = MappingProxyType({"model": model.name})
    champion = model.champion
    # A name's versions are numbered from 1 without gaps.
    yield Gauge("versions", model.latest.version, about)
    yield Gauge("promotions_halted", int(model.halted is not None), about)
    yield Gauge("champion_version", 0 if champion is None else champion.row.version, about)
    if champion is not None and champion.deadline is not None:
        yield Gauge("champion_age_days", champion.deadline.age(champion.today), about)
        yield Gauge("champion_deadline_days", champion.deadline.days, about)
        yield Gauge("champion_overdue", int(champion.overdue), about)
    if model.drift is not None:
        yield Gauge("champion_drifted", int(model.drift.breached), about)
        yield Gauge("monitoring_timestamp_seconds", model.drift.at.timestamp(), about)
