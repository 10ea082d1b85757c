"""What supervisors and Prometheus ask a process without console."""

from types import SimpleNamespace

import httpx
import pytest

from schemas.problem import Problem
from scopeline.cluster.health import HealthServer


@pytest.fixture
def served():
    roles = SimpleNamespace(problems=[], metrics={"scopeline_healthy": [({}, 1.0)]})
    server = HealthServer(roles, "127.0.0.1", 0)
    server.start()
    yield roles, httpx.Client(base_url=f"http://127.0.0.1:{server.port}")
    server.stop()


def test_it_answers_and_says_what_is_wrong(served):
    roles, client = served
    assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200
    text = client.get("/metrics").text
    assert "# TYPE scopeline_healthy gauge" in text and "scopeline_healthy 1" in text
    roles.problems = [Problem("error", "plant.yaml", None, "influxdb", "InfluxDB is away", "start it")]
    answer = client.get("/readyz")
    assert answer.status_code == 503 and "InfluxDB is away" in answer.text
    assert client.get("/healthz").status_code == 200
    assert client.get("/../plant.yaml").status_code == 404
    assert client.post("/metrics").status_code == 501
