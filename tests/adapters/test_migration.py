"""Registries move to and from every kind of place, on real servers, and stay what they were."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from domain.registry.errors import IntegrityError
from tests.exactly_once.candidates import register
from veritasvault.bootstrap import Application, bootstrap


class Places:
    """Makes addresses of empty registries and ledgers, and systems on them that share one home's keys."""

    def __init__(
        self, request: pytest.FixtureRequest, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self._request = request
        self._monkeypatch = monkeypatch
        self.directory = directory
        self.environment = {"VERITAS_HOME": str(directory / "home")}

    def registry(self, kind: str) -> str:
        """The address of a new registry of a kind."""
        if kind == "s3":
            server = self._request.getfixturevalue("s3_server")
            self.environment["VERITAS_S3_ENDPOINT"] = server.endpoint
            self._monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.access_key)
            self._monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.secret_key)
            self._monkeypatch.setenv("AWS_DEFAULT_REGION", server.region)
            return f"s3://{server.make_bucket()}/models"
        if kind == "oci":
            host = self._request.getfixturevalue("oci_server").host
            return f"oci://{host}/moved/{os.urandom(4).hex()}?insecure=1"
        if kind == "git":
            return f"git+{self._request.getfixturevalue('git_remote').url}"
        if kind == "mlflow":
            url = self._request.getfixturevalue("mlflow_server").url
            return f"mlflow+{url}/moved-{os.urandom(4).hex()}"
        return (self.directory / f"registry-{os.urandom(4).hex()}").as_uri()

    def ledger(self, kind: str = "sqlite") -> str:
        """The URL of a new ledger of a kind."""
        if kind == "postgres":
            url: str = self._request.getfixturevalue("postgres_url")()
            return url
        return f"sqlite:///{self.directory}/ledgers/{os.urandom(4).hex()}.db"

    def at(self, registry: str, ledger: str) -> Application:
        """A system, wired anew as another process would."""
        return bootstrap(self.environment, registry=registry, ledger=ledger)

    def files(self) -> dict[Path, bytes]:
        """Everything below the test's directory."""
        return {path: path.read_bytes() for path in self.directory.rglob("*") if path.is_file()}


@pytest.fixture
def places(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    return Places(request, tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("kind", "ledger"),
    [
        ("filesystem", "sqlite"),
        ("s3", "postgres"),
        ("oci", "sqlite"),
        ("git", "sqlite"),
        ("mlflow", "postgres"),
    ],
)
def test_a_registry_moves_there_and_back_and_nothing_is_lost(places: Places, kind: str, ledger: str) -> None:
    """From a file system to another kind and on to a second one: each copy verifies, the source stays."""
    first = places.registry("filesystem"), places.ledger()
    other = places.registry(kind), places.ledger(ledger)
    last = places.registry("filesystem"), places.ledger()
    receipt = register(places.at(*first), places.directory / "artifacts", 1).receipt
    register(places.at(*first), places.directory / "artifacts", 2)
    before = places.files()

    there = places.at(*first).migration(places.at(*other)).run()
    assert (there.complete, there.versions, there.copied) == (True, 2, 2)
    assert {path: data for path, data in places.files().items() if path in before} == before
    back = places.at(*other).migration(places.at(*last)).run()
    assert (back.complete, back.copied, back.entries) == (True, 2, there.entries)

    for place in (other, last):
        report = places.at(*place).audit.everything()
        assert (report.problems, report.versions, report.unlisted, report.pending) == ((), 2, (), 0)
        assert places.at(*place).audit.receipt(receipt)[1].problems == ()
    assert _objects(first[0]) == _objects(last[0])

    register(places.at(*last), places.directory / "artifacts", 3)
    assert [row.version for row in places.at(*last).catalog.versions("volatility")] == [3, 2, 1]


def test_models_and_ledger_can_move_apart(places: Places) -> None:
    """A ledger that stays knows the models at their new place, and one that moves those that stay."""
    files, database = places.registry("filesystem"), places.ledger()
    register(places.at(files, database), places.directory / "artifacts", 1)
    bucket, moved = places.registry("s3"), places.ledger("postgres")
    models = places.at(files, database).migration(places.at(bucket, database)).run()
    assert (models.complete, models.copied, models.entries) == (True, 1, 0)
    assert places.at(bucket, database).audit.everything().problems == ()
    ledger = places.at(bucket, database).migration(places.at(bucket, moved)).run()
    assert (ledger.complete, ledger.copied, ledger.entries) == (True, 0, ledger.checkpoint)
    assert places.at(bucket, moved).audit.everything().problems == ()


def test_a_new_ledger_at_the_destination_is_refused(places: Places) -> None:
    """What somebody registered at the new place already is not mixed with the old, and stays as it is."""
    old = places.at(places.registry("filesystem"), places.ledger())
    new = places.at(places.registry("filesystem"), places.ledger("postgres"))
    for number, application in enumerate((old, new)):
        register(application, places.directory / "artifacts", number)
    before = places.files()
    with pytest.raises(IntegrityError, match="the destination's ledger is refused and unchanged"):
        old.migration(new).run()
    assert places.files() == before


def _objects(registry: str) -> dict[str, bytes]:
    root = Path(registry.removeprefix("file://")) / "models"
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
