"""The InfluxDB sink on a real InfluxDB that is down, slow, or as fast as it can."""

import threading
import time
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from pydantic import SecretStr
from waiting import until

from schemas.connections import InfluxDB
from sinks import line_protocol as lp
from sinks.influx import Influx, setup

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]
AT = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
MICROS = int(AT.timestamp()) * 1_000_000


def counted(influx, where=""):
    parameters = {"db": "own", "q": f"SELECT count(v) FROM m {where}", "epoch": "u"}
    return influx.ask("POST", "/query", data=parameters).json()["results"][0]["series"][0]["values"][0][1]


def test_a_write_waits_for_a_server_that_is_down_and_for_a_slow_one(server_kit, proxy):
    server = server_kit.start_influxdb()
    way = proxy(server.port)
    settings = InfluxDB(url=f"http://127.0.0.1:{way.port}", org=server.org, bucket="own", timeout=timedelta(seconds=2))
    influx, written = Influx(settings, SecretStr(server.token)), []
    other = Influx(settings.model_copy(update={"timeout": timedelta(minutes=1)}), SecretStr(server.token))
    setup(other)

    def write(lines):
        writer = threading.Thread(target=lambda: written.append(influx.write("own", lines)), daemon=True)
        writer.start()
        return writer

    server.kill()
    writer = write([f"m,k={k % 7} v={k}.5 {MICROS + k}" for k in range(5000)])
    assert until(lambda: "cannot be reached" in (influx.problem or "")), "told while a write waits"
    assert not written
    server.start()
    writer.join(120)
    assert written == [(5000, [])] and influx.problem is None
    assert counted(other) == 5000

    way.delay(3)
    writer = write([f"m,k=slow v=1.0 {MICROS}"])
    assert until(lambda: "no answer within 2 s" in (influx.problem or "")), "told while a write waits"
    way.heal()
    writer.join(120)
    assert written[1:] == [(1, [])]
    assert counted(other, "WHERE k = 'slow'") == 1, "tried more than once, counted once"


def test_writing_is_as_fast_as_the_server(server_kit):
    """Lines a second of `write` against the same bytes by plain HTTP, in turns. What others do on the machine slows both, so the
    limit is the fastest plain turn, and ours is that plus the processor time that `write` needs beyond it."""
    server, count = server_kit.start_influxdb(), 50_000
    influx = Influx(InfluxDB(url=server.url, org=server.org, bucket="own"), SecretStr(server.token))
    setup(influx)
    rows = pl.DataFrame({"k": range(count)}).select(
        at=(pl.lit(MICROS) + pl.col("k") // 100).cast(pl.Datetime("us", "UTC")),
        meter=pl.lit("m") + (pl.col("k") % 100).cast(pl.String),
        value=pl.col("k") * 0.37,
    )
    lines = lp.lines(rows, "m", ["meter"], ["value"], "at")
    bodies = ["\n".join(lines[n : n + 10_000]).encode() for n in range(0, len(lines), 10_000)]
    where = {"org": server.org, "bucket": "own", "precision": "us"}

    def plain():
        assert all(influx.ask("POST", "/api/v2/write", params=where, content=body).status_code == 204 for body in bodies)

    def ours():
        assert influx.write("own", lines).accepted == count

    def spent(work):
        begin = time.perf_counter(), time.process_time()
        work()
        return time.perf_counter() - begin[0], time.process_time() - begin[1]

    plain()
    turns = [(*spent(plain), *spent(ours)) for _ in range(4)]
    limit, plain_cpu, own, own_cpu = (min(column) for column in zip(*turns, strict=True))
    reached = limit / (limit + max(own_cpu - plain_cpu, 0))
    print(f"\nlines a second: plain HTTP {count / limit:,.0f}, write {count / own:,.0f}")
    print(f"processor seconds: plain HTTP {plain_cpu:.3f}, write {own_cpu:.3f}; reached {reached:.0%} of the server's limit")
    assert reached >= 0.8
