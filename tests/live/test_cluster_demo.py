"""The demo's telemetry, recorded and simulated, over the real servers: InfluxDB holds what `compute` says, to the byte."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import scopeline.demo
from scopeline.demo.messages import messages

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]

DEMO = Path(scopeline.demo.__file__).parent / "plant"
CONNECTIONS = """
profile: cluster
brokers: {local: {host: 127.0.0.1, port: @mqtt@}}
kafka: {bootstrap_servers: ["@kafka@"], prefix: @prefix@, partitions: 3}
influxdb: {url: "@influx@", org: @org@, bucket: @prefix@, token_file: token}
archive: {path: @archive@}
"""


def test_the_demo_by_the_cluster(cluster, server_kit, tmp_path):
    template = shutil.copytree(DEMO, tmp_path / "template")
    file = template / "plant.yaml"
    file.write_text(file.read_text() + CONNECTIONS)
    broker = server_kit.start_mosquitto()  # the demo's topics are not this test's own
    plant = cluster(mqtt=broker.port, template=template)
    plant.start("ingest").ready()
    plant.start("process")
    end = datetime.now(UTC).replace(second=0, microsecond=0)
    gauge = plant.gauge()
    sent = messages(end - timedelta(hours=12), end, timedelta(minutes=1))
    assert len(sent) > 1_900
    for n, one in enumerate(sent):
        gauge.publish(one.topic, one.payload, str(n))
    assert gauge.drained()
    assert plant.settled(), plant.said()
    log = plant.log()
    assert len(log) == len(sent)
    figures = plant.figures()
    assert plant.stored() == plant.computed(log), plant.said()
    assert set(figures["scope"].drop_nulls()) == {1, 2, 3} and set(figures["basis"]) == {"", "location", "market"}
    assert set(figures["site"]) == {"gwangyang", "sheffield"}
