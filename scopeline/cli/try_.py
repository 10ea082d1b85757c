"""`scopeline try`: what messages would give, before anything runs."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

import ingest
from ingest import timestamps
from ingest.attempt import attempt
from ingest.messages_file import parse_messages
from processors import accept
from schemas.frames import MESSAGES, REJECTS, shaped
from schemas.plant import Plant as PlantFolder
from scopeline import plant as folder
from scopeline.cli.options import Plant, existing, fail
from scopeline.offline import blocks


def command(
    feed: Annotated[
        str | None, typer.Argument(metavar="FEED", help="Only this feed; without it, every feed that matches.")
    ] = None,
    topic: Annotated[str | None, typer.Option("--topic", metavar="T", help="The topic that the message came on.")] = None,
    payload: Annotated[
        str | None, typer.Option("--payload", metavar="FILE|-", help="The payload; - reads standard input.")
    ] = None,
    received_at: Annotated[
        str | None, typer.Option("--received-at", metavar="T", help="When it came; without it the accept window is skipped.")
    ] = None,
    messages: Annotated[
        Path | None, typer.Option("--messages", metavar="FILE", help="A message file instead.", exists=True, dir_okay=False)
    ] = None,
    plant: Plant = Path("."),
) -> None:
    """Say what messages would give: a JSON line a reading, with value and unit as stated, unconverted.

    Standard error says which feed reads a message, and why a value is no reading. Exit code 1 when there is no reading at all.

    **Examples**

    ```sh
    scopeline try --topic acme/duisburg/press/p7/SENSOR --payload sample.json
    echo 12.5 | scopeline try gas --topic acme/gas --payload -
    scopeline try --messages march.ndjson
    ```
    """
    if (messages is None) == (topic is None and payload is None) or (messages is None) != (
        topic is not None and payload is not None
    ):
        fail("Say --topic T and --payload FILE (or -), or --messages FILE.", 2)
    found = _plant(plant, feed)
    try:
        feeds = ingest.compile(found)
    except ingest.FeedError as error:
        fail(str(error), 1)
    lines = 0
    for block, unreadable, window in _blocks(topic, payload, received_at, messages):
        decoded = ingest.decode(block, feeds, only_feed=feed)
        refused = accept.accept(decoded.decoded, accept.channels(found), window).rejects
        answer = attempt(block, feeds, decoded, shaped(refused, REJECTS), only_feed=feed, lines=messages is not None)
        for reading in answer.lines:
            typer.echo(reading)
        for text in [*(answer.matches if feed is None else ()), *unreadable["detail"], *answer.reasons]:
            typer.echo(text, err=True)
        lines += len(answer.lines)
    if not lines:
        fail("No reading.", 1)


def _plant(place: Path, feed: str | None) -> PlantFolder:
    found, problems = folder.load(existing(place))
    if found is None:
        fail("\n".join(str(problem) for problem in problems if problem.severity == "error"), 1)
    names = [one.feed for one in found.feeds]
    if feed is not None and feed not in names:
        fail(f"There is no feed {feed!r}. Feeds are: {', '.join(names) or 'none'}.", 2)
    return found


def _blocks(
    topic: str | None, payload: str | None, received_at: str | None, messages: Path | None
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame, bool]]:
    """MESSAGES and REJECTS frames, and whether the accept window is to be looked at."""
    if messages is not None:
        for data, line in blocks(messages):
            parsed = parse_messages(data, line)
            yield parsed.messages, parsed.rejects, True
        return
    at = datetime.now(UTC)
    if received_at is not None:
        micros = timestamps.instant(received_at, "UTC")
        if micros is None:
            fail(f"--received-at {received_at}: is no time. Write it like 2026-03-29T10:00:00Z.", 2)
        at = datetime(1970, 1, 1, tzinfo=UTC) + micros * timestamps.MICROSECOND
    try:
        content = sys.stdin.buffer.read() if payload == "-" else Path(payload or "").read_bytes()
    except OSError as error:
        fail(f"--payload {payload}: {error.strerror}.", 2)
    row = {"message": 1, "topic": topic, "payload": content, "received_at": at, "retained": False, "broker": None}
    yield pl.DataFrame([row], schema=MESSAGES), pl.DataFrame(schema=REJECTS), received_at is not None
