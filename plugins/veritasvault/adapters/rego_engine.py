"""Evaluates Rego in this process with rego-cpp, prepared once and then asked often."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

from domain.registry.canonical import Json, encode
from domain.registry.errors import InvalidInput, Unavailable


class RegoEngine:
    """Compiled rules and the paths below `data` that may be asked, such as `veritas/lifecycle/decision`."""

    def __init__(self, modules: Mapping[str, str], data: Mapping[str, Any], paths: Sequence[str]) -> None:
        """Compile modules, Rego sources by file name, with a data document.

        Raises:
            InvalidInput: a source has an error; names file and error.
            Unavailable: regopy is not installed.
        """
        try:
            from regopy import Interpreter, LogLevel, RegoError
        except (ImportError, OSError) as error:
            raise Unavailable(
                f"regopy cannot be used: pip install 'veritasvault[policy]' ({error})"
            ) from error
        self._error = RegoError
        self._lock = Lock()
        self._interpreter = Interpreter()
        self._interpreter.log_level = LogLevel.NONE  # it would write errors to standard output
        for name, source in modules.items():
            try:
                self._interpreter.add_module(name, source)
            except RegoError as error:
                raise InvalidInput("policy", name, f"correct its Rego ({_first(error)})") from error
        try:
            self._interpreter.add_data(data)
            self._bundle = self._interpreter.build(None, list(paths))
            built = self._bundle.ok()
        except RegoError as error:
            raise InvalidInput("policy", ", ".join(modules), f"correct its Rego ({_first(error)})") from error
        if not built:
            raise InvalidInput("policy", ", ".join(modules), "correct its Rego, it cannot be compiled")

    def evaluate(self, path: str, question: Json) -> Any:
        """The value of a rule for an input; None if it is undefined.

        Raises:
            InvalidInput: evaluation failed, such as two values for one rule.
        """
        with self._lock:
            # As a term, and not as a value: set_input takes a quote in a text for the text's end.
            try:
                self._interpreter.set_input_term(encode(question).decode())
                output = self._interpreter.query_bundle_entrypoint(self._bundle, path)
            except (self._error, json.JSONDecodeError) as error:
                raise InvalidInput("policy", path, f"it cannot be evaluated ({_first(error)})") from error
            # A failed evaluation does not raise, it has no results.
            if not output.ok():
                raise InvalidInput("policy", path, f"it cannot be evaluated ({output})")
            expressions = output.results[0].expressions if output.results else []
            return expressions[0] if expressions else None


def _first(error: Exception) -> str:
    """The first message of rego-cpp's error tree, or the whole text."""
    found = re.search(r"\(errormsg \d+:(.*?)\)\n", f"{error}\n")
    return found.group(1) if found else " ".join(str(error).split())
