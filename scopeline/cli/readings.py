"""`scopeline readings`: the readings of a meter."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import orjson
import typer

from scopeline.cli.options import From, Json, Plant, To, door, fail, table, whole_lines
from scopeline.query import local

COLUMNS = ("observed_at", "value", "unit", "kind", "quality", "event", "received_at", "message")


def command(
    meter: Annotated[str, typer.Argument(help="A meter, like duisburg/press/p7:energy.")],
    start: From = None,
    end: To = None,
    plant: Plant = Path("."),
    json: Json = False,
) -> None:
    """Readings of a meter, one a line; without --from and --to the last day.

    Values are in the base unit (kWh, m3, kg, ...); times in the site's zone, with --json in UTC.

    Example: `scopeline readings duisburg/main:energy --from 2026-03-29 --to 2026-03-30`
    """
    rows = []
    with door(plant) as asked:
        zones = {site["site"]: site["timezone"] for site in asked.get("/plant")["sites"]}
        zone = zones.get(meter.partition("/")[0], "UTC")
        for line in whole_lines(asked.lines("/readings", meter=meter, from_=start, to=end, format="ndjson")):
            if json:
                typer.echo(line)
                continue
            row = orjson.loads(line)
            times = {key: local(datetime.fromisoformat(row[key]), zone) for key in ("observed_at", "received_at")}
            rows.append([{**row, **times}[column] for column in COLUMNS])
    if rows:
        table(COLUMNS, rows)
    elif not json:
        fail(f"{meter} has no readings from {start or 'a day ago'} to {end or 'now'}. Choose another range.", 1)
