"""`scopeline compute`: messages in, figures out, offline."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from scopeline import export, offline
from scopeline.catalogue import catalogue
from scopeline.check import check
from scopeline.cli.options import (
    AnyBasis,
    Consolidated,
    Dialect,
    Form,
    GroupBy,
    Interval,
    Out,
    Plant,
    Where,
    as_options,
    counted,
    existing,
    fail,
    writable,
)
from scopeline.query import QueryError, figure_query, file_format, rfc3339
from scopeline.service.figures import Figures

_NOTHING = datetime(1970, 1, 1, tzinfo=UTC)
"""Where a file without any known figure begins and ends."""


def command(
    messages: Annotated[
        Path,
        typer.Option("--messages", metavar="FILE", help="A message file: a JSON object a line.", exists=True, dir_okay=False),
    ],
    out: Out,
    interval: Interval = "base",
    group_by: GroupBy = "",
    where: Where = None,
    basis: AnyBasis = "both",
    format: Form = None,
    consolidated: Consolidated = False,
    dialect: Dialect = "plain",
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 when a message or a reading could not be read.")] = False,
    plant: Plant = Path("."),
) -> None:
    """Compute figures from a message file, with the same code and to the same byte as the running service.

    Without --interval: every base interval in which something is known. What could not be read is summed up on standard error.

    **Examples**

    ```sh
    scopeline compute --messages march.ndjson --out march.csv
    scopeline compute --messages march.ndjson --interval 1d \\
        --group-by scope --out days.xlsx
    ```
    """
    found, problems = check(existing(plant))
    errors = [problem for problem in problems if problem.severity == "error"]
    if found is None or errors:
        fail("\n".join(str(problem) for problem in errors), 1)
    try:
        out = writable(out)
        form = file_format(format, out.name)
        read = offline.load(messages, found, catalogue())
        span = read.span()
        begin, end = (rfc3339(at) for at in span or (_NOTHING, _NOTHING + timedelta(hours=1)))
        query = figure_query(found, begin, end, interval, group_by, where, basis, consolidated)
        answer = Figures(offline.desk(read), query)  # type: ignore[arg-type]  # of the Host it needs configuration, store, now only
        if span is None:
            answer.windows = {}  # no range, no rows
        export.write(answer, out, form, dialect)
    except QueryError as error:
        fail(as_options(str(error)), 2)
    _summary(read, answer)
    if strict and read.reasons:
        raise typer.Exit(1)


def _summary(read: offline.Offline, answer: Figures) -> None:
    lines = [
        f"{counted(read.messages, 'message')}, {counted(read.readings, 'reading')}, {counted(answer.facts()['rows'], 'row')}"
    ]
    lines += [f"{name}: {counted(read.outcomes[name], 'message')}" for name in ("skipped", "unmatched") if read.outcomes[name]]
    for (feed, reason), count in sorted(read.reasons.items()):
        lines.append(f"quarantined: {count:,} {reason}" + (f" in feed {feed}" if feed else ""))
    typer.echo("\n".join(lines), err=True)
