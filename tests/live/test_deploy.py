"""What deploy/ ships, against the real servers: the broker's accounts and rights, and the tokens of InfluxDB."""

import importlib.util
import sys
import threading
import time
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import paho.mqtt.client as paho
import polars as pl
import pytest
from influxdb_client import InfluxDBClient
from pydantic import SecretStr

from schemas.connections import InfluxDB
from sinks.influx import Influx, InfluxProblem, setup

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "deploy" / "container" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


class Client:
    """One MQTT client; `granted` and `received` are what the broker let it have."""

    def __init__(self, port: int, user: str, password: str) -> None:
        self.code, self.granted, self.received = None, [], []
        self._done = threading.Event()
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
        self.client.username_pw_set(user, password)
        self.client.on_connect = self._connected
        self.client.on_subscribe = lambda *a: (self.granted.extend(code.value for code in a[3]), self._done.set())
        self.client.on_message = lambda c, u, message: self.received.append((message.topic, message.payload))
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self._done.wait(90)

    def _connected(self, client: Any, userdata: Any, flags: Any, code: Any, properties: Any) -> None:
        self.code = code.value
        self._done.set()

    def subscribe(self, topic: str) -> None:
        self._done.clear()
        self.client.subscribe(topic, 1)
        assert self._done.wait(90)

    def publish(self, topic: str, payload: str) -> None:
        self.client.publish(topic, payload, 1).wait_for_publish(90)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def test_accounts_and_rights_of_the_broker(server_kit: Any, tmp_path: Path, until: Any):
    load("make_secrets").make(tmp_path)
    (tmp_path / "acl").write_text((ROOT / "deploy" / "mosquitto" / "acl").read_text())
    shipped = (ROOT / "deploy" / "mosquitto" / "mosquitto.conf").read_text()
    assert "allow_anonymous false" in shipped and "acl_file /mosquitto/config/acl" in shipped
    settings = ["allow_anonymous false", f"password_file {tmp_path}/mosquitto_passwords", f"acl_file {tmp_path}/acl"]
    broker = server_kit.start_mosquitto(settings=settings)
    words = {name: (tmp_path / name).read_text().strip() for name in ("mqtt_password", "mqtt_sensors_password")}
    stranger = Client(broker.port, "scopeline", "scopeline")
    assert stranger.code != 0
    reader = Client(broker.port, "scopeline", words["mqtt_password"])
    sensor = Client(broker.port, "sensors", words["mqtt_sensors_password"])
    try:
        assert reader.code == 0 and sensor.code == 0
        reader.subscribe("$share/scopeline/acme/#")
        sensor.subscribe("acme/#")
        other = Client(broker.port, "scopeline", words["mqtt_password"])
        other.publish("acme/works/relay/set", "on")  # Scopeline has no way to the devices
        other.close()
        sensor.publish("acme/works/main/energy", "1")
        assert until(lambda: reader.received)
        assert reader.received == [("acme/works/main/energy", b"1")]
        time.sleep(0.3)
        assert len(reader.received) == 1 and sensor.received == []
    finally:
        for client in (stranger, reader, sensor):
            client.close()


def test_tokens_may_do_what_they_must_and_no_more(influxdb: Any, unique: str, tmp_path: Path):
    tokens = load("influx_tokens")
    store = InfluxDB(url=influxdb.url, org=influxdb.org, bucket=unique)
    admin = Influx(store, SecretStr(influxdb.token))
    with InfluxDBClient(influxdb.url, token=influxdb.token, org=influxdb.org) as client:
        with pytest.raises(SystemExit, match="scopeline setup"):
            tokens.make(client, store, tmp_path, own=False)
        setup(admin)
        try:
            assert tokens.make(client, store, tmp_path, own=False) == ["process", "grafana"]
            files = {who: tmp_path / who / "influxdb_token" for who in ("process", "grafana")}
            assert {file.stat().st_mode & 0o777 for file in files.values()} == {0o400}
            before = {who: file.read_text().strip() for who, file in files.items()}
            assert tokens.make(client, store, tmp_path, own=False) == [], "a token that is in force is kept"
            one, line = pl.DataFrame({"time": [datetime(2026, 1, 1)], "site": ["a"]}), "figures,site=a value=1 1767225600000000"

            worker = Influx(store, SecretStr(before["process"]))
            assert worker.write(unique, [line]).accepted == 1 and rows(worker, unique) == 1
            worker.delete(unique, "figures", one)
            assert rows(worker, unique) == 0, "processors delete what lost a number"
            worker.write(unique, [line])

            grafana = Influx(store, SecretStr(before["grafana"]))
            assert rows(grafana, unique) == 1
            with pytest.raises(InfluxProblem):
                grafana.write(unique, [line])
            with pytest.raises(InfluxProblem):
                grafana.delete(unique, "figures", one)
            for other in (worker, grafana):
                with pytest.raises(InfluxProblem):
                    setup(Influx(store.model_copy(update={"bucket": f"{unique}_other"}), SecretStr(before["process"])))
                other.close()
            files["grafana"].unlink()
            assert tokens.make(client, store, tmp_path, own=False) == ["grafana"], "only what is missing is made anew"
            assert files["grafana"].read_text().strip() != before["grafana"]
        finally:
            buckets = [b for b in client.buckets_api().find_buckets(limit=100).buckets if b.name.startswith(unique)]
            ours = {bucket.id for bucket in buckets}
            for one in client.authorizations_api().find_authorizations():
                if {permission.resource.id for permission in one.permissions} & ours:
                    client.authorizations_api().delete_authorization(one)
            for bucket in buckets:
                client.buckets_api().delete_bucket(bucket)
            admin.close()


def rows(store: Influx, bucket: str) -> int:
    answer = store.ask("POST", "/query", data={"db": bucket, "q": 'SELECT "value" FROM "figures"'}).json()
    return sum(len(series["values"]) for result in answer["results"] for series in result.get("series", []))
