"""Pages of lists: how many items, and an opaque word for where the next page begins."""

import base64
import binascii
from typing import Annotated

from fastapi import Query

from domain.registry.errors import InvalidInput

Limit = Annotated[int, Query(ge=1, le=200, description="How many items a page has.")]
Cursor = Annotated[
    str | None, Query(max_length=200, description="`next` of the page before; none for the first page.")
]


def cursor_of(place: str | int | None) -> str | None:
    """The word for a place in a list; None on the last page."""
    return None if place is None else base64.urlsafe_b64encode(str(place).encode()).decode().rstrip("=")


def place_of(cursor: str | None) -> str | None:
    """The place that a word stands for. Raises InvalidInput for a word that no page gave."""
    if cursor is None:
        return None
    try:
        place = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        place = ""
    if cursor_of(place) != cursor or not place:
        raise InvalidInput("cursor", cursor, "give the `next` of a page, or none for the first page")
    return place


def number_of(cursor: str | None) -> int | None:
    """The place in a list that is ordered by numbers. Raises InvalidInput."""
    place = place_of(cursor)
    if place is not None and not (place.isascii() and place.isdecimal() and len(place) < 16):
        raise InvalidInput("cursor", cursor, "give the `next` of a page, or none for the first page")
    return None if place is None else int(place)
