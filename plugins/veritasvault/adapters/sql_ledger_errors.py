"""What a database's errors mean to the ledger: one of our own, with a sentence on what to do."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError

from domain.registry.errors import DomainException, IntegrityError, LedgerConflict, Unavailable

# https://www.sqlite.org/rescode.html; the low byte of an extended code is the primary one.
_SQLITE_DUPLICATE = {sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY}
_SQLITE_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_SCHEMA, sqlite3.SQLITE_ERROR}
_SQLITE_REMEDIES = {
    sqlite3.SQLITE_READONLY: "is read-only: make the file and its directory writable",
    sqlite3.SQLITE_PERM: "may not be accessed: make the file and its directory accessible",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: make the file and its directory accessible",
    sqlite3.SQLITE_FULL: "cannot grow, its disk is full: make space and retry",
    sqlite3.SQLITE_BUSY: "is locked by another process: retry",
    sqlite3.SQLITE_LOCKED: "is locked by another connection: retry",
    sqlite3.SQLITE_IOERR: "cannot be read or written, its disk fails or is full: check the disk and retry",
}

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_PG_DUPLICATE = "23505"
_PG_DAMAGED = {"42P01", "42703", "XX001", "XX002"}
_PG_REMEDIES = {
    "25006": "is read-only: connect to the primary, with a role that may write",
    "42501": "may not be used by this role: grant it the rights on the ledger's tables",
    "53100": "cannot grow, its disk is full: make space and retry",
    "53300": "has no connection left: retry, or raise max_connections",
    "57014": "took too long and was cancelled: retry",
}


def is_duplicate(error: BaseException) -> bool:
    """Whether a database error is the violation of a primary key or a unique constraint."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, sqlite3.Error):
        return getattr(cause, "sqlite_errorcode", None) in _SQLITE_DUPLICATE
    return getattr(cause, "pgcode", None) == _PG_DUPLICATE


def translated(error: BaseException, shown: str) -> DomainException:
    """The error of our own for one that a database, its driver or the file system raised.

    Args:
        shown: the ledger's URL without its password.
    """
    if is_duplicate(error):
        return LedgerConflict(f"the ledger {shown} has this row already: read it again")
    cause = error.orig if isinstance(error, DBAPIError) else error
    reason = (str(cause).strip().splitlines() or [type(cause).__name__])[0]
    if isinstance(cause, sqlite3.Error):
        primary = getattr(cause, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        damaged, remedy = primary in _SQLITE_DAMAGED, _SQLITE_REMEDIES.get(primary)
    else:
        code = getattr(cause, "pgcode", None) or ""
        damaged, remedy = code in _PG_DAMAGED or isinstance(cause, UnicodeError), _PG_REMEDIES.get(code)
    if damaged:
        return IntegrityError(f"the ledger {shown} is damaged ({reason}): restore it from a backup")
    if remedy is None:
        remedy = "cannot be used now: see that it is there, running and reachable, and retry"
    return Unavailable(f"the ledger {shown} {remedy} ({reason})")
