"""GET routes: figures, readings, messages, feeds, quarantine, factors, trace."""

import json
import tempfile
import threading
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse, StreamingResponse
from starlette.background import BackgroundTask

from scopeline import doctor
from scopeline.api.stream import MEDIA, json_response, rows
from scopeline.case import messages_behind
from scopeline.export import write
from scopeline.query import FORMATS, QueryError, figure_query, instant
from scopeline.service import Service
from scopeline.service.messages import message_lines
from scopeline.tokens import STATE


def known_parameters(request: Request) -> None:
    """A misspelt parameter must not be answered as if it had not been there."""
    known = sorted(parameter.alias for parameter in request.scope["route"].dependant.query_params)
    if strange := sorted(set(request.query_params) - set(known)):
        takes = f"This path takes {', '.join(known)}." if known else "This path takes none."
        raise QueryError(f"There is no parameter {strange[0]!r}", takes)


router = APIRouter(prefix="/api/v1", tags=["read"], dependencies=[Depends(known_parameters)])
PART = "export-"
"""Folders of files that are being sent, in the state folder; what a killed instance left is removed at the start."""
_AT_ONCE = threading.BoundedSemaphore(4)

From = Annotated[
    str | None, Query(alias="from", description="inclusive: 2026-03, 2026-03-29, or an instant", examples=["2026-03"])
]
To = Annotated[str | None, Query(alias="to", description="exclusive", examples=["2026-04"])]
Limit = Annotated[int, Query(ge=1, le=10_000, description="at most so many")]
RowFormat = Annotated[Literal["json", "csv", "ndjson"], Query(description="json, csv or ndjson")]


def service(request: Request) -> Service:
    """The instance's facade, put there by scopeline.api.create."""
    found: Service = request.app.state.service
    return found


def time_range(service: Service, start: str | None, end: str | None, site: str | None = None, days: int = 1) -> Any:
    """The UTC range of a question about readings or messages; without `from` and `to` the last `days` days."""
    zone = next((s.timezone for s in service.plant.settings.sites if s.site == site), service.plant.settings.sites[0].timezone)
    last = instant(end, "to", zone) if end else service.host.now() + timedelta(seconds=1)
    first = instant(start, "from", zone) if start else last - timedelta(days=days)
    if first >= last:
        raise QueryError(f"from={start} is not before to={end or 'now'}", "from is inclusive, to is exclusive.")
    return first, last


@router.get("/figures", summary="Figures as a time series")
def figures(
    request: Request,
    start: From = None,
    end: To = None,
    interval: Annotated[str, Query(description="base, 15m, 1h, 1d, 1mo, 1y, all")] = "1d",
    group_by: Annotated[
        str | None, Query(description="columns joined by commas; none for one total", examples=["site,scope"])
    ] = None,
    where: Annotated[
        list[str] | None, Query(description="column=value, joined by commas or repeated", examples=["scope=2"])
    ] = None,
    basis: Annotated[str, Query(description="location, market, both")] = "both",
    consolidated: bool = False,
    format: Annotated[str, Query(description="json, csv, parquet, xlsx")] = "json",
    dialect: Annotated[str, Query(description="of csv: plain, excel-de")] = "plain",
) -> Response:
    """The header `X-Scopeline-Meta` says what an export's meta file says: log position, configuration hash, factor sets."""
    door = service(request)
    query = figure_query(door.plant, start, end, interval, group_by, where, basis, consolidated)
    if format not in FORMATS:
        raise QueryError(f"format={format!r} is not known", f"Use one of: {', '.join(FORMATS)}.")
    if not _AT_ONCE.acquire(timeout=30):
        raise HTTPException(503, "Too many questions for figures at once", {"retry-after": "30"})
    folder = tempfile.TemporaryDirectory(prefix=PART, dir=door.host.plant_dir / STATE)
    try:
        file = Path(folder.name) / f"figures.{format}"
        meta_file = write(door.figures(query), file, format, dialect)
        meta = json.dumps(json.loads(meta_file.read_text(encoding="utf-8")), separators=(",", ":"))
    except BaseException:
        folder.cleanup()
        raise
    finally:
        _AT_ONCE.release()
    headers = {"x-scopeline-meta": meta, "cache-control": "no-store"}
    name = None if format == "json" else f"scopeline-{start}-{end}.{format}"
    return FileResponse(file, media_type=MEDIA[format], filename=name, headers=headers, background=BackgroundTask(folder.cleanup))


@router.get("/readings", summary="Readings of a meter")
def readings(request: Request, meter: str, start: From = None, end: To = None, format: RowFormat = "json") -> Response:
    """Values in the base unit of the meter's dimension. Without from and to: the last day."""
    door = service(request)
    door.meter(meter)  # 404 before the stream starts
    frames = door.readings(meter, *time_range(door, start, end, meter.partition("/")[0]))
    return rows(frames, format, f"readings.{format}")


@router.get("/plant", summary="Organisation, sites with their time zones, log position")
def plant(request: Request) -> Response:
    return json_response(service(request).about())


@router.get("/meters", summary="Meters that have readings")
def meters(request: Request) -> Response:
    return json_response(service(request).meters().to_dicts())


@router.get("/messages", summary="The log as a message file (JSON lines, what `scopeline compute` reads)")
def messages(request: Request, start: From = None, end: To = None, topic: str | None = None) -> Response:
    """By time of arrival. `topic` is a filter and may hold + and #."""
    door = service(request)
    first, last = time_range(door, start, end)
    return StreamingResponse(message_lines(door.messages(first, last, topic)), media_type=MEDIA["ndjson"])


@router.get("/feeds", summary="Feeds and how they are")
def feeds(request: Request) -> Response:
    return json_response(service(request).feeds())


@router.get("/feeds/{feed}", summary="One feed with the readings of its last message")
def feed(request: Request, feed: str) -> Response:
    return json_response(service(request).feed(feed))


@router.get("/quarantine", summary="What could not be read, newest first")
def quarantine(
    request: Request,
    feed: str | None = None,
    reason: str | None = None,
    limit: Limit = 100,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    return json_response(service(request).quarantine(feed, reason, limit, offset).to_dicts())


@router.get("/quarantine/{message}", summary="One quarantined message, whole")
def quarantined(request: Request, message: int) -> Response:
    return json_response(service(request).quarantined(message))


@router.get("/factors", summary="Search the factor catalogue")
def factors(
    request: Request, search: str = "", set: str | None = None, region: str | None = None, limit: Limit = 100
) -> Response:
    return json_response(service(request).factors(search, set, region, limit))


@router.get("/factors/{factor:path}", summary="One factor with its citation")
def factor(request: Request, factor: str) -> Response:
    return json_response(service(request).factor(factor))


@router.get("/trace", summary="One figure back to its messages")
def trace(request: Request, source: str, at: str, basis: str | None = None) -> Response:
    """`at`: an instant, or a local time of the source's site, within the base interval."""
    door = service(request)
    return json_response(door.trace(source, door.source_instant(source, at), basis).as_dict())


@router.get("/trace/messages", summary="The messages behind one figure, as a message file")
def trace_messages(request: Request, source: str, at: str, basis: str | None = None) -> Response:
    """The smallest set from which `scopeline compute` gives the figure again."""
    door = service(request)
    found = messages_behind(door.host, door.trace(source, door.source_instant(source, at), basis))
    return Response(b"".join(found), media_type=MEDIA["ndjson"])


@router.get("/live", summary="The Live page in one answer")
def live(request: Request, by: Literal["scope", "source"] = "scope") -> Response:
    return json_response(service(request).live(by).as_dict())


@router.get("/problems", summary="Problems of the plant folder")
def problems(request: Request) -> Response:
    return json_response([problem._asdict() for problem in service(request).problems()])


@router.get("/doctor", summary="Findings: silence, lag, unpriced, old factors, disk")
def examine(request: Request) -> Response:
    return json_response(doctor.examine(service(request)).as_dict())
