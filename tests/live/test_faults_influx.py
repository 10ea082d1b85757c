"""InfluxDB is away, slow, or refuses points: Kafka holds what waits, people are told, and in the end everything is there."""

from typing import Any, NamedTuple

import httpx
import pytest

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]


class At(NamedTuple):
    url: str
    org: str
    token: str


def test_influxdb_is_away_and_then_slow(cluster: Any, influxdb: Any, proxy: Any, until: Any) -> None:
    """Away: the lag is told, and made up. Slow: what waits stays in Kafka, not in memory."""
    way = proxy(int(influxdb.url.rsplit(":", 1)[1]))
    plant = cluster(influx=At(f"http://127.0.0.1:{way.port}", influxdb.org, influxdb.token), step=0.1, timeout="3s")
    plant.start("ingest").ready()
    worker = plant.start("process", {"measured": 1}).ready()
    gauge = plant.gauge()
    plant.send(gauge, 0, 200)
    assert until(lambda: worker.metric("scopeline_process_committed") > 0), worker.said()
    way.refuse()
    plant.send(gauge, 200, 100, 0.005)
    assert until(lambda: worker.asked("readyz")[0] == 503), "people are told"
    assert "InfluxDB" in worker.asked("readyz")[1]
    plant.send(gauge, 300, 300, 0.005)
    assert until(lambda: worker.metric("scopeline_process_lag_records") > 0), "the lag is told while it grows"
    stood = worker.metric("scopeline_process_committed")
    way.heal()
    assert until(lambda: worker.metric("scopeline_process_committed") > stood), worker.said()
    way.throttle(20_000)
    memory, slow = worker.memory(), False
    for n in range(600, 4600, 1000):
        plant.send(gauge, n, 1000)
        assert gauge.drained()
        assert worker.memory() < memory + 100, "memory stays flat"
        slow = slow or worker.metric("scopeline_process_lag_records") > 0
    assert slow or until(lambda: worker.metric("scopeline_process_lag_records") > 0), "it is slow indeed"
    way.heal()
    plant.check()
    assert worker.code is None
    assert until(lambda: worker.metric("scopeline_process_lag_records") == 0)
    worker.ready()


def test_points_that_influxdb_refuses(cluster: Any, influxdb: Any, until: Any) -> None:
    """Of another type than what is there: named in log and metrics, the rest is stored, and the offsets go on."""
    plant = cluster()
    at = int(plant.begin.timestamp()) + 120
    lines = f'readings,site=north,meter=other,kind=counter,unit=kWh value="a text" {at}'
    answer = httpx.post(
        f"{influxdb.url}/api/v2/write",
        params={"org": influxdb.org, "bucket": f"{plant.prefix}_readings", "precision": "s"},
        headers={"Authorization": f"Token {influxdb.token}"},
        content=lines,
    )
    assert answer.status_code == 204, answer.text
    plant.start("ingest").ready()
    worker = plant.start("process").ready()
    gauge = plant.gauge()
    plant.send(gauge, 0, 300)
    plant.check()
    assert worker.metric("scopeline_process_refused_points_total") > 0
    assert "InfluxDB refuses a point" in worker.said() and "conflict" in worker.said()
    assert worker.metric("scopeline_process_points_total") > 0
