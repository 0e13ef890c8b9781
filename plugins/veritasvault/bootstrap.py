"""The composition root: the one place that reads configuration and names concrete adapters.

Every part is made when it is first asked for, and its module is imported then, so that a command or a
task pays for what it uses alone.
"""

from __future__ import annotations

import datetime as dt
import os
import platform
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from email.utils import parseaddr
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from domain.registry.errors import InvalidInput
from veritasvault.registry_address import GitAddress, OciAddress
from veritasvault.setting_values import as_place, is_url
from veritasvault.settings import Settings, project_root

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from domain.registry.audit import Audit
    from domain.registry.canonical import Digest
    from domain.registry.card.model_cards import ModelCards
    from domain.registry.catalog import ModelCatalog
    from domain.registry.collection.collector import Collector
    from domain.registry.collection.service import GarbageCollection
    from domain.registry.daily_audit import DailyAudit
    from domain.registry.events import KeyRole
    from domain.registry.evidence import Attachment
    from domain.registry.inventory.gauges import Gauge
    from domain.registry.inventory.models import ModelInventory
    from domain.registry.ledger.ledger import Ledger
    from domain.registry.ledger.remembered_witness import RememberedWitness
    from domain.registry.lifecycle.service import ModelLifecycle
    from domain.registry.migration import Migration
    from domain.registry.ports import CollectablePort, LeftoversPort, SignerPort, WitnessPort
    from domain.registry.proofs.export import ProofExport
    from domain.registry.registration import ModelRegistration
    from domain.registry.signing.key_management import KeyManagement
    from domain.risk.monitoring.judgement import Judgement
    from domain.risk.monitoring.observed import Observed
    from domain.risk.monitoring.service import ModelMonitoring
    from domain.risk.objects import ObjectsPort
    from domain.risk.pipeline import ModelPipeline
    from domain.risk.ports import (
        CalendarPort,
        DataValidatorPort,
        PrepEnginePort,
        SearchPort,
        SnapshotPort,
        SourcePort,
        TrackerPort,
        TrainerPort,
    )
    from domain.risk.problems.contract import Evaluated
    from domain.risk.reproduction.service import Reproductions
    from domain.risk.scoring.service import ModelScoring
    from domain.risk.workspace import Workspace
    from veritasvault.adapters.mlflow_projector import MlflowProjector
    from veritasvault.adapters.mlflow_registry import MlflowModelRegistry
    from veritasvault.adapters.opa_policy import OpaPolicy
    from veritasvault.adapters.recorded_code import RecordedCode
    from veritasvault.adapters.rego_policy import RegoPolicy
    from veritasvault.adapters.sql_ledger import SqlLedger
    from veritasvault.airflow_local.client import AirflowClient
    from veritasvault.identity import Identity
    from veritasvault.serving.model_loader import ModelLoader
    from veritasvault.serving.registered_forecasts import RegisteredForecasts
    from veritasvault.serving.shipped_version import ShippedVersion
    from veritasvault.setting_values import TransitAddress

ENGINES = ("dask", "spark", "ray", "inline")

PLOTS = {"forecast": "matplotlib_plots", "covariance": "covariance_plots", "anomaly": "anomaly_plots"}
"""The adapter that draws the evaluations of each problem."""

CACHE_BYTES = 10 << 30
"""How much of verified models is kept, where the caller does not say."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC)


class Application:
    """All parts of the system, wired by the settings."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock = SystemClock()

    # The registry

    @cached_property
    def registry(self) -> CollectablePort:
        parts = urlsplit(self.settings.registry)
        if parts.scheme == "s3":
            from veritasvault.adapters.s3_registry import S3ModelRegistryAdapter

            return S3ModelRegistryAdapter(
                parts.netloc,
                prefix=parts.path.strip("/"),
                endpoint_url=self.settings.s3_endpoint,
                aws_connection=self.settings.aws_connection,
            )
        if parts.scheme.startswith("mlflow+"):
            return self.mlflow_registry
        if parts.scheme == "oci":
            from veritasvault.adapters.oci_registry import OciModelRegistry

            address = OciAddress.parse(self.settings.registry)
            return OciModelRegistry(address.host, address.repository, insecure=address.insecure)
        if parts.scheme.startswith("git+"):
            from veritasvault.adapters.git_lfs_registry import GitLfsModelRegistry

            url = GitAddress.parse(self.settings.registry).url
            return GitLfsModelRegistry(url, self.settings.home / "git")
        from veritasvault.adapters.filesystem_registry import FilesystemModelRegistry

        return FilesystemModelRegistry(Path(unquote(parts.path)))

    @cached_property
    def mlflow_registry(self) -> MlflowModelRegistry:
        """The models that MLflow keeps: the registry itself, or copies on the tracking server."""
        from veritasvault.adapters.mlflow_registry import EXPERIMENT, MlflowModelRegistry
        from veritasvault.registry_address import MlflowAddress

        if not self.settings.registry.startswith("mlflow+"):
            return MlflowModelRegistry(self.settings.tracking)
        address = MlflowAddress.parse(self.settings.registry)
        return MlflowModelRegistry(address.tracking_uri, address.experiment or EXPERIMENT)

    @cached_property
    def mlflow_projector(self) -> MlflowProjector:
        from veritasvault.adapters.mlflow_projector import MlflowProjector, lifecycle_aliases

        return MlflowProjector(
            self.mlflow_registry,
            self.ledger,
            self.registry,
            aliases=lifecycle_aliases(self.ledger),
            staging=self.staging,
        )

    @cached_property
    def ledger(self) -> Ledger:
        from domain.registry.ledger.ledger import Ledger

        return Ledger(self.sql_ledger, self.checkpoint_signer)

    @cached_property
    def sql_ledger(self) -> SqlLedger:
        """The database under `ledger`."""
        from veritasvault.adapters.sql_ledger import SqlLedger

        return SqlLedger(self.settings.ledger)

    @cached_property
    def checkpoint_signer(self) -> SignerPort:
        """Signs the ledger, with an Ed25519 key."""
        return self._signer("ed25519", lambda transit: transit.checkpoint)

    @cached_property
    def artifact_signer(self) -> SignerPort:
        """Signs models, with an ECDSA P-256 key."""
        return self._signer("ecdsa-p256", lambda transit: transit.artifact)

    def _signer(self, algorithm: str, key: Callable[[TransitAddress], str]) -> SignerPort:
        transit = self.settings.transit
        if transit is not None:
            from veritasvault.adapters.vault_signer import VaultSigner

            return VaultSigner(
                transit.url, transit.mount, key(transit), algorithm, published=self.settings.keys
            )
        from veritasvault.adapters.local_signer import LocalSigner

        return LocalSigner(self.settings.keys, algorithm=algorithm)

    @cached_property
    def keys(self) -> KeyManagement:
        from domain.registry.signing.key_management import KeyManagement

        signers: dict[KeyRole, SignerPort] = {
            "artifact": self.artifact_signer,
            "checkpoint": self.checkpoint_signer,
        }
        return KeyManagement(self.ledger, signers, clock=self.clock, provenance=self.provenance())

    @cached_property
    def catalog(self) -> ModelCatalog:
        from domain.registry.catalog import ModelCatalog

        return ModelCatalog(self.registry, self.ledger)

    @cached_property
    def cards(self) -> ModelCards:
        from domain.registry.card.model_cards import ModelCards

        return ModelCards(self.catalog, self.ledger)

    @cached_property
    def proofs(self) -> ProofExport:
        from domain.registry.proofs.export import ProofExport

        return ProofExport(self.catalog, self.ledger)

    @cached_property
    def audit(self) -> Audit:
        from domain.registry.audit import Audit

        return Audit(self.registry, self.ledger, self.catalog, self.witnesses)

    @cached_property
    def daily_audit(self) -> DailyAudit:
        from domain.registry.daily_audit import DailyAudit

        return DailyAudit(
            self.audit,
            self.ledger,
            period=self.settings.audit_days,
            witnesses=self.witnesses,
            clock=self.clock,
        )

    @cached_property
    def witnesses(self) -> tuple[RememberedWitness, ...]:
        """The witnesses that the settings name."""
        return tuple(self.witness(uri) for uri in self.settings.witnesses)

    @cached_property
    def inventory(self) -> ModelInventory:
        from domain.registry.inventory.models import ModelInventory
        from domain.registry.metadata import RiskTier

        days = dict(zip(RiskTier, self.settings.deadline_days, strict=True))
        return ModelInventory(self.catalog, self.ledger, days, self.clock)

    def gauges(self) -> tuple[Gauge, ...]:
        """The figures on the registry as it is now."""
        from domain.registry.daily_audit import newest_audit
        from domain.registry.inventory.gauges import gauges

        view = self.ledger.view()
        found = gauges(
            self.inventory.all(),
            entries=view.size,
            pending=self.ledger.pending(),
            audit=newest_audit(view),
        )
        return tuple(found)

    def witness(self, uri: str) -> RememberedWitness:
        """The witness at an address, and what this home remembers of it. Raises InvalidInput."""
        from domain.registry.canonical import digest
        from domain.registry.ledger.remembered_witness import RememberedWitness
        from veritasvault.adapters.file_witness import FileWitness

        place = self._witness_place(uri)
        memory = self.settings.home / "witnessed" / digest(str(place).encode())
        return RememberedWitness(place, FileWitness(memory))

    def _witness_place(self, uri: str) -> WitnessPort:
        parts = urlsplit(as_place("URI", uri))
        if parts.scheme == "file":
            from veritasvault.adapters.file_witness import FileWitness

            return FileWitness(Path(unquote(parts.path)))
        from veritasvault.adapters.s3_client import airflow_client, own_client
        from veritasvault.adapters.s3_witness import S3Witness

        connection, endpoint = self.settings.aws_connection, self.settings.s3_endpoint
        factory = airflow_client(connection, endpoint) if connection else own_client(endpoint, None, {})
        return S3Witness(parts.netloc, parts.path, factory)

    @cached_property
    def registration(self) -> ModelRegistration:
        from domain.registry.registration import ModelRegistration
        from domain.registry.security import SecurityService
        from veritasvault.adapters.format_scanner import FormatScanner

        return ModelRegistration(
            self.registry,
            SecurityService(FormatScanner(), self.artifact_signer),
            self.ledger,
            staging=self.staging,
            clock=self.clock,
            collector=self.collector,
        )

    @cached_property
    def collector(self) -> Collector:
        from domain.registry.collection.collector import Collector

        return Collector(self.registry, self.ledger, clock=self.clock)

    def garbage_collection(self, *, features: bool = False) -> GarbageCollection:
        """The collection of garbage; with `features` also of what runs left in the workspace."""
        from domain.registry.collection.service import GarbageCollection
        from veritasvault.adapters.block_leftovers import BlockLeftovers
        from veritasvault.adapters.staging_leftovers import StagingLeftovers
        from veritasvault.adapters.workspace_leftovers import WorkspaceLeftovers

        # Worktrees of killed reproductions; the next one removes their entries in the repository.
        places: list[LeftoversPort] = [StagingLeftovers(self.settings.home / "worktrees")]
        if not self.settings.registry.startswith("file:"):
            # A registry on the file system looks through its staging itself.
            places.append(StagingLeftovers(self.staging))
        if features:
            places.append(WorkspaceLeftovers(self.settings.workspace, self.registry, self.ledger))
            if (blocks := self.settings.block_store) is not None:  # a bucket has lifecycle rules for that
                places.append(BlockLeftovers(self.settings.workspace, blocks))
        return GarbageCollection(self.registry, self.ledger, self.collector, places=places, clock=self.clock)

    def model_loader(self, cache: Path | str | None, cache_bytes: int) -> ModelLoader:
        """Verified models for services, kept in a directory; None takes the home's."""
        from veritasvault.adapters.public_keys_only import PublicKeysOnly
        from veritasvault.serving.copy_check import PROOF
        from veritasvault.serving.model_cache import ModelCache
        from veritasvault.serving.model_loader import ModelLoader

        place = self.settings.home / "cache" if cache is None else Path(cache).expanduser().absolute()
        return ModelLoader(
            self.registry,
            self.sql_ledger,
            PublicKeysOnly(self.settings.keys),
            ModelCache(place, cache_bytes, finished=PROOF),
        )

    @cached_property
    def forecasts(self) -> RegisteredForecasts:
        """What registered versions forecast."""
        from veritasvault.serving.registered_forecasts import RegisteredForecasts

        return RegisteredForecasts(self.model_loader(None, CACHE_BYTES).load)

    @contextmanager
    def shipped_version(self, reference: str) -> Iterator[ShippedVersion]:
        """A verified version that tasks on workers can open."""
        from veritasvault.adapters.public_keys_only import PublicKeysOnly
        from veritasvault.serving.shipped_version import ShippedVersion

        trusted = PublicKeysOnly(self.settings.keys).public_keys()
        with self.model_loader(self.settings.home / "cache", CACHE_BYTES).load(reference) as model:
            yield ShippedVersion.of(model, trusted)

    def migration(self, destination: Application) -> Migration:
        """The copying of what this registry and its ledger hold to those of another system; where both have
        the same ledger, of the models alone."""
        from domain.registry.migration import Migration

        same = destination.settings.ledger == self.settings.ledger
        return Migration(
            self.registry,
            self.sql_ledger,
            destination.registry,
            None if same else destination.sql_ledger,
            signer=self.checkpoint_signer,
            staging=destination.staging,
        )

    @cached_property
    def policy(self) -> RegoPolicy | OpaPolicy:
        """The rules of the lifecycle; a `PolicyPort` that can also say which files decide."""
        if is_url(self.settings.policy):
            from veritasvault.adapters.opa_policy import OpaPolicy

            return OpaPolicy(self.settings.policy)
        from veritasvault.adapters.rego_policy import RegoPolicy

        return RegoPolicy(Path(self.settings.policy))

    @cached_property
    def roles(self) -> Mapping[str, tuple[str, ...]]:
        """The roles of each person. Raises InvalidInput."""
        from veritasvault.roles import read_roles

        return read_roles(self.settings.roles)

    @cached_property
    def people(self) -> Mapping[str, str]:
        """The one name of each person by their others. Raises InvalidInput."""
        from veritasvault.roles import read_people

        return read_people(self.settings.roles)

    @cached_property
    def lifecycle(self) -> ModelLifecycle:
        return self.lifecycle_of(self.roles, self.people)

    def lifecycle_of(self, roles: Mapping[str, tuple[str, ...]], people: Mapping[str, str]) -> ModelLifecycle:
        """Decisions by people who have these roles and names; for processes that outlive a change of them."""
        from domain.registry.lifecycle.service import ModelLifecycle

        return ModelLifecycle(
            self.catalog,
            self.ledger,
            self.policy,
            roles=roles,
            people=people,
            clock=self.clock,
            collector=self.collector,
        )

    @property
    def staging(self) -> Path:
        """Beside a file system registry, so that staged files are linked and not copied again."""
        parts = urlsplit(self.settings.registry)
        if parts.scheme == "file":
            return Path(unquote(parts.path)) / ".staging"
        return self.settings.home / "staging"

    # The pipelines

    def pipeline(self, spec: Path) -> ModelPipeline:
        """The pipeline of a specification file."""
        from domain.risk.pipeline import ModelPipeline
        from domain.risk.spec import ModelSpec

        return ModelPipeline(ModelSpec.load(spec), self)

    @cached_property
    def workspace(self) -> Workspace:
        from domain.risk.workspace import Workspace

        return Workspace(self.settings.workspace, self._blocks)

    def _blocks(self, kind: str) -> ObjectsPort:
        """Where the files, or the records, of the block store are."""
        if (directory := self.settings.block_store) is not None:
            from domain.risk.local_objects import LocalObjects

            return LocalObjects(directory / kind)
        from veritasvault.adapters.s3_objects import S3Objects

        parts = urlsplit(self.settings.blocks or "")
        prefix = f"{parts.path.strip('/')}/{kind}".lstrip("/")
        return S3Objects(parts.netloc, prefix, self.settings.s3_endpoint, self.settings.aws_connection)

    @cached_property
    def calendar(self) -> CalendarPort:
        from veritasvault.adapters.exchange_calendar import ExchangeCalendar

        return ExchangeCalendar()

    @cached_property
    def snapshots(self) -> SnapshotPort:
        from veritasvault.adapters.dvc_snapshot import DvcSnapshots

        return DvcSnapshots(
            self.settings.snapshots,
            self.settings.snapshots_remote,
            endpoint_url=self.settings.s3_endpoint,
            aws_connection=self.settings.aws_connection,
        )

    @cached_property
    def source(self) -> SourcePort:
        from veritasvault.adapters.uri_source import UriSource

        return UriSource(
            self.snapshots,
            endpoint_url=self.settings.s3_endpoint,
            aws_connection=self.settings.aws_connection,
        )

    @cached_property
    def validator(self) -> DataValidatorPort:
        from veritasvault.adapters.gx_validator import GxValidator

        return GxValidator(self.settings.reports)

    @cached_property
    def tracker(self) -> TrackerPort:
        from veritasvault.adapters.mlflow_tracker import MlflowTracker

        return MlflowTracker(self.settings.tracking, self.settings.home / "mlflow-artifacts")

    def engine(self, name: str) -> PrepEnginePort:
        """A prep engine by name; it starts once there is work to share.

        Raises:
            InvalidInput: no such engine.
        """
        from veritasvault.adapters.on_demand_prep import OnDemandPrepEngine

        if name == "dask":
            from veritasvault.adapters.dask_prep import DaskPrepEngine

            return OnDemandPrepEngine(DaskPrepEngine(self.settings.dask))
        if name == "spark":
            from veritasvault.adapters.spark_prep import SparkPrepEngine

            return OnDemandPrepEngine(SparkPrepEngine(self.settings.spark))
        if name == "ray":
            from veritasvault.adapters.ray_prep import RayPrepEngine

            return OnDemandPrepEngine(RayPrepEngine(self.settings.ray))
        if name == "inline":
            from veritasvault.adapters.inline_prep import InlinePrepEngine

            return InlinePrepEngine()
        raise InvalidInput("engine", name, f"use one of {', '.join(ENGINES)}")

    def search_engine(self, name: str) -> PrepEnginePort:
        """What tries parameters: Ray Tune where the run is on Ray, elsewhere the engine itself.

        Raises:
            InvalidInput: no such engine.
        """
        if name != "ray":
            return self.engine(name)
        from veritasvault.adapters.on_demand_prep import OnDemandPrepEngine
        from veritasvault.adapters.ray_tune import RayTuneEngine

        return OnDemandPrepEngine(RayTuneEngine(self.settings.ray))

    @cached_property
    def search(self) -> SearchPort:
        from veritasvault.adapters.optuna_search import OptunaSearch

        return OptunaSearch()

    def trainer(self, name: str) -> TrainerPort:
        from veritasvault.adapters.trainers import trainer

        return trainer(name)

    def trainers_on(self, engine: str) -> AbstractContextManager[Callable[[str], TrainerPort]]:
        """Trainers by name, which share with an engine what they can: networks' shards with Ray."""
        from veritasvault.adapters.trainers import trainers_on_ray

        return trainers_on_ray(self.settings.ray) if engine == "ray" else nullcontext(self.trainer)

    def plots(self, problem: str, name: str, evaluation: Evaluated) -> tuple[Attachment, ...]:
        """What an evaluation looks like; nothing for a problem that `PLOTS` does not list."""
        if problem not in PLOTS:
            return ()
        drawing = import_module(f"veritasvault.adapters.{PLOTS[problem]}")
        drawn: tuple[Attachment, ...] = drawing.plots(name, evaluation)
        return drawn

    # Monitoring

    def monitoring(self, spec: Path) -> ModelMonitoring:
        """The monitoring of a specification file's versions."""
        from domain.risk.monitoring.service import ModelMonitoring
        from domain.risk.spec import ModelSpec

        return ModelMonitoring(ModelSpec.load(spec), self)

    def monitoring_plots(self, name: str, observed: Observed, judgement: Judgement) -> tuple[Attachment, ...]:
        from veritasvault.adapters.monitoring_plots import monitoring_plots

        return monitoring_plots(name, observed, judgement)

    # Scoring

    def scoring(self, spec: Path) -> ModelScoring:
        """The scoring by a specification file's versions."""
        from domain.risk.scoring.service import ModelScoring
        from domain.risk.spec import ModelSpec

        return ModelScoring(ModelSpec.load(spec), self)

    # Reproductions

    @cached_property
    def reproductions(self) -> Reproductions:
        from domain.risk.reproduction.service import Reproductions

        return Reproductions(self)

    @cached_property
    def recorded_code(self) -> RecordedCode:
        from veritasvault.adapters.git_worktrees import GitWorktrees
        from veritasvault.adapters.recorded_code import RecordedCode

        worktrees = GitWorktrees(self.settings.repository, self.settings.home / "worktrees")
        settings = self.settings
        engines = {
            "VERITAS_DASK": settings.dask,
            "VERITAS_SPARK": settings.spark,
            "VERITAS_RAY": settings.ray,
        }
        return RecordedCode(worktrees, {name: place for name, place in engines.items() if place})

    def artifact_forecasts(self, artifact: Path, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """The forecasts (n,) of the model in a directory, for features (n, k). Raises InvalidInput."""
        from veritasvault.adapters.onnx_forecasts import forecasts

        return forecasts(artifact, features)

    # Where results come from

    def sources_digest(self, trainer: str) -> Digest:
        """Digest of the sources that decide a training's result: the risk domain and the trainer's."""
        import domain.risk as risk
        from domain.registry.canonical import digest, digest_of
        from veritasvault.adapters.frameworks import FRAMEWORKS

        root = Path(risk.__file__).parent
        adapters = Path(__file__).parent / "adapters"
        files = {f"risk/{path.relative_to(root).as_posix()}": path for path in sorted(root.rglob("*.py"))}
        for name in FRAMEWORKS[self.trainer(trainer).framework].sources:
            files[f"adapters/{name}"] = adapters / name
        return digest_of({name: digest(path.read_bytes()) for name, path in files.items()})

    def environment(self, trainer: str | None = None) -> Mapping[str, Any]:
        """Interpreter, processor and packages that decide the bits of features, or of a training, by version.

        Raises:
            InvalidInput: the trainer's framework is not installed.
        """
        from importlib.metadata import version

        from veritasvault.adapters.frameworks import COMPUTE_PACKAGES, versions

        if trainer is None:
            packages = {name: version(name) for name in COMPUTE_PACKAGES}
        else:
            packages = versions(self.trainer(trainer).framework, trainer)
        major, minor, _ = platform.python_version_tuple()
        return {
            "python": f"{platform.python_implementation()} {major}.{minor}",
            "machine": platform.machine(),
            "packages": packages,
        }

    @cached_property
    def identity(self) -> Identity:
        """Who commands: the subject of the token that the settings name, verified, or this process's user.

        Raises:
            InvalidInput: the token does not hold, or nobody's tokens are believed.
            Unavailable: the issuer's keys cannot be had.
        """
        from veritasvault import identity

        file, issuer = self.settings.token_file, self.settings.issuer
        if file is None:
            return identity.of_process()
        if issuer is None:
            raise InvalidInput(identity.FIELD, str(file), "set VERITAS_OIDC_ISSUER to whose token it is")
        from veritasvault.adapters.oidc_tokens import OidcTokens

        tokens = OidcTokens(issuer, identity.FIELD)
        return identity.of_subject(tokens.subject(identity.read_token(file), str(file)), issuer.url)

    @property
    def person(self) -> str:
        """The name of who commands, as the ledger has it."""
        return self.identity.name

    def provenance(self) -> dict[str, str]:
        """Who and what runs this process: person, who vouches for that, host, version of the code and who
        wrote that."""
        found = {
            "actor": self.identity.name,
            "actor_known_by": self.identity.known_by,
            "host": socket.gethostname(),
            "code": self.code_version(),
        }
        author = zip(("author", "author_email"), self._code_author(), strict=True)
        return {**found, **{name: value for name, value in author if value}}

    def _code_author(self) -> tuple[str, str]:
        """Name and email of who wrote the code that runs; empty where nobody says so."""
        if self.settings.code_author:
            return parseaddr(self.settings.code_author)
        # A version that is set says that this is not what a checkout around it holds.
        said = "" if self.settings.code_version else self._git("log", "-1", "--format=%an%n%ae")
        name, _, email = said.partition("\n")
        return name, email

    def code_version(self) -> str:
        """What the code that runs is called, by the settings or by git; `unknown` without either."""
        if self.settings.code_version:
            return self.settings.code_version
        return self._git("describe", "--always", "--dirty", "--abbrev=40") or "unknown"

    def _git(self, *arguments: str) -> str:
        """What git says of the checkout this runs from; nothing outside of one."""
        root = project_root()
        if root is None:
            return ""
        asked = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False
        )
        return asked.stdout.strip()


def bootstrap(
    environment: Mapping[str, str] | None = None, *, registry: str | None = None, ledger: str | None = None
) -> Application:
    """Wire the system from `VERITAS_*` variables; nothing is opened or written yet.

    Args:
        registry, ledger: take the place of VERITAS_REGISTRY and VERITAS_LEDGER.

    Raises:
        InvalidInput: naming the variable that is unknown or unusable.
    """
    given = {"VERITAS_REGISTRY": registry, "VERITAS_LEDGER": ledger}
    replaced = {name: value for name, value in given.items() if value is not None}
    return Application(Settings.read({**(os.environ if environment is None else environment), **replaced}))


def airflow_client(environment: Mapping[str, str] | None = None) -> AirflowClient:
    """The Airflow that this shell's `airflow` command talks to. Raises InvalidInput."""
    from veritasvault.airflow_local.backfill_progress import client_of

    return client_of(os.environ if environment is None else environment)
