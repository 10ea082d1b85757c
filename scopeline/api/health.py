"""/healthz, /readyz and /metrics: for supervisors and Prometheus."""

from collections.abc import Iterator, Mapping

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from scopeline.api.reading import service

router = APIRouter(tags=["health"])

METRICS = {
    "scopeline_messages_total": ("counter", "Messages in the log."),
    "scopeline_feed_messages_total": ("counter", "Messages by feed and outcome (decoded, skipped, unmatched, quarantined)."),
    "scopeline_feed_last_message_timestamp_seconds": ("gauge", "When the last message of a feed was received, Unix time."),
    "scopeline_feed_silent": ("gauge", "1 when a feed is silent for longer than is usual for it."),
    "scopeline_readings": ("gauge", "Readings held."),
    "scopeline_figures": ("gauge", "Base-interval figures held."),
    "scopeline_unpriced_sources": ("gauge", "Sources with an unpriced figure in the last 24 hours."),
    "scopeline_quarantined_messages": ("gauge", "Messages in quarantine."),
    "scopeline_log_position": ("gauge", "Place of the newest message in the log."),
    "scopeline_waiting_messages": ("gauge", "Messages received and not yet committed, so not acknowledged."),
    "scopeline_configuration_errors": ("gauge", "Errors of the plant folder's last edit; above 0 the edit is not in force."),
    "scopeline_state_bytes": ("gauge", "Size of the data file and its write-ahead log."),
    "scopeline_disk_free_bytes": ("gauge", "Free space where the data file lies."),
}
"""Name -> type and help, as docs/metrics.md lists them."""


def _label(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def exposition(
    values: Mapping[str, list[tuple[dict[str, str], float]]], metrics: Mapping[str, tuple[str, str]] = METRICS
) -> Iterator[str]:
    """Prometheus text format 0.0.4.

    >>> print(*exposition({"scopeline_figures": [({}, 3)]}), sep="\\n")
    # HELP scopeline_figures Base-interval figures held.
    # TYPE scopeline_figures gauge
    scopeline_figures 3
    """
    for name, (kind, about) in metrics.items():
        if name not in values:
            continue
        yield f"# HELP {name} {about}"
        yield f"# TYPE {name} {kind}"
        for labels, value in values[name]:
            inside = ",".join(f'{key}="{_label(text)}"' for key, text in labels.items())
            yield f"{name}{{{inside}}} {value:.17g}" if inside else f"{name} {value:.17g}"


@router.get("/healthz", summary="The process answers", include_in_schema=True)
def healthz() -> Response:
    return PlainTextResponse("ok\n")


@router.get("/readyz", summary="The store answers and messages are taken in")
def readyz(request: Request) -> Response:
    if service(request).ready():
        return PlainTextResponse("ready\n")
    return JSONResponse({"error": "The instance is not ready", "remedy": "Wait; `scopeline doctor` says what is missing."}, 503)


@router.get("/metrics", summary="Prometheus metrics")
def metrics(request: Request) -> Response:
    text = "\n".join(exposition(service(request).metrics())) + "\n"
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4; charset=utf-8")
