"""`scopeline doctor`: what is not well."""

from pathlib import Path

import typer

from scopeline.cli.options import Json, Plant, door, inert, to_json


def command(plant: Plant = Path("."), json: Json = False) -> None:
    """Broker, log and store; silent feeds, lag, unpriced sources, old factors, plant folder, disk. Exit 1 on a finding.

    Example: `scopeline doctor --json | jq .findings`
    """
    with door(plant) as asked:
        report = asked.get("/doctor")
    if json:
        to_json(report)
    else:
        facts = report["facts"]
        state = "running" if facts["running"] else "not running"
        typer.echo(f"{state}; {facts['messages']} messages, {facts['readings']} readings, {facts['figures']} figures")
        for found in report["findings"]:
            typer.echo(f"{found['severity']:8} {found['about']:11} {inert(found['what'])}. {inert(found['remedy'])}".rstrip())
        if report["well"]:
            typer.echo("All is well.")
    if not report["well"]:
        raise typer.Exit(1)
