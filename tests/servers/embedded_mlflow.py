"""MLflow's embedded store with its tables in place, which take MLflow fifty migrations of four seconds."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from veritasvault.adapters.mlflow_client import MlflowServer

if TYPE_CHECKING:
    from mlflow import MlflowClient


@pytest.fixture(scope="session")
def migrated_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store that MLflow itself has made."""
    place = tmp_path_factory.mktemp("mlflow-template") / "mlflow.db"
    MlflowServer(f"sqlite:///{place}", "template").client()
    return place


@pytest.fixture(scope="module")
def quick_mlflow(migrated_mlflow: Path) -> Iterator[None]:
    """A store that is not there begins in this process as a copy of an empty one."""
    opened = MlflowServer.client

    def client(server: MlflowServer) -> MlflowClient:
        store = server.embedded
        if store is not None and not store.exists():
            with server.one_at_a_time():
                if not store.exists():
                    shutil.copyfile(migrated_mlflow, store)
        return opened(server)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MlflowServer, "client", client)
        yield
