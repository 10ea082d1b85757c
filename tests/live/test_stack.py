"""The servers that tests and deploy/ run: they answer, keep what they acknowledged, and the proxy between does what it says."""

import json
import socket
import threading
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic
from kafka.errors import KafkaError
from ruamel.yaml import YAML
from waiting import until

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]
WAIT = 90
ROOT = Path(__file__).parents[2]


@contextmanager
def mqtt_client(port, name, clean=True, received=None):
    """A connected client with a receive list; MQTT 3.1.1, acknowledging at once."""
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=name, clean_session=clean)
    client.max_inflight_messages_set(500)
    client.on_message = lambda _client, _data, message: received.append(message.payload)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        assert until(client.is_connected)
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


def call(url, token, body=None, path="/api/v2/buckets"):
    request = urllib.request.Request(url + path, body, {"Authorization": f"Token {token}"})
    with urllib.request.urlopen(request, timeout=WAIT) as answer:
        return answer.read().decode()


def test_mosquitto_passes_messages_on(mosquitto, unique):
    received = []
    with mqtt_client(mosquitto.port, unique, received=received) as client:
        client.subscribe(f"{unique}/#", qos=1)
        client.publish(f"{unique}/a", b"1", qos=1).wait_for_publish(WAIT)
        assert until(lambda: received == [b"1"])


@pytest.mark.parametrize(
    ("settings", "messages", "each"),
    [((), 1500, False), (("autosave_on_changes true",), 300, True)],
    ids=["as shipped", "saved on changes"],
)
def test_what_mosquitto_acknowledged_survives_its_death(server_kit, settings, messages, each):
    """More messages than the usual queue of 1000 for an absent subscriber. The shipped settings write them within two seconds;
    with `autosave_on_changes` it saves before it reads on: a further answer says that it saved.
    """
    broker = server_kit.start_mosquitto(settings=settings)
    received = []
    with mqtt_client(broker.port, "durable", clean=False, received=received) as client:
        client.subscribe("plant/#", qos=1)
        client.publish("plant/first", b"first", qos=1).wait_for_publish(WAIT)
        assert until(lambda: received)
    with mqtt_client(broker.port, "meter") as meter:
        for sent in [meter.publish("plant/meter", str(n).encode(), qos=1) for n in range(messages)]:
            sent.wait_for_publish(WAIT)
        meter.publish("elsewhere", b"", qos=1).wait_for_publish(WAIT)
    acknowledged, file = time.time(), broker.folder / "mosquitto.db"
    assert until(lambda: each or (file.exists() and file.stat().st_mtime > acknowledged))
    broker.kill()
    broker.start()
    with mqtt_client(broker.port, "durable", clean=False, received=received):
        assert until(lambda: len(received) > messages)
    assert received == [b"first", *(str(n).encode() for n in range(messages))]


def test_kafka_takes_and_gives_records(kafka, unique):
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    admin.create_topics([NewTopic(unique, 2, 1)])
    admin.close()
    producer = KafkaProducer(bootstrap_servers=kafka, acks="all")
    for n in range(100):
        producer.send(unique, str(n).encode(), partition=n % 2)
    producer.close(WAIT)
    consumer = KafkaConsumer(unique, bootstrap_servers=kafka, auto_offset_reset="earliest", consumer_timeout_ms=WAIT * 1000)
    read = sorted(int(record.value) for _, record in zip(range(100), consumer, strict=False))
    consumer.close()
    assert read == list(range(100))


def test_kafka_makes_no_topic_by_accident(kafka, unique):
    producer = KafkaProducer(bootstrap_servers=kafka, max_block_ms=1500)
    with pytest.raises(KafkaError):
        producer.send(unique, b"1")
    producer.close(1)


def test_kafka_knows_every_shipped_setting(kafka):
    """Kafka says nothing about a misspelt name, so each one is asked for; places differ in addresses and folders only."""
    lines = (ROOT / "deploy" / "kafka" / "server.properties").read_text().splitlines()
    shipped = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    of_a_place = {"listeners", "advertised.listeners", "controller.quorum.voters", "log.dirs"}
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    broker = ConfigResource(ConfigResourceType.BROKER, "1")
    ((found,),) = [kind.values() for kind in admin.describe_configs([broker], config_filter="all").values()]
    admin.close()
    held = {name: found[name]["value"] if name in found else "unknown" for name in shipped.keys() - of_a_place}
    assert len(held) > 15
    assert held == {name: shipped[name] for name in held}


def test_kafka_keeps_records_when_killed(server_kit):
    log = server_kit.start_kafka()
    admin = KafkaAdminClient(bootstrap_servers=log.address)
    admin.create_topics([NewTopic("t", 1, 1)])
    admin.close()
    producer = KafkaProducer(bootstrap_servers=log.address, acks="all")
    for sent in [producer.send("t", str(n).encode()) for n in range(200)]:
        sent.get(WAIT)
    producer.close(WAIT)
    log.kill()
    assert not log.alive
    log.start()
    consumer = KafkaConsumer("t", bootstrap_servers=log.address, auto_offset_reset="earliest", consumer_timeout_ms=WAIT * 1000)
    read = [int(record.value) for _, record in zip(range(200), consumer, strict=False)]
    consumer.close()
    assert read == list(range(200))


def test_influxdb_stores_points(influxdb, unique):
    orgs = json.loads(call(influxdb.url, influxdb.token, path=f"/api/v2/orgs?org={influxdb.org}"))["orgs"]
    call(influxdb.url, influxdb.token, json.dumps({"name": unique, "orgID": orgs[0]["id"], "retentionRules": []}).encode())
    write = f"/api/v2/write?org={influxdb.org}&bucket={unique}&precision=s"
    call(influxdb.url, influxdb.token, b"figures,site=works kg=1.5 1000\nfigures,site=works kg=2.5 1060\n", write)
    select = f"/query?db={unique}&q=select+sum(kg)+from+figures"
    answer = json.loads(call(influxdb.url, influxdb.token, path=select))
    assert answer["results"][0]["series"][0]["values"][0][1] == 4.0


def test_influxdb_holds_every_shipped_setting(influxdb):
    shipped = YAML(typ="safe").load(ROOT / "deploy" / "influxdb" / "config.yml")
    found = json.loads(call(influxdb.url, influxdb.token, path="/api/v2/config"))["config"]
    nanoseconds = {"10s": 10_000_000_000, "3m": 180_000_000_000}
    held = {name: found.get(name, "unknown") for name in shipped}
    assert len(held) > 8
    assert held == {name: nanoseconds.get(value, value) for name, value in shipped.items()}


def test_influxdb_keeps_what_it_confirmed_and_its_token(server_kit):
    store = server_kit.start_influxdb()
    assert store.token_file.stat().st_mode & 0o777 == 0o600
    write = f"/api/v2/write?org={store.org}&bucket={store.bucket}&precision=s"
    call(store.url, store.token, b"m v=1 1000", write)
    store.kill()
    store.start()
    answer = json.loads(call(store.url, store.token, path=f"/query?db={store.bucket}&q=select+v+from+m"))
    assert [row[1] for row in answer["results"][0]["series"][0]["values"]] == [1.0]


def test_a_paused_server_is_silent_and_goes_on(server_kit):
    broker = server_kit.start_mosquitto()
    broker.pause()
    assert not broker.answers()
    broker.resume()
    assert until(broker.answers)
    broker.pause()
    broker.stop(5)
    assert not broker.alive


@pytest.fixture
def echo():
    """The port of a server that sends back what it gets, and the connections it has."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=repeat, args=(connection,), daemon=True).start()

    def repeat(connection):
        with connection:
            try:
                while data := connection.recv(65536):
                    connection.sendall(data)
            except OSError:
                return

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def asked(connection, data=b"ping"):
    """The answer and the seconds it took."""
    began = time.monotonic()
    connection.sendall(data)
    got = b""
    while len(got) < len(data):
        part = connection.recv(65536)
        if not part:
            break
        got += part
    return got, time.monotonic() - began


def connected(port):
    connection = socket.create_connection(("127.0.0.1", port), timeout=WAIT)
    connection.settimeout(WAIT)
    return connection


def test_the_proxy_passes_on_delays_and_throttles(echo, proxy):
    way = proxy(echo)
    with connected(way.port) as connection:
        assert asked(connection)[0] == b"ping"
        way.delay(0.2)
        answer, seconds = asked(connection)
        assert answer == b"ping"
        assert seconds >= 0.4, "both ways are delayed"
        way.heal()
        way.throttle(20_000, "from_server")
        answer, seconds = asked(connection, bytes(10_000))
        assert len(answer) == 10_000
        assert seconds >= 0.3
    assert way.accepted == 1


@pytest.mark.parametrize("direction", ["to_server", "from_server", "both"])
def test_a_black_hole_is_silent_until_it_heals(echo, proxy, direction):
    way = proxy(echo)
    with connected(way.port) as connection:
        way.black_hole(direction)
        connection.settimeout(0.3)
        connection.sendall(b"lost?")
        with pytest.raises(TimeoutError):
            connection.recv(10)
        connected(way.port).close()
        way.heal()
        connection.settimeout(WAIT)
        assert connection.recv(10) == b"lost?"


def test_the_proxy_cuts_resets_and_refuses(echo, proxy):
    way = proxy(echo)
    with connected(way.port) as connection:
        asked(connection)
        way.cut()
        assert connection.recv(10) == b""
    with connected(way.port) as connection:
        asked(connection)
        way.reset()
        with pytest.raises(ConnectionResetError):
            connection.recv(10)
    way.refuse()
    with pytest.raises(ConnectionRefusedError):
        connected(way.port)
    way.heal()
    with connected(way.port) as connection:
        assert asked(connection)[0] == b"ping"
