"""`scopeline compute`: messages in, figures out, offline."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from scopeline import export, offline
from scopeline.catalogue import catalogue
from scopeline.check import check
from scopeline.cli.options import Plant, fail
from scopeline.query import QueryError, figure_query, file_format, rfc3339
from scopeline.service.figures import Figures

_NOTHING = datetime(1970, 1, 1, tzinfo=UTC)
"""Where a file without any known figure begins and ends."""


def command(
    messages: Annotated[
        Path, typer.Option("--messages", metavar="FILE", help="A message file: a JSON object a line.", exists=True)
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The file; its meta file is FILE.meta.json.")],
    interval: Annotated[str, typer.Option(help="base, 15m, 1h, 1d, 1mo, 1y or all.")] = "base",
    group_by: Annotated[str, typer.Option("--group-by", help="Columns joined by commas, tag_... too; none for one total.")] = "",
    where: Annotated[list[str] | None, typer.Option(help="column=value, joined by commas or repeated.")] = None,
    basis: Annotated[str, typer.Option(help="location, market or both (never added to each other).")] = "both",
    format: Annotated[str | None, typer.Option(help="csv, parquet, xlsx or json; default: the file's ending.")] = None,
    consolidated: Annotated[bool, typer.Option("--consolidated", help="Apply the sites' consolidation shares.")] = False,
    dialect: Annotated[str, typer.Option("--csv-dialect", help="plain, or excel-de for ; and decimal commas.")] = "plain",
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 when a message or a reading could not be read.")] = False,
    plant: Plant = Path("."),
) -> None:
    """Compute figures from a message file, with the same code and to the same byte as the running service.

    Without --interval: every base interval in which something is known. What could not be read is summed up on standard error.

    Example: `scopeline compute --messages march.ndjson --out march.csv`

    Example: `scopeline compute --messages march.ndjson --interval 1d --group-by scope --out days.xlsx`
    """
    found, problems = check(plant)
    errors = [problem for problem in problems if problem.severity == "error"]
    if found is None or errors:
        fail("\n".join(str(problem) for problem in errors), 2)
    try:
        form = file_format(format, out.name)
        read = offline.load(messages, found, catalogue())
        span = read.span()
        begin, end = (rfc3339(at) for at in span or (_NOTHING, _NOTHING + timedelta(hours=1)))
        query = figure_query(found, begin, end, interval, group_by, where, basis, consolidated)
    except QueryError as error:
        fail(str(error), 2)
    if not out.parent.is_dir():
        fail(f"--out: there is no folder {out.parent}. Make it, or name another file.", 2)
    answer = Figures(offline.desk(read), query)  # type: ignore[arg-type]  # of the Host it needs configuration, store and now only
    export.write(answer, out, form, dialect)
    _summary(read, answer)
    if strict and read.reasons:
        raise typer.Exit(1)


def _summary(read: offline.Offline, answer: Figures) -> None:
    lines = [f"{read.messages:,} messages, {read.readings:,} readings, {answer.facts()['rows']:,} rows"]
    lines += [f"{name}: {read.outcomes[name]:,} messages" for name in ("skipped", "unmatched") if read.outcomes[name]]
    for (feed, reason), count in sorted(read.reasons.items()):
        lines.append(f"quarantined: {count:,} {reason}" + (f" in feed {feed}" if feed else ""))
    typer.echo("\n".join(lines), err=True)
