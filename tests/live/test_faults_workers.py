"""Workers that are paused, cut off, joined by others, or no longer given anything: others take over, and nothing counts twice."""

import time
from typing import Any

import pytest
from kafka import KafkaConsumer
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]


def test_a_worker_that_slept_through_its_session_does_no_harm(cluster: Any, until: Any) -> None:
    """It wakes with figures to tell, of a partition that has gone to another worker, even after the second look of that one."""
    plant = cluster(step=0.2, timeout="2s")
    plant.start("ingest").ready()
    gauge, n = plant.gauge(), 0
    sleeper = plant.start("process", {"sleeps": "process:before_write@4", "watchdog": {"hangs": 900}})
    end = time.monotonic() + 180
    while not sleeper.asleep:
        assert time.monotonic() < end and sleeper.code is None, sleeper.said()
        plant.send(gauge, n, 10, 0.02)
        n += 10
    other = plant.start("process")
    plant.send(gauge, n, 200)
    assert until(lambda: other.asked("metrics")[1].count("scopeline_process_committed{") == 2), plant.said()
    assert until(lambda: plant.behind() == 0), plant.said()
    time.sleep(plant.fence)  # the other will not look again
    sleeper.resume()
    assert until(lambda: "went to another worker" in sleeper.said()), sleeper.said()
    plant.send(gauge, n + 200, 300, 0.01)
    plant.check(moved=True)
    assert sleeper.code is None and other.code is None, plant.said()


def test_partitions_that_come_and_go_every_few_seconds(cluster: Any, until: Any) -> None:
    """A member joins and leaves again and again: work goes on, and nothing is told twice or not at all."""
    plant = cluster(step=0.2, timeout="2s")
    plant.start("ingest").ready()
    worker = plant.start("process").ready()
    gauge, n, done = plant.gauge(), 0, []
    for _ in range(4):
        member = KafkaConsumer(
            plant.topics.raw,
            bootstrap_servers=plant.kafka,
            group_id=plant.topics.group,
            partition_assignment_strategy=[CooperativeStickyAssignor],
            enable_auto_commit=False,
            session_timeout_ms=6000,
        )
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            member.poll(100)
            plant.send(gauge, n, 10)
            n += 10
        member.close()
        assert until(lambda: worker.metric("scopeline_process_committed") > (done or [0])[-1]), "work goes on"
        done.append(worker.metric("scopeline_process_committed"))
    plant.check(moved=True)
    assert worker.code is None


def test_a_partition_that_is_not_fetched_any_more_ends_the_process(cluster: Any) -> None:
    """The library fetches nothing, without a word; started again, the worker goes on where it stood."""
    plant = cluster(step=0.2)
    plant.start("ingest").ready()
    worker = plant.start("process", {"deaf": 50, "watchdog": {"stalls": 4}}).ready()
    gauge = plant.gauge()
    n, end = 0, time.monotonic() + 120
    while worker.code is None and time.monotonic() < end:
        plant.send(gauge, n, 10, 0.02)
        n += 10
    assert worker.code == 3, worker.said()
    assert "records wait" in worker.said()
    worker.start()
    plant.check()
