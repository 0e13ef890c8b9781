"""The published description of the API is that of the code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

PUBLISHED = Path(__file__).parents[2] / "docs" / "openapi.json"


def test_the_published_document_is_what_the_code_answers(described: dict[str, Any]) -> None:
    """`python -m veritasvault.console.openapi docs/openapi.json` writes it anew."""
    assert PUBLISHED.read_text() == described["text"]


def test_the_document_has_every_route(described: dict[str, Any], published: dict[str, Any]) -> None:
    """None is left out of it, and so out of the tests that read it."""
    documented = {
        (method.upper(), path) for path, methods in published["paths"].items() for method in methods
    }
    assert documented == {tuple(route) for route in described["routes"]}
