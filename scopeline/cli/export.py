"""`scopeline export`: time series for reports."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from scopeline.cli.options import Plant, door, fail
from scopeline.query import QueryError, file_format


@contextmanager
def _progress() -> Iterator[Any]:
    """Shows how far the export is on a terminal's standard error; silent when piped."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console

    with Console(stderr=True).status("exporting") as status:

        def show(done: Any) -> None:
            reached = f"figures up to {done:%Y-%m-%d}" if isinstance(done, datetime) else f"{done / 1e6:.1f} MB"
            status.update(f"exporting: {reached}")

        yield show


def command(
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="The file; its meta file is FILE.meta.json.", dir_okay=False)
    ],
    start: Annotated[str, typer.Option("--from", metavar="TIME", help="Inclusive: 2026, 2026-03, 2026-03-29, an instant.")],
    end: Annotated[str, typer.Option("--to", metavar="TIME", help="Exclusive.")],
    interval: Annotated[str, typer.Option(help="base, 15m, 1h, 1d, 1mo, 1y or all.")] = "1d",
    group_by: Annotated[str, typer.Option("--group-by", help="Columns joined by commas, tag_... too; none for one total.")] = "",
    where: Annotated[list[str] | None, typer.Option(help="column=value, joined by commas or repeated.")] = None,
    basis: Annotated[str, typer.Option(help="location, market or both (never added to each other).")] = "both",
    format: Annotated[str | None, typer.Option(help="csv, parquet, xlsx or json; default: the file's ending.")] = None,
    consolidated: Annotated[bool, typer.Option("--consolidated", help="Apply the sites' consolidation shares.")] = False,
    dialect: Annotated[str, typer.Option("--csv-dialect", help="plain, or excel-de for ; and decimal commas.")] = "plain",
    plant: Plant = Path("."),
) -> None:
    """Write figures as a file with its proof beside it (FILE.meta.json: sha256, arguments, log position, factor sets).

    Days, months and years are those of each site. Same arguments and same log position: the same bytes.

    Example: `scopeline export --from 2026-03 --to 2026-04 --interval 1d --group-by site,scope --out march.csv`

    Example: `scopeline export --from 2026 --to 2027 --interval 1mo --where site=duisburg,scope=2 --basis market --out 2026.xlsx`
    """
    try:
        form = file_format(format, out.name)
    except QueryError as error:
        fail(str(error), 2)
    if not out.parent.is_dir():
        fail(f"--out: there is no folder {out.parent}. Make it first.", 2)
    with door(plant) as asked, _progress() as progress:
        meta = asked.export(
            out,
            form,
            dialect,
            progress,
            from_=start,
            to=end,
            interval=interval,
            group_by=group_by,
            where=where,
            basis=basis,
            consolidated="true" if consolidated else "",
        )
    typer.echo(f"{out} and {meta.name}", err=True)
