"""Mosquitto is killed: what it had acknowledged and not saved is its own loss; retained messages are no readings."""

import json
import time
from typing import Any

import polars as pl
import pytest

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]


def test_mosquitto_is_killed_and_loses_at_most_its_last_seconds(cluster: Any, server_kit: Any, until: Any) -> None:
    """While ingest is away, so that the broker alone has the messages: what was saved arrives, and counters bridge the rest."""
    broker = server_kit.start_mosquitto()
    plant = cluster(broker.port, step=0.5)
    ingest = plant.start("ingest").ready()
    plant.start("process")
    gauge = plant.gauge()
    plant.send(gauge, 0, 100)
    assert gauge.drained()
    assert until(lambda: ingest.metric("scopeline_ingest_acknowledged_total") >= 100)
    ingest.stop()
    plant.send(gauge, 100, 200)
    assert gauge.drained()
    known, now = set(gauge.acknowledged), time.time()
    assert until(lambda: saved(broker) > now), "it saves each second or two (docs/decisions/0013)"
    plant.send(gauge, 300, 100)
    assert gauge.drained()
    broker.kill()
    broker.start()
    ingest.start().ready()
    plant.send(gauge, 400, 200)
    assert gauge.drained()
    last = {f"t{n}" for n in range(400, 600) if n % 3 == 0}
    assert until(lambda: last <= named(plant.log()))
    assert plant.settled(), plant.said()
    log = plant.log()
    lost = {name for name in gauge.acknowledged if name[0] == "t"} - named(log)
    assert not lost & known, f"saved, and lost all the same: {sorted(lost & known)}"
    print(f"\n{len(lost)} tickets that Mosquitto had acknowledged after its last saving are its loss")
    plant.check_figures(log)  # also: the ways of all counters are whole


def saved(broker: Any) -> float:
    """When it last wrote its sessions (unix seconds); it does nothing else meanwhile."""
    file = broker.folder / "mosquitto.db"
    return file.stat().st_mtime if file.exists() else 0.0


def named(log: pl.DataFrame) -> set[str]:
    """The tickets in the log."""
    return {json.loads(payload)["ticket"] for payload in log.filter(pl.col("topic").str.ends_with("/gate"))["payload"]}


def test_retained_messages_come_again_at_each_start_and_count_once(cluster: Any, until: Any) -> None:
    """Published as retained: live the first time, and again as retained ones whenever ingest subscribes anew."""
    plant = cluster()
    plant.start("ingest").ready()
    plant.start("process")
    gauge = plant.gauge()
    for n in range(200):
        plant.say(gauge, n, retain=n % 20 == 3)
    before = plant.check()
    assert not before["retained"].any()
    for _ in range(2):
        plant.roles[0].stop()
        for memory in plant.plant_dir.glob(".scopeline/session-*.json"):
            memory.unlink()
        plant.roles[0].start().ready()
    assert until(lambda: plant.log()["retained"].sum() > 0), "the broker sends them again"
    plant.check()
