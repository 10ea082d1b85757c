"""`scopeline messages`: the log as a message file."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from scopeline.cli.options import From, Plant, To, door


def command(
    start: From = None,
    end: To = None,
    topic: Annotated[str | None, typer.Option(help="A topic, or a filter with + and #.")] = None,
    plant: Plant = Path("."),
) -> None:
    """The log as JSON lines, in its order, quarantined messages included: what `scopeline compute` reads.

    The range is by time of arrival, in the zone of the plant's first site; without it the whole log.

    Example: `scopeline messages --from 2026-03 --to 2026-04 > march.ndjson`
    """
    with door(plant) as asked:
        out = sys.stdout.buffer
        for part in asked.lines("/messages", from_=start or "1970", to=end or "2262", topic=topic):
            out.write(part)
        out.flush()
