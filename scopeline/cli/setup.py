"""`scopeline setup`: what the cluster profile needs before it runs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from scopeline.cli.cluster import problems, settings_of
from scopeline.cli.options import Json, Plant, counted, inert, to_json
from scopeline.plant import secret

TOKEN = "SCOPELINE_INFLUXDB_TOKEN"


def command(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is missing or different.")] = False,
    plant: Plant = Path("."),
    json: Json = False,
) -> None:
    """Make Kafka topics, InfluxDB buckets with their InfluxQL mappings, and the archive's folder, as plant.yaml says.

    Repeatable: what is there is left alone, settings that differ are set. What cannot be changed (partition counts, copies) is
    said with its remedy, and the exit code is 1. The InfluxDB token comes from `influxdb.token_file` or SCOPELINE_INFLUXDB_TOKEN.

    **Examples**

    ```sh
    scopeline setup --plant works --dry-run
    scopeline setup --plant works
    ```
    """
    with problems():
        found = []
        for step in _steps(plant, dry_run):
            found.append(step)
            if not json:
                typer.echo(_line(step, dry_run))
                if step.remedy:
                    typer.echo(f"  -> {inert(step.remedy)}")
    different = [step for step in found if step.state == "different"]
    if json:
        to_json([step._asdict() for step in found])
    elif different:
        typer.echo(f"{counted(len(different), 'thing')} cannot be changed: see above.", err=True)
    elif all(step.state == "there" for step in found):
        typer.echo("Everything is there.")
    if different:
        raise typer.Exit(1)


def _steps(plant: Path, dry_run: bool) -> Iterator[Any]:
    from scopeline.cluster import setup

    folder, settings = settings_of(plant, "kafka", "influxdb", "archive")
    assert settings.kafka and settings.influxdb and settings.archive
    yield from setup.kafka_topics(settings.kafka, folder, dry_run)
    yield from setup.influxdb(settings.influxdb, secret(folder, settings.influxdb.token_file, TOKEN), dry_run)
    yield from setup.archive_place(settings.archive, folder, dry_run)


def _line(step: Any, dry_run: bool) -> str:
    would = {"made": "would be made", "changed": "would be changed"} if dry_run else {}
    return f"{step.what} {inert(step.name)}: {would.get(step.state, step.state)}" + (
        f": {inert(step.detail)}" if step.detail else ""
    )
