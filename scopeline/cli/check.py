"""`scopeline check`: every problem of a plant folder."""

from itertools import groupby
from pathlib import Path

import typer

from schemas.problem import Problem
from scopeline.check import check
from scopeline.cli.options import Json, Plant, coloured, counted, existing, inert, marked, to_json


def command(
    plant: Plant = Path("."),
    as_json: Json = False,
) -> None:
    """Print every problem of a plant folder with file, line, key and remedy; nothing is connected to.

    Exit code 0 without errors (warnings and notes may be there), 1 with errors, 2 where there is no plant folder.

    **Examples**

    ```sh
    scopeline check
    scopeline check --plant works --json
    ```
    """
    found, problems = check(existing(plant))
    if as_json:
        to_json([problem._asdict() for problem in problems])
    else:
        colour = coloured()
        for text in lines(problems, colour=colour):
            typer.echo(text, color=colour)
        content = f"{counted(len(found.feeds), 'feed')}, {counted(len(found.sources), 'source')}" if found else None
        typer.echo(summary(problems, content))
    if any(problem.severity == "error" for problem in problems):
        raise typer.Exit(1)


def lines(problems: list[Problem], *, colour: bool = False) -> list[str]:
    """Problems by file, each with its line, key and remedy.

    >>> lines([Problem("error", "plant.yaml", 3, "sites[0].timezone", "there is no time zone Mars", "write Europe/Berlin")])
    ['plant.yaml', '  3: error: sites[0].timezone: there is no time zone Mars', '     -> write Europe/Berlin', '']
    """
    text: list[str] = []
    for file, listed in groupby(problems, key=lambda problem: problem.file):
        text.append(typer.style(inert(file), bold=True) if colour else inert(file))
        for problem in listed:
            place = f"  {problem.line}: " if problem.line else "  "
            what = f"{problem.key}: {problem.message}" if problem.key else problem.message
            text.append(f"{place}{marked(problem.severity, colour)}: {inert(what)}")
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
    said = ", ".join(counted(count, name) for name, count in counts if count)
    if counts[0][1]:
        return f"{said}."
    return f"No errors: {content or 'nothing to compute'}." + (f" {said[0].upper()}{said[1:]}." if said else "")
