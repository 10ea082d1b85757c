"""POST routes: a message into the log, try a payload, redrive what was quarantined."""

import base64
import binascii
from typing import Annotated

from fastapi import APIRouter, Body, Depends, HTTPException, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from ingest import topics
from scopeline.api.reading import known_parameters, service
from scopeline.api.stream import json_response
from scopeline.query import QueryError, instant

router = APIRouter(prefix="/api/v1", tags=["act"], dependencies=[Depends(known_parameters)])
LIMIT = 4 * 1024 * 1024
"""Bytes of one payload."""


def operate(request: Request) -> None:
    """Only tokens with the role operate, and this machine, may change something."""
    if request.scope.get("scopeline.role") != "operate":
        raise HTTPException(403, "This token may only read")


async def _payload(request: Request) -> bytes:
    """The body, refused as soon as it is too large."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > LIMIT:
            raise HTTPException(413, f"The payload is larger than {LIMIT} bytes")
        parts.append(part)
    return b"".join(parts)


def _topic(topic: str) -> str:
    """A topic that MQTT allows to publish to."""
    if topic.startswith("$") or topics.fault(topic):
        raise QueryError(f"{topic[:80]!r} is no topic to publish to", "Use a topic without + and #, not starting with $.")
    return topic


@router.post(
    "/messages/{topic:path}",
    summary="Put a message into the log; answers after the commit",
    dependencies=[Depends(operate)],
    openapi_extra={"requestBody": {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}},
)
async def publish(request: Request, topic: Annotated[str, Path(description="the MQTT topic")]) -> Response:
    """The body is the payload, byte for byte. 200 says that log and figures hold it. An MQTT client is the usual way in."""
    payload = await _payload(request)
    place = await run_in_threadpool(service(request).publish, _topic(topic), payload)
    return json_response({"message": place})


class Try(BaseModel):
    """A message to try."""

    model_config = ConfigDict(extra="forbid")
    topic: str
    payload: str | None = Field(None, max_length=LIMIT)
    payload_base64: str | None = Field(None, max_length=LIMIT * 4 // 3 + 4)
    feed: str | None = None
    received_at: str | None = None

    def bytes(self) -> bytes:
        if (self.payload is None) == (self.payload_base64 is None):
            raise QueryError("The payload is not given once", "Give payload (text) or payload_base64.")
        if self.payload is not None:
            return self.payload.encode()
        try:
            return base64.b64decode(self.payload_base64 or "", validate=True)
        except binascii.Error:
            raise QueryError("payload_base64 is no base64", "Encode the payload by RFC 4648.") from None


@router.post("/try", summary="What a message would give; changes nothing")
def try_(request: Request, body: Annotated[Try, Body()]) -> Response:
    received_at = instant(body.received_at, "received_at") if body.received_at else None
    return json_response(service(request).try_(body.topic, body.bytes(), body.feed, received_at))


@router.post("/quarantine/{message}/redrive", summary="Read a quarantined message again", dependencies=[Depends(operate)])
def redrive(request: Request, message: int) -> Response:
    """Under the configuration in force. `read`: how many messages now give readings; `still`: how many do not."""
    service(request).quarantined(message)
    return json_response(service(request).redrive(message))


@router.post(
    "/quarantine/redrive", summary="Read all quarantined messages, or those of a feed, again", dependencies=[Depends(operate)]
)
def redrive_all(request: Request, feed: str | None = None) -> Response:
    return json_response(service(request).redrive(None, feed))


@router.post("/replay", summary="Read and compute a range again", dependencies=[Depends(operate)])
def replay(
    request: Request,
    from_: Annotated[str, Query(alias="from", description="inclusive")],
    to: Annotated[str, Query(description="exclusive")],
) -> Response:
    """From the log or the archive, by received_at. Says how much changed: nothing, unless something had been wrong."""
    return json_response(service(request).replay(instant(from_, "from"), instant(to, "to")))
