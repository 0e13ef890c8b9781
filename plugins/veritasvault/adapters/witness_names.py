"""How witnesses name checkpoints: by their size, so that names sort as sizes do."""

from __future__ import annotations

import re

from domain.registry.errors import IntegrityError

SUFFIX = ".checkpoint"
_NAME = re.compile(r"([0-9]{19})\.checkpoint")


def checkpoint_name(size: int) -> str:
    """The name of a checkpoint's file or object."""
    return f"{size:019d}{SUFFIX}"


def size_of(name: str, what: str) -> int:
    """Read what `checkpoint_name` writes; `what` is named in the error.

    Raises:
        IntegrityError: for any other name.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise IntegrityError(
            f"{what} is not the name of a checkpoint: remove it, or correct the witness's address"
        )
    return int(found.group(1))
