"""Messages come twice, in another order, late, from wrong clocks, or broken: the figures are those of the set of good ones."""

import random
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]


def test_twice_in_any_order_late_wrong_and_broken(cluster: Any, until: Any) -> None:
    """Duplicates by another delivery, shuffled, an hour late, from the future and the past, and payloads that nobody can read."""
    plant = cluster()
    plant.start("ingest").ready()
    worker = plant.start("process")
    gauge, numbers = plant.gauge(), list(range(300))
    random.Random(1).shuffle(numbers)
    for n in numbers:
        plant.say(gauge, n)
    first = plant.check()
    assert first.height > 300
    random.Random(2).shuffle(numbers)
    for n in numbers:
        plant.say(gauge, n, again="#2")
    topic = f"{plant.prefix}/north/m2"
    for n, payload in enumerate(('{"time": "2026-', "", "[" * 2000, '{"time": "2026-01-01T00:00:00Z", "kwh": "NaN"}')):
        gauge.publish(topic, payload, f"broken{n}")
    for n, text in enumerate(("2106-02-07T06:28:15Z", "1111-11-11T00:00:00Z", (plant.begin + timedelta(days=370)).isoformat())):
        gauge.publish(topic, {"time": text, "kwh": 1e6}, f"clock{n}")
    late = (plant.begin - timedelta(hours=1)).isoformat()
    gauge.publish(topic, {"time": late, "kwh": -10.0}, "late")
    for n in range(300, 330):
        plant.say(gauge, n)
    assert gauge.drained()
    assert until(lambda: plant.log().height >= first.height + 300 + 4 + 3 + 1 + 30), plant.said()
    assert plant.settled(), plant.said()
    assert plant.stored() == plant.computed(), "InfluxDB against `scopeline compute` of the log"
    figures = plant.figures()
    fuel = figures.filter(pl.col("source").str.starts_with("trucks"))["activity"].sum()
    assert fuel == sum(1 + n % 7 for n in range(330) if n % 3 == 0), "each ticket counts once"
    energy = figures.filter((pl.col("source") == "power-m2") & (pl.col("basis") == "location"))["activity"].sum()
    steps = [n * 0.25 for n in range(330) if n % 6 == 2]
    assert abs(energy - (max(steps) + 10)) < 1e-6, "late and ordinary ones, and none of a wrong clock"
    assert worker.code is None
