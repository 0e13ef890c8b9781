"""A witness and the memory of what it was given, so that it cannot lose a checkpoint unseen."""

from __future__ import annotations

from collections.abc import Iterator

from domain.registry.ports import StoredCheckpoint, WitnessPort


class RememberedWitness:
    """A `WitnessPort` at somebody else's place; what is handed to it is kept here as well.

    An empty place proves nothing, whatever the reason: a mistyped address, a share that is not mounted, a
    bucket that somebody emptied. The memory tells a place that lost something from one that never had it.
    """

    def __init__(self, place: WitnessPort, memory: WitnessPort) -> None:
        self._place = place
        self._memory = memory

    def put(self, checkpoint: StoredCheckpoint) -> None:
        """Hand it over, then remember it: what only the memory has would seem lost."""
        self._place.put(checkpoint)
        self._memory.put(checkpoint)

    def sizes(self) -> Iterator[int]:
        return self._place.sizes()

    def read(self, size: int) -> StoredCheckpoint:
        return self._place.read(size)

    def all(self) -> Iterator[StoredCheckpoint]:
        return self._place.all()

    def lost(self) -> tuple[StoredCheckpoint, ...]:
        """What was handed over and is not there any more, in the order of sizes.

        Raises:
            Unavailable, IntegrityError: as `WitnessPort`.
        """
        kept = set(self._place.sizes())
        return tuple(self._memory.read(size) for size in self._memory.sizes() if size not in kept)

    def __str__(self) -> str:
        return str(self._place)
