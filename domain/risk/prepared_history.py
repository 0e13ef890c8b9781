"""What is known of a history's blocks: found at once as long as no earlier row changes.

A history is known by a digest over all its rows, so a date that adds a session finds the blocks of the day
before without reading a row. Where an earlier row did change, each block is still found by the rows it is
made of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from domain.registry.canonical import Digest, digest
from domain.risk.block_features import BlockParts
from domain.risk.block_store import BlockStore
from domain.risk.dataset import Dataset
from domain.risk.features.definition import FeatureDefinition
from domain.risk.features.market import NO_SUMS, MarketSums


@dataclass(frozen=True, slots=True)
class History:
    """The first blocks of a panel.

    Attributes:
        blocks: their parts, in the order of time.
        sums: the market's sums of their last dates, as many as the longest cross-sectional window needs.
    """

    blocks: tuple[BlockParts, ...] = ()
    sums: MarketSums = NO_SUMS

    def followed_by(
        self, blocks: Sequence[BlockParts], sums: Sequence[MarketSums], definition: FeatureDefinition
    ) -> Self:
        """The history with further blocks, and the market's sums of each; none without a cross-section."""
        longer = MarketSums.successive([self.sums, *sums]).last(definition.market_window)
        return type(self)((*self.blocks, *blocks), longer)

    def to_json(self) -> dict[str, Any]:
        return {"blocks": [block.to_json() for block in self.blocks], "sums": self.sums.to_json()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read what `to_json` gives. Raises InvalidInput."""
        blocks = tuple(BlockParts.from_json(block) for block in value["blocks"])
        return cls(blocks, MarketSums.from_json(value["sums"]))


def digests_of(rows: Dataset) -> list[Digest]:
    """For each block the digest of the rows up to its end."""
    seen, digests = Digest(""), []
    for part in rows.parts:
        seen = digest(f"{seen} {part.name} {part.sha256}".encode())
        digests.append(seen)
    return digests


def longest_known(rows: Dataset, definition: FeatureDefinition, store: BlockStore) -> History:
    """The longest history of which all parts are in the store; an empty one if there is none."""
    for seen in reversed(digests_of(rows)):
        record = store.find(_key(seen, definition, store))
        if record is not None:
            history = History.from_json(record)
            if all(block.held_by(store) for block in history.blocks):
                return history
    return History()


def remember(
    rows: Dataset, histories: Sequence[History], definition: FeatureDefinition, store: BlockStore
) -> None:
    """Keep histories of the rows for whoever comes with the same rows, and more."""
    digests = digests_of(rows)
    for history in histories:
        store.record(_key(digests[len(history.blocks) - 1], definition, store), history.to_json())


def _key(seen: Digest, definition: FeatureDefinition, store: BlockStore) -> Digest:
    return store.key("history", {"definition": definition.digest, "rows": seen})
