"""No secret in what a living cluster says: logs at debug, /readyz, /metrics, doctor, files; while all works, and when refused.

tests/test_secrets.py hunts for the same where servers are worse than real ones: absent, or repeating what they were sent.
"""

import base64
import hashlib
import json
from pathlib import Path
from shutil import copytree
from typing import Any

import httpx
import pytest
from canary import USER, leaks

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]

ROLES = ("ingest", "process", "console", "archive")
MQTT, KAFKA = "canary-mqtt-7WqD", "canary-kafka-3/Zf+K"
SIGNED_IN = {
    "port: @mqtt@": f"port: @mqtt@, username: {USER}, password_file: secrets/mqtt",
    '["@kafka@"]': f'["@signed@"], username: {USER}, mechanism: PLAIN, password_file: secrets/kafka',
    "token_file: token": "token_file: secrets/influxdb",
}
PAGES = ("readyz", "metrics", "healthz")


def broker_settings(file: Path, password: str) -> list[str]:
    """Of a Mosquitto that checks the password of whoever states a name, as its password file has it."""
    salt = b"0123456789ab"
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 1000)
    file.write_text(f"{USER}:$7$1000${base64.b64encode(salt).decode()}${base64.b64encode(key).decode()}\n")
    return [f"password_file {file}"]


def kafka_settings(plain: int, signed: int, controller: int, password: str) -> dict[str, str]:
    """Of a Kafka with two ways in: a plain one, for the test itself, and one that asks for a password."""
    module = "org.apache.kafka.common.security.plain.PlainLoginModule"
    return {
        "listeners": f"PLAINTEXT://127.0.0.1:{plain},SIGNED://127.0.0.1:{signed},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{plain},SIGNED://127.0.0.1:{signed}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SIGNED:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.name.signed.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.signed.plain.sasl.jaas.config": f'{module} required user_{USER}="{password}";',
    }


def heard(plant: Any, roles: dict[str, Any], console_token: str) -> dict[str, str]:
    """Everything that the cluster says and leaves behind now: where -> text."""
    found = {f"{name}: /{page}": "{} {}".format(*role.asked(page)) for name, role in roles.items() for page in PAGES}
    address, own = roles["console"].address, {"Authorization": f"Bearer {console_token}"}
    for page in ("problems", "plant", "doctor", "feeds", "live"):
        found[f"console: {page}"] = httpx.get(f"{address}/api/v1/{page}", headers=own, timeout=60).text
    for form in ((), ("--json",)):
        done = plant.command("doctor", *form, check=False)
        found[f"doctor {form}"] = done.stdout + done.stderr
    found |= {f"log of {name}": role.said() for name, role in roles.items()}
    files = (file for file in plant.folder.rglob("*") if file.is_file() and "secrets" not in file.parts)
    return found | {str(file): file.read_bytes().decode("utf-8", "replace") for file in files if file.name != "instance.json"}


def test_no_secret_in_what_a_living_cluster_says(cluster: Any, server_kit: Any, until: Any, tmp_path: Path) -> None:
    plain, signed, controller = (server_kit.free_port() for _ in range(3))
    broker = server_kit.start_mosquitto(settings=broker_settings(tmp_path / "passwords", MQTT))
    log = server_kit.start_kafka(port=plain, settings=kafka_settings(plain, signed, controller, KAFKA))
    store = server_kit.start_influxdb()
    template = copytree(Path(__file__).with_name("cluster_plant"), tmp_path / "template")
    text = (template / "plant.yaml").read_text()
    for old, new in SIGNED_IN.items():
        assert old in text
        text = text.replace(old, new)
    (template / "plant.yaml").write_text(text)
    (template / "secrets").mkdir()
    for name, value in (("mqtt", MQTT), ("kafka", KAFKA), ("influxdb", store.token)):
        (template / "secrets" / name).write_text(f"{value}\n")
    plant = cluster(broker.port, log.address, store, template=template, signed=f"127.0.0.1:{signed}")
    (plant.plant_dir / "token").unlink()

    roles = {name: plant.start(name, SCOPELINE_LOG_LEVEL="debug") for name in ROLES}
    for role in roles.values():
        role.ready()
    plant.send(plant.gauge(), 0, 300)
    plant.check()
    token = json.loads((plant.plant_dir / ".scopeline" / "instance.json").read_text())["token"]
    secrets = {"mqtt": MQTT, "kafka": KAFKA, "influxdb": store.token, "console": token}

    assert leaks(f"token={store.token}", secrets) == ["influxdb"], "the hunt finds what is there"

    def hunt(moment: str) -> dict[str, str]:
        said = heard(plant, roles, token)
        for place, words in said.items():
            assert not leaks(words, secrets), f"{moment}, {place} holds the secret of {leaks(words, secrets)}"
        return said

    well = hunt("while all works")
    assert all(well[f"{name}: /readyz"].startswith("200") for name in ROLES)
    assert "scopeline_process_points_total" in well["process: /metrics"] and "sessions" in well["doctor ()"]
    assert all(" DEBUG " in well[f"log of {name}"] for name in ROLES), "libraries speak, too"

    broker_settings(tmp_path / "passwords", "another")
    log.settings |= kafka_settings(plain, signed, controller, "another")
    refused = httpx.Client(base_url=store.url, headers={"Authorization": f"Token {store.token}"}, timeout=60)
    mine = refused.get("/api/v2/authorizations").raise_for_status().json()["authorizations"]
    for one in mine:
        refused.delete(f"/api/v2/authorizations/{one['id']}").raise_for_status()
    broker.restart()
    log.restart()
    for name in ("ingest", "process"):
        assert until(lambda name=name: roles[name].asked("readyz")[0] == 503), roles[name].said()[-2000:]
    assert until(lambda: "refuses" in roles["ingest"].asked("readyz")[1]), "the broker"
    assert until(lambda: "uthenti" in roles["process"].said()), "Kafka"
    worse = hunt("when servers refuse")
    assert "401" in worse["doctor ()"] or "nauthorized" in worse["doctor ()"], worse["doctor ()"]
