"""A plant whose messages go from a real broker into a real Kafka, and devices that publish; conftest.py has the fixtures."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import polars as pl
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import NewTopic
from paho.mqtt.enums import CallbackAPIVersion
from waiting import until

from ingest import records
from scopeline.cluster.ingest import Ingest
from scopeline.cluster.topics import specs
from scopeline.plant import load

PLANT = """\
organisation: {unique}
sites:
  - {{site: works, timezone: UTC}}
  - {{site: mill, timezone: UTC, partition: works}}
  - {{site: york, timezone: UTC}}
brokers:
  hall: {{host: 127.0.0.1, port: {port}{more}}}
kafka: {{bootstrap_servers: ["{kafka}"], prefix: {unique}, partitions: 3}}
"""
FEED = """\
feed: {name}
topic: "{topic}"
decoder: json
observed_at: received_at
channels: [{{channel: energy, value: "$.kwh", unit: kWh, kind: counter}}]
"""
UP = "up"
"""What a process says once a signal stops it in order and brokers have confirmed its subscriptions."""
RUN = """
import logging, signal, sys, threading
from pathlib import Path
from scopeline.cluster.ingest import Ingest
from scopeline.plant import load
logging.basicConfig(level=logging.INFO)
one = Ingest(Path(sys.argv[1]), load(Path(sys.argv[1]))[0], int(sys.argv[2]), Path(sys.argv[1]) / f"state{sys.argv[2]}")
end = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: end.set())
one.start()
while not one.ready and not end.wait(0.05):
    pass
print("@UP@", flush=True)
end.wait()
sys.exit(0 if one.stop(60) else 3)
""".replace("@UP@", UP)


class Place:
    """A plant folder, its topics, and what happens around it."""

    def __init__(self, folder: Path, unique: str, kafka: str) -> None:
        self.folder, self.unique, self.kafka = folder, unique, kafka
        self.processes: list[subprocess.Popen[bytes]] = []
        self.running: list[Ingest] = []

    def plant(self, port: int, more: str = "", kafka: str = "", feeds: dict[str, str] | None = None) -> Any:
        (self.folder / "feeds").mkdir(parents=True, exist_ok=True)
        for old in (self.folder / "feeds").iterdir():
            old.unlink()
        (self.folder / "plant.yaml").write_text(PLANT.format(unique=self.unique, port=port, more=more, kafka=kafka or self.kafka))
        for name, topic in (feeds or {"meters": f"{self.unique}/{{site}}/{{device}}/e"}).items():
            (self.folder / f"feeds/{name}.yaml").write_text(FEED.format(name=name, topic=topic))
        found, problems = load(self.folder)
        assert found, problems
        return found

    def topics(self, plant: Any) -> None:
        admin = KafkaAdminClient(bootstrap_servers=self.kafka)
        admin.create_topics(
            [NewTopic(s.name, s.partitions, s.replication, topic_configs=s.settings) for s in specs(plant.settings.kafka)]
        )
        admin.close()

    def run(self, plant: Any, member: int | None = None, ready: bool = True) -> Ingest:
        """ready: wait until the brokers have confirmed the subscriptions."""
        one = Ingest(self.folder, plant, member, self.folder / f"state{member or 0}")
        one.start()
        self.running.append(one)
        assert not ready or until(lambda: all(line.subscriber.problem is None for line in one.lines)), one.problems
        return one

    def process(self, failpoint: str = "", member: int = 0) -> subprocess.Popen[bytes]:
        env = {**os.environ, "SCOPELINE_FAILPOINT": failpoint}
        with self._log(len(self.processes)).open("wb") as log:
            command = [sys.executable, "-c", RUN, str(self.folder), str(member)]
            self.processes.append(subprocess.Popen(command, env=env, stdout=log, stderr=log))
        return self.processes[-1]

    def up(self, process: "subprocess.Popen[bytes]") -> bool:
        """Wait until a process takes messages, and can be stopped in order; whether it came so far."""
        log = self._log(self.processes.index(process))
        return bool(until(lambda: process.poll() is not None or UP in log.read_text().splitlines()) and process.poll() is None)

    def _log(self, number: int) -> Path:
        return self.folder / f"log{number}"

    def logged(self) -> pl.DataFrame:
        """All messages of the raw topic, with partition and offset."""
        consumer = KafkaConsumer(bootstrap_servers=self.kafka, auto_offset_reset="earliest", enable_auto_commit=False)
        raw = f"{self.unique}.raw"
        partitions = [TopicPartition(raw, number) for number in range(3)]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        found = []
        while any(consumer.position(one) < ends[one] for one in partitions):
            for one, some in consumer.poll(500).items():
                unpacked = records.decode(some)
                assert not unpacked.refused
                found.append(unpacked.messages.with_columns(pl.lit(one.partition).alias("partition")))
        consumer.close()
        return pl.concat(found) if found else pl.DataFrame(schema={**records.UNPACKED, "partition": pl.Int32})

    def numbers(self) -> set[int]:
        return set(self.logged()["payload"].cast(pl.String).cast(pl.Int64))

    until = staticmethod(until)

    @staticmethod
    def gate(one: Ingest) -> "Gate":
        return Gate(one)

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        for one in self.running:
            one.stop(1)


class Sender:
    """A device: numbers as payloads; `acknowledged` are those that the broker has confirmed."""

    def __init__(self, port: int, topic: str) -> None:
        self.topic, self.next = topic, 0
        self._of: dict[int, int] = {}
        self._confirmed: list[int] = []  # packet ids; no test sends so many that they begin anew
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self.client.max_inflight_messages_set(200)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_publish = self._published
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def _published(self, client: Any, userdata: Any, mid: int, reason: Any, properties: Any) -> None:
        self._confirmed.append(mid)

    @property
    def acknowledged(self) -> set[int]:
        return {self._of[mid] for mid in list(self._confirmed) if mid in self._of}

    def send(self, count: int, topic: str | None = None) -> None:
        for _ in range(count):
            self._of[self.client.publish(topic or self.topic, str(self.next), qos=1).mid] = self.next
            self.next += 1

    def settled(self) -> bool:
        return bool(until(lambda: len(self.acknowledged) == self.next))

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


class Gate:
    """Holds an ingest's messages before they are sent to Kafka, until it opens."""

    def __init__(self, one: Ingest) -> None:
        self._opened = threading.Event()
        one.publisher._passing = self._pass

    def _pass(self, name: str) -> None:
        self._opened.wait(600)

    def open(self) -> None:
        self._opened.set()
