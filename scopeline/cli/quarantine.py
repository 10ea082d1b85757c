"""`scopeline quarantine`: what could not be read and why; try it again after a correction."""

from pathlib import Path
from typing import Annotated

import typer

from scopeline.cli.options import Json, Plant, door, fail, inert, table, to_json

command = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="markdown", help=__doc__)

Feed = Annotated[str | None, typer.Option(help="Only this feed.")]


@command.command("list")
def list_(
    feed: Feed = None,
    reason: Annotated[str | None, typer.Option(help="Only this reason, like malformed.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100,
    plant: Plant = Path("."),
    json: Json = False,
) -> None:
    """Quarantined messages and readings, newest first.

    Example: `scopeline quarantine list --feed press-shop`
    """
    with door(plant) as asked:
        rows = asked.get("/quarantine", feed=feed, reason=reason, limit=limit)
    if json:
        return to_json(rows)
    if not rows:
        return typer.echo("Nothing is quarantined.", err=True)
    columns = ("message", "received_at", "feed", "meter", "reason", "detail", "topic")
    return table(columns, [[row[column] for column in columns] for row in rows])


@command.command("show")
def show(message: int, plant: Plant = Path("."), json: Json = False) -> None:
    """One message, whole: payload, feed, place in the log and every reason.

    Example: `scopeline quarantine show 4711`
    """
    with door(plant) as asked:
        found = asked.get(f"/quarantine/{message}")
    if json:
        return to_json(found)
    for key in ("message", "topic", "received_at"):
        typer.echo(f"{key:12} {inert(found[key])}")
    key = "payload" if "payload" in found else "payload_base64"
    typer.echo(f"{key:12} {inert(found[key])}")
    for reject in found["rejects"]:
        place = f"reading {reject['index']}" if reject["index"] is not None else "whole message"
        typer.echo(f"{inert(reject['reason']):12} {place}, feed {inert(reject['feed'])}: {inert(reject['detail'])}")
    return None


@command.command("redrive")
def redrive(
    message: Annotated[int | None, typer.Argument(help="A message; without: all, or those of --feed.")] = None,
    feed: Feed = None,
    plant: Plant = Path("."),
    json: Json = False,
) -> None:
    """Read quarantined messages again, after the feed is corrected; exit 1 when some still cannot be read.

    Example: `scopeline quarantine redrive --feed press-shop`
    """
    if message is not None and feed:
        fail("Give a message or --feed, not both.", 2)
    with door(plant) as asked:
        done = asked.post("/quarantine/redrive" if message is None else f"/quarantine/{message}/redrive", feed=feed)
    to_json(done) if json else typer.echo(f"{done['tried']} tried, {done['read']} read now, {done['still']} still quarantined.")
    if done["still"]:
        raise typer.Exit(1)
