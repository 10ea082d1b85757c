"""`scopeline check`: every problem of a plant folder."""

import sys
from itertools import groupby
from pathlib import Path
from typing import Annotated

import orjson
import typer

from schemas.problem import Problem
from scopeline.check import check
from scopeline.cli.options import Json, inert

_COLOURS = {"error": typer.colors.RED, "warning": typer.colors.YELLOW, "note": typer.colors.BRIGHT_BLACK}


def command(
    plant: Annotated[Path, typer.Option("--plant", metavar="DIR", help="The plant folder.")] = Path(),
    as_json: Json = False,
) -> None:
    """Read the whole plant folder, connect to nothing, and print every problem with file, line, key and remedy.

    Exit code 0 without errors (warnings and notes may be there), 1 with errors, 2 where there is no plant folder.

    **Examples**

        scopeline check

        scopeline check --plant works --json
    """
    found, problems = check(plant)
    if as_json:
        typer.echo(orjson.dumps([problem._asdict() for problem in problems], option=orjson.OPT_INDENT_2).decode())
    else:
        for text in lines(problems, colour=sys.stdout.isatty()):
            typer.echo(text, color=sys.stdout.isatty())
        typer.echo(
            summary(
                problems, None if found is None else f"{number(len(found.feeds), 'feed')}, {number(len(found.sources), 'source')}"
            )
        )
    if any(problem.severity == "error" for problem in problems):
        raise typer.Exit(2 if problems[0].message.startswith("there is no ") and problems[0].key == "" else 1)


def lines(problems: list[Problem], *, colour: bool = False) -> list[str]:
    """Problems by file, each with its line, key and remedy.

    >>> lines([Problem("error", "plant.yaml", 3, "sites[0].timezone", "there is no time zone Mars", "write Europe/Berlin")])
    ['plant.yaml', '  3: error: sites[0].timezone: there is no time zone Mars', '     -> write Europe/Berlin', '']
    """
    text: list[str] = []
    for file, listed in groupby(problems, key=lambda problem: problem.file):
        text.append(typer.style(inert(file), bold=True) if colour else inert(file))
        for problem in listed:
            severity = typer.style(problem.severity, fg=_COLOURS[problem.severity]) if colour else problem.severity
            place = f"  {problem.line}: " if problem.line else "  "
            what = f"{problem.key}: {problem.message}" if problem.key else problem.message
            text.append(f"{place}{severity}: {inert(what)}")
            if problem.remedy:
                text.append(f"{' ' * len(place)}-> {inert(problem.remedy)}")
        text.append("")
    return text


def summary(problems: list[Problem], content: str | None) -> str:
    """The last line.

    >>> summary([], "2 feeds, 3 sources")
    'No errors: 2 feeds, 3 sources.'
    >>> summary([Problem("error", "a", 1, "", "b", "c")], None)
    '1 error.'
    """
    counts = [(name, sum(problem.severity == name for problem in problems)) for name in ("error", "warning", "note")]
    said = ", ".join(number(count, name) for name, count in counts if count)
    if counts[0][1]:
        return f"{said}."
    return f"No errors: {content or 'nothing to compute'}." + (f" {said[0].upper()}{said[1:]}." if said else "")


def number(count: int, what: str) -> str:
    """A count with its noun.

    >>> number(1, "feed"), number(2, "feed")
    ('1 feed', '2 feeds')
    """
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
