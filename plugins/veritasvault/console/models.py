"""Routes about models: all of them, and one with its versions."""

from typing import Annotated

from fastapi import APIRouter, Query

from domain.registry.inventory.models import Attention
from veritasvault.console.access import Reader, may_decide
from veritasvault.console.answers import Me, Model, Models, VersionRowAnswer, Versions
from veritasvault.console.paging import Cursor, Limit, cursor_of, number_of, place_of
from veritasvault.console.registry import RegistryDep

router = APIRouter()


@router.get("/me")
def me(user: Reader, registry: RegistryDep) -> Me:
    """Who is signed in, and what they may do."""
    actor = registry.lifecycle().actor(user.get_name())
    return Me(user=actor.name, roles=sorted(actor.roles), may_decide=may_decide(user))


@router.get("/models")
def models(
    registry: RegistryDep,
    search: Annotated[str, Query(max_length=63, description="A text that names contain.")] = "",
    tier: Annotated[int | None, Query(ge=1, le=3, description="A risk tier.")] = None,
    attention: Annotated[Attention | None, Query(description="Why somebody should look.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Models:
    """All models, or those that are searched for, in the order of names."""
    page = registry.models.page(
        containing=search, tier=tier, attention=attention, after=place_of(cursor), limit=limit
    )
    return Models(
        models=[Model.of(model) for model in page.models], next=cursor_of(page.next), total=page.total
    )


@router.get("/models/{name}")
def model(name: str, registry: RegistryDep) -> Model:
    """One model."""
    return Model.of(registry.models.model(name))


@router.get("/models/{name}/versions")
def versions(name: str, registry: RegistryDep, limit: Limit = 50, cursor: Cursor = None) -> Versions:
    """A model's versions, newest first."""
    page = registry.versions.page(name, before=number_of(cursor), limit=limit)
    rows = [VersionRowAnswer.of_version(version) for version in page.versions]
    return Versions(versions=rows, next=cursor_of(page.next))
