"""Writing to InfluxDB: the sink beside plain HTTP posts of the same lines, which is what the server itself can take."""

import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import httpx
import polars as pl

from schemas.connections import InfluxDB
from schemas.frames import OUTPUT, TIME
from scopeline.bench.cluster_plant import drop_buckets
from scopeline.bench.cluster_servers import Servers
from scopeline.bench.measure import Failed
from sinks import line_protocol
from sinks.influx import Influx
from sinks.influx import setup as influx_setup
from sinks.influx.client import LINES

ROUNDS = 4
"""Each way writes its share of the lines in turns, so that both meet the same weather."""


class Wrote(NamedTuple):
    """Seconds for so many lines."""

    lines: int
    cpu_s: float
    wall_s: float

    @property
    def per_second(self) -> float:
        return self.lines / self.wall_s


def measure(servers: Servers, count: int) -> dict[str, Wrote]:
    """`sink` and `plain`, each writing `count` lines of figures into a bucket of its own, and `lines`, which makes them."""
    begun, began = time.process_time(), time.perf_counter()
    lines = line_protocol.figures(output(count))
    made = Wrote(count, time.process_time() - begun, time.perf_counter() - began)
    size = max(LINES, -(-count // ROUNDS))
    with httpx.Client(timeout=60) as plain:
        names = {way: f"bench-{uuid.uuid4().hex[:8]}" for way in ("sink", "plain")}
        stores = {way: _store(servers, name) for way, name in names.items()}
        try:
            ways: dict[str, Callable[[pl.Series], None]] = {
                "sink": lambda part: _sink(stores["sink"], names["sink"], part),
                "plain": lambda part: _plain(plain, servers, names["plain"], part),
            }
            spent = {way: [0.0, 0.0] for way in ways}
            for first in range(0, count, size):
                for way, write in ways.items():
                    cpu, wall = time.process_time(), time.perf_counter()
                    write(lines[first : first + size])
                    spent[way][0] += time.process_time() - cpu
                    spent[way][1] += time.perf_counter() - wall
        finally:
            for store in stores.values():
                _remove(store)
    return {way: Wrote(count, cpu, wall) for way, (cpu, wall) in spent.items()} | {"lines": made}


def _sink(store: Influx, bucket: str, part: pl.Series) -> None:
    if store.write(bucket, part).refused:
        raise Failed("InfluxDB refuses the lines of the benchmark")


def _plain(client: httpx.Client, servers: Servers, bucket: str, part: pl.Series) -> None:
    """The same requests, by nothing but a list of lines and an HTTP client."""
    where = {"org": servers.influx_org, "bucket": bucket, "precision": "us"}
    headers = {"Authorization": f"Token {servers.influx_token.get_secret_value()}"}
    rows = part.to_list()
    for first in range(0, len(rows), LINES):
        body = "\n".join(rows[first : first + LINES]).encode()
        client.post(f"{servers.influx_url}/api/v2/write", params=where, headers=headers, content=body).raise_for_status()


def _store(servers: Servers, bucket: str) -> Influx:
    settings = InfluxDB(url=servers.influx_url, org=servers.influx_org, bucket=bucket, timeout=timedelta(seconds=60))
    store = Influx(settings, servers.influx_token)
    influx_setup(store)
    return store


def _remove(store: Influx) -> None:
    try:
        drop_buckets(store)
    finally:
        store.close()


def output(count: int, sources: int = 200) -> pl.DataFrame:
    """OUTPUT of that many base intervals of a minute, of 200 sources, with the numbers that figures of electricity have."""
    n = pl.int_range(count, dtype=pl.Int64)
    begin = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=count // sources + 1)
    start = pl.lit(begin, dtype=TIME) + pl.duration(minutes=n // sources)
    kwh = (n * 7919 % 400_000).cast(pl.Float64) / 1000
    same: dict[str, Any] = {
        "site": "works", "scope": 2, "category": "purchased_electricity", "basis": "location", "method": "measured",
        "activity_unit": "kWh", "coverage": 1.0, "estimated_share": 0.0, "unpriced_share": 0.0, "status": "final",
        "factor_id": "own/bench-grid", "factor_version": "2026", "factor_age_years": 1.5, "instrument": "grid_average",
        "gwp": "ar6", "config": "0123456789abcdef",
    }  # fmt: skip
    made = pl.select(
        interval_start=start,
        interval_end=start + pl.duration(minutes=1),
        source=pl.format("electricity-m{}", n % sources),
        activity=kwh,
        unsplit_co2e_kg=kwh * 0.25,
        co2e_kg=kwh * 0.25,
    )
    given = {**dict.fromkeys(OUTPUT), **same}
    return made.with_columns(
        pl.lit(value, dtype=OUTPUT[name]).alias(name) for name, value in given.items() if name not in made.columns
    )
