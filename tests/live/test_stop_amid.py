"""SIGTERM while a worker computes all of history again: it ends in time, with nothing half done, and the next start goes on."""

import json
import time
from typing import Any

import pytest
from kafka import KafkaAdminClient
from live_gauge import STOPS_WITHIN

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]


def versions(plant: Any) -> set[str]:
    """Of the plant folder, by number, that the group has committed: their figures have been told."""
    admin = KafkaAdminClient(bootstrap_servers=plant.kafka)
    try:
        known = admin.list_group_offsets([plant.topics.group]).get(plant.topics.group, {})
        return {str(json.loads(one.metadata or "{}").get("plant"))[:6] for one in known.values()}
    finally:
        admin.close()


def test_a_worker_that_is_stopped_amid_a_long_recomputation(cluster: Any, until: Any) -> None:
    plant = cluster(window=60 * 24 * 14, step=600)  # two weeks of minutes, spanned by 2,000 messages
    plant.start("ingest").ready()
    worker = plant.start("process")
    gauge = plant.gauge()
    plant.send(gauge, 0, 2000)
    assert gauge.drained() and plant.settled(120), plant.said()
    path = plant.plant_dir / "factors" / "own.csv"
    path.write_text(path.read_text().replace("CO2e,2.5,kg", "CO2e,2.6,kg").replace("CO2e,0.25,kg", "CO2e,0.26,kg"))
    plant.command("apply", "--no-wait")
    assert until(lambda: "is put in force" in worker.said_now(), 60, every=0.02), worker.said()
    time.sleep(0.3)  # into it
    assert worker.said_now().count("changed by version 000002") < 2, "it computes: not both partitions are through"
    assert worker.stop(STOPS_WITHIN) == 0, worker.said()
    worker.start()
    assert until(lambda: versions(plant) == {"000002"}, 180, every=0.5), plant.said()
    assert plant.settled(120), plant.said()
    plant.check_figures(plant.log())
