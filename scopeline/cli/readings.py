"""`scopeline readings`: the readings of a meter."""

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from scopeline.cli.options import From, Json, Plant, To, door, fail, table, whole_lines, zones
from scopeline.query import local

COLUMNS = ("observed_at", "value", "unit", "kind", "quality", "event", "received_at", "message")


def command(
    meter: Annotated[str, typer.Argument(metavar="METER", help="A meter, like duisburg/press/p7:energy.")],
    start: From = None,
    end: To = None,
    plant: Plant = Path("."),
    json: Json = False,
) -> None:
    """Print the readings of a meter, one a line; without --from and --to those of the last day.

    Values are in the base unit (kWh, m3, kg, ...); times in the site's zone. With --json a JSON object a line, times in UTC.

    **Examples**

    ```sh
    scopeline readings duisburg/main:energy
    scopeline readings duisburg/main:energy --from 2026-03-29 --to 2026-03-30
    ```
    """
    rows = []
    with door(plant) as asked:
        zone = zones(asked).get(meter.partition("/")[0], "UTC")
        for line in whole_lines(asked.lines("/readings", meter=meter, from_=start, to=end, format="ndjson")):
            if json:
                typer.echo(line)
                continue
            row = orjson.loads(line)
            times = {key: local(datetime.fromisoformat(row[key]), zone) for key in ("observed_at", "received_at")}
            rows.append([{**row, **times}[column] for column in COLUMNS])
    if rows:
        table(COLUMNS, rows) if not sys.stdout.isatty() else _on_terminal(rows)
    elif not json:
        fail(f"{meter} has no readings from {start or 'a day ago'} to {end or 'now'}. Choose another range.", 1)


def _on_terminal(rows: list[list[Any]]) -> None:
    """Within 80 columns: without the kind, and without qualities and events where all are good and none is an event."""
    kept = [n for n, name in enumerate(COLUMNS) if name != "kind" and any(row[n] not in (None, "good") for row in rows)]
    table([COLUMNS[n] for n in kept], [[row[n] for n in kept] for row in rows])
