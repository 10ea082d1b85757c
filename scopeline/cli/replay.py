"""`scopeline replay`: a range again, from log or archive."""

import tempfile
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from scopeline.cli.options import Json, Plant, as_options, counted, existing, fail, inert, to_json
from scopeline.query import QueryError, instant, rfc3339
from scopeline.remote import Failed, Remote, running


def command(
    start: Annotated[str, typer.Option("--from", metavar="TIME", help="Inclusive: 2026-03, 2026-03-29, 2026-03-29T10:00:00Z.")],
    end: Annotated[str, typer.Option("--to", metavar="TIME", help="Exclusive.")],
    compare: Annotated[
        bool, typer.Option("--compare/--no-compare", help="Cluster: also compare InfluxDB with what the console computed.")
    ] = True,
    plant: Plant = Path(),
    json: Json = False,
) -> None:
    """Read the messages of a range again, from the log or the archive, compute it again, and say what changed.

    Figures are a function of messages and plant folder, so nothing changes unless something had been wrong: then exit code 1.
    Edits of the plant folder need no replay: they are taken up by themselves. In the cluster profile the running console does it,
    and what InfluxDB holds of the range is compared with it; only workers write to InfluxDB.

    **Example**

    ```sh
    scopeline replay --from 2026-03 --to 2026-04
    ```
    """
    try:
        first, last = instant(start, "from"), instant(end, "to")
        if first >= last:
            raise QueryError(f"from={start} is not before to={end}", "from is inclusive, to is exclusive.")
    except QueryError as error:
        fail(as_options(str(error)), 2)
    folder = existing(plant)
    found = _cluster(folder, first, last, compare) if _is_cluster(folder) else _replay(folder, start, end)
    if json:
        to_json(found)
    else:
        _say(found)
    store = found.get("influxdb") or {}
    if found["readings"] or found["figures"] or any(store.get(what) for what in ("missing", "extra", "other")):
        raise typer.Exit(1)


def _say(found: dict[str, Any]) -> None:
    changed = f"{counted(found['readings'], 'reading')} and {counted(found['figures'], 'figure')} changed"
    typer.echo(f"{counted(found['messages'], 'message')} read again; {changed}.")
    for source, count in found["sources"].items():
        typer.echo(f"  {inert(source)}: {counted(count, 'figure')}")
    if not (store := found.get("influxdb")):
        return
    if not any(store[what] for what in ("missing", "extra", "other")):
        typer.echo(f"InfluxDB holds the same {counted(store['figures'], 'figure')}.")
        return
    typer.echo(
        f"InfluxDB differs: of {counted(store['figures'], 'figure')} {store['missing']:,} missing there, {store['other']:,} "
        f"with other values; {store['extra']:,} there that should not be."
    )
    for one in store["first"]:
        basis = f" {one['basis']}" if one["basis"] else ""
        typer.echo(f"  {one['what']}: {one['interval_start']} {inert(one['source'])} {inert(one['component'] or '')}{basis}")
    typer.echo(f"  -> {store['remedy']}")


def _is_cluster(plant: Path) -> bool:
    from scopeline.plant import read

    found = read(plant).readable
    return found is not None and found.settings.profile == "cluster"


def _cluster(plant: Path, start: datetime, end: datetime, compare: bool) -> dict[str, Any]:
    """The console reads the range again; then InfluxDB is read."""
    from scopeline.plant import load
    from sinks.influx import InfluxProblem

    settings, problems = load(plant)
    if settings is None:
        fail("\n".join(str(problem) for problem in problems if problem.severity == "error"), 1)
    remote = running(plant)
    if remote is None:
        fail("No console runs on this plant folder. Start one with `scopeline run --role console`, then replay.", 1)
    try:
        found: dict[str, Any] = remote.post("/replay", from_=rfc3339(start), to=rfc3339(end))
        if compare and settings.settings.influxdb:
            from scopeline.cluster.replay import REMEDY, difference

            there = difference(settings, plant, lambda: _computed(remote, start, end), start, end)
            found["influxdb"] = {**there, "remedy": REMEDY}
    except (Failed, InfluxProblem) as error:
        fail(str(error), 1)
    finally:
        remote.close()
    return found


def _computed(remote: Remote, start: datetime, end: datetime) -> Any:
    """The console's base figures of a range."""
    import polars as pl

    with tempfile.TemporaryDirectory(prefix="scopeline-replay-") as folder:
        file = Path(folder) / "figures.parquet"
        remote.export(file, "parquet", "plain", lambda _: None, from_=rfc3339(start), to=rfc3339(end), interval="base")
        return pl.read_parquet(file)


def _replay(plant: Path, start: str, end: str) -> dict[str, Any]:
    from scopeline.log import StateError
    from scopeline.runtime import FILE, PlantInvalid, Runtime
    from scopeline.tokens import STATE

    try:
        if remote := running(plant):
            answer: dict[str, Any] = remote.post("/replay", from_=start, to=end)
            return answer
        if not (plant / STATE / FILE).exists():
            fail(f"There is no data in {plant} yet. Start `scopeline run` first.", 1)
        runtime = Runtime(plant)
        runtime.start(listen=False)
    except (Failed, PlantInvalid, StateError) as error:
        fail(str(error), 1)
    try:
        return runtime.replay(instant(start, "from"), instant(end, "to"))
    finally:
        runtime.stop()
