"""What several commands share: options, tables, errors and their exit codes."""

import logging
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import orjson
import typer

from schemas.numeric import number_text
from scopeline.logs import hidden, machines
from scopeline.query import QueryError, common_zone
from scopeline.remote import Door, Failed, connect
from scopeline.trace_text import inert

_COLOURS = {
    "ok": typer.colors.GREEN,
    "error": typer.colors.RED,
    "warning": typer.colors.YELLOW,
    "note": typer.colors.BRIGHT_BLACK,
}
_NARROW = 26
"""Characters; a column of a table wraps only if a cell is longer: a time with its zone is not."""
Plant = Annotated[Path, typer.Option("--plant", metavar="DIR", help="The plant folder.", file_okay=False)]
LogFormat = Annotated[
    Literal["text", "json"],
    typer.Option(help="Log lines for people, or JSON objects for machines.", envvar="SCOPELINE_LOG_FORMAT"),
]
LogLevel = Annotated[
    Literal["debug", "info", "warning"],
    typer.Option(help="debug: every step, also of the libraries.", envvar="SCOPELINE_LOG_LEVEL"),
]
Json = Annotated[bool, typer.Option("--json", help="JSON, for programs.")]
From = Annotated[str | None, typer.Option("--from", metavar="TIME", help="Inclusive: 2026-03, 2026-03-29, 2026-03-29T10:00:00Z.")]
To = Annotated[str | None, typer.Option("--to", metavar="TIME", help="Exclusive.")]
# of figures, for export and compute
Out = Annotated[Path, typer.Option("--out", metavar="FILE", help="The file; its proof is FILE.meta.json.", show_default=False)]
Interval = Annotated[str, typer.Option(metavar="I", help="base, 15m, 1h, 1d, 1mo, 1y or all.")]
GroupBy = Annotated[
    str,
    typer.Option(
        "--group-by",
        metavar="COLUMNS",
        help="Of site, source, component, scope, category, tag_..., joined by commas; none for one total. "
        "Default: site,source,scope,category.",
    ),
]
Where = Annotated[list[str] | None, typer.Option(metavar="COLUMN=VALUE", help="Joined by commas or repeated.")]
AnyBasis = Annotated[str, typer.Option(metavar="B", help="location, market or both (never added to each other).")]
Form = Annotated[str | None, typer.Option(metavar="F", help="csv, parquet, xlsx or json; default: the file's ending.")]
Consolidated = Annotated[bool, typer.Option("--consolidated", help="Apply the sites' consolidation shares.")]
Dialect = Annotated[str, typer.Option("--csv-dialect", metavar="D", help="plain, or excel-de for ; and decimal commas.")]


def fail(message: str, code: int) -> NoReturn:
    """Say it on standard error (to the log, where machines read it) and leave: 1 a finding, 2 misuse."""
    if machines():
        logging.getLogger("scopeline").critical("%s", message)
    else:
        typer.echo(hidden(message), err=True)
    raise typer.Exit(code)


def existing(plant: Path) -> Path:
    """The plant folder, as an absolute path; misuse where there is none."""
    if not (plant / "plant.yaml").is_file():
        fail(f"There is no plant.yaml in {plant.resolve()}. Say --plant DIR, or make one with `scopeline init DIR`.", 2)
    return plant.resolve()


def writable(out: Path) -> Path:
    """A file to write (it appears whole, in place of what was there); misuse where that cannot be."""
    if out.is_dir():
        fail(f"--out {out}: is a folder. Name a file in it.", 2)
    if out.exists() and not out.is_file():
        fail(f"--out {out}: is a device or a pipe. Name a file.", 2)
    if not out.parent.is_dir():
        fail(f"--out {out}: there is no folder {out.parent}. Make it first, or name another file.", 2)
    return out.resolve() if out.is_symlink() else out


def myself() -> str:
    """How this command is called here: by name where the shell finds it, else by its path (`make demo` needs no activation)."""
    called = Path(sys.argv[0])
    return "scopeline" if called.name != "scopeline" or shutil.which("scopeline") else str(called.absolute())


def as_options(text: str) -> str:
    """What a question's check says, in the words of the command line.

    >>> as_options("from=2026-04 is not before to=2026-03. Write column=value, like site=duisburg.")
    '--from 2026-04 is not before --to 2026-03. Write column=value, like site=duisburg.'
    """
    named = r"(?<![\w=])(from|to|interval|group_by|where|basis|format|at|feed|reason|topic)="
    return re.sub(named, lambda found: f"--{found[1].replace('_', '-')} ", text)


@contextmanager
def door(plant: Path) -> Iterator[Door]:
    """The plant's data for one command; failures become a message with remedy and an exit code."""
    folder = existing(plant)
    try:
        with connect(folder) as found:
            yield found
    except Failed as failed:
        fail(as_options(str(failed)), 2 if failed.misuse else 1)
    except QueryError as error:
        fail(as_options(str(error)), 2)
    except BrokenPipeError:  # `scopeline messages | head`
        sys.stderr.close()
        raise typer.Exit(0) from None


def counted(count: int, what: str) -> str:
    """A count with its noun.

    >>> counted(1, "feed"), counted(2000, "feed")
    ('1 feed', '2,000 feeds')
    """
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def to_json(value: Any) -> None:
    """Print as indented JSON."""
    typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def whole_lines(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Pieces of a stream as its lines.

    >>> list(whole_lines([b"a\\nb", b"c\\n"]))
    [b'a', b'bc']
    """
    rest = b""
    for part in parts:
        *lines, rest = (rest + part).split(b"\n")
        yield from lines
    if rest:
        yield rest


def coloured() -> bool:
    """Whether standard output takes colours: a terminal, and nobody asked for none (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def marked(severity: str, colour: bool) -> str:
    """ok, error, warning or note, in its colour."""
    return typer.style(severity, fg=_COLOURS[severity]) if colour else severity


def zones(asked: Door) -> dict[str, str]:
    """Site -> time zone; under "" the zone that all sites share, else UTC: for lists over sites."""
    found = {site["site"]: site["timezone"] for site in asked.get("/plant")["sites"]}
    return {"": common_zone(found.values())} | found


def _written(cell: Any) -> str:
    return number_text(cell) if isinstance(cell, float) else inert(cell)


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table on a terminal, where short cells wrap only if they must; when piped, plain lines with tabs."""
    if not sys.stdout.isatty():
        for row in [columns, *rows]:
            typer.echo("\t".join(_written(cell) for cell in row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console, made = Console(), Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    widths = [max(len(_written(cell)) for cell in (column, *cells)) for column, *cells in zip(columns, *rows, strict=True)]
    fits = sum(min(width, _NARROW) + 2 for width in widths) <= console.width + 2
    for column, width, *cells in zip(columns, widths, *rows, strict=True):
        number = all(isinstance(cell, int | float) for cell in cells)
        made.add_column(column, overflow="fold", no_wrap=fits and width <= _NARROW, justify="right" if number else "left")
    for row in rows:
        made.add_row(*(Text(_written(cell)) for cell in row))
    console.print(made)
