"""`scopeline messages`: the log as a message file."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from scopeline.cli.options import From, Plant, To, door


def command(
    start: From = None,
    end: To = None,
    topic: Annotated[str | None, typer.Option(metavar="T", help="A topic, or a filter with + and #.")] = None,
    plant: Plant = Path("."),
) -> None:
    """Print the log as a message file, which `scopeline compute` reads: JSON lines, quarantined messages included.

    The range is by time of arrival, in the zone of the plant's first site; without it the whole log.

    **Examples**

    ```sh
    scopeline messages --from 2026-03 --to 2026-04 > march.ndjson
    scopeline messages --topic "acme/duisburg/#" | tail -1
    ```
    """
    with door(plant) as asked:
        out = sys.stdout.buffer
        for part in asked.lines("/messages", from_=start or "1970", to=end or "2262", topic=topic):
            out.write(part)
        out.flush()
