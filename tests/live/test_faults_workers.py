"""Workers that are paused, cut off, joined by others, or no longer given anything: others take over, and nothing counts twice."""

import time
from typing import Any

import pytest
from kafka import KafkaConsumer
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

pytestmark = [pytest.mark.live, pytest.mark.timeout(240)]
FENCE = 6 + 1 + 5
"""Seconds after an assignment until a worker looks at the store once more: session, timeout of a write, reserve."""


def positions(*roles: Any) -> float:
    return sum(role.metric("scopeline_process_committed") for role in roles)


def test_a_worker_that_slept_through_its_session_does_no_harm(cluster: Any, until: Any) -> None:
    """It wakes with figures to tell, of a partition that has gone to another worker, even after the second look of that one."""
    plant = cluster(step=0.2, timeout="1s")
    plant.start("ingest").ready()
    gauge, n = plant.gauge(), 0
    sleeper = plant.start("process", {"sleeps": "process:before_write@4"})
    while not sleeper.asleep:
        assert n < 3000 and sleeper.code is None, sleeper.said()
        plant.send(gauge, n, 20, 0.005)
        n += 20
    other = plant.start("process")
    plant.send(gauge, n, 200)
    assert until(lambda: other.asked("metrics")[1].count("scopeline_process_committed{") == 2, 40), plant.said()
    assert until(lambda: plant.behind() == 0, 40), plant.said()
    time.sleep(FENCE)  # the other will not look again
    sleeper.resume()
    assert until(lambda: "went to another worker" in sleeper.said()), sleeper.said()
    plant.send(gauge, n + 200, 300, 0.01)
    plant.check()
    assert sleeper.code is None and other.code is None, plant.said()


def test_partitions_that_come_and_go_every_few_seconds(cluster: Any, until: Any) -> None:
    """A member joins and leaves again and again: work goes on, and nothing is told twice or not at all."""
    plant = cluster(step=0.2, timeout="1s")
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
        assert until(lambda: worker.metric("scopeline_process_committed") > (done or [0])[-1], 60), "work goes on"
        done.append(worker.metric("scopeline_process_committed"))
    time.sleep(FENCE)
    plant.check()
    assert worker.code is None


def test_a_partition_that_is_not_fetched_any_more_ends_the_process(cluster: Any, until: Any) -> None:
    """The library fetches nothing, without a word; started again, the worker goes on where it stood."""
    plant = cluster()
    plant.start("ingest").ready()
    worker = plant.start("process", {"deaf": 50, "watchdog": {"stalls": 4}}).ready()
    gauge = plant.gauge()
    plant.send(gauge, 0, 600, 0.01)
    assert worker.wait(30) == 3, worker.said()
    assert "records wait" in worker.said()
    worker.start()
    plant.check()
