"""`scopeline doctor`: what is not well."""

from pathlib import Path
from typing import Any

import typer

from scopeline.cli.options import Json, Plant, coloured, door, existing, fail, inert, marked, to_json


def command(plant: Plant = Path("."), json: Json = False) -> None:
    """Say what is not well: broker, log, store, silent feeds, lag, unpriced sources, old factors, plant folder, disk.

    In the cluster profile one line for each thing looked at: brokers (sign-in, sessions, drops), Kafka (topics, who holds which
    partition, lag, retention), InfluxDB (version, buckets, rights of the token), the archive (writable, newest entry, gaps),
    Grafana, clocks, versions, the published plant folder; and, through the console, what its data say. Each look ends within
    seconds, and one that fails does not stop the others.

    Exit code 0 when all is well (notes may be there), 1 on a finding.

    **Examples**

    ```sh
    scopeline doctor --plant works
    scopeline doctor --json | jq .findings
    ```
    """
    report = _report(plant)
    if json:
        to_json(report)
    else:
        facts, colour = report["facts"], coloured()
        if "messages" in facts:
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


def _report(plant: Path) -> dict[str, Any]:
    from scopeline.plant import read

    found = read(existing(plant)).readable
    if found is None or found.settings.profile != "cluster":
        with door(plant) as asked:
            answer: dict[str, Any] = asked.get("/doctor")
            return answer
    from scopeline.cluster.doctor import examine

    for key in ("kafka", "influxdb", "archive"):
        if not getattr(found.settings, key):
            fail(f"plant.yaml lacks {key}:, which the cluster profile needs. `scopeline check` says more.", 1)
    return examine(found, plant.resolve()).as_dict()
