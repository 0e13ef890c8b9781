"""What reproductions need from the outside."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from domain.registry.catalog import ModelCatalog
from domain.registry.ledger.ledger import Ledger
from domain.registry.ports import Clock
from domain.risk.ports import SnapshotPort
from domain.risk.reproduction.retraining import Retraining, RetrainingParts, Step
from domain.risk.workspace import Workspace

if TYPE_CHECKING:
    from domain.risk.ports import Floats

Steps = Generator[Step, None, None]


class RecordedCodePort(Protocol):
    """Runs a training by the code of another commit."""

    def retraining(self, code: str, request: Retraining) -> AbstractContextManager[Steps]:
        """The steps of a training by this code, each run when it is asked for; it ends with the block.

        Args:
            code: what the provenance of a version calls its code.

        Raises:
            CodeNotHad: nothing here has that code, or it is from before it could train anything again.
            RetrainingFailed: from the steps, what a retry would meet again.
            Unavailable: from the steps, what it may not.
        """


class ReproductionParts(RetrainingParts, Protocol):
    """The adapters that reproductions work with."""

    @property
    def clock(self) -> Clock: ...
    @property
    def workspace(self) -> Workspace: ...
    @property
    def snapshots(self) -> SnapshotPort: ...
    @property
    def catalog(self) -> ModelCatalog: ...
    @property
    def ledger(self) -> Ledger: ...
    @property
    def recorded_code(self) -> RecordedCodePort: ...

    def artifact_forecasts(self, artifact: Path, features: Floats) -> Floats:
        """The forecasts (n,) of the model in a directory, for features (n, k). Raises InvalidInput."""

    def code_version(self) -> str:
        """What the code that runs here is called in provenances."""
