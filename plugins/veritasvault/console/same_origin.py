"""Against requests that other sites make in a signed-in user's name.

A browser adds Airflow's cookie by itself, so the cookie alone does not show that our own page asked. What a
program signs with its token shows it.
"""

from urllib.parse import urlsplit

from airflow.configuration import conf
from fastapi import Request

from domain.registry.errors import InvalidInput, NotPermitted

JSON = "application/json"


def require_intended(request: Request) -> None:
    """Let a command pass that a program signed, or that a page of Airflow sent.

    Raises:
        NotPermitted: it may come from another site.
        InvalidInput: its content is not JSON; a form of another site could send anything else.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != JSON:
        raise InvalidInput("Content-Type", media_type, f"send {JSON}")
    if request.headers.get("authorization", "").lower().startswith("bearer "):
        return
    if not _from_here(request):
        raise NotPermitted("this decision was not sent by a page of Airflow: decide in the console itself")


def _from_here(request: Request) -> bool:
    """By what the browser says, which no page can change: Sec-Fetch-Site, or Origin where it sends no such
    header, as on plain HTTP."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("origin")
    if origin is None:
        return False
    # Behind a proxy the Host header may be another than what people see; that is what `base_url` is for.
    ours = {f"{request.url.scheme}://{request.headers.get('host', '')}"}
    configured = urlsplit(conf.get("api", "base_url", fallback=""))
    if configured.scheme:
        ours.add(f"{configured.scheme}://{configured.netloc}")
    return origin in ours
