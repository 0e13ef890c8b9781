"""Names in a specification: one of ours, or `package.module:function` for a user's own."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import TypeVar, cast

from domain.registry.errors import InvalidInput

T = TypeVar("T")


def resolve(field: str, name: object, known: Mapping[str, T]) -> T:
    """What a name stands for: an entry of `known`, or an object that a module of the user's defines.

    Raises:
        InvalidInput: naming the field, and the nearest known names or why the import failed.
    """
    if isinstance(name, str) and name in known:
        return known[name]
    if not isinstance(name, str) or ":" not in name:
        near = difflib.get_close_matches(str(name), known, n=3) or sorted(known)
        raise InvalidInput(
            field, name, f"use {', '.join(near)}, or package.module:function for one of your own"
        )
    module, _, attribute = name.partition(":")
    try:
        return cast(T, getattr(importlib.import_module(module), attribute))
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidInput(field, name, f"name an importable module and what it defines ({error})") from error
