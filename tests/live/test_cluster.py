"""The whole way on real servers: MQTT, Kafka, processing, InfluxDB; what is stored is what the log says, to the byte."""

import pytest

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]


def test_what_influxdb_holds_is_what_compute_says_of_the_log(cluster):
    plant = cluster()
    plant.start("ingest").ready()
    plant.start("process")
    gauge = plant.gauge()
    plant.send(gauge, 0, 600)
    plant.check([gauge])


def test_a_worker_without_state_makes_it_again_and_tells_the_same(cluster):
    plant = cluster()
    plant.start("ingest").ready()
    worker = plant.start("process")
    gauge = plant.gauge()
    plant.send(gauge, 0, 300)
    plant.check([gauge])
    assert worker.stop() == 0
    for file in plant.state(worker):
        file.unlink()
    plant.send(gauge, 300, 300)
    worker.start()
    plant.check([gauge])
