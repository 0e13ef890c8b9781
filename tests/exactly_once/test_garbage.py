"""gc in a loop beside registrations, all killed now and then: nothing that the ledger lists is lost."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import pytest

from domain.registry.collection.collector import Collector
from domain.registry.errors import CollectionUnderWay, Unavailable
from domain.registry.events import ModelRegisteredEvent
from domain.registry.events.collection import CollectedEvent
from tests.exactly_once.candidates import register, write_artifact
from veritasvault.bootstrap import Application, bootstrap
from veritasvault.settings import Settings

pytestmark = pytest.mark.timeout(2400)
WORKERS = 3
LEASE = dt.timedelta(seconds=4)
NOTHING = dt.timedelta()
PATIENCE = 300.0
_FORK = multiprocessing.get_context("fork")


class Hasty(Application):
    """Waits seconds, not minutes, for a gc that was killed."""

    @cached_property
    def collector(self) -> Collector:
        return Collector(self.registry, self.ledger, clock=self.clock, lease=LEASE)


@dataclass
class Process:
    """A forked process that reports each piece of work, and begins anew when it was killed."""

    work: Callable[[Connection], None]
    reports: Connection = field(init=False)
    ended: bool = field(init=False)

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.ended = False
        self.reports, sender = _FORK.Pipe(duplex=False)
        self._process = _FORK.Process(target=self.work, args=(sender,), daemon=True)
        self._process.start()
        sender.close()

    def reported(self) -> Iterator[Any]:
        """What it has reported since it was asked last; also what one that was killed had still said."""
        try:
            while not self.ended and self.reports.poll():
                yield self.reports.recv()
        except EOFError:
            self.ended = True

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stand still, wherever it is just now, as on a machine that has no time for it."""
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        # Asked first, one that has ended is not there to be stopped; until then its number stays its own.
        if self._process.is_alive() and self._process.pid is not None:
            os.kill(self._process.pid, number)

    def kill(self) -> None:
        self._process.kill()
        self._process.join(PATIENCE)


@dataclass(frozen=True)
class System:
    """A configured registry and ledger; every process wires its own parts."""

    environment: dict[str, str]
    artifacts: Path

    def application(self) -> Application:
        return Hasty(Settings.read(self.environment))

    def register_all(self, candidates: list[int], reports: Connection) -> None:
        """Register the candidates in turn, each until it is registered, and report number and version."""
        application = self.application()
        for candidate in candidates:
            while True:
                try:
                    model = register(application, self.artifacts, candidate)
                except Unavailable:
                    continue
                reports.send((candidate, model.version))
                break

    def collect_for_ever(self, reports: Connection) -> None:
        """Run gc again and again, with no grace period at all."""
        application = self.application()
        while True:
            began = time.monotonic()
            try:
                report = application.garbage_collection().run({"actor": "gc"}, NOTHING)
            except CollectionUnderWay:
                time.sleep(0.05)
            except Unavailable:
                continue  # the store is busy
            else:
                reports.send(len(report.garbage))
                # It looks through all there is; the two cores shall have time for registrations.
                time.sleep(0.1 + 2 * (time.monotonic() - began))

    def collect_the_rest(self) -> None:
        """One last run, which first waits for the time of a killed one."""
        application = self.application()
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                application.garbage_collection().run({"actor": "gc"}, NOTHING)
            except CollectionUnderWay:
                time.sleep(0.1)
            else:
                return
        pytest.fail("gc is under way for ever")


def disturb(system: System, candidates: range, kills: int) -> dict[int, int]:
    """Register and collect side by side, and kill at random; the versions that were reported, by candidate.

    A process is killed a random while after a report, so at any of its steps. Before every third death all
    that register stand still until gc has looked through everything, so that gc comes between their steps.
    """
    chance = random.Random(candidates.start + 3)
    versions: dict[int, int] = {}

    def worker(number: int) -> Callable[[Connection], None]:
        own = candidates[number::WORKERS]
        return lambda reports: system.register_all([one for one in own if one not in versions], reports)

    for candidate in candidates:
        write_artifact(system.artifacts, candidate)  # here, as nobody kills us half-way
    workers = [Process(worker(number)) for number in range(WORKERS)]
    collecting = Process(system.collect_for_ever)
    # Early enough that there is work left at each.
    moments = sorted(chance.sample(range(len(candidates) * 3 // 4), kills))
    try:
        while len(versions) < len(candidates):
            busy = [each for each in workers if not each.ended]
            assert wait([each.reports for each in busy], PATIENCE), "nobody registers anything any more"
            versions.update(answer for each in workers for answer in each.reported())
            if moments and len(versions) > moments[0]:
                moments.pop(0)
                time.sleep(chance.uniform(0, 0.2))
                if len(moments) % 3 == 0:
                    with ExitStack() as standing:
                        for each in busy:
                            standing.enter_context(each.paused())
                        wait_for_run(collecting)
                victim = chance.choice([*busy, collecting])
                victim.kill()
                if victim is not collecting:
                    versions.update(victim.reported())
                victim.begin()
    finally:
        for each in (*workers, collecting):
            each.kill()
    assert moments == []
    return versions


def wait_for_run(collecting: Process) -> None:
    """Wait until gc has begun a run and ended it, or for seconds if it waits for those that stand still."""
    list(collecting.reported())
    for _ in range(2):
        if collecting.reports.poll(LEASE.total_seconds()):
            collecting.reports.recv()


def require_all_well(system: System, versions: dict[int, int]) -> None:
    """Everything listed verifies, each candidate has one version, and nothing else is stored."""
    candidates = len(versions)
    application = system.application()
    report = application.audit.everything()
    assert (report.problems, report.unlisted, report.versions) == ((), (), candidates)
    events = [event for _, event in application.ledger.events()]
    registered = [event for event in events if isinstance(event, ModelRegisteredEvent)]
    assert [event.version for event in registered] == list(range(1, candidates + 1))
    assert len({event.recipe for event in registered}) == candidates
    assert sorted(versions) == list(range(candidates))
    assert sorted(versions.values()) == list(range(1, candidates + 1))
    stored = {
        (model.model_id, attachment.sha256)
        for model in application.registry.stored()
        for attachment in model.attachments
    }
    named = {(event.model_id, attachment.sha256) for event in registered for attachment in event.attachments}
    assert stored == named
    assert list(application.registry.leftovers()) == []


def took_something(system: System) -> bool:
    """Whether gc deleted a model that was registered in the end."""
    events = [event for _, event in system.application().ledger.events()]
    deleted = {model for event in events if isinstance(event, CollectedEvent) for model in event.models}
    return not deleted.isdisjoint(e.model_id for e in events if isinstance(e, ModelRegisteredEvent))


@pytest.mark.parametrize(
    ("place", "candidates", "kills"),
    [
        pytest.param("filesystem-sqlite", 1000, 60, id="1,000 on filesystem and SQLite"),
        pytest.param("filesystem-postgresql", 100, 12, id="100 on filesystem and PostgreSQL"),
        pytest.param("s3-sqlite", 100, 12, id="100 on S3 and SQLite"),
    ],
)
def test_gc_in_a_loop_deletes_nothing_that_is_registered(
    place: str,
    candidates: int,
    kills: int,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With grace 0 and SIGKILL for everybody: one version for each candidate, all there, nothing else."""
    system = System(_environment(place, request, tmp_path, monkeypatch), tmp_path / "artifacts")
    # Imported here, by registering once elsewhere, a child finds everything already loaded.
    warm = bootstrap({"VERITAS_HOME": str(tmp_path / "warm")})
    register(warm, tmp_path / "warm-artifacts", 0)
    warm.garbage_collection().run({"actor": "gc"}, NOTHING)
    versions: dict[int, int] = {}
    while not took_something(system):  # where gc never came between, nothing would be shown
        versions |= disturb(system, range(len(versions), len(versions) + candidates), kills)
    system.collect_the_rest()
    require_all_well(system, versions)


def _environment(
    place: str, request: pytest.FixtureRequest, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    registry, ledger = place.split("-")
    environment = {"VERITAS_HOME": str(directory / "home")}
    if registry == "s3":
        server = request.getfixturevalue("s3_server")
        environment["VERITAS_REGISTRY"] = f"s3://{server.make_bucket()}/models"
        environment["VERITAS_S3_ENDPOINT"] = server.endpoint
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.secret_key)
        monkeypatch.setenv("AWS_DEFAULT_REGION", server.region)
    if ledger == "postgresql":
        environment["VERITAS_LEDGER"] = request.getfixturevalue("postgres_url")()
    return environment
