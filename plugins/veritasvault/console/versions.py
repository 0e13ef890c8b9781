"""Routes about single versions: what is recorded, its files, its proof, and whether all of it still holds."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import HTMLResponse

from domain.registry.canonical import as_digest
from domain.registry.card import to_html
from domain.registry.errors import IntegrityError, NotFound
from domain.registry.inventory.comparison import compare
from domain.registry.inventory.detail import VersionDetail
from domain.registry.inventory.verification import verify_version
from veritasvault.console.access import Reader, refusal
from veritasvault.console.files import attached, sandboxed
from veritasvault.console.registry import Registry, RegistryDep
from veritasvault.console.version_answers import (
    ComparisonAnswer,
    OfferedAction,
    VerificationAnswer,
    VersionAnswer,
    offered,
)

router = APIRouter(prefix="/models/{name}")

Number = Annotated[int, Path(ge=1, le=999_999_999, description="The number of a version.")]
Side = Annotated[int, Query(ge=1, le=999_999_999, description="The number of a version.")]


@router.get("/versions/{version}")
def version(name: str, version: Number, user: Reader, registry: RegistryDep) -> VersionAnswer:
    """A version, with what this user may decide about it."""
    detail = registry.details.detail(name, version)
    actions = _offers(registry, detail, user.get_name(), refusal(user))
    return VersionAnswer.of_detail(detail, actions, registry.tracking_server)


def _offers(registry: Registry, detail: VersionDetail, user: str, refused: str | None) -> list[OfferedAction]:
    """What is offered; nothing about a version of which the registry cannot say what it is."""
    try:
        offers = registry.lifecycle().offers(detail.row.name, detail.row.version, user)
    except (IntegrityError, NotFound):
        return []
    return [offered(offer, refused) for offer in offers]


@router.get("/versions/{version}/card", response_class=HTMLResponse)
def card(name: str, version: Number, registry: RegistryDep) -> Response:
    """The model card as it is known now, a page in which nothing runs."""
    page = to_html(registry.application.cards.card(f"{name}@{version}"))
    return sandboxed(page.encode(), "text/html; charset=utf-8")


@router.get(
    "/versions/{version}/attachments/{sha256}",
    response_class=Response,
    responses={200: {"content": {"*/*": {}}}, 304: {"description": "You have it already"}},
)
def attachment(name: str, version: Number, sha256: str, request: Request, registry: RegistryDep) -> Response:
    """An attachment's bytes, checked against the ledger."""
    digest = as_digest("sha256", sha256)
    kept, content = registry.details.attachment(name, version, digest)
    return attached(request, digest, content, kept.media_type)


@router.get(
    "/versions/{version}/proof",
    response_class=Response,
    responses={200: {"content": {"application/json": {}}}},
)
def proof(name: str, version: Number, registry: RegistryDep) -> Response:
    """The bundle that proves a version to outsiders; signs what is not signed yet."""
    bundle = registry.application.proofs.bundle(f"{name}@{version}")
    return sandboxed(bundle.to_bytes(), "application/json")


@router.get("/versions/{version}/verification")
def verification(name: str, version: Number, registry: RegistryDep) -> VerificationAnswer:
    """Read and hash everything that is stored of a version, now."""
    return VerificationAnswer.of(verify_version(registry.application.audit, registry.details, name, version))


@router.get("/compare")
def comparison(name: str, left: Side, right: Side, registry: RegistryDep) -> ComparisonAnswer:
    """Two versions side by side."""
    return ComparisonAnswer.of(compare(registry.application.catalog, name, left, right))
