"""The HTTP API of an instance: `create(service, tokens)` gives the application; the console is mounted into it."""

import logging
import secrets
import shutil
from collections.abc import Iterable

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from scopeline.api import actions, docs, health, reading
from scopeline.api.guard import Guard
from scopeline.case import CaseError
from scopeline.query import NotThere, QueryError
from scopeline.remote import Failed
from scopeline.service import Service
from scopeline.tokens import STATE, Tokens

_ROUTERS = (reading.router, actions.router, health.router, docs.router)
_log = logging.getLogger("scopeline.api")

DESCRIPTION = """Figures, readings, messages and feeds of one plant.

Times: `from` is inclusive, `to` exclusive; `2026`, `2026-03` and `2026-03-29` are local days of each site, instants are RFC 3339.
From this machine no token is needed; from any other address send `Authorization: Bearer <token>`, or HTTP Basic with the token as
password. Errors are JSON: `{"error": ..., "remedy": ...}`."""


def create(service: Service, tokens: Tokens, instance_token: str | None = None, hosts: Iterable[str] = ()) -> FastAPI:
    """The application with every route, behind the guard. `hosts`: more names of this machine, to be asked without token."""
    app = FastAPI(
        title="Scopeline", version="1", description=DESCRIPTION, docs_url=None, redoc_url=None, openapi_url="/api/openapi.json"
    )
    app.state.service = service
    for left in (service.host.plant_dir / STATE).glob(f"{reading.PART}*"):
        shutil.rmtree(left, ignore_errors=True)
    for router in _ROUTERS:
        app.include_router(router)
    app.add_api_route("/api/{path:path}", _no_route, methods=_METHODS, include_in_schema=False)
    app.add_exception_handler(QueryError, _bad_query)
    app.add_exception_handler(NotThere, _not_there)
    app.add_exception_handler(ValueError, _bad_value)
    app.add_exception_handler(CaseError, _bad_case)
    app.add_exception_handler(Failed, _cannot)
    app.add_exception_handler(RequestValidationError, _bad_request)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _internal)
    app.add_middleware(Guard, tokens=tokens, instance_token=instance_token, hosts=tuple(hosts))
    return app


_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def _no_route(request: Request) -> None:
    """What no route of the API takes is refused as the API refuses, not as the console behind it does."""
    routes = [route for router in _ROUTERS for route in router.routes if isinstance(route, Route)]
    same_path = [route for route in routes if route.matches(request.scope)[0] is Match.PARTIAL]
    if verbs := sorted({verb for route in same_path for verb in route.methods or ()}):
        raise HTTPException(405, "Method not allowed", {"allow": ", ".join(verbs)})
    raise HTTPException(404, f"There is nothing at {request.url.path}")


def failed(status: int, error: str, remedy: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """An error as every route gives it."""
    return JSONResponse({"error": error, "remedy": remedy}, status, headers={"cache-control": "no-store", **(headers or {})})


def _bad_query(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, QueryError)
    return failed(400, error.message, error.remedy)


def _not_there(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, NotThere)
    return failed(404, error.message, error.remedy)


def _bad_value(_: Request, error: Exception) -> JSONResponse:
    return failed(400, str(error), "Correct the value; /api/docs describes each parameter.")


def _bad_case(_: Request, error: Exception) -> JSONResponse:
    return failed(409, str(error), "`scopeline doctor` looks at log and configuration.")


def _cannot(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Failed)
    return failed(503, error.error, error.remedy)


def _bad_request(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = [f"{'.'.join(str(part) for part in one['loc'][1:]) or 'body'}: {one['msg']}" for one in error.errors()]
    return failed(400, "; ".join(found), "Correct the parameters; /api/docs describes each.")


def _http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    remedy = {
        403: "Use a token with --role operate.",
        404: "The paths are listed at /api/docs.",
        405: "The methods of each path are listed at /api/docs.",
        413: "Send a smaller payload.",
        503: "Try again in a moment; /readyz says when.",
    }.get(error.status_code, "See /api/docs.")
    return failed(error.status_code, str(error.detail), remedy, dict(error.headers or {}))


def _internal(_: Request, error: Exception) -> JSONResponse:
    """The cause goes to the instance's log under an id, never to the caller."""
    ident = secrets.token_hex(4)
    _log.error("request failed, id %s", ident, exc_info=error)
    return failed(500, "The request failed inside the instance", f"Look for id {ident} in the instance's log.")
