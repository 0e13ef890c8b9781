"""A move is killed wherever it is; the destination lists nothing or all, and the same call goes on."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.exactly_once.candidates import register
from tests.exactly_once.kill_points import Outcome, in_child
from veritasvault.bootstrap import Application, bootstrap

pytestmark = pytest.mark.timeout(2400)

KILLED: dict[str, tuple[tuple[str, ...], int]] = {
    # Flushing changes nothing that a kill could show.
    "filesystem-sqlite": (("mkdir", "link", "rename", "replace", "SQL"), 40),
    "s3-postgresql": (("S3", "SQL"), 20),
}
"""By registry and ledger: the kinds of steps that are killed, all if none is named, and at how many moments
at least; fewer means that some are no longer seen."""


@dataclass(frozen=True)
class Move:
    """A source of two versions, and new destinations for it."""

    environment: dict[str, str]
    request: pytest.FixtureRequest
    directory: Path
    kind: str

    def source(self) -> Application:
        return bootstrap(self.environment)

    def destination(self) -> tuple[str, str]:
        """Addresses of a registry and a ledger that are not there yet."""
        if self.kind == "s3-postgresql":
            bucket = self.request.getfixturevalue("s3_server").make_bucket()
            return f"s3://{bucket}/models", self.request.getfixturevalue("postgres_url")()
        place = self.directory / f"destination-{os.urandom(4).hex()}"
        return (place / "registry").as_uri(), f"sqlite:///{place}/ledger.db"

    def at(self, place: tuple[str, str]) -> Application:
        return bootstrap(self.environment, registry=place[0], ledger=place[1])

    def run(self, place: tuple[str, str], kill_at: int | None = None) -> Outcome:
        """Move in a process of its own, which may be killed."""
        return in_child(lambda: self._move(place), kill_at, KILLED[self.kind][0])

    def _move(self, place: tuple[str, str]) -> None:
        assert self.source().migration(self.at(place)).run().complete

    def state(self, place: tuple[str, str]) -> str:
        """What somebody finds who comes to the destination now: 'nothing', or 'all' and verified."""
        application = self.at(place)
        if application.sql_ledger.existing_origin() is None:
            assert list(application.catalog.versions()) == []
            return "nothing"
        report = application.audit.everything()
        assert (report.problems, report.versions, report.pending) == ((), 2, 0)
        return "all"

    def files(self) -> dict[Path, bytes]:
        """All files of the source."""
        home = Path(self.environment["VERITAS_HOME"])
        places = (home / "registry" / "models", home / "keys")
        found = {path: path.read_bytes() for each in places for path in each.rglob("*") if path.is_file()}
        return {**found, home / "ledger.db": (home / "ledger.db").read_bytes()}


@pytest.fixture(params=sorted(KILLED))
def move(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Move:
    environment = {"VERITAS_HOME": str(tmp_path / "home")}
    if request.param == "s3-postgresql":
        server = request.getfixturevalue("s3_server")
        environment["VERITAS_S3_ENDPOINT"] = server.endpoint
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.secret_key)
        monkeypatch.setenv("AWS_DEFAULT_REGION", server.region)
    found = Move(environment, request, tmp_path, request.param)
    for candidate in (1, 2):
        register(found.source(), tmp_path / "artifacts", candidate)
    return found


def test_a_kill_at_any_step_of_a_move_leaves_nothing_listed_and_the_next_one_ends_it(move: Move) -> None:
    """SIGKILL between any two steps: the destination is empty or the same registry, the source unchanged."""
    before = move.files()
    # Imported here, by moving once, a child finds everything already loaded.
    move._move(move.destination())
    steps = len(move.run(move.destination()).reached)
    states: list[str] = []
    for kill_at in range(1, steps + 10):
        place = move.destination()
        outcome = move.run(place, kill_at)
        states.append(move.state(place))
        if not outcome.killed:
            break
        move.run(place)
        assert move.state(place) == "all"
        assert move.files() == before
    else:
        pytest.fail(f"a move took more than {steps + 9} steps")
    assert kill_at > KILLED[move.kind][1], "a move has more moments, some were not counted"
    assert states == sorted(states, reverse=True), "what was listed once stays listed"
    assert (states[0], states[-1]) == ("nothing", "all")
