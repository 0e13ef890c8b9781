"""How a command ends: each failure as one sentence on standard error, and an exit code."""

from __future__ import annotations

import errno
import os
import signal
import sys
from pathlib import Path
from typing import Any

import click

GOOD = 0
BAD = 1
"""The answer is bad: tampered, refused, not found, not available."""
MISUSED = 2
"""Wrong usage or input."""
INTERRUPTED = 128 + signal.SIGINT
READER_GONE = 128 + signal.SIGPIPE


def run(command: click.Command, arguments: list[str]) -> int:
    """Run a command and return the exit code; whatever it raises is reported, never as a traceback.

    With `--json` among the arguments, errors are also printed to standard output, as
    `{"error": {"kind", "message", "exit_code", "retriable", …}}`.
    """
    _prepare_output()
    as_json = "--json" in arguments
    try:
        # Not `command.main`, which ends the process itself when a pipe breaks or somebody interrupts.
        with command.make_context("veritas", arguments) as context:
            command.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as end:
        return _flushed(end.exit_code)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return _reader_gone()
    except Exception as error:
        if sys.flags.dev_mode:
            raise
        return _failed(error, as_json=as_json)
    return GOOD


def _prepare_output() -> None:
    """Closed streams swallow what is written, and characters that an encoding lacks are escaped."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 - open to the end
        reconfigure = getattr(getattr(sys, name), "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _flushed(code: int) -> int:
    """The exit code, once all output is out; a command that could not say its answer has not given it."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return _reader_gone()
    except OSError as error:
        return _failed(error, as_json=False)
    return code


def _failed(error: Exception, *, as_json: bool) -> int:
    document = _document(error)
    # Without a command the usage message is the whole help.
    is_help = isinstance(error, click.exceptions.NoArgsIsHelpError)
    text = f"{error}\n" if is_help else f"veritas: {document['message']}\n"
    try:
        if as_json and not _is_output(error):
            from veritasvault.cli.output import print_json

            print_json({"error": document})
            sys.stdout.flush()
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        pass
    _abandon_output()
    return int(document["exit_code"])


def _document(error: Exception) -> dict[str, Any]:
    from domain.registry.errors import DomainException, GateFailed, InvalidInput
    from domain.registry.redaction import redacted

    document: dict[str, Any] = {"kind": type(error).__name__, "message": _sentence(redacted(str(error)))}
    if isinstance(error, DomainException):
        document |= {"exit_code": error.exit_code, "retriable": error.retriable}
        if isinstance(error, InvalidInput):
            document |= {"field": error.field, "remedy": error.remedy}
        if isinstance(error, GateFailed):
            document |= {"reasons": list(error.reasons)}
        return document
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        path = "veritas" if context is None else context.command_path
        return {
            "kind": "WrongUsage",
            "message": f"{_sentence(redacted(error.format_message())).rstrip('.')} (see {path} --help)",
            "exit_code": MISUSED,
            "retriable": False,
        }
    if _is_output(error):
        message = f"standard output cannot be written ({os.strerror(getattr(error, 'errno', 0) or 0)})"
    else:
        message = (
            f"failed unexpectedly with {type(error).__name__}: {document['message']}; this is a defect, "
            "run it with PYTHONDEVMODE=1 to see where"
        )
    return document | {"message": message, "exit_code": BAD, "retriable": False}


def _sentence(text: str) -> str:
    """One line without characters that would steer a terminal."""
    joined = " ".join(text.split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in joined)


def _is_output(error: Exception) -> bool:
    """Whether writing to standard output failed; adapters let no OSError of their own through."""
    return (
        isinstance(error, OSError)
        and error.filename is None
        and error.errno in (errno.ENOSPC, errno.EIO, errno.EBADF, errno.EDQUOT)
    )


def _reader_gone() -> int:
    """The reader of a pipe, such as head, has seen enough: end quietly, as other programs do."""
    _abandon_output()
    return READER_GONE


def _abandon_output() -> None:
    """Keep the interpreter from flushing, and failing on, what can not be written any more."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
