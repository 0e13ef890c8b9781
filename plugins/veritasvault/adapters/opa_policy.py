"""Asks a server of the Open Policy Agent, by its REST API (https://www.openpolicyagent.org/docs/rest-api)."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from typing import Any
from urllib.parse import urlsplit

from domain.registry.canonical import Digest, Json, encode
from domain.registry.errors import InvalidInput, Unavailable
from domain.registry.policy import Decision, PolicyAction, PolicyInput
from veritasvault.adapters.policy_answer import decision_of, denial, files_of, mismatch
from veritasvault.adapters.policy_files import DECISION, FILES

PATIENCE = 5.0
"""Seconds that a server may be silent, and that its whole answer may take."""
_LONGEST = 1 << 20
_CHUNK = 1 << 16


class OpaPolicy:
    """Decides by what a server has loaded: the bundle that `veritas policy bundle` makes.

    The digest that a decision names comes out of the evaluation that decided, not from a second question: the
    rule `decision` returns the bundle's own list of its files, and the server replaces rules and data of a
    bundle in one transaction. It is the server's word; `veritas policy check` compares it with files one has.
    """

    def __init__(self, url: str, *, patience: float = PATIENCE) -> None:
        """`url` is where the server's API begins, such as `http://opa:8181`."""
        self._url = url.rstrip("/")
        self._patience = patience

    def decide(self, action: PolicyAction, question: PolicyInput) -> Decision:
        document = question.to_json()
        if reason := mismatch(action, question):
            return denial(document, reason)
        return self.ask(document)

    def ask(self, document: Json) -> Decision:
        """The decision on an input of any form; raises nothing, as `decide`."""
        try:
            answer = self._value(DECISION, document)
        except Unavailable as error:
            return denial(document, str(error))
        return decision_of(answer, document)

    def files(self) -> dict[str, Digest]:
        """Name and SHA-256 of each file that the server decides by.

        Raises:
            Unavailable: the server cannot be asked, or does not name its files.
        """
        try:
            return files_of(self._value(FILES, {}))
        except InvalidInput as error:
            raise Unavailable(f"the policy server {self._url} does not name its files: {error}") from error

    def _value(self, path: str, document: Json) -> Any:
        """The value of a rule for an input; None if it is undefined.

        Raises:
            Unavailable: the server cannot be reached, is late, or answers anything but a value.
        """
        body = encode({"input": document})
        try:
            status, content = self._post(f"/v1/data/{path}", body)
        except (OSError, UnicodeError, http.client.HTTPException) as error:
            # A refused connection, an unknown host, a wrong certificate, a time-out, a broken answer.
            why = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            raise Unavailable(f"the policy server {self._url} cannot be asked: {why}") from error
        answer = _object(content)
        if status != 200:
            said = f"{answer.get('code')}: {answer.get('message')}" if answer else "without a JSON object"
            raise Unavailable(f"the policy server {self._url} answered {status}, {said}")
        if answer is None:
            raise Unavailable(f"the policy server {self._url} answered something else than a JSON object")
        return answer.get("result")

    def _post(self, path: str, body: bytes) -> tuple[int, bytes]:
        end = time.monotonic() + self._patience
        connection = self._connection()
        try:
            headers = {"Content-Type": "application/json", "Accept": "application/json"}
            connection.request("POST", f"{urlsplit(self._url).path}{path}", body, headers)
            response = connection.getresponse()
            content = bytearray()
            # The connection's time-out is for each read, and a server could send a byte before each.
            while chunk := response.read1(_CHUNK):
                content += chunk
                if len(content) > _LONGEST or time.monotonic() > end:
                    raise http.client.HTTPException(f"no end after {len(content)} bytes")
            return response.status, bytes(content)
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        parts = urlsplit(self._url)
        host = parts.hostname or ""
        if parts.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(host, parts.port, timeout=self._patience, context=context)
        return http.client.HTTPConnection(host, parts.port, timeout=self._patience)


def _object(content: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
