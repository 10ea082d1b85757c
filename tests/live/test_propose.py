"""feeds propose at a real broker: hears what comes, and leaves no session behind."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt import publish
from typer.testing import CliRunner

from scopeline.cli import app

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]


def test_what_comes_at_the_broker_is_proposed(mosquitto: Any, unique: str, tmp_path: Path):
    (tmp_path / "plant.yaml").write_text(
        "organisation: A\nsites: [{site: duisburg, timezone: UTC}]\n"
        f"brokers: {{b: {{host: {mosquitto.host}, port: {mosquitto.port}}}}}\n"
    )
    stop = threading.Event()

    def device() -> None:
        while not stop.wait(0.2):
            said = [{"topic": f"{unique}/duisburg/p{n}", "payload": '{"energy_kwh": 1.5}'} for n in range(2)]
            publish.multiple(said, hostname=mosquitto.host, port=mosquitto.port)

    thread = threading.Thread(target=device)
    thread.start()
    try:
        words = ["feeds", "propose", "--plant", str(tmp_path), "--seconds", "5", "--filter", f"{unique}/#", "--json"]
        done = CliRunner().invoke(app, words)
    finally:
        stop.set()
        thread.join(90)
    assert done.exit_code == 0, done.output
    (found,) = json.loads(done.stdout)["proposals"]
    assert found["topic"] == f"{unique}/{{site}}/{{device}}" and found["problem"] is None and found["readings"] >= 2


def test_a_broker_that_is_not_there_is_named(tmp_path: Path):
    (tmp_path / "plant.yaml").write_text(
        "organisation: A\nsites: [{site: duisburg, timezone: UTC}]\nbrokers: {far: {host: 127.0.0.1, port: 1}}\n"
    )
    done = CliRunner().invoke(app, ["meters", "propose", "--plant", str(tmp_path), "--seconds", "2"])
    assert done.exit_code == 1 and "brokers.far (127.0.0.1:1) cannot be reached" in done.output
