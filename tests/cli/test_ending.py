"""However a command ends, it says so by its exit code, and never by a traceback."""

from __future__ import annotations

import os
import pty
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.console import PATIENCE, Console


@pytest.mark.parametrize("arguments", [("models", "list"), ("ledger", "show", "--json"), ("verify", "--all")])
def test_a_reader_that_goes_away_ends_the_command_quietly(
    console: Console, arguments: tuple[str, ...]
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as output:
        done = subprocess.run(
            console.command(arguments),
            cwd=console.directory,
            env=console.environment(),
            stdout=output,
            stderr=subprocess.PIPE,
            timeout=PATIENCE,
            check=False,
        )
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b"")


def test_an_answer_that_cannot_be_written_is_no_good_answer(console: Console) -> None:
    """Standard output that is open for reading alone refuses what is written, as a full disk does."""
    with Path(os.devnull).open("rb") as output:
        done = subprocess.run(
            console.command(("models", "list")),
            cwd=console.directory,
            env=console.environment(),
            stdout=output,
            stderr=subprocess.PIPE,
            timeout=PATIENCE,
            check=False,
        )
    assert done.stderr == b"veritas: standard output cannot be written (Bad file descriptor)\n"
    assert done.returncode == 1


def test_an_interrupt_ends_with_130_and_nothing_is_registered(console: Console) -> None:
    """Interrupted while it waits for the ledger's lock, which another process holds."""
    holder = sqlite3.connect(console.ledger, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    (console.directory / "model" / "config.json").write_text("{}")
    process = subprocess.Popen(
        console.command(("register", "--metadata", "model.json", "--artifact", "model")),
        cwd=console.directory,
        env=console.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    # It stores the model first, so its manifest shows that the command has come to the ledger.
    models = console.home / "registry" / "models"
    deadline = time.monotonic() + PATIENCE
    while len(list(models.glob("*/metadata.json"))) < 3:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    # SQLite sees an interrupt only when its wait for the lock ends.
    holder.execute("ROLLBACK")
    holder.close()
    out, err = process.communicate(timeout=PATIENCE)
    assert b"Traceback" not in err
    assert process.returncode == 128 + signal.SIGINT, (out, err)


def test_a_defect_is_one_sentence_unless_developers_ask(console: Console) -> None:
    """A module that breaks is a defect; the sentence says how to see where."""
    broken = console.directory / "broken"
    broken.mkdir()
    (broken / "sqlalchemy.py").write_text("raise ZeroDivisionError('broken installation')\n")
    answer = Console(console.home, console.directory, {"PYTHONPATH": str(broken)}).run(
        "models", "list", code=1
    )
    assert "ZeroDivisionError: broken installation; this is a defect" in answer.sentence
    developer = {"PYTHONPATH": str(broken), "PYTHONDEVMODE": "1"}
    done = subprocess.run(
        console.command(("models", "list")),
        env=Console(console.home, console.directory, developer).environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert "Traceback" in done.stderr


def test_texts_from_other_people_cannot_steer_a_terminal(console: Console) -> None:
    """Control characters that metadata may hold are escaped, and markup stays text."""
    hostile = "[bold]x[/bold] \u009b31m\u202e"
    document = (console.directory / "model.json").read_text().replace("US equities only", hostile)
    (console.directory / "model.json").write_text(document)
    console.run("register", "--metadata", "model.json", "--artifact", "model")
    for shown in (
        console.run("models", "show", "vendor_vol@2").out,
        _on_a_terminal(console, "models", "show", "vendor_vol@2"),
    ):
        assert "[bold]x[/bold] \\x9b31m\\u202e" in shown


def test_a_terminal_gets_colours_and_a_pipe_does_not(console: Console) -> None:
    assert "\x1b[" in _on_a_terminal(console, "verify", "--all")
    assert "\x1b" not in console.run("verify", "--all").out
    assert "forecast@1" in _on_a_terminal(console, "models", "list")


def test_a_terminal_sees_progress_on_standard_error(console: Console) -> None:
    shown = _on_a_terminal(console, "verify", "--all", stderr=True)
    assert "verifying the ledger" in shown
    assert "verifying version 2: vendor_vol@1" in shown


def _on_a_terminal(console: Console, *arguments: str, stderr: bool = False) -> str:
    """What a command writes to standard output, or error, that is a terminal."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        console.command(arguments),
        cwd=console.directory,
        env={**console.environment(), "TERM": "xterm-256color", "COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL if stderr else slave,
        stderr=slave if stderr else subprocess.DEVNULL,
    )
    os.close(slave)
    shown = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # Linux says EIO when the last writer is gone
            break
        if not part:
            break
        shown += part
    os.close(master)
    assert process.wait(timeout=PATIENCE) == 0
    return shown.decode()
