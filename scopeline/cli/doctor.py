"""`scopeline doctor`: what is not well."""

from pathlib import Path

import typer

from scopeline.cli.options import Json, Plant, coloured, door, inert, marked, to_json


def command(plant: Plant = Path("."), json: Json = False) -> None:
    """Say what is not well: broker, log, store, silent feeds, lag, unpriced sources, old factors, plant folder, disk.

    Exit code 0 when all is well (notes may be there), 1 on a finding.

    **Examples**

    ```sh
    scopeline doctor --plant works
    scopeline doctor --json | jq .findings
    ```
    """
    with door(plant) as asked:
        report = asked.get("/doctor")
    if json:
        to_json(report)
    else:
        facts, colour = report["facts"], coloured()
        state = "Running" if facts["running"] else "Not running"
        typer.echo(f"{state}: {facts['messages']:,} messages, {facts['readings']:,} readings, {facts['figures']:,} figures.")
        for found in report["findings"]:
            typer.echo(f"{marked(found['severity'], colour)}: {found['about']}: {inert(found['what'])}", color=colour)
            if found["remedy"]:
                typer.echo(f"  -> {inert(found['remedy'])}")
        if report["well"]:
            typer.echo("All is well.")
    if not report["well"]:
        raise typer.Exit(1)
