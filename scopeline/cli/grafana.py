"""`scopeline grafana`: dashboards, alerts and data sources, into a Grafana server or into files that provision one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr

from schemas.plant import Plant as Folder
from scopeline.cli.options import Json, Plant, counted, existing, fail, to_json
from scopeline.plant import load, secret

command = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="markdown")

TOKEN, READ_TOKEN, STORE_TOKEN = "SCOPELINE_GRAFANA_TOKEN", "SCOPELINE_INFLUXDB_READ_TOKEN", "SCOPELINE_INFLUXDB_TOKEN"
Console = Annotated[
    str | None, typer.Option(metavar="URL", help="The console's address as people reach it; default: plant.yaml's.")
]
Docs = Annotated[str | None, typer.Option(metavar="URL", help="Where operate.md stands, for the links of alerts; default: docs.")]
Store = Annotated[
    str | None, typer.Option("--influxdb-url", metavar="URL", help="InfluxDB as Grafana reaches it; default: plant.yaml's.")
]


@command.callback()
def _root() -> None:
    """Dashboards, alerts and data sources, made from the plant folder.

    **Examples**

    ```sh
    scopeline grafana push --plant works --dry-run
    scopeline grafana write provisioning --plant works
    ```
    """


@command.command("push")
def push(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    datasources: Annotated[
        bool, typer.Option("--datasources/--no-datasources", help="Also data sources, which needs the role Admin.")
    ] = True,
    read_token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File with an InfluxDB token that may read the buckets, for Grafana; default: "
            "SCOPELINE_INFLUXDB_READ_TOKEN, else the plant's own token.",
        ),
    ] = None,
    console: Console = None,
    docs: Docs = None,
    influxdb_url: Store = None,
    plant: Plant = Path("."),
    json: Json = False,
) -> None:
    """Put folder, data sources, dashboards and alerts into the Grafana server of plant.yaml (`grafana:`).

    Repeatable: what is the same is not touched, what was changed by hand is put back, alert rules that the plant folder no longer
    has are deleted. The token of a service account comes from `grafana.token_file` or SCOPELINE_GRAFANA_TOKEN.

    **Examples**

    ```sh
    scopeline grafana push --plant works --dry-run
    scopeline grafana push --plant works --console https://scopeline.example.org
    ```
    """
    with _installed():
        import grafana
        from scopeline.cluster import grafana as server
    folder = existing(plant)
    found = _loaded(folder)
    settings = found.settings.grafana
    if settings is None:
        fail("plant.yaml has no `grafana:`. Add `grafana: {url: http://localhost:3000, token_file: secrets/grafana}`.", 2)
    token = _secret(folder, settings.token_file, TOKEN, "grafana.token_file")
    if token is None:
        fail(f"There is no token for Grafana. Write one into grafana.token_file of plant.yaml, or set {TOKEN}.", 2)
    steps = []
    try:
        for step in server.push(
            server.connect(settings.url, token),
            grafana.facts(found, console, docs, influxdb_url),
            _read_token(folder, found, read_token_file) if datasources else None,
            dry_run,
            datasources,
        ):
            steps.append(step)
            if not json and step.state != "same":
                typer.echo(f"{step.what} {step.name}: {'would be ' if dry_run else ''}{step.state}")
    except server.Refused as refused:
        fail(str(refused), 1)
    if json:
        to_json([step._asdict() for step in steps])
        return
    same = sum(step.state == "same" for step in steps)
    typer.echo(f"{settings.url}: {counted(len(steps) - same, 'change')}{' to make' if dry_run else ''}, {same} the same.")


@command.command("write")
def write(
    out: Annotated[Path, typer.Argument(metavar="DIR", help="Grafana's provisioning folder; it is made where it is missing.")],
    console: Console = None,
    docs: Docs = None,
    influxdb_url: Store = None,
    plant: Plant = Path("."),
) -> None:
    """Write the files that a Grafana reads at its start: data sources, dashboards, alerts. No token is in them.

    Grafana reads InfluxDB's token from /run/secrets/influxdb_token.

    **Examples**

    ```sh
    scopeline grafana write deploy/grafana/provisioning --plant works
    ```
    """
    with _installed():
        import grafana
        from grafana.provisioning import files
    found = _loaded(existing(plant))
    written = files(grafana.facts(found, console, docs, influxdb_url))
    for name, text in written.items():
        file = out / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    typer.echo(f"{out}: {counted(len(written), 'file')} written.")


@contextmanager
def _installed() -> Iterator[None]:
    """What an installation without the cluster profile lacks, and how to get it."""
    try:
        yield
    except ModuleNotFoundError as missing:
        fail(f"{missing.name} is not installed. It comes with the cluster profile: pip install 'scopeline[cluster]'.", 2)


def _loaded(folder: Path) -> Folder:
    found, problems = load(folder)
    if found is None:
        fail(f"The plant folder has problems: {problems[0]}. `scopeline check` lists them all.", 1)
    return found


def _secret(folder: Path, file: str | None, variable: str, key: str) -> SecretStr | None:
    try:
        return secret(folder, file, variable)
    except OSError as error:
        fail(f"{key}: {file} cannot be read ({error.strerror}). Write the token into that file, or set {variable}.", 2)


def _read_token(folder: Path, plant: Folder, file: Path | None) -> SecretStr | None:
    """InfluxDB's token for Grafana: one that only reads, else the plant's own."""
    found = _secret(Path.cwd(), str(file) if file else None, READ_TOKEN, "--read-token-file")
    if found:
        return found
    store = plant.settings.influxdb
    own = _secret(folder, store.token_file if store else None, STORE_TOKEN, "influxdb.token_file")
    if own:
        typer.echo(
            f"Grafana gets the plant's own InfluxDB token, which may write: better one that reads ({READ_TOKEN}).", err=True
        )
    else:
        typer.echo(f"Data sources keep the token that they have: there is none in {READ_TOKEN} or influxdb.token_file.", err=True)
    return own
