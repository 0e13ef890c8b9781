"""The port to where files of bytes lie: a directory, or a bucket."""

from __future__ import annotations

from typing import Protocol


class ObjectsPort(Protocol):
    """Named bytes in one place that all processes reach; picklable, so that tasks carry it.

    Nobody sees half of them, and what was written is there for everybody at once.
    """

    @property
    def uri(self) -> str:
        """Where they are, for people and for the index of a dataset; without any secret."""

    def read(self, name: str) -> bytes | None:
        """The bytes of a name; None if there are none."""

    def use(self, name: str) -> int | None:
        """The size in bytes, None if there is no such name; may be marked as the moment of the last use."""

    def add(self, name: str, data: bytes) -> bool:
        """Write unless the name is taken; False if it was. Of many at once, one writes."""

    def replace(self, name: str, data: bytes) -> None:
        """Write, whether the name is taken or not."""

    def remove(self, name: str) -> None:
        """Remove what has a name, if anything has."""
