"""`scopeline export`: time series for reports."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

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
    door,
    fail,
    writable,
)
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
    out: Out,
    start: Annotated[str, typer.Option("--from", metavar="TIME", help="Inclusive: 2026, 2026-03, 2026-03-29, an instant.")],
    end: Annotated[str, typer.Option("--to", metavar="TIME", help="Exclusive.")],
    interval: Interval = "1d",
    group_by: GroupBy = "",
    where: Where = None,
    basis: AnyBasis = "both",
    format: Form = None,
    consolidated: Consolidated = False,
    dialect: Dialect = "plain",
    plant: Plant = Path("."),
) -> None:
    """Write figures as a file with its proof beside it (FILE.meta.json: sha256, arguments, log position, factor sets).

    Days, months and years are those of each site. Same arguments and same log position: the same bytes.

    **Examples**

    ```sh
    scopeline export --from 2026-03 --to 2026-04 --out march.xlsx
    scopeline export --from 2026-03-29 --to 2026-03-30 --interval 15m \\
        --group-by site,scope --out day.csv
    scopeline export --from 2026 --to 2027 --interval 1mo --basis market \\
        --where site=duisburg,scope=2 --out 2026.xlsx
    ```
    """
    try:
        out = writable(out)
        form = file_format(format, out.name)
    except QueryError as error:
        fail(as_options(str(error)), 2)
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
    rows = json.loads(meta.read_text(encoding="utf-8"))["rows"]
    typer.echo(f"{out}: {counted(rows, 'row')}; its proof is {meta.name}", err=True)
