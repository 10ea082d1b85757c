"""Kafka dies, or one worker's way to it goes dark: nothing is lost, others go on, and who gets nowhere ends."""

import re
import time
from typing import Any

import pytest

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]
HANGS = 20
"""Seconds after which the watchdog ends a worker whose call does not return; in production 120."""


@pytest.fixture
def two_ways(server_kit: Any, proxy: Any) -> tuple[Any, Any]:
    """A Kafka with a second address, that of a proxy: (server, proxy). Who begins with one stays with it."""
    plain, second, controller = (server_kit.free_port() for _ in range(3))
    way = proxy(second)
    settings = {
        "listeners": f"PLAINTEXT://127.0.0.1:{plain},SECOND://127.0.0.1:{second},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{plain},SECOND://127.0.0.1:{way.port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SECOND:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "inter.broker.listener.name": "PLAINTEXT",
    }
    return server_kit.start_kafka(port=plain, settings=settings), way


def test_kafka_dies_under_load(cluster: Any, server_kit: Any, until: Any) -> None:
    """By SIGKILL and by a clean stop: everything waits, goes on by itself, and how long that took is said."""
    server = server_kit.start_kafka()
    plant = cluster(at=server.address, step=0.3)
    plant.start("ingest").ready()
    worker = plant.start("process").ready()
    gauge = plant.gauge()
    for n, end in enumerate((server.kill, server.stop)):
        plant.send(gauge, n * 400, 200, 0.005)
        end()
        plant.send(gauge, n * 400 + 200, 200)
        assert until(lambda: plant.roles[0].asked("readyz")[0] == 503), "people are told"
        known = worker.metric("scopeline_process_committed")
        server.start()
        begun = time.monotonic()
        assert until(lambda known=known: worker.metric("scopeline_process_committed") > known), plant.said()
        print(f"\nKafka was back; {time.monotonic() - begun:.1f} s later the worker committed")
    plant.check()
    assert all(role.code is None for role in plant.roles)


def test_a_commit_whose_answer_never_comes(cluster: Any, two_ways: Any, until: Any) -> None:
    """The worker cannot know whether it happened: it begins anew, the other goes on meanwhile, and nothing differs."""
    server, way = two_ways
    plant = cluster(at=server.address, step=0.5, timeout="2s")
    plant.start("ingest").ready()
    gauge = plant.gauge()
    cut = plant.start("process", {"commit": 4}, {"kafka": f"127.0.0.1:{way.port}"}).ready()
    plant.send(gauge, 0, 200)
    assert until(lambda: cut.metric("scopeline_process_committed") > 0), cut.said()
    plant.start("process").ready()
    plant.send(gauge, 200, 100, 0.01)
    way.black_hole("from_server")
    plant.send(gauge, 300, 200, 0.01)
    assert until(lambda: plant.behind() == 0), plant.said()
    way.heal()
    plant.send(gauge, 500, 200, 0.02)
    plant.check(moved=True)
    assert all(role.code is None for role in plant.roles), plant.said()


def test_a_worker_whose_kafka_is_silent_ends_itself(cluster: Any, two_ways: Any, until: Any) -> None:
    """Connections stay open and nothing comes: the process ends with 3 within its limit, and its supervisor starts another."""
    server, way = two_ways
    plant = cluster(at=server.address)
    plant.start("ingest").ready()
    worker = plant.start("process", {"watchdog": {"hangs": HANGS}}, {"kafka": f"127.0.0.1:{way.port}"}).ready()
    gauge = plant.gauge()
    plant.send(gauge, 0, 200)
    assert until(lambda: worker.metric("scopeline_process_committed") > 0), worker.said()
    way.black_hole()
    plant.send(gauge, 200, 200)
    assert worker.wait() == 3, worker.said()
    silent = re.search(r"nothing has moved for (\d+) s; ending the process", worker.said())
    assert silent and HANGS <= int(silent[1]) < 2 * HANGS, f"by its own clock: {worker.said()}"
    way.heal()
    worker.start()
    plant.check()
