"""`scopeline trace`: one figure back to its messages."""

from pathlib import Path
from typing import Annotated

import typer

from scopeline.cli.options import Json, Plant, door, fail, to_json


def command(
    source: Annotated[str, typer.Option(metavar="S", help="A source, like boiler-1.")],
    at: Annotated[str, typer.Option("--at", metavar="TIME", help="An instant, or a local time of the site, in the interval.")],
    basis: Annotated[str | None, typer.Option(metavar="B", help="location or market; default: all.")] = None,
    case: Annotated[Path | None, typer.Option(metavar="DIR", help="Also write a folder that computes this figure.")] = None,
    plant: Plant = Path("."),
    json: Json = False,
) -> None:
    """Explain the figure of a base interval: formula, activity, factor with citation, conversions, readings, messages.

    `--case` writes plant/, messages.ndjson (the messages behind the figure, no others) and expected.csv; `scopeline compute` on
    the case gives that figure again, on any machine.

    **Examples**

    ```sh
    scopeline trace --source boiler-1 --at 2026-03-29T10:15
    scopeline trace --source boiler-1 --at 2026-03-29T10:15 --case why
    scopeline compute --plant why/plant --messages why/messages.ndjson \\
        --out figures.csv
    ```
    """
    from scopeline.case import CaseError, write_case
    from scopeline.trace_text import text

    if case is not None and case.exists() and (not case.is_dir() or any(case.iterdir())):
        fail(f"--case {case}: is there already and not empty. Choose a new folder.", 2)
    with door(plant) as asked:
        found = asked.get("/trace", source=source, at=at, basis=basis)
        if case is not None:
            try:
                lines = b"".join(asked.lines("/trace/messages", source=source, at=at, basis=basis)).splitlines(keepends=True)
                write_case(lines, found["figures"], plant.resolve(), case)
            except CaseError as error:
                fail(str(error), 1)
            except OSError as error:
                fail(f"--case {case}: cannot be written ({error.strerror}). Choose a folder that this user may write.", 2)
    to_json(found) if json else typer.echo(text(found))
    if case is not None:
        typer.echo(f"{case} holds the case.", err=True)
