"""`scopeline bench`: the benchmarks, one table."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import typer

from scopeline.bench.embedded import bare, embedded
from scopeline.bench.generate import BEGIN, STAMP, write_messages, write_plant
from scopeline.bench.measure import Failed, run
from scopeline.bench.stored import STEP, fill
from scopeline.cli.options import Json, fail, table, to_json

Part = Literal["decode", "compute", "embedded", "export", "all"]
COLUMNS = ("part", "readings", "per processor-second", "per second", "peak MB", "remark")
Row = tuple[str, int, int, int, int, str]


def command(
    readings: Annotated[int, typer.Option(min=1000, help="Readings of decode and compute.")] = 1_000_000,
    messages: Annotated[int, typer.Option(min=1000, help="MQTT messages of the embedded way.")] = 30_000,
    intervals: Annotated[int, typer.Option(min=1, help="Quarter hours of export, for each of 1,000 sources.")] = 192,
    part: Annotated[Part, typer.Option(help="What to measure.")] = "all",
    json: Json = False,
) -> None:
    """Measure on generated input: decode, compute, the whole embedded way beside the bare broker, and export.

    Each part runs in a process of its own. Readings come one a message, as JSON, from 100 counters once a minute. Export counts
    the base figures that it adds up; a year has 35,040 quarter hours (20 GB of disk).

    **Examples**

    ```sh
    scopeline bench
    scopeline bench --part compute --readings 10000000
    scopeline bench --part export --intervals 35040
    ```
    """
    chosen: set[str] = {"decode", "compute", "embedded", "export"} if part == "all" else {part}
    try:
        with tempfile.TemporaryDirectory(prefix="scopeline-bench-") as folder:
            place = Path(folder)
            rows = [*_offline(chosen, readings, place), *_embedded(chosen, messages, place), *_export(chosen, intervals, place)]
    except Failed as failed:
        fail(f"bench: {failed}", 1)
    if json:
        to_json([dict(zip(COLUMNS, row, strict=True)) for row in rows])
    else:
        table(COLUMNS, rows)


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
        alone, whole = bare(messages), embedded(messages, folder / "embedded")
        for name, rate, remark in (
            ("bare broker", alone, "amqtt, QoS 1, acknowledged at once"),
            ("embedded", whole, f"acknowledged after the commit: {whole.per_second / alone.per_second:.0%} of the bare broker"),
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
