"""Looks through a registry for what nothing refers to, and how old it is; changes nothing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from domain.registry.collection.references import References
from domain.registry.errors import IntegrityError, NotFound
from domain.registry.events.collection import AttachmentOfModel
from domain.registry.manifest import ModelId
from domain.registry.ports import CollectablePort, Leftover, LeftoversPort, StoredModel

MODEL, ATTACHMENT = "model", "attachment"
"""What the two kinds of garbage are called that the ledger condemns; leftovers bring their own names."""


@dataclass(frozen=True, slots=True)
class Garbage:
    """Something that nothing refers to.

    Attributes:
        kind: 'model', 'attachment', or what a leftover says it is.
        name: a model id, `model id/SHA-256` of an attachment, or a leftover's name.
        size: bytes; None if the store does not tell.
        age: since it was stored, or since gc first noticed it where the store keeps no times.
    """

    kind: str
    name: str
    size: int | None
    age: dt.timedelta


@dataclass(frozen=True, slots=True)
class Unlisted:
    """An object of the registry that the ledger does not refer to.

    Attributes:
        dated: whether the store knows its age.
    """

    garbage: Garbage
    target: ModelId | AttachmentOfModel
    dated: bool


def unlisted(
    repository: CollectablePort,
    stored: Sequence[StoredModel],
    references: References,
    noticed: Mapping[str, dt.datetime],
    now: dt.datetime,
) -> Iterator[Unlisted]:
    """The stored models that the ledger does not list, and attachments that it does not name.

    Args:
        noticed: when gc first saw them, for those whose store keeps no times.
    """
    for model in stored:
        if not references.lists(model.model_id):
            name = str(model.model_id)
            age = _age(model.modified or noticed.get(name), now)
            garbage = Garbage(MODEL, name, _size(repository, model), age)
            yield Unlisted(garbage, model.model_id, model.modified is not None)
            continue
        for attachment in model.attachments:
            one = AttachmentOfModel(model.model_id, attachment.sha256)
            if references.free(one):
                name = f"{one.model_id}/{one.sha256}"
                age = _age(attachment.modified or noticed.get(name), now)
                garbage = Garbage(ATTACHMENT, name, attachment.size, age)
                yield Unlisted(garbage, one, attachment.modified is not None)


def left_over(
    places: Sequence[LeftoversPort], now: dt.datetime
) -> Iterator[tuple[Garbage, LeftoversPort, Leftover]]:
    """What killed processes left, each with the place that removes it."""
    for place in places:
        for leftover in place.leftovers():
            age = _age(leftover.modified, now)
            yield Garbage(leftover.kind, leftover.name, leftover.size, age), place, leftover


def _age(since: dt.datetime | None, now: dt.datetime) -> dt.timedelta:
    """Never below zero: a store's clock may be ahead of ours."""
    return dt.timedelta() if since is None else max(now - since, dt.timedelta())


def _size(repository: CollectablePort, model: StoredModel) -> int | None:
    try:
        files = sum(file.size for file in repository.contents(model.model_id))
    except (IntegrityError, NotFound):
        # Damaged, or another run of gc was faster; it is garbage either way.
        return None
    return files + sum(attachment.size or 0 for attachment in model.attachments)
