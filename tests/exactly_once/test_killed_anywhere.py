"""A process that registers is killed at every step it takes; an independent reader looks; a retry mends.

What a registration does on the way is the same on every registry and ledger: it stages, stores, appends. So
each kind of step is killed where it is at home, and the commit everywhere.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from domain.registry.ports import CollectablePort
from tests.exactly_once.candidates import register, write_artifact
from tests.exactly_once.kill_points import Outcome, in_child
from veritasvault.adapters.mlflow_client import import_mlflow
from veritasvault.adapters.oci_registry import OciModelRegistry
from veritasvault.adapters.s3_registry import S3ModelRegistryAdapter
from veritasvault.bootstrap import Application, bootstrap
from veritasvault.settings import Settings

pytestmark = pytest.mark.timeout(2400)

PART = 5 * 2**20  # the smallest part S3 takes
LARGE = PART + 1  # two parts
CHUNK = 2**18  # OCI has no smallest one


class SmallParts(Application):
    """Uploads in the smallest parts, so that a kill can fall between them."""

    @cached_property
    def registry(self) -> CollectablePort:
        place = urlsplit(self.settings.registry)
        if place.scheme == "oci":
            return OciModelRegistry(place.netloc, place.path.strip("/"), insecure=True, chunk_size=CHUNK)
        return S3ModelRegistryAdapter(
            place.netloc,
            prefix=place.path.strip("/"),
            endpoint_url=self.settings.s3_endpoint,
            multipart_threshold=PART,
            part_size=PART,
        )


KILLED: dict[str, tuple[tuple[str, ...], int]] = {
    "filesystem-sqlite": ((), 55),
    "filesystem-postgresql": (("SQL",), 8),
    "s3-sqlite": (("S3", "COMMIT"), 11),
    "s3-postgresql": (("COMMIT",), 3),
    "oci-sqlite": (("HTTP", "COMMIT"), 21),
    "git-sqlite": (("git", "os.link", "COMMIT"), 16),
    "mlflow-sqlite": (("HTTP", "COMMIT"), 10),
}
"""By registry and ledger: the kinds of steps that are killed, all if none is named, and the least number of
moments at which that has to be."""


@dataclass(frozen=True)
class System:
    """A configured registry and ledger; every process and every look wires its own parts."""

    environment: dict[str, str]
    artifacts: Path
    large: int
    kinds: tuple[str, ...]
    moments: int

    def application(self) -> Application:
        settings = Settings.read(self.environment)
        return SmallParts(settings) if self.large else Application(settings)

    def run(self, candidate: int, kill_at: int | None = None) -> Outcome:
        """Register a candidate in a process of its own, which may be killed."""
        write_artifact(self.artifacts, candidate, self.large)
        return in_child(lambda: self._register(candidate), kill_at, self.kinds)

    def _register(self, candidate: int) -> None:
        register(self.application(), self.artifacts, candidate, self.large)

    def visible(self) -> int:
        """How many versions a new reader sees; the newest has to verify, however its writer ended."""
        reader = self.application()
        rows = list(reader.catalog.versions())
        if rows:
            assert reader.audit.version(rows[0].model_id).problems == ()
        return len(rows)


@pytest.fixture(params=sorted(KILLED))
def system(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    registry, ledger = request.param.split("-")
    environment = {"VERITAS_HOME": str(tmp_path / "home")}
    if registry == "s3":
        server = request.getfixturevalue("s3_server")
        environment["VERITAS_REGISTRY"] = f"s3://{server.make_bucket()}/models"
        environment["VERITAS_S3_ENDPOINT"] = server.endpoint
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.secret_key)
        monkeypatch.setenv("AWS_DEFAULT_REGION", server.region)
    if registry == "oci":
        environment["VERITAS_REGISTRY"] = (
            f"oci://{request.getfixturevalue('oci_server').host}/models?insecure=1"
        )
    if registry == "git":
        environment["VERITAS_REGISTRY"] = f"git+{request.getfixturevalue('git_remote').url}"
    if registry == "mlflow":
        import_mlflow(embedded=False)
        url = request.getfixturevalue("mlflow_server").url
        environment["VERITAS_REGISTRY"] = f"mlflow+{url}/killed-{tmp_path.name}-{os.getpid()}"
    if ledger == "postgresql":
        environment["VERITAS_LEDGER"] = request.getfixturevalue("postgres_url")()
    # Imported here, by registering once elsewhere, a child finds everything already loaded.
    register(bootstrap({"VERITAS_HOME": str(tmp_path / "warm")}), tmp_path / "warm-artifacts", 0)
    large = {"s3": LARGE, "oci": 3 * CHUNK - 1}
    return System(environment, tmp_path / "artifacts", large.get(registry, 0), *KILLED[request.param])


def test_a_kill_at_any_step_leaves_nothing_half_registered_and_a_retry_registers_once(system: System) -> None:
    """SIGKILL between any two steps: a reader sees all or nothing, and the retry gives one version."""
    system.run(0)
    assert system.visible() == 1
    steps = len(system.run(1).reached)
    registered = 2
    for kill_at in range(1, steps + 10):
        candidate = 100 + kill_at
        outcome = system.run(candidate, kill_at)
        assert system.visible() in ((registered, registered + 1) if outcome.killed else (registered + 1,))
        system.run(candidate)
        registered += 1
        assert system.visible() == registered
        if not outcome.killed:
            break
    else:
        pytest.fail(f"a registration took more than {steps + 9} steps")
    assert kill_at > system.moments, "a registration has more moments, some were not counted"
    assert system.application().audit.everything().problems == ()
    numbers = [row.version for row in system.application().catalog.versions("volatility")]
    assert numbers == list(range(registered, 0, -1))
