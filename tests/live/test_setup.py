"""setup on real servers: everything is made once, and what cannot be changed is said."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from schemas.connections import Kafka
from scopeline.cli import app
from scopeline.cluster.setup import kafka_topics

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]


@pytest.fixture
def settings(kafka: str, unique: str) -> Kafka:
    return Kafka(bootstrap_servers=(kafka,), prefix=unique, partitions=2)


@pytest.fixture
def works(tmp_path: Path, settings: Kafka) -> Path:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "plant.yaml").write_text(f"""
organisation: Acme
sites: [{{site: duisburg, timezone: Europe/Berlin}}]
kafka: {{bootstrap_servers: ["{settings.bootstrap_servers[0]}"], prefix: {settings.prefix}, partitions: 2}}
influxdb: {{url: "http://127.0.0.1:1", org: scopeline, bucket: {settings.prefix}, token_file: secrets/influxdb}}
archive: {{path: archive}}
""")
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def test_setup_twice_makes_everything_once(works: Path, influxdb: Any, unique: str):
    text = (works / "plant.yaml").read_text()
    (works / "plant.yaml").write_text(
        text.replace("http://127.0.0.1:1", influxdb.url).replace("org: scopeline", f"org: {influxdb.org}")
    )
    (works / "secrets" / "influxdb").write_text(influxdb.token)

    looked = run("setup", "--plant", str(works), "--dry-run")
    assert looked.exit_code == 0 and looked.output.count("would be made") == 8, looked.output
    first = run("setup", "--plant", str(works), "--json")
    steps = json.loads(first.stdout)
    assert first.exit_code == 0 and [step["state"] for step in steps] == ["made"] * 8
    assert {step["what"] for step in steps} == {"topic", "bucket", "archive"}
    assert (works / "archive").is_dir()
    again = run("setup", "--plant", str(works), "--json")
    assert [step["state"] for step in json.loads(again.stdout)] == ["there"] * 8
    assert influxdb.token not in looked.output + first.output + again.output

    (works / "plant.yaml").write_text((works / "plant.yaml").read_text().replace("partitions: 2", "partitions: 3, retention: 2d"))
    other = run("setup", "--plant", str(works))
    assert other.exit_code == 1
    assert f"topic {unique}.raw: different: has 2 partitions, not 3" in other.output
    assert "write kafka.partitions: 2, or grow by a new kafka.prefix and a replay" in other.output


def test_setup_gives_the_log_its_settings(works: Path, settings: Kafka):
    list(kafka_topics(settings, works))
    longer = settings.model_copy(update={"retention": settings.retention * 2})
    (changed,) = [step for step in kafka_topics(longer, works) if step.state != "there"]
    assert changed.name == f"{settings.prefix}.raw" and "retention.ms=1209600000 (retention.ms was 604800000)" in changed.detail
    assert [step.state for step in kafka_topics(longer, works)] == ["there"] * 4
