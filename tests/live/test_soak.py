"""Processes and servers are killed and stopped in random order under load; then everything is counted. Long form: `make soak`.

Mosquitto is stopped in order here: what it had acknowledged in the last second before a SIGKILL is its own loss, and has its own
test (tests/live/test_faults_mosquitto.py).
"""

import contextlib
import os
import random
import threading
import time
from collections import defaultdict
from statistics import median
from typing import Any

import httpx
import polars as pl
import pytest

from sinks.influx import InfluxProblem

pytestmark = [
    pytest.mark.live,
    pytest.mark.soak,
    pytest.mark.timeout(900 + 90 * float(os.environ.get("SCOPELINE_SOAK_MINUTES") or 0)),
]
RATE = 50
"""Messages a second."""


class Load(threading.Thread):
    """Publishes until it is told to end, and looks at the trucks' figures now and then, as a dashboard does."""

    def __init__(self, plant: Any, gauge: Any) -> None:
        super().__init__(daemon=True)
        self.plant, self.gauge, self.ending = plant, gauge, threading.Event()
        self.looks: list[pl.DataFrame] = []

    def run(self) -> None:
        n, looked = 0, time.monotonic()
        while not self.ending.wait(0.2):
            if self.gauge.waiting < 5000 and self.plant.due(n + RATE):
                self.plant.send(self.gauge, n, RATE // 5)
                n += RATE // 5
            if time.monotonic() - looked > 3:
                looked = time.monotonic()
                with contextlib.suppress(InfluxProblem, httpx.HTTPError):  # InfluxDB may be away just now
                    self.looks.append(trucks(self.plant))

    def end(self) -> None:
        self.ending.set()
        self.join()


class Bounces:
    """What dies, how, and how long it takes until all is well again."""

    def __init__(self, plant: Any, servers: dict[str, Any], order: random.Random) -> None:
        self.plant, self.servers, self.random = plant, servers, order
        self.took: dict[str, list[float]] = defaultdict(list)
        self.exits: dict[int, int] = defaultdict(int)
        self._kinds: list[str] = []

    def one(self, until: Any) -> None:
        """Each kind once, in another order each time; now and then the next one comes before this one is over."""
        if not self._kinds:
            roles = [f"{role} {how}" for role in ("ingest", "process") for how in ("killed", "stopped")]
            self._kinds = [*roles, "kafka killed", "kafka stopped", "influxdb killed", "influxdb stopped", "mosquitto stopped"]
            self.random.shuffle(self._kinds)
        kind = self._kinds.pop()
        name, how = kind.split()
        running = [role for role in self.plant.roles if role.role == name and role.code is None]
        one = self.servers.get(name) or (self.random.choice(running) if running else None)
        if one is None:
            return self.supervise()
        (one.kill if how == "killed" else one.stop)()
        time.sleep(self.random.uniform(0.1, 1.0))
        one.start()
        begun = time.monotonic()
        if self.random.random() < 0.2:
            return self.took[f"{kind}, and the next at once"].append(0.0)
        assert until(self.well, 180, every=0.3), f"{kind}: not well again\n{self.plant.said()}"
        self.took[kind].append(time.monotonic() - begun)

    def supervise(self) -> None:
        """Start again what ended by itself, as systemd does."""
        for role in self.plant.roles:
            if role.code is not None:
                self.exits[role.code] += 1
                role.start()

    def well(self) -> bool:
        self.supervise()
        return all(role.asked("readyz")[0] == 200 for role in self.plant.roles)


def trucks(plant: Any) -> pl.DataFrame:
    """What the figures say of the trucks now: source, interval_start, activity."""
    figures = plant.figures().filter(pl.col("source").str.starts_with("trucks"))
    return figures.select("source", "interval_start", "activity")


def test_everything_dies_in_random_order_and_nothing_is_lost_or_counted_twice(
    cluster: Any, server_kit: Any, until: Any, soak_seconds: float
) -> None:
    seed = int(os.environ.get("SCOPELINE_SOAK_SEED") or time.time())
    print(f"\nseed {seed} (SCOPELINE_SOAK_SEED repeats the order)")
    servers = {
        "mosquitto": server_kit.start_mosquitto(),
        "kafka": server_kit.start_kafka(),
        "influxdb": server_kit.start_influxdb(),
    }
    seconds = max(soak_seconds, 40)
    step = 25 * 60 / (RATE * (2 * seconds + 120))  # by their own clocks they end before now
    plant = cluster(servers["mosquitto"].port, servers["kafka"].address, servers["influxdb"], step=step)
    for role in ("ingest", "process", "process"):
        plant.start(role)
    bounces = Bounces(plant, servers, random.Random(seed))
    assert until(bounces.well, 180), plant.said()
    load = Load(plant, plant.gauge())
    load.start()
    end = time.monotonic() + seconds
    told = time.monotonic()
    while time.monotonic() < end:
        bounces.one(until)
        if time.monotonic() - told > 60:
            told = time.monotonic()
            print(f"{load.gauge.published} published, {sum(map(len, bounces.took.values()))} bounces", flush=True)
    assert until(bounces.well, 180, every=0.3), plant.said()
    time.sleep(plant.fence)
    load.end()
    log = plant.check(moved=True)
    final = trucks(plant)
    for look in load.looks:
        both = look.join(final, on=["source", "interval_start"], how="left", suffix="_final")
        over = both.filter(pl.col("activity") > pl.col("activity_final").fill_null(0) + 1e-6)
        assert over.is_empty(), f"a reader saw too much meanwhile: {over}"
    table(bounces, load, log, plant)


def table(bounces: Bounces, load: Load, log: pl.DataFrame, plant: Any) -> None:
    print(f"\n{'bounce':42} {'times':>5} {'median s':>9} {'longest s':>9}   until all is well")
    for kind, took in sorted(bounces.took.items()):
        print(f"{kind:42} {len(took):5} {median(took):9.1f} {max(took):9.1f}")
    single = log.select("topic", "payload").n_unique()
    rows = {
        "ended by themselves (exit codes)": dict(bounces.exits),
        "messages published": load.gauge.published,
        "acknowledged by the broker": len(load.gauge.acknowledged),
        "in the log": log.height,
        "of these duplicates": log.height - single,
        "lost": load.gauge.published - single,
        "figures in InfluxDB": plant.figures().height,
        "differences from `scopeline compute`": 0,
        "looks of a reader meanwhile": len(load.looks),
    }
    for name, value in rows.items():
        print(f"{name:42} {value}")
    assert single == load.gauge.published, "every message is in the log"
