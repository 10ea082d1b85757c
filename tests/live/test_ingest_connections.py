"""Connections of ingest to real brokers: members, filters, client ids, MQTT versions, WebSockets, TLS."""

import subprocess
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ingest.mqtt import Received, Subscriber
from schemas.connections import Broker
from scopeline.cluster.ingest import Ingest

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]


def test_two_members_share_and_one_comes_back(place: Any, mosquitto: Any, senders: Any) -> None:
    plant = place.plant(mosquitto.port, more=", members: 2")
    place.topics(plant)
    one, two = place.run(plant, 0), place.run(plant, 1)
    sender = senders(mosquitto.port, f"{place.unique}/works/m/e")
    for _ in range(10):
        sender.send(50)
        time.sleep(0.02)
    assert sender.settled()
    assert place.until(lambda: one.publisher.count["confirmed"] + two.publisher.count["confirmed"] == 500)
    assert one.publisher.count["confirmed"] > 50 < two.publisher.count["confirmed"], "both work"
    assert two.stop()
    sender.send(300)
    assert sender.settled()
    again = place.run(plant, 1)
    assert place.until(lambda: place.numbers() == set(range(800))), "what the broker kept for the member that was away"
    assert again.lines[0].subscriber.count["sessions_lost"] == 0
    assert place.logged().height == 800, "nobody got a message twice"


def test_filters_change_while_messages_are_in_flight(place: Any, mosquitto: Any, senders: Any) -> None:
    """The old filter leaves the session; what came by it is still logged, where it was logged before."""
    old, new = f"{place.unique}/york/{{device}}/e", f"{place.unique}/york/{{device}}/new"
    york = {"meters": old + '"\nsite: "york'}
    plant = place.plant(mosquitto.port, feeds=york)
    place.topics(plant)
    one = place.run(plant)
    sender = senders(mosquitto.port, f"{place.unique}/york/m/e")
    sender.send(5)
    assert place.until(lambda: one.publisher.count["confirmed"] == 5)
    gate = place.gate(one)
    sender.send(100)
    assert place.until(lambda: one.lines[0].subscriber.in_flight == 100)
    one.configure(place.plant(mosquitto.port, feeds={"meters": new + '"\nsite: "york'}))
    assert place.until(lambda: one.lines[0].subscriber.problem is None), "the broker has let go of the old filter"
    gate.open()
    assert place.until(lambda: one.publisher.count["confirmed"] == 105)
    sender.send(10)  # nobody listens to it any more
    sender.send(10, f"{place.unique}/york/m/new")
    assert sender.settled()
    assert place.until(lambda: one.lines[0].subscriber.count["acknowledged"] == 115)
    found = place.logged()
    assert set(found["payload"].cast(pl.String).cast(pl.Int64)) == {*range(105), *range(115, 125)}
    assert found["partition"].n_unique() == 1
    one.stop()
    # what was given up while nothing ran leaves the session too
    one = place.run(place.plant(mosquitto.port, feeds=york))
    sender.send(1, f"{place.unique}/york/m/new")
    sender.send(1)
    assert place.until(lambda: one.publisher.count["confirmed"] == 1)
    assert one.publisher.count["messages"] == 1, "a broker sends in the order in which it got them"


def test_two_clients_with_one_id(place: Any, mosquitto: Any, senders: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """They take the connection from each other: noticed, told, and slowed down."""
    monkeypatch.setattr("ingest.mqtt.SLOWEST_S", 3.0)
    plant = place.plant(mosquitto.port)
    place.topics(plant)
    one, two = place.run(plant), place.run(plant, ready=False)
    assert place.until(lambda: any("another client" in str(p) for x in (one, two) for p in x.problems))
    two.stop()
    sender = senders(mosquitto.port, f"{place.unique}/works/m/e")
    sender.send(100)
    assert place.until(lambda: place.numbers() == set(range(100)))


def test_mqtt_5_and_websockets(place: Any, server_kit: Any, senders: Any) -> None:
    port = server_kit.free_port()
    broker = server_kit.start_mosquitto(settings=[f"listener {port} 127.0.0.1", "protocol websockets", "allow_anonymous true"])
    for version, way, way_port in (("5", "tcp", broker.port), ("5", "websockets", port), ("3.1.1", "websockets", port)):
        plant = place.plant(way_port, more=f', version: "{version}", transport: {way}, client_id: c{version}{way}')
        if version == "5" and way == "tcp":
            place.topics(plant)
        one = place.run(plant)
        sender = senders(broker.port, f"{place.unique}/works/m/e")
        before = place.logged().height
        sender.send(1000)
        assert place.until(lambda one=one: one.lines[0].subscriber.count["acknowledged"] == 1000), (version, way, one.metrics)
        assert place.logged().height == before + 1000
        one.lines[0].subscriber.reconnect()
        assert place.until(lambda one=one: one.lines[0].subscriber.count["connections"] >= 2)
        assert one.lines[0].subscriber.count["sessions_lost"] == 0, "the session outlives the connection"
        one.stop()


def _certificates(folder: Path) -> None:
    """An authority, a server's certificate for 127.0.0.1, a client's."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    folder.mkdir()
    (folder / "san").write_text("subjectAltName=IP:127.0.0.1")
    openssl(
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=test"
    )
    for name in ("server", "client", "other"):
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        given = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "san", "-days", "2"]
        openssl("x509", "-req", "-in", f"{name}.csr", *given, "-out", f"{name}.pem")


def test_tls_with_a_client_certificate_that_is_renewed(place: Any, server_kit: Any, senders: Any, tmp_path: Path) -> None:
    certificates = tmp_path / "certificates"
    _certificates(certificates)
    port = server_kit.free_port()
    listener = [f"listener {port} 127.0.0.1", "allow_anonymous true", "require_certificate true"]
    listener += [f"cafile {certificates}/ca.pem", f"certfile {certificates}/server.pem", f"keyfile {certificates}/server.key"]
    broker = server_kit.start_mosquitto(settings=listener)
    used = place.folder / "tls"
    used.mkdir(parents=True)
    for name in ("ca.pem", "client.pem", "client.key"):
        (used / name).write_bytes((certificates / name).read_bytes())
    plant = place.plant(port, more=", tls: {ca_file: tls/ca.pem, cert_file: tls/client.pem, key_file: tls/client.key}")
    place.topics(plant)
    one = place.run(plant)
    sender = senders(broker.port, f"{place.unique}/works/m/e")
    sender.send(1000)
    assert place.until(lambda: one.lines[0].subscriber.count["acknowledged"] == 1000)
    (used / "client.pem").write_bytes((certificates / "other.pem").read_bytes())  # half of a renewal: it does not fit the key
    time.sleep(1.5)
    assert one.lines[0].subscriber.count["connections"] == 1, "a connection that holds is not given up for it"
    (used / "client.key").write_bytes((certificates / "other.key").read_bytes())
    assert place.until(lambda: one.lines[0].subscriber.count["connections"] >= 2)
    sender.send(1000)
    assert place.until(lambda: place.numbers() == set(range(2000)))


def test_a_stranger_s_certificate_is_refused(place: Any, server_kit: Any, tmp_path: Path) -> None:
    certificates = tmp_path / "certificates"
    _certificates(certificates)
    _certificates(tmp_path / "strangers")
    port = server_kit.free_port()
    listener = [f"listener {port} 127.0.0.1", "allow_anonymous true", f"cafile {certificates}/ca.pem"]
    server_kit.start_mosquitto(settings=[*listener, f"certfile {certificates}/server.pem", f"keyfile {certificates}/server.key"])
    plant = place.plant(port, more=f", tls: {{ca_file: {tmp_path}/strangers/ca.pem}}")
    one = Ingest(place.folder, plant)
    place.running.append(one)
    one.start()
    assert place.until(lambda: "CERTIFICATE_VERIFY_FAILED" in str(one.problems)), one.problems


@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_messages_of_every_size_over_tls(server_kit: Any, place: Any, senders: Any, tmp_path: Path, version: str) -> None:
    """Hundreds in one record of TLS, one in many of them; and no other host's certificate is believed."""
    _certificates(tmp_path / "own")
    port = server_kit.free_port()
    listener = [f"listener {port} 127.0.0.1", "allow_anonymous true", f"cafile {tmp_path}/own/ca.pem"]
    server = [f"certfile {tmp_path}/own/server.pem", f"keyfile {tmp_path}/own/server.key"]
    plain = server_kit.start_mosquitto(settings=[*listener, *server])
    taken: list[Received] = []

    def take(messages: list[Received]) -> None:
        taken.extend(messages)
        one.acknowledge([message.receipt for message in messages if message.receipt])

    def made(host: str, name: str) -> Subscriber:
        given = {"host": host, "port": port, "version": version, "tls": {"ca_file": "own/ca.pem"}}
        return Subscriber(Broker.model_validate(given), [f"{name}/#"], take, name=name, folder=tmp_path)

    one, other = made("127.0.0.1", place.unique), made("localhost", f"{place.unique}-other")
    one.start()
    other.start()
    try:
        assert place.until(lambda: one.problem is None), one.problem
        assert "CERTIFICATE_VERIFY_FAILED" in str(place.until(lambda: "CERTIFICATE" in str(other.problem) and other.problem))
        sender = senders(plain.port, f"{place.unique}/a")
        sender.send(2000)
        large = [bytes([n]) * (n * 100_000) for n in range(5)]
        for payload in large:
            sender.client.publish(f"{place.unique}/large", payload, qos=1)
        sender.send(2000)
        assert place.until(lambda: len(taken) == 4005), len(taken)
        assert [one.payload for one in taken if one.topic.endswith("large")] == large
        assert [int(one.payload) for one in taken if one.topic.endswith("/a")] == list(range(4000)), "in order"
        assert place.until(lambda: one.count["acknowledged"] == 4005)
    finally:
        one.stop()
        other.stop()


def test_what_could_not_be_taken_comes_again(place: Any, mosquitto: Any, senders: Any) -> None:
    """A fault on the way costs no message and no thread: unacknowledged, it is asked for once more."""
    taken: list[Received] = []
    faults = [RuntimeError("first"), RuntimeError("second")]

    def take(messages: list[Received]) -> None:
        if faults:
            raise faults.pop()
        taken.extend(messages)

    topic = f"{place.unique}/a"
    one = Subscriber(Broker(host=mosquitto.host, port=mosquitto.port), [topic], take, name=place.unique)
    one.start()
    try:
        assert place.until(lambda: one.problem is None)
        sender = senders(mosquitto.port, topic)
        sender.send(5)
        assert place.until(lambda: {int(message.payload) for message in taken} == set(range(5)))
        assert one.alive
        assert one.count["acknowledged"] == 0
        one.acknowledge([message.receipt for message in taken if message.receipt])
        assert place.until(lambda: one.count["acknowledged"] == 5)
        assert one.in_flight == 0
    finally:
        one.stop()
