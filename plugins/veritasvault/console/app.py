"""The console's API: a FastAPI app that Airflow's API server mounts under `PREFIX`."""

from fastapi import APIRouter, Depends, FastAPI, Response

from veritasvault.console import activity, decisions, models, problems, versions
from veritasvault.console.access import reader
from veritasvault.console.static_files import STATIC, BuiltPages

PREFIX = "/veritas"
API = "/api/v1"


def _asked_anew(response: Response) -> None:
    """What is answered holds now; files that never change say so themselves."""
    response.headers["Cache-Control"] = "private, no-store"


def create_app() -> FastAPI:
    """The app with all routes; the registry is opened at the first request."""
    app = FastAPI(
        title="VeritasVault console",
        version="1",
        description="What the registry holds, and decisions on it.",
        # What describes it is in docs/openapi.json; here every route wants a login.
        openapi_url=None,
        generate_unique_id_function=lambda route: route.name,
        responses={"default": {"model": problems.Problem, "description": "A problem"}},
    )
    api = APIRouter(prefix=API, dependencies=[Depends(reader), Depends(_asked_anew)])
    for part in (models, versions, activity, decisions):
        api.include_router(part.router)
    app.include_router(api)
    app.mount(STATIC, BuiltPages(), name="static")
    problems.install(app)
    return app
