"""Processes of the cluster die wherever it matters; what InfluxDB holds is what the log says, to the byte, each thing once."""

import signal
import time
from typing import Any

import pytest

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]


def killed(plant: Any, role: Any, gauge: Any, n: int) -> int:
    """Publish until a role dies by its failpoint; the number of the next message."""
    end = time.monotonic() + 180
    while role.code is None:
        assert time.monotonic() < end, role.said()[-3000:]
        plant.send(gauge, n, 5, 0.05)
        n += 5
    assert role.code == -signal.SIGKILL, role.said()[-3000:]
    return n


def test_ingest_is_killed_before_kafka_has_it_and_after(cluster: Any) -> None:
    """Before: the broker sends again. After, before the acknowledgement: it is twice in the log, and counts once."""
    plant = cluster(step=0.3)
    plant.start("ingest").ready().stop()  # the session is there
    plant.start("process")
    gauge, ingest = plant.gauge(), plant.roles[0]
    n = 0
    for point in ("before_send", "after_confirm"):
        ingest.start(SCOPELINE_FAILPOINT=f"ingest:{point}@3")
        n = killed(plant, ingest, gauge, n)
    ingest.start()
    plant.send(gauge, n, 100)
    log = plant.check()
    again = log.height - log.select("topic", "payload").n_unique()
    assert again > 0, "what was confirmed and not acknowledged comes again"


@pytest.mark.parametrize("points", [("after_apply", "before_write"), ("after_write", "after_commit")], ids=" ".join)
def test_a_worker_is_killed_around_its_write_and_its_commit(cluster: Any, points: tuple[str, str]) -> None:
    """The log's position and InfluxDB are moved by two calls: whatever lies between, it is told again and counts once."""
    plant = cluster(step=0.3)
    plant.start("ingest").ready()
    gauge, n = plant.gauge(), 0
    worker = plant.start("process", SCOPELINE_FAILPOINT=f"process:{points[0]}@4")
    n = killed(plant, worker, gauge, n)
    worker.start(SCOPELINE_FAILPOINT=f"process:{points[1]}@4")
    n = killed(plant, worker, gauge, n)
    worker.start()
    plant.send(gauge, n, 100)
    log = plant.check()
    assert log.height == log.select("topic", "payload").n_unique(), "no fault of ingest in this test"
    figures = plant.figures()
    assert figures.height == figures.select("interval_start", "source", "basis").n_unique(), "no second series"
