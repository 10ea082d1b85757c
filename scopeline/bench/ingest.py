"""MQTT to Kafka, QoS 1: messages a processor-second of the ingest process, and beside it paho alone, packet by packet.

`python -m scopeline.bench.ingest HOST:PORT KAFKA [MESSAGES]` needs a broker whose queue holds them all, and a Kafka. The messages
wait in a session of the broker before a process drains it, so that neither devices nor start-up are measured.
"""

import json
import selectors
import socket
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import paho.mqtt.client as mqtt
from kafka import KafkaAdminClient
from kafka.admin import NewTopic
from paho.mqtt.enums import CallbackAPIVersion

from ingest import connecting
from ingest.mqtt import Subscriber
from schemas.connections import Broker
from scopeline.bench.cluster_telegraf import drain
from scopeline.bench.measure import Failed, run
from scopeline.cluster.ingest import Ingest
from scopeline.cluster.topics import specs
from scopeline.external import filters_of
from scopeline.plant import load

PLANT = """\
organisation: {name}
sites: [{{site: works, timezone: UTC}}]
brokers: {{hall: {{host: {host}, port: {port}, client_id: {name}}}}}
kafka: {{bootstrap_servers: ["{kafka}"], prefix: {name}}}
"""
FEED = """\
feed: meters
topic: "{name}/works/{{device}}"
site: works
decoder: json
observed_at: {{path: "$.at", format: iso8601}}
channels: [{{channel: energy, value: "$.kwh", unit: kWh, kind: counter}}]
"""
WITHIN = 300.0
PAYLOAD = b'{"at":"2026-11-05T12:00:%02dZ","site":"works","meter":"m%02d","kw":%07.2f,"kwh":%010.3f}'


class Rate(NamedTuple):
    """What a process took for these messages, from the first to the last acknowledgement."""

    messages: int
    cpu_s: float
    wall_s: float
    peak_mb: float = 0.0

    @property
    def per_cpu_s(self) -> float:
        return self.messages / self.cpu_s


def measure(host: str, port: int, kafka: str, messages: int, telegraf: str | None = None) -> dict[str, Rate]:
    """`ingest`, `paho alone` and, where that program is given, `telegraf`, each in a process of its own.

    Raises Failed where a server does not answer.
    """
    name = f"bench-{uuid.uuid4().hex[:8]}"
    with tempfile.TemporaryDirectory(prefix="scopeline-bench-") as folder:
        plant_dir = Path(folder)
        (plant_dir / "feeds").mkdir()
        (plant_dir / "plant.yaml").write_text(PLANT.format(name=name, host=host, port=port, kafka=kafka))
        (plant_dir / "feeds/meters.yaml").write_text(FEED.format(name=name))
        plant, problems = load(plant_dir)
        assert plant and plant.settings.kafka, problems
        admin = KafkaAdminClient(bootstrap_servers=kafka)
        admin.create_topics(
            [NewTopic(s.name, s.partitions, s.replication, topic_configs=s.settings) for s in specs(plant.settings.kafka)]
        )
        sessions = [name, f"{name}-bare", *([f"{name}-telegraf"] if telegraf else [])]
        try:
            for who in sessions:
                _subscribe(Broker(host=host, port=port), who, filters_of(plant, "hall"))
            _publish(host, port, name, messages)
            found = {}
            for what in ("ingest", "paho alone"):
                cost, printed = run(["-m", "scopeline.bench.ingest", "--drain", what, folder, str(messages)])
                cpu_s, wall_s = json.loads(printed.splitlines()[-1])
                found[what] = Rate(messages, cpu_s, wall_s, cost.peak_mb)
            if telegraf:
                topic = f"{name}.telegraf"
                admin.create_topics([NewTopic(topic, 1, 1)])
                try:
                    took = drain(telegraf, (host, port), kafka, name, f"{name}-telegraf", topic, messages)
                finally:
                    admin.delete_topics([topic])
                found["telegraf"] = Rate(*took)
            return found
        finally:
            admin.delete_topics([s.name for s in specs(plant.settings.kafka)])
            admin.close()
            for who in sessions:
                gone = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=who, clean_session=True)
                gone.connect(host, port)
                gone.loop_start()
                time.sleep(0.2)
                gone.disconnect()
                gone.loop_stop()


def _subscribe(broker: Broker, who: str, filters: list[str]) -> None:
    """Make the session that the messages will wait in."""
    one = Subscriber(broker, filters, lambda messages: None, name=who)
    one.start()
    _wait(lambda: one.problem is None and not one._subscriptions.changed, "the broker does not answer")
    time.sleep(0.5)
    one.stop()


def _publish(host: str, port: int, name: str, messages: int) -> None:
    left = threading.Semaphore(2000)
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(2000)
    client.on_publish = lambda *_: left.release()
    client.connect(host, port)
    client.loop_start()
    for number in range(messages):
        left.acquire()
        payload = PAYLOAD % (number % 60, number % 100, number % 9000 / 7, number / 3)
        client.publish(f"{name}/works/m{number % 100}", payload, qos=1)
    for _ in range(2000):
        left.acquire()
    client.disconnect()
    client.loop_stop()


def _wait(done: Callable[[], bool], said: str) -> None:
    end = time.monotonic() + WITHIN
    while not done():
        if time.monotonic() > end:
            raise Failed(said)
        time.sleep(0.005)


def drain_ingest(folder: Path, messages: int) -> tuple[float, float]:
    """Processor and wall seconds that the ingest role takes."""
    plant, problems = load(folder)
    assert plant, problems
    one = Ingest(folder, plant)
    one.publisher._producer = one._connect()  # its bootstrap is no part of the rate
    subscriber = one.lines[0].subscriber
    cpu, wall = time.process_time(), time.perf_counter()
    one.start()
    _wait(lambda: subscriber.count["acknowledged"] >= messages, f"only {subscriber.count} arrived")
    spent = time.process_time() - cpu, time.perf_counter() - wall
    one.stop()
    return spent


def drain_bare(folder: Path, messages: int) -> tuple[float, float]:
    """The same session by paho's public loop calls alone: read, acknowledge in batches, keep nothing."""
    plant, _ = load(folder)
    assert plant
    broker = next(iter(plant.settings.brokers.values()))
    client = connecting.client(broker, f"{broker.client_id}-bare", None, folder)
    waiting: list[int] = []
    client.on_message = lambda c, u, message: waiting.append(message.mid)
    client.on_socket_register_write = lambda *_: None
    cpu, wall = time.process_time(), time.perf_counter()
    connecting.connect(client, broker)
    done = 0
    with selectors.DefaultSelector() as selector:
        sock: Any = client.socket()
        selector.register(sock, selectors.EVENT_READ)
        client.loop_write()
        while done < messages:
            selector.select(1)
            for _ in range(500):
                seen = len(waiting)
                client.loop_read()
                if len(waiting) == seen:
                    break
            for packet_id in waiting:
                client.ack(packet_id, 1)
            done += len(waiting)
            waiting.clear()
            if client.want_write():
                client.loop_write()
                for held in (1, 0):  # what waits to be joined leaves now
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, held)
    spent = time.process_time() - cpu, time.perf_counter() - wall
    client.disconnect()
    client.loop_write()
    return spent


def main(arguments: list[str]) -> None:
    if arguments[0] == "--drain":
        empty = drain_ingest if arguments[1] == "ingest" else drain_bare
        print(json.dumps(empty(Path(arguments[2]), int(arguments[3]))))
        return
    host, port = arguments[0].split(":")
    found = measure(host, int(port), arguments[1], int(arguments[2]) if len(arguments) > 2 else 100_000)
    for what, rate in found.items():
        print(f"{what:12} {rate.per_cpu_s:10,.0f} messages a processor-second  {rate.messages / rate.wall_s:10,.0f} a second")


if __name__ == "__main__":
    main(sys.argv[1:])
