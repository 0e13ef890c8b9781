"""The OpenAPI document of the console's API, from which the types of the pages are made.

`python -m veritasvault.console.openapi docs/openapi.json` publishes it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from veritasvault.console.problems import MEDIA_TYPE

_PROBLEM = {"$ref": "#/components/schemas/Problem"}
_UNUSED = ("HTTPValidationError", "ValidationError")


def document(app: FastAPI) -> dict[str, Any]:
    """What the app answers; the framework describes its own kind of errors, which nobody gets here."""
    found: dict[str, Any] = app.openapi()
    for methods in found["paths"].values():
        for operation in methods.values():
            answers = operation["responses"]
            answers.pop("422", None)
            answers["default"]["content"] = {MEDIA_TYPE: {"schema": _PROBLEM}}
    for name in _UNUSED:
        found["components"]["schemas"].pop(name, None)
    return found


def as_text(described: dict[str, Any]) -> str:
    """The document as it is published."""
    return json.dumps(described, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    from veritasvault.console.app import create_app

    Path(sys.argv[1]).write_text(as_text(document(create_app())))
