"""`scopeline quarantine`: what could not be read and why; try it again after a correction."""

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from scopeline.cli.options import Json, Plant, coloured, door, fail, inert, table, to_json, zones
from scopeline.query import local

command = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="markdown")


@command.callback()
def _root() -> None:
    """What could not be read and why; try it again after a correction.

    **Examples**

    ```sh
    scopeline quarantine list --feed press-shop
    scopeline quarantine show 4711
    scopeline quarantine redrive --feed press-shop
    ```
    """


Feed = Annotated[str | None, typer.Option(metavar="F", help="Only this feed.")]
COLUMNS = ("message", "received_at", "feed", "meter", "reason", "detail", "topic")


@command.command("list")
def list_(
    feed: Feed = None,
    reason: Annotated[str | None, typer.Option(metavar="R", help="Only this reason, like malformed.")] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=10_000, help="At most so many.")] = 100,
    plant: Plant = Path("."),
    json: Json = False,
) -> None:
    """List quarantined messages and readings, newest first, with the reason.

    **Example**

    ```sh
    scopeline quarantine list --feed press-shop
    ```
    """
    with door(plant) as asked:
        rows = asked.get("/quarantine", feed=feed, reason=reason, limit=limit)
        if json:
            return to_json(rows)
        known = zones(asked)
    if not rows:
        return typer.echo("Nothing is quarantined.", err=True)
    told = [{**row, "received_at": local(datetime.fromisoformat(row["received_at"]), known[""])} for row in rows]
    if not sys.stdout.isatty():
        return table(COLUMNS, [[row[column] for column in COLUMNS] for row in told])
    for row in told:
        typer.secho(f"{row['message']}  {row['received_at']}  {inert(row['reason'])}", bold=coloured())
        typer.echo(f"  {inert(row['meter'] or (row['feed'] and 'feed ' + row['feed']) or 'no feed')}, on {inert(row['topic'])}")
        typer.echo(f"  {inert(row['detail'])}")
    if len(rows) == limit:
        typer.echo("There may be more: --limit.", err=True)
    return None


@command.command("show")
def show(
    message: Annotated[int, typer.Argument(metavar="MESSAGE", help="Its place in the log, as `list` says it.")],
    plant: Plant = Path("."),
    json: Json = False,
) -> None:
    """Show one message whole: payload, feed, place in the log and every reason.

    **Example**

    ```sh
    scopeline quarantine show 4711
    ```
    """
    with door(plant) as asked:
        found = asked.get(f"/quarantine/{message}")
        if json:
            return to_json(found)
        known = zones(asked)
    received_at = local(datetime.fromisoformat(found["received_at"]), known[""])
    for key, value in (("message", message), ("topic", found["topic"]), ("received_at", received_at)):
        typer.echo(f"{key:12} {inert(value)}")
    key = "payload" if "payload" in found else "payload_base64"
    typer.echo(f"{key:12} {inert(found[key])}")
    for reject in found["rejects"]:
        place = f"reading {reject['index']}" if reject["index"] is not None else "whole message"
        typer.echo(f"{inert(reject['reason']):12} {place}, feed {inert(reject['feed'])}: {inert(reject['detail'])}")
    return None


@command.command("redrive")
def redrive(
    message: Annotated[
        int | None, typer.Argument(metavar="MESSAGE", help="Its place in the log; without: all, or those of --feed.")
    ] = None,
    feed: Feed = None,
    plant: Plant = Path("."),
    json: Json = False,
) -> None:
    """Read quarantined messages again, after the feed is corrected; exit 1 when some still cannot be read.

    **Examples**

    ```sh
    scopeline quarantine redrive
    scopeline quarantine redrive --feed press-shop
    ```
    """
    if message is not None and feed:
        fail("Give a message or --feed, not both.", 2)
    with door(plant) as asked:
        done = asked.post("/quarantine/redrive" if message is None else f"/quarantine/{message}/redrive", feed=feed)
    to_json(done) if json else typer.echo(f"{done['tried']} tried, {done['read']} read now, {done['still']} still quarantined.")
    if done["still"]:
        raise typer.Exit(1)
