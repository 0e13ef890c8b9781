"""Parsing: what each DAG file takes more than an empty one, forked as the DAG processor forks."""

from __future__ import annotations

import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.report import Line, show

LIMIT_SECONDS = 0.1
ROUNDS = 7
EMPTY = """from airflow.sdk import dag, task

@task
def nothing():
    pass

@dag
def empty():
    nothing()

empty()
"""


def measure() -> list[Line]:
    """The processor seconds that each file of the DAGs folder takes more than one with an empty task."""
    from veritasvault.airflow_local.environment import base_environment, dags_folder, plugins_folder

    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        url = f"sqlite:///{home / 'airflow.db'}"
        # Airflow reads its configuration from the environment when it is first imported.
        os.environ.update(base_environment(home, dags_folder(), plugins_folder(), url, os.environ))
        empty = home / "empty.py"
        empty.write_text(EMPTY)
        files = sorted(dags_folder().glob("*.py"))
        took: dict[Path, list[float]] = {file: [] for file in [empty, *files]}
        for _ in range(ROUNDS):
            for file, seconds in took.items():
                seconds.append(_in_a_fork(file))
    least = statistics.median(took[empty])
    return [
        Line("a DAG file with one empty task, s", least, None),
        *(
            Line(f"{file.name}, s more", statistics.median(took[file]) - least, LIMIT_SECONDS)
            for file in files
        ),
    ]


def _in_a_fork(file: Path) -> float:
    """Processor seconds to parse a file where Airflow is imported, and nothing that the file imports is."""
    # What the DAG processor has imported before it forks.
    import airflow.dag_processing.processor
    import airflow.sdk  # noqa: F401

    fork = multiprocessing.get_context("fork")
    reading, writing = fork.Pipe(duplex=False)
    process = fork.Process(target=_parse, args=(file, writing))
    process.start()
    writing.close()
    try:
        return float(reading.recv())
    finally:
        process.join()


def _parse(file: Path, answer: Connection) -> None:
    from airflow.dag_processing.dagbag import DagBag

    began = time.process_time()
    bag = DagBag(file)
    took = time.process_time() - began
    if bag.import_errors or not bag.dags:
        raise SystemExit(f"{file} defines no DAG: {bag.import_errors}")
    answer.send(took)


if __name__ == "__main__":
    sys.exit(show("Parsing DAG files", measure()))
