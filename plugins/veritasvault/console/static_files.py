"""The console's pages as built by `make console`: public, as Airflow's own pages are; they hold no data."""

from pathlib import Path

from fastapi.staticfiles import StaticFiles
from starlette.responses import Response
from starlette.types import Scope

STATIC = "/static"
_BUILT = Path(__file__).parent / "static"


class BuiltPages(StaticFiles):
    """Files that browsers keep and ask for again by their ETag, so that an update is seen at once."""

    def __init__(self) -> None:
        """Serve what is installed with this package."""
        super().__init__(directory=_BUILT)

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response
