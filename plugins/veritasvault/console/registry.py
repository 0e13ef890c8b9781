"""The parts of the system that the console asks; one set for the whole process."""

from functools import cache
from typing import Annotated

from fastapi import Depends

from domain.registry.inventory.detail import VersionDetails
from domain.registry.inventory.versions import VersionInventory
from domain.registry.lifecycle.service import ModelLifecycle
from veritasvault.bootstrap import Application, bootstrap
from veritasvault.roles import read_people, read_roles
from veritasvault.setting_values import is_url


class Registry:
    """The application, and what reads it for the console."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self.models = application.inventory
        self.versions = VersionInventory(application.catalog, application.ledger)
        self.details = VersionDetails(application.catalog, application.ledger)

    @property
    def tracking_server(self) -> str | None:
        """Where people see experiment runs; None where those are in a local file."""
        tracking = self.application.settings.tracking
        return tracking.rstrip("/") if is_url(tracking) else None

    def lifecycle(self) -> ModelLifecycle:
        """Decisions with the roles that people have at this moment. Raises InvalidInput."""
        return self.application.lifecycle_of(
            read_roles(self.application.settings.roles), read_people(self.application.settings.roles)
        )


@cache
def registry() -> Registry:
    """The registry of this process, wired at its first use. Raises InvalidInput for an unusable setting."""
    return Registry(bootstrap())


RegistryDep = Annotated[Registry, Depends(registry)]
