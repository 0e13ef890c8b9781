"""Secrets that tests plant where users put them, and the search for them where they must not turn up."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, quote_plus

import sqlalchemy as sa

_FEWEST = 12
"""Characters of a secret: a shorter one could be found by chance."""


@dataclass
class Planted:
    """Secrets by what they are for."""

    secrets: dict[str, str] = field(default_factory=dict)

    def new(self, purpose: str) -> str:
        """A new secret, with characters that addresses and forms write otherwise."""
        return self.add(purpose, f"{purpose}+{secrets.token_hex(8)}/{secrets.token_hex(8)}=")

    def bare(self, purpose: str) -> str:
        """A new secret of hexadecimal digits, which nothing writes otherwise or cuts in two."""
        return self.add(purpose, secrets.token_hex(16))

    def add(self, purpose: str, secret: str) -> str:
        """A secret that somebody else made, such as a server's token."""
        assert len(secret) >= _FEWEST
        self.secrets[purpose] = secret
        return secret

    def found(self, data: bytes, place: object) -> list[tuple[str, str, str]]:
        """The purpose, the form and the place of every secret in some bytes."""
        return [
            (purpose, form, str(place))
            for purpose, secret in self.secrets.items()
            for form, written in _forms(secret)
            if written in data
        ]

    def found_below(self, directory: Path) -> list[tuple[str, str, str]]:
        """The same for all files of a directory, and their names."""
        files = [path for path in sorted(directory.rglob("*")) if path.is_file()]
        assert files, f"{directory} holds nothing to search"
        return [
            hit for path in files for hit in self.found(str(path).encode() + b"\n" + path.read_bytes(), path)
        ]

    def found_in_database(self, url: str) -> list[tuple[str, str, str]]:
        """The same for every row of every table of a database."""
        engine = sa.create_engine(url)
        tables = sa.MetaData()
        found, rows = [], 0
        with engine.connect() as connection:
            tables.reflect(connection)
            for table in tables.sorted_tables:
                for row in connection.execute(sa.select(table)):
                    rows += 1
                    found += self.found(b"\n".join(_as_bytes(value) for value in row), f"table {table.name}")
        engine.dispose()
        assert rows, f"{engine.url!r} holds nothing to search"
        return found


def _as_bytes(value: object) -> bytes:
    return bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()


def _forms(secret: str) -> Iterator[tuple[str, bytes]]:
    """The ways in which a secret may be written down."""
    yield "plain", secret.encode()
    for form, written in {
        "in a URL": quote(secret, safe=""),
        "in a URL's path": quote(secret),
        "in a form": quote_plus(secret),
        "in JSON": json.dumps(secret)[1:-1],
    }.items():
        if written != secret:
            yield form, written.encode()
    # Base64 depends on where in the text the secret begins; its outer characters on what is beside it.
    for before in range(3):
        padded = b"\0" * before + secret.encode()
        whole = base64.b64encode(padded[: len(padded) // 3 * 3])[4 if before else 0 :]
        yield f"in base64, {before} bytes in", whole
        yield f"in base64 of URLs, {before} bytes in", whole.translate(bytes.maketrans(b"+/", b"-_"))
    yield "in hexadecimal", secret.encode().hex().encode()
