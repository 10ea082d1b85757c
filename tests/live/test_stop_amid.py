"""SIGTERM while a worker computes all of history again: it ends in time, with nothing half done, and the next start goes on."""

import time
from typing import Any

import pytest
from live_gauge import STOPS_WITHIN

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]


def test_a_worker_that_is_stopped_amid_a_long_recomputation(cluster: Any, until: Any) -> None:
    plant = cluster(window=60 * 24 * 14, step=600)  # two weeks of minutes, spanned by 2,000 messages
    plant.start("ingest").ready()
    worker = plant.start("process")
    gauge = plant.gauge()
    plant.send(gauge, 0, 2000)
    assert gauge.drained() and plant.settled(120), plant.said()
    path = plant.plant_dir / "factors" / "own.csv"
    path.write_text(path.read_text().replace("CO2e,2.5,kg", "CO2e,2.6,kg").replace("CO2e,0.25,kg", "CO2e,0.26,kg"))
    begun = worker.metric("scopeline_process_points_total")
    plant.command("apply", "--no-wait")
    assert until(lambda: "is put in force" in worker.said_now(), 60, 0.02), worker.said()
    time.sleep(0.3)  # into it
    assert worker.metric("scopeline_process_points_total") == begun, "it computes, and has told nothing of it yet"
    assert worker.stop(STOPS_WITHIN) == 0, worker.said()
    worker.start()
    assert until(lambda: plant.behind() == 0 and "000002" in plant.command("doctor", check=False).stdout, 120, 1), plant.said()
    assert plant.settled(120), plant.said()
    plant.check_figures(plant.log())
