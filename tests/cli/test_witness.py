"""`veritas ledger witness` and what `verify --all` makes of it when the whole database is replaced."""

from __future__ import annotations

import shutil
import sqlite3

from tests.cli.console import Console


def test_a_database_replaced_by_a_rewritten_one_with_the_same_keys_is_found(console: Console) -> None:
    """By the witness alone: without it the rewritten registry verifies."""
    place = (console.directory / "auditor").as_uri()
    assert console.run("ledger", "witness", place, "--new", "--json").document["size"] == 5
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


def test_one_version_is_also_compared_with_the_checkpoint_that_covers_it(console: Console) -> None:
    place = (console.directory / "auditor").as_uri()
    console.run("ledger", "witness", place, "--new")
    watched = Console(console.home, console.directory, {"VERITAS_WITNESSES": place})
    assert watched.run("verify", "forecast@1", "--json").document["witnessed"] == 1
    console.run("register", "--metadata", "model.json", "--artifact", "model/table.csv")
    assert watched.run("verify", "forecast@1", "--json").document["witnessed"] == 1
    (kept,) = (console.directory / "auditor").iterdir()
    kept.chmod(0o644)
    kept.write_bytes(kept.read_bytes().replace(b"\n5\n", b"\n4\n"))
    found = watched.run("verify", "forecast@1", "--json", code=1).document["problems"]
    assert [problem["object"] for problem in found] == [f"witness {place}"]


def test_a_witness_that_was_emptied_or_never_began_is_a_problem(console: Console) -> None:
    """For `verify --all`, for the doctor, and for the next hand-over, until it is started anew."""
    directory = console.directory / "auditor"
    watched = Console(console.home, console.directory, {"VERITAS_WITNESSES": directory.as_uri()})
    never = watched.run("verify", "--all", "--json", code=1).document["problems"]
    assert "it has no checkpoint: correct its address" in never[0]["reason"]
    assert "--new" in console.run("ledger", "witness", directory.as_uri(), code=1).sentence
    console.run("ledger", "witness", directory.as_uri(), "--new")
    assert watched.run("verify", "--all", "--json").document["witnessed"] == 1
    assert checked(watched)["detail"] == f"{directory.as_uri()}: 5 entries, 0 entries behind"
    shutil.rmtree(directory)
    emptied = watched.run("verify", "--all", "--json", code=1).document["problems"]
    assert "it has lost what it was given, of size 5" in emptied[0]["reason"]
    assert "it has lost what it was given" in checked(watched, code=1)["detail"]
    assert "of size 5" in console.run("ledger", "witness", directory.as_uri(), code=1).sentence
    console.run("ledger", "witness", directory.as_uri(), "--new")
    assert checked(watched)["status"] == "ok"


def test_the_doctor_says_how_far_a_witness_is_behind_and_that_it_is_of_another_ledger(
    console: Console,
) -> None:
    place = (console.directory / "auditor").as_uri()
    assert checked(console)["detail"].startswith("none")
    console.run("ledger", "witness", place, "--new")
    watched = Console(console.home, console.directory, {"VERITAS_WITNESSES": place})
    console.run("register", "--metadata", "model.json", "--artifact", "model/table.csv")
    assert checked(watched)["detail"] == f"{place}: 5 entries, 1 entry behind"
    console.ledger.unlink()
    shutil.rmtree(console.home / "registry")
    console.run("register", "--metadata", "model.json", "--artifact", "model")
    found = checked(watched, code=1)
    assert (found["status"], found["remedy"]) == ("fail", "veritas verify --all")
    assert "it is signed for the ledger" in found["detail"]


def test_a_witness_that_cannot_be_reached_is_a_failed_check(console: Console) -> None:
    place = console.directory / "auditor"
    place.write_text("no directory")
    watched = Console(console.home, console.directory, {"VERITAS_WITNESSES": place.as_uri()})
    assert "cannot be used now" in checked(watched, code=1)["detail"]


def test_addresses_that_are_no_witness_are_refused(console: Console) -> None:
    assert "URI is 'ftp://x'" in console.run("ledger", "witness", "ftp://x", code=2).sentence
    wrong = Console(console.home, console.directory, {"VERITAS_WITNESSES": "file:///a, /b"})
    assert "VERITAS_WITNESSES is '/b'" in wrong.run("verify", "--all", code=2).sentence


def checked(console: Console, code: int | None = None) -> dict[str, str]:
    """What the doctor says of the witnesses."""
    checks = console.run("doctor", "--json", code=code).document["checks"]
    (found,) = [check for check in checks if check["name"] == "witnesses"]
    return found


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
