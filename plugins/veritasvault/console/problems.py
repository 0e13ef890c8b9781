"""Errors as RFC 9457 problem documents: one sentence each, no traceback, no secret."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from domain.registry import errors

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 5

_STATUS: tuple[tuple[type[errors.DomainException], HTTPStatus], ...] = (
    (errors.InvalidInput, HTTPStatus.UNPROCESSABLE_ENTITY),
    (errors.NotFound, HTTPStatus.NOT_FOUND),
    (errors.NotPermitted, HTTPStatus.FORBIDDEN),
    (errors.StaleDecision, HTTPStatus.CONFLICT),
    (errors.Unavailable, HTTPStatus.SERVICE_UNAVAILABLE),
)
"""By the first kind that an error is of; anything else is the server's fault."""

_DETAILS: Mapping[int, str] = {
    HTTPStatus.UNAUTHORIZED: "nobody is signed in: sign in to Airflow, or send a token",
    HTTPStatus.NOT_FOUND: "the console has no such address",
    HTTPStatus.METHOD_NOT_ALLOWED: "this address takes no such method: see the header Allow",
}
"""What the framework says too shortly."""

_log = logging.getLogger(__name__)


class Problem(BaseModel):
    """What went wrong, as RFC 9457 has it.

    Attributes:
        type: always `about:blank`: the status says all there is to say about its kind.
        title: the status in words.
        detail: one sentence that names what was wrong and what to do.
    """

    type: str = "about:blank"
    title: str
    status: int
    detail: str


def install(app: FastAPI) -> None:
    """Answer every error of an app with a problem document."""
    app.add_exception_handler(errors.DomainException, _of_domain)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(Exception, _of_anything)


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The answer that says what went wrong."""
    said = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail)
    given = {"Cache-Control": "no-store", **(headers or {})}
    return JSONResponse(said.model_dump(), int(status), headers=given, media_type=MEDIA_TYPE)


async def _of_domain(_: Request, error: Exception) -> JSONResponse:
    status = next(
        (status for kind, status in _STATUS if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR
    )
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.warning("%s", error)
    retry = {"Retry-After": str(RETRY_SECONDS)} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
    return problem(status, str(error), retry)


async def _of_http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.UNAUTHORIZED:
        headers.setdefault("WWW-Authenticate", "Bearer")
    detail = _DETAILS.get(error.status_code, str(error.detail))
    return problem(error.status_code, detail, headers)


async def _of_validation(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "; ".join(map(_sentence, error.errors())))


async def _of_anything(_: Request, error: Exception) -> JSONResponse:
    """Starlette raises it again afterwards, so that the server's log has the traceback."""
    detail = f"the console failed ({type(error).__name__}): see the log of Airflow's API server"
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail)


def _sentence(found: Mapping[str, Any]) -> str:
    """Where a value is, what it is, and what it should be."""
    place = ".".join(str(part) for part in found["loc"] if part not in ("query", "path", "body")) or "body"
    if found["type"] == "missing":
        return f"{place} is missing: give it"
    return str(errors.InvalidInput(place, found.get("input"), found["msg"]))
