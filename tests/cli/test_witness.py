"""`veritas ledger witness` and what `verify --all` makes of it when the whole database is replaced."""

from __future__ import annotations

import shutil
import sqlite3

from tests.cli.console import Console


def test_a_database_replaced_by_a_rewritten_one_with_the_same_keys_is_found(console: Console) -> None:
    """By the witness alone: without it the rewritten registry verifies."""
    place = (console.directory / "auditor").as_uri()
    assert console.run("ledger", "witness", place, "--json").document["size"] == 5
    watched = Console(console.home, console.directory, {"VERITAS_WITNESSES": place})
    assert watched.run("verify", "--all", "--json").document["witnessed"] == 1
    assert "continues 1 witnessed checkpoint" in watched.run("verify", "--all").out
    origin = console.application().ledger.port.origin()
    _rewrite(console, origin)
    assert console.run("verify", "--all", "--json").document["verified"] is True
    found = watched.run("verify", "--all", "--json", code=1).document
    assert [problem["reason"] for problem in found["problems"]] == [
        "the ledger has only 3 entries, its end was cut off"
    ]
    assert "its end was cut off" in watched.run("ledger", "witness", place, code=1).sentence
    console.run("register", "--metadata", "model.json", "--artifact", "model/table.csv")
    console.run("register", "--metadata", "model.json", "--artifact", "model/config.json")
    found = watched.run("verify", "--all", "--json", code=1).document
    assert "history was rewritten" in found["problems"][0]["reason"]


def test_addresses_that_are_no_witness_are_refused(console: Console) -> None:
    assert "URI is 'ftp://x'" in console.run("ledger", "witness", "ftp://x", code=2).sentence
    wrong = Console(console.home, console.directory, {"VERITAS_WITNESSES": "file:///a, /b"})
    assert "VERITAS_WITNESSES is '/b'" in wrong.run("verify", "--all", code=2).sentence


def _rewrite(console: Console, origin: str) -> None:
    """A new history in a new database and an empty registry, under the old keys and the old name."""
    console.ledger.unlink()
    shutil.rmtree(console.home / "registry")
    # The name of a ledger is made with its first entry; an attacker gives the old one.
    console.run("ledger", "show")
    application = console.application()
    assert application.ledger.port.origin() != origin
    with sqlite3.connect(console.ledger) as database:
        _rename(database, origin)
    database.close()
    console.run("register", "--metadata", "model.json", "--artifact", "model")


def _rename(database: sqlite3.Connection, origin: str) -> None:
    tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    (table,) = [name for name in tables if name not in ("entries", "nodes", "versions", "checkpoints")]
    database.execute(f"UPDATE {table} SET origin = ?", (origin,))
