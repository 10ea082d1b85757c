"""A plant and messages of any size: counters that speak once a minute, one JSON reading a message."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

METERS = 100
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
CHUNK = 500_000
STAMP = "%Y-%m-%dT%H:%M:%SZ"

PLANT = {
    "plant.yaml": """\
organisation: Bench
sites:
  - {site: works, timezone: UTC, grid_region: GB}
reporting: {base_interval: 15m}
factor_sets: {desnz: "2026"}
""",
    "feeds/meters.yaml": """\
feed: meters
topic: "bench/{device}"
decoder: json
site: works
observed_at: {path: "$.time", format: iso8601}
channels:
  - {channel: energy, value: "$.kwh", unit: kWh, kind: counter, max_rate: 1 MW}
""",
    "sources/electricity.yaml": """\
source: electricity-{n}
site: works
scope: 2
category: purchased_electricity
for_each: "works/*:energy"
measured_by: "{meter}"
factor: {id: own/bench-grid}
""",
    "factors/own.csv": """\
factor_id,activity,region,scope,gas,value,unit,per_unit,basis,boundary,valid_from,valid_to,published,gwp_set,uncertainty_pct,citation
bench-grid,Grid electricity,GB,2,CO2e,0.25,kg,kWh,,generation,2020-01-01,,2020-01-01,,,made up for the benchmark
""",
}


def write_plant(folder: Path) -> Path:
    """Write the benchmark's plant folder."""
    for name, text in PLANT.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def messages(readings: int, chunk: int = CHUNK) -> Iterator[pl.DataFrame]:
    """Frames (topic, payload, received_at as text) of `readings` messages in the order of time, METERS of them a minute.

    >>> next(messages(2)).row(1)
    ('bench/m001', '{"time":"2026-01-01T00:00:00Z","kwh":1.0}', '2026-01-01T00:00:01Z')
    """
    for first in range(0, readings, chunk):
        n = pl.int_range(first, min(first + chunk, readings), dtype=pl.Int64)
        minute, meter = n // METERS, n % METERS
        observed = pl.lit(BEGIN, dtype=pl.Datetime("us", "UTC")) + pl.duration(minutes=minute)
        kwh = (1000 * (meter + minute) + 7 * meter * minute) / 1000
        yield pl.select(
            topic=pl.format("bench/m{}", meter.cast(pl.String).str.zfill(3)),
            payload=pl.concat_str(
                pl.lit('{"time":"'), observed.dt.strftime(STAMP), pl.lit('","kwh":'), kwh.cast(pl.String), pl.lit("}")
            ),
            received_at=(observed + pl.duration(seconds=1)).dt.strftime(STAMP),
        )


def write_messages(readings: int, file: Path) -> Path:
    """Write a message file of `readings` lines."""
    with file.open("wb") as out:
        for frame in messages(readings):
            out.write(frame.write_ndjson().encode())
    return file
