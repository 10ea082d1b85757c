"""`scopeline bench`: the benchmarks, one table."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import SecretStr

from scopeline.bench.embedded import bare, embedded
from scopeline.bench.generate import BEGIN, STAMP, write_messages, write_plant
from scopeline.bench.measure import Failed, run
from scopeline.bench.stored import STEP, fill
from scopeline.cli.options import Json, existing, fail, table, to_json

Part = Literal["decode", "compute", "embedded", "export", "process", "influx", "latency", "ingest", "all"]
ROUNDS = 3
"""The bare broker and the embedded way are measured in turns; what is told is the round in the middle, by their ratio."""
EMBEDDED, CLUSTER = ("decode", "compute", "embedded", "export"), ("process", "influx", "latency", "ingest")
COLUMNS = ("part", "readings", "per processor-second", "per second", "peak MB", "remark")
Row = tuple[str, int, int, int, int, str]

_CLUSTER = "Cluster"
"""Panel of the options of `--profile cluster`."""


def _of_cluster(text: str, metavar: str, name: str, **how: Any) -> Any:
    return typer.Option(name, help=text, metavar=metavar, rich_help_panel=_CLUSTER, **how)


def command(
    readings: Annotated[
        int | None,
        typer.Option(min=1000, help="Readings of decode, compute; cluster: in micro-batches. Default: 1,000,000 and 2,000,000."),
    ] = None,
    messages: Annotated[
        int | None,
        typer.Option(min=1000, help="MQTT messages; cluster: of ingest and one-message records. Default: 30,000 and 500,000."),
    ] = None,
    intervals: Annotated[int, typer.Option(min=1, help="Quarter hours of export, for each of 1,000 sources.")] = 192,
    part: Annotated[Part, typer.Option(help="What to measure; the last four are of the cluster profile.")] = "all",
    profile: Annotated[Literal["embedded", "cluster"], typer.Option(help="One process, or real servers.")] = "embedded",
    mqtt: Annotated[str | None, _of_cluster("The broker; it must queue all messages.", "HOST:PORT", "--mqtt")] = None,
    kafka: Annotated[str | None, _of_cluster("Kafka.", "HOST:PORT", "--kafka")] = None,
    influxdb: Annotated[str | None, _of_cluster("InfluxDB 2.", "URL", "--influxdb")] = None,
    org: Annotated[str, _of_cluster("Its organisation.", "NAME", "--org")] = "scopeline",
    token_file: Annotated[Path | None, _of_cluster("Holds a token that may make buckets.", "FILE", "--token-file")] = None,
    plant: Annotated[Path | None, _of_cluster("Or: a plant folder that names the servers.", "DIR", "--plant")] = None,
    meters: Annotated[int, _of_cluster("Meters that speak.", "N", "--meters", min=1)] = 100,
    every: Annotated[float, _of_cluster("Seconds between two readings of a meter.", "S", "--every", min=0.01)] = 1.0,
    lines: Annotated[int, _of_cluster("Lines written to InfluxDB.", "N", "--lines", min=1000)] = 200_000,
    rate: Annotated[int, _of_cluster("Messages a second while latency is measured.", "N", "--rate", min=1)] = 5000,
    seconds: Annotated[float, _of_cluster("How long it is measured.", "S", "--seconds", min=1)] = 15.0,
    peer_python: Annotated[str | None, _of_cluster("A Python that has quixstreams.", "PATH", "--peer-python")] = None,
    telegraf: Annotated[str | None, _of_cluster("Default: the one on PATH, if any.", "PATH", "--telegraf")] = None,
    json: Json = False,
) -> None:
    """Measure on generated input: decode, compute, the whole embedded way beside the bare broker, and export.

    Each part runs in a process of its own. Readings come one a message, as JSON, from 100 counters once a minute. Export counts
    the base figures that it adds up; a year has 35,040 quarter hours (20 GB of disk).

    `--profile cluster` measures on real servers: processing from Kafka to figures (processor time of the worker alone), writes to
    InfluxDB beside plain posts, the time from an MQTT publish to an answer that has its figure, and ingest. Peers (Quix Streams,
    Telegraf) run beside it where they are installed. Servers are those named, those of a plant folder, or, in a checkout, own
    ones for the time of the run.

    **Examples**

    ```sh
    scopeline bench
    scopeline bench --part compute --readings 10000000
    scopeline bench --part export --intervals 35040
    scopeline bench --profile cluster --telegraf /usr/bin/telegraf
    scopeline bench --profile cluster --part latency --rate 2000 --seconds 60
    ```
    """
    known = CLUSTER if profile == "cluster" else EMBEDDED
    if part != "all" and part not in known:
        fail(f"--part {part} is not of --profile {profile}. Its parts: {', '.join(known)}, all.", 2)
    chosen: set[str] = set(known) if part == "all" else {part}
    columns: tuple[str, ...] = COLUMNS
    rows: list[tuple[Any, ...]]
    try:
        if profile == "cluster":
            from scopeline.bench import cluster

            size = cluster.Sizes(
                messages or 500_000, readings or 2_000_000, meters, every, lines, rate, seconds, peer_python, telegraf
            )
            columns = cluster.COLUMNS
            with _servers(mqtt, kafka, influxdb, org, token_file, plant) as servers:
                rows = list(cluster.rows(chosen, servers, size))
        else:
            with tempfile.TemporaryDirectory(prefix="scopeline-bench-") as folder:
                place, most = Path(folder), messages or 30_000
                rows = [*_offline(chosen, readings or 1_000_000, place), *_embedded(chosen, most, place)]
                rows += _export(chosen, intervals, place)
    except Failed as failed:
        fail(f"bench: {failed}", 1)
    if json:
        to_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        table(columns, rows)


@contextmanager
def _servers(
    mqtt: str | None, kafka: str | None, influxdb: str | None, org: str, token_file: Path | None, plant: Path | None
) -> Iterator[Any]:
    """The servers to measure on; misuse where they are named in part."""
    from scopeline.bench import cluster_servers

    if plant is not None:
        yield cluster_servers.of_plant(existing(plant))
    elif mqtt or kafka or influxdb or token_file:
        if not (mqtt and kafka and influxdb and token_file):
            fail("Name all servers: --mqtt HOST:PORT, --kafka HOST:PORT, --influxdb URL and --token-file FILE.", 2)
        if not token_file.is_file():
            fail(f"--token-file {token_file}: there is no such file.", 2)
        token = SecretStr((token_file.read_text().splitlines() or [""])[0])
        yield cluster_servers.named(mqtt, kafka, influxdb, org, token)
    else:
        with cluster_servers.native() as servers:
            yield servers


def _offline(chosen: set[str], readings: int, folder: Path) -> Iterator[Row]:
    plant = write_plant(folder / "offline")
    if "decode" in chosen:
        cost, printed = run(["-m", "scopeline.bench.decode", str(plant), str(readings)])
        seconds = float(printed)
        yield (
            "decode",
            readings,
            round(readings / seconds),
            round(readings / cost.wall_s),
            round(cost.peak_mb),
            "ingest.decode alone",
        )
    if "compute" in chosen:
        file = write_messages(readings, folder / "messages.ndjson")
        given = ["--plant", str(plant), "--messages", str(file), "--out", str(folder / "figures.parquet")]
        cost, _ = run(["-c", "from scopeline.cli import main; main()", "compute", *given])
        file.unlink()
        rates = round(readings / cost.cpu_s), round(readings / cost.wall_s)
        yield "compute", readings, *rates, round(cost.peak_mb), "message file to figures, start-up included"


def _embedded(chosen: set[str], messages: int, folder: Path) -> Iterator[Row]:
    if "embedded" in chosen:
        rounds = sorted(
            ((bare(messages), embedded(messages, folder / f"embedded-{n}")) for n in range(ROUNDS)),
            key=lambda both: both[1].per_second / both[0].per_second,
        )
        shares = [f"{whole.per_second / alone.per_second:.0%}" for alone, whole in rounds]
        alone, whole = rounds[ROUNDS // 2]
        said = f"acknowledged after the commit: {shares[ROUNDS // 2]} of the bare broker (rounds: {', '.join(shares)})"
        for name, rate, remark in (
            ("bare broker", alone, "amqtt, QoS 1, acknowledged at once"),
            ("embedded", whole, said),
        ):
            remark += f"; slowest acknowledgement {rate.slowest_s:.2f} s"
            yield name, messages, round(messages / rate.cost.cpu_s), round(rate.per_second), round(rate.cost.peak_mb), remark


def _export(chosen: set[str], intervals: int, folder: Path) -> Iterator[Row]:
    if "export" not in chosen:
        return
    plant = folder / "stored"
    figures = fill(plant, intervals)
    until = (BEGIN + STEP * intervals).strftime(STAMP)
    for interval, form in (("15m", "csv"), ("15m", "parquet"), ("1h", "csv"), ("1mo", "csv")):
        file = folder / f"figures.{form}"
        asked = ["--from", BEGIN.strftime(STAMP), "--to", until, "--interval", interval, "--out", str(file)]
        cost, _ = run(["-c", "from scopeline.cli import main; main()", "export", "--plant", str(plant), *asked])
        file.unlink()
        rates = round(figures / cost.cpu_s), round(figures / cost.wall_s)
        yield f"export {interval}", figures, *rates, round(cost.peak_mb), f"stored figures to {form}, start-up included"
