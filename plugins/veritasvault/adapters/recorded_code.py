"""Trains by the code of another commit: a worktree of it, and a process that runs its `veritasvault.retrain`.

The process gets no settings, no keys and no logins: it needs a snapshot's file and an empty directory alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from domain.registry.errors import CodeNotHad, DomainException, IntegrityError, RetrainingFailed, Unavailable
from domain.risk.reproduction.retraining import Retraining, Step
from veritasvault.adapters.git_worktrees import GitWorktrees

ENTRY = Path("plugins") / "veritasvault" / "retrain.py"
"""What a commit has that can train again, see docs/reproduction.md."""

_KEPT = (
    "HOME",
    "JAVA_HOME",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "PATH",
    "SPARK_HOME",
    "SPARK_LOCAL_IP",
    "TMPDIR",
)
_RAY = "VERITAS_RAY"
_KEPT_BEGINNINGS = ("MKL_", "OMP_", "OPENBLAS_", "PYSPARK_")
_PATIENCE = 10.0
"""Seconds in which a process has to end that is not needed any more."""


class RecordedCode:
    """Implements `RecordedCodePort` by git and a process.

    Args:
        settings: variables that the recorded code reads; where engines are, for example.
    """

    def __init__(self, worktrees: GitWorktrees, settings: Mapping[str, str]) -> None:
        self._worktrees = worktrees
        self._settings = settings

    @contextmanager
    def retraining(self, code: str, request: Retraining) -> Iterator[Generator[Step, None, None]]:
        """See `RecordedCodePort`."""
        with self._worktrees.checkout(code) as root:
            if not (root / ENTRY).is_file():
                raise CodeNotHad(
                    f"the version was trained by {code}, which is from before versions could be reproduced: "
                    f"it has no {ENTRY.as_posix()}"
                )
            # Its own directory: what it leaves beside the results is gone with them.
            log = Path(request.directory).with_suffix(".log")
            with (
                log.open("w+b") as errors,
                _process(root, self._environment(root, request), errors) as process,
            ):
                yield _steps(process, request, errors)

    def _environment(self, root: Path, request: Retraining) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if name in _KEPT or name.startswith(_KEPT_BEGINNINGS)
        }
        # Code from before there was this engine refuses a setting that it does not know.
        settings = {n: value for n, value in self._settings.items() if n != _RAY or request.engine == "ray"}
        places = [str(root), str(root / "plugins"), os.environ.get("PYTHONPATH", "")]
        return {
            **kept,
            **settings,
            "VERITAS_HOME": str(Path(request.directory) / "home"),
            "PYTHONPATH": os.pathsep.join(place for place in places if place),
            "PYTHONDONTWRITEBYTECODE": "1",
        }


@contextmanager
def _process(
    root: Path, environment: Mapping[str, str], errors: IO[bytes]
) -> Iterator[subprocess.Popen[bytes]]:
    """The process; it ends itself when its input does, so also when this process is killed."""
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "veritasvault.retrain"],
            cwd=root,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
    except OSError as error:
        raise Unavailable(
            f"the recorded code cannot be run ({error.strerror}): run it again later"
        ) from error
    try:
        yield process
    finally:
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                # Closing writes the question that a dead process did not take, and fails again.
                with suppress(OSError):
                    stream.close()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _steps(
    process: subprocess.Popen[bytes], request: Retraining, errors: IO[bytes]
) -> Generator[Step, None, None]:
    """Ask for one step after the other: a line in, a line out."""
    assert process.stdin is not None
    assert process.stdout is not None
    question = json.dumps(request.to_json()).encode()
    while True:
        try:
            process.stdin.write(question + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line:
            raise _no_answer(process, errors)
        answer = _answer(line)
        if answer.get("done"):
            return
        if "error" in answer:
            kind = Unavailable if answer.get("retriable") else RetrainingFailed
            raise kind(f"the recorded code says: {answer.get('message')}")
        yield Step.from_json(answer)
        question = b"next"


def _no_answer(process: subprocess.Popen[bytes], errors: IO[bytes]) -> DomainException:
    """Why there is none: a process that something killed, for its memory perhaps, may do better next time."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(_PATIENCE)
    if process.returncode is not None and process.returncode < 0:
        return Unavailable(f"the recorded code was killed by signal {-process.returncode}: run it again")
    return RetrainingFailed(f"the recorded code ended with no answer: {_last_line(errors)}")


def _answer(line: bytes) -> Mapping[str, Any]:
    try:
        answer = json.loads(line)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise IntegrityError("the recorded code answered with something that is no JSON object")
    return answer


def _last_line(errors: IO[bytes]) -> str:
    errors.seek(0)
    lines = errors.read().decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it gave no reason")
