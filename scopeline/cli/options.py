"""What several commands share: options, tables, errors and their exit codes."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import orjson
import typer

from scopeline.query import QueryError
from scopeline.remote import Door, Failed, connect
from scopeline.trace_text import inert

Plant = Annotated[Path, typer.Option("--plant", metavar="DIR", help="The plant folder.", file_okay=False)]
Json = Annotated[bool, typer.Option("--json", help="JSON, for programs.")]
From = Annotated[str | None, typer.Option("--from", metavar="TIME", help="Inclusive: 2026-03, 2026-03-29, 2026-03-29T10:00:00Z.")]
To = Annotated[str | None, typer.Option("--to", metavar="TIME", help="Exclusive.")]


def fail(message: str, code: int) -> NoReturn:
    """Say it on standard error and leave: 1 a finding, 2 misuse."""
    typer.echo(message, err=True)
    raise typer.Exit(code)


@contextmanager
def door(plant: Path) -> Iterator[Door]:
    """The plant's data for one command; failures become a message with remedy and an exit code."""
    if not (plant / "plant.yaml").exists():
        fail(f"{plant}/plant.yaml: there is no plant folder. Say --plant DIR, or make one with `scopeline init DIR`.", 2)
    try:
        with connect(plant.resolve()) as found:
            yield found
    except Failed as failed:
        fail(str(failed), 2 if failed.misuse else 1)
    except QueryError as error:
        fail(str(error), 2)
    except BrokenPipeError:  # `scopeline messages | head`
        sys.stderr.close()
        raise typer.Exit(0) from None


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


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table on a terminal; when piped, plain lines with tabs."""
    if not sys.stdout.isatty():
        for row in [columns, *rows]:
            typer.echo("\t".join(inert(cell) for cell in row))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(Text(inert(cell), justify="right" if isinstance(cell, int | float) else "left") for cell in row))
    Console().print(made)
