"""`scopeline import`: bills, hand readings and back-fill from a file, published through the normal way."""

import csv
import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import polars as pl
import typer

from ingest import topics
from ingest.feeds import filters
from schemas.feed import Feed
from schemas.frames import MESSAGES
from scopeline.cli.options import Plant, counted, existing, fail

_AT_ONCE = 32
"""Messages on their way to a running instance at the same time: one commit serves many."""


def command(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="csv, ndjson (a message a line) or json.")
    ],
    feed: Annotated[str, typer.Option("--feed", metavar="F", help="The feed that reads it.")],
    topic: Annotated[
        str | None, typer.Option("--topic", metavar="T", help="Where its topic has captures or wildcards.", show_default=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Publish nothing; say what it would give.")] = False,
    plant: Plant = Path("."),
) -> None:
    """Publish each row of a file as a message of a feed, as if a device had sent it now.

    A csv row goes to a csv feed as it stands (with the header line where the feed expects one), to a json feed as an object. A
    line of an ndjson file is a payload, a json file is one payload. Where an instance runs it gets the messages, else the data
    file does. To import a file twice counts once, if its rows have times or event ids.

    **Examples**

    ```sh
    scopeline import gas-bills.csv --feed gas-bills --dry-run
    scopeline import readings.csv --feed hand --topic acme/duisburg/hand
    ```
    """
    from scopeline.check import check

    found, problems = check(existing(plant))
    if found is None:
        fail("\n".join(str(problem) for problem in problems if problem.severity == "error"), 1)
    chosen = next((one for one in found.feeds if one.feed == feed), None)
    if chosen is None:
        fail(f"There is no feed {feed!r}. Feeds are: {', '.join(one.feed for one in found.feeds) or 'none'}.", 2)
    where = topic_of(chosen, topic)
    try:
        payloads = list(payloads_of(file, chosen))
    except UnicodeDecodeError:
        fail(f"{file}: is no text in the encoding that feed {feed} reads. Save it as UTF-8, or say csv: encoding in the feed.", 1)
    except csv.Error as error:
        fail(f"{file}: is no table ({error}). Give it a header line, with commas, semicolons or tabs between the columns.", 1)
    except (ValueError, OSError) as error:
        fail(f"{file}: {error}", 1)
    if not payloads:
        fail(f"{file} has no rows.", 1)
    if dry_run:
        _dry(payloads, where, chosen, plant)
        return
    _publish(plant.resolve(), where, payloads)
    typer.echo(f"{counted(len(payloads), 'message')} of {file} put into the log, on {where}.")


def topic_of(feed: Feed, given: str | None) -> str:
    """The topic to publish to; misuse where it is open or does not belong to the feed."""
    known = filters(feed)
    if given is None:
        if len(known) == 1 and not any(sign in known[0] for sign in "{+#"):
            return known[0]
        fail(f"The topic of feed {feed.feed} is {' or '.join(known)}: say which one with --topic.", 2)
    if problem := topics.fault(given):
        fail(f"--topic {given}: {problem}.", 2)
    if all(topics.parse(one).match(given) is None for one in known):
        fail(f"--topic {given} is not read by feed {feed.feed}, whose topic is {' or '.join(known)}.", 2)
    return given


def payloads_of(file: Path, feed: Feed) -> Iterator[bytes]:
    """The payloads that a file holds, by its ending and the feed's decoder. ValueError says what does not fit."""
    names = (feed.decoder,) if isinstance(feed.decoder, str) else feed.decoder
    data = file.read_bytes()
    if file.suffix.lower() == ".json":
        yield data
    elif file.suffix.lower() in (".ndjson", ".jsonl"):
        yield from (line for line in data.splitlines() if line.strip())
    elif names[-1] == "csv":
        yield from _csv_rows(data, feed)
    elif names[-1] == "json":
        text = data.decode("utf-8-sig")
        dialect = csv.Sniffer().sniff(text[:4096], delimiters=",;\t") if text.strip() else csv.excel
        for row in csv.DictReader(io.StringIO(text, newline=""), dialect=dialect):
            yield json.dumps({name: value for name, value in row.items() if name and value != ""}, ensure_ascii=False).encode()
    else:
        raise ValueError(f"feed {feed.feed} reads {names[-1]}: give an ndjson file with one payload a line")


def _csv_rows(data: bytes, feed: Feed) -> Iterator[bytes]:
    """Each row as the feed's csv decoder reads it: with the header line before it where the feed has one."""
    encoding, delimiter, headed = "utf-8", ",", True
    if feed.csv:
        encoding, delimiter, headed = feed.csv.encoding, feed.csv.delimiter, feed.csv.header
    rows = csv.reader(io.StringIO(data.decode("utf-8-sig" if encoding == "utf-8" else encoding), newline=""), delimiter=delimiter)
    header: list[list[str]] = []
    for row in rows:
        if not any(cell.strip() for cell in row):
            continue
        if headed and not header:
            header.append(row)
            continue
        out = io.StringIO(newline="")
        csv.writer(out, delimiter=delimiter, lineterminator="\n").writerows([*header, row])
        yield out.getvalue().rstrip("\n").encode(encoding)


def _dry(payloads: list[bytes], topic: str, feed: Feed, plant: Path) -> None:
    """What the messages would give, as `scopeline try` says it."""
    import ingest
    from ingest.attempt import attempt
    from processors import accept
    from scopeline.plant import load

    found, _ = load(plant)
    assert found is not None
    now = datetime.now(UTC)
    rows = [
        {"message": n, "topic": topic, "payload": p, "received_at": now, "retained": False, "broker": None}
        for n, p in enumerate(payloads, 1)
    ]
    table = pl.DataFrame(rows, schema=MESSAGES)
    feeds = ingest.compile(found)
    decoded = ingest.decode(table, feeds, only_feed=feed.feed)
    accepted = accept.accept(decoded.decoded, accept.channels(found))
    answer = attempt(table, feeds, decoded, accepted.rejects, only_feed=feed.feed, lines=True)
    for line in answer.lines:
        typer.echo(line)
    for reason in answer.reasons:
        typer.echo(reason, err=True)
    typer.echo(
        f"{counted(len(payloads), 'message')} would give {counted(len(answer.lines), 'reading')}. Nothing was published.",
        err=True,
    )
    if not answer.lines:
        raise typer.Exit(1)


def _publish(plant: Path, topic: str, payloads: list[bytes]) -> None:
    """Into the running instance, else into the data file by the same worker; returns after the commit."""
    from scopeline.log import StateError
    from scopeline.plant import load
    from scopeline.remote import Failed, running
    from scopeline.runtime import PlantInvalid, Runtime

    if remote := running(plant):
        path = f"/messages/{quote(topic)}"
        try:
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                for _ in pool.map(lambda payload: remote.send(path, payload), payloads):
                    pass
        except Failed as failed:
            fail(str(failed), 1)
        return
    found, _ = load(plant)
    if found and found.settings.profile == "cluster":
        fail("No console runs on this plant folder. Start one with `scopeline run --role console`, then import again.", 1)
    runtime = Runtime(plant)
    try:
        runtime.start(listen=False)
    except (PlantInvalid, StateError) as error:
        fail(str(error), 1)
    try:
        waiting = [runtime.publish_later(topic, payload) for payload in payloads]
        for one in waiting:
            one.result()
    finally:
        runtime.stop()
