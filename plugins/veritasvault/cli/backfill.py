"""`veritas backfill`: how far a backfill is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import click

from veritasvault.cli.failures import BAD
from veritasvault.cli.options import json_option
from veritasvault.cli.output import Printer, Styled, count, print_json

if TYPE_CHECKING:
    from veritasvault.airflow_local.backfill_progress import BackfillProgress
    from veritasvault.airflow_local.client import AirflowClient

id_argument = click.argument("backfill_id", metavar="ID", type=click.IntRange(min=0))


@click.group()
def backfill() -> None:
    """Backfills that `airflow backfill create` began: status, watch."""


@backfill.command("status")
@id_argument
@json_option
@click.pass_context
def status(context: click.Context, backfill_id: int, as_json: bool) -> None:
    """Say how many runs of a backfill are done, and how long the others will take.

    Which Airflow is asked, AIRFLOW__API__BASE_URL says, and AIRFLOW_CLI_TOKEN who asks; in a shell that has
    sourced the file which `make up` names, both are known. Exit code 1 if a run failed.

    \b
    Examples:
      veritas backfill status 1
      veritas backfill status 1 --json
    """
    with _airflow() as client:
        found = _asked(client, backfill_id)
    _end(context, found, as_json)


@backfill.command("watch")
@id_argument
@json_option
@click.pass_context
def watch(context: click.Context, backfill_id: int, as_json: bool) -> None:
    """Follow a backfill to its end: a bar on a terminal, elsewhere a line whenever something changes.

    It watches alone: ending it ends no run. Which Airflow is asked, the help of its neighbour `status` says.
    Exit code 1 if a run failed, 0 if all succeeded.

    \b
    Examples:
      veritas backfill watch 1
      veritas backfill watch 1 --json
    """
    from veritasvault.airflow_local.backfill_progress import followed

    with _airflow() as client, _shown(silent=as_json) as shown:
        for found in followed(partial(_asked, client, backfill_id)):
            if not found.ended:
                shown.show(found)
    _end(context, found, as_json)


@contextmanager
def _airflow() -> Iterator[AirflowClient]:
    from veritasvault.bootstrap import airflow_client

    client = airflow_client()
    try:
        yield client
    finally:
        client.close()


def _asked(client: AirflowClient, backfill_id: int) -> BackfillProgress:
    from veritasvault.airflow_local.backfill_progress import progress_of

    return progress_of(client, backfill_id)


class _Shown(Protocol):
    def show(self, found: BackfillProgress) -> None: ...


class _Nothing:
    def show(self, found: BackfillProgress) -> None: ...


class _Lines:
    """A line for each change of what is counted; the time left is not counted."""

    def __init__(self) -> None:
        self._last = ""

    def show(self, found: BackfillProgress) -> None:
        counted = _counted(found)
        if counted != self._last:
            Printer().line(counted, _left(found))
            sys.stdout.flush()
            self._last = counted


class _Bar:
    def __init__(self, progress: Any, task: Any) -> None:
        self._progress, self._task = progress, task

    def show(self, found: BackfillProgress) -> None:
        said = f"{_counted(found)} {_left(found)}".rstrip()
        self._progress.update(self._task, total=found.total or None, completed=found.done, description=said)


@contextmanager
def _shown(*, silent: bool) -> Iterator[_Shown]:
    """What shows how far it is, as the output can."""
    if silent:
        yield _Nothing()
    elif not sys.stdout.isatty():
        yield _Lines()
    else:
        from rich.progress import BarColumn, Progress, TextColumn

        bar = Progress(BarColumn(), TextColumn("{task.description}", markup=False), transient=True)
        with bar:
            yield _Bar(bar, bar.add_task("", total=None))


def _counted(found: BackfillProgress) -> str:
    said = f"{found.done} of {found.total} done, {found.running} running, {len(found.failed)} failed"
    return f"{said}, paused" if found.paused and not found.ended else said


def _left(found: BackfillProgress) -> str:
    if found.seconds_left is None or found.ended:
        return ""
    seconds = round(found.seconds_left)
    return f"(about {count(seconds // 60, 'minute')} left)" if seconds >= 60 else "(less than a minute left)"


def _end(context: click.Context, found: BackfillProgress, as_json: bool) -> None:
    if as_json:
        print_json({**asdict(found), "failed": list(found.failed), "total": found.total})
    else:
        printer = Printer()
        good = "failed" if found.failed else "succeeded" if found.ended else "goes on"
        meaning = "bad" if found.failed else "good" if found.ended else "unsure"
        printer.line(f"{found.dag_id}:", Styled(good, meaning), _counted(found), _left(found))
        for run_id in found.failed:
            printer.line(Styled("failed", "bad"), run_id)
    if found.failed:
        context.exit(BAD)
