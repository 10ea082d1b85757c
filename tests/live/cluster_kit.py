"""A whole cluster for a test: a plant folder on real servers, roles as processes of their own, and the comparison that counts."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from paho.mqtt import client as paho
from pydantic import SecretStr

from ingest.records import UNPACKED, decode
from scopeline.cluster.topics import topics
from scopeline.plant import load
from sinks.csv import csv_text
from sinks.influx import Influx, Reader, provisional

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-c", "from scopeline.cli import main; main()"]

FILES = {
    "feeds/meters.yaml": """\
feed: meters
topic: "{prefix}/{{site}}/{{device}}"
decoder: json
observed_at: {{path: "$.time", format: iso8601}}
skip: ["{prefix}/+/gate"]
channels:
  - {{channel: energy, value: "$.kwh", unit: kWh, kind: counter}}
""",
    "feeds/gates.yaml": """\
feed: gates
topic: "{prefix}/{{site}}/gate"
decoder: json
device: gate
observed_at: {{path: "$.time", format: iso8601}}
channels:
  - {{channel: fuel, value: "$.litres", unit: L, kind: amount, event: "$.ticket"}}
""",
    "feeds/grid.yaml": """\
feed: grid
topic: "{prefix}-grid/intensity"
decoder: json
meter: "ref/grid"
observed_at: {{path: "$.time", format: iso8601}}
channels:
  - {{channel: intensity, value: "$.g", unit: g/kWh, kind: level}}
""",
    "sources/all.yaml": """\
sources:
  - {{source: "power-{{n}}", site: north, scope: 2, category: purchased_electricity, for_each: "north/*:energy", measured_by: "{{meter}}"}}
  - {{source: "south-{{n}}", site: south, scope: 2, category: purchased_electricity, for_each: "south/*:energy", measured_by: "{{meter}}"}}
  - {{source: trucks-north, site: north, scope: 1, category: mobile_combustion, measured_by: "north/gate:fuel", factor: {{id: own/diesel}}}}
  - {{source: trucks-south, site: south, scope: 1, category: mobile_combustion, measured_by: "south/gate:fuel", factor: {{id: own/diesel}}}}
""",
    "factors/own.csv": """\
factor_id,activity,region,scope,gas,value,unit,per_unit,basis,boundary,valid_from,valid_to,published,gwp_set,uncertainty_pct,citation
diesel,Diesel,GB,1,CO2e,2.5,kg,L,,,2020-01-01,,2020-01-01,,,made up for the test
grid,Grid electricity,GB,2,CO2e,0.25,kg,kWh,,generation,2020-01-01,,2020-01-01,,,made up for the test
""",
}
PLANT = """\
organisation: Test works
sites:
  - {{site: north, timezone: Europe/London, grid_region: GB}}
  - {{site: south, timezone: Europe/Berlin, grid_region: GB}}
reporting: {{base_interval: 1m, lateness: 1m}}
grid_regions: [{{region: GB, intensity: "ref/grid:intensity", max_age: 2h, factor: {{id: own/grid}}}}]
factor_sets: {{desnz: "2026"}}
profile: cluster
brokers: {{local: {{host: 127.0.0.1, port: {mqtt}}}}}
kafka: {{bootstrap_servers: ["{kafka}"], prefix: {prefix}, partitions: {partitions}, horizon: {horizon}}}
influxdb: {{url: "{influx}", org: {org}, bucket: {prefix}, token_file: token, timeout: 5s}}
archive: {{path: archive}}
console: {{port: {console}}}
"""


class Role:
    """One process of the cluster."""

    def __init__(self, plant: Path, role: str, name: str, environment: dict[str, str], arguments: tuple[str, ...]) -> None:
        self._command = [
            *COMMAND,
            "run",
            "--plant",
            str(plant),
            "--profile",
            "cluster",
            "--role",
            role,
            "--port",
            "0",
            *arguments,
        ]
        self._environment, self.log = environment, plant.parent / f"{name}.log"
        self.start()

    def start(self, **environment: str) -> None:
        self._from = len(self.said()) if self.log.exists() else 0
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                self._command, cwd=ROOT, stdout=out, stderr=out, start_new_session=True,
                env={**os.environ, **self._environment, **environment},
            )  # fmt: skip

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def code(self) -> int | None:
        """The exit code, None while it runs."""
        return self._process.poll()

    def wait(self, timeout: float) -> int:
        return self._process.wait(timeout)

    def signal(self, number: int) -> None:
        if self.code is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self._process.wait(10)

    def stop(self, timeout: float = 15) -> int:
        self.signal(signal.SIGTERM)
        return self._process.wait(timeout)

    def pause(self) -> None:
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def ready(self, timeout: float = 60) -> "Role":
        """Wait until it says that all is well."""
        assert until(self._well, timeout), self.said()[-3000:]
        return self

    def _well(self) -> bool:
        found = re.findall(r"(http://127.0.0.1:\d+)/readyz", self.said()[self._from :])
        try:
            return bool(found) and httpx.get(f"{found[-1]}/readyz").status_code == 200
        except httpx.HTTPError:
            return False

    def said(self) -> str:
        return self.log.read_text(errors="replace")


class Gauge:
    """A publisher of QoS 1 messages that knows which of them the broker has acknowledged."""

    def __init__(self, port: int, name: str) -> None:
        self.acknowledged: set[str] = set()
        self._open: dict[int, str] = {}
        self._guard = threading.Lock()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=name, clean_session=False)
        self._client.max_inflight_messages_set(200)
        self._client.on_publish = self._published
        self._client.reconnect_delay_set(1, 2)
        self._client.connect_async("127.0.0.1", port)
        self._client.loop_start()
        self._early: set[int] = set()

    def _published(self, client: Any, userdata: Any, mid: int, reason: Any, properties: Any) -> None:
        if mid in self._open:
            self.acknowledged.add(self._open.pop(mid))
        else:
            self._early.add(mid)

    def publish(self, topic: str, payload: dict[str, Any], name: str, retain: bool = False) -> None:
        info = self._client.publish(topic, json.dumps(payload), qos=1, retain=retain)
        if info.mid in self._early:
            self._early.discard(info.mid)
            self.acknowledged.add(name)
        else:
            self._open[info.mid] = name

    def drained(self, timeout: float = 30) -> bool:
        """Whether the broker has acknowledged everything."""
        return until(lambda: not self._sweep(), timeout)

    def _sweep(self) -> dict[int, str]:
        for mid in list(self._early & self._open.keys()):
            self._early.discard(mid)
            self.acknowledged.add(self._open.pop(mid))
        return self._open

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def until(true: Any, timeout: float, every: float = 0.1) -> bool:
    """Wait for something; whether it came."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(every)
    return bool(true())


class Cluster:
    """A plant on given servers. Everything it makes is its own; `close` ends what it started."""

    def __init__(self, folder: Path, mqtt: int, kafka: str, influx: Any, prefix: str, **options: Any) -> None:
        self.folder, self.plant_dir, self.prefix, self.mqtt, self.kafka = folder, folder / "plant", prefix, mqtt, kafka
        self._influx, self.roles, self._gauges = influx, [], []  # type: ignore[var-annotated]  # filled below
        self.begin = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=30)
        given = {"partitions": 2, "horizon": "48h", "console": 1} | options
        self.plant_dir.mkdir(parents=True)
        texts = {"plant.yaml": PLANT, **FILES}
        for name, text in texts.items():
            file = self.plant_dir / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text.format(mqtt=mqtt, kafka=kafka, influx=influx.url, org=influx.org, prefix=prefix, **given))
        (self.plant_dir / "token").write_text(influx.token)
        plant, problems = load(self.plant_dir)
        assert plant, problems
        self.plant = plant

    # commands and roles --------------------------------------------------------------------------------------------------
    def command(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command on the plant folder, to its end."""
        done = subprocess.run(
            [*COMMAND, *arguments, "--plant", str(self.plant_dir)], cwd=ROOT, capture_output=True, text=True, timeout=120
        )
        assert not check or done.returncode == 0, done.stderr + done.stdout
        return done

    def setup(self) -> None:
        self.command("setup")
        self.command("apply", "--no-wait")

    def start(self, role: str, name: str | None = None, *arguments: str, **environment: str) -> Role:
        made = Role(self.plant_dir, role, name or f"{role}-{len(self.roles)}", environment, arguments)
        self.roles.append(made)
        return made

    def close(self) -> None:
        for gauge in self._gauges:
            gauge.close()
        for role in self.roles:
            role.resume()
            role.kill()

    # messages ------------------------------------------------------------------------------------------------------------
    def gauge(self, port: int | None = None) -> Gauge:
        made = Gauge(port or self.mqtt, f"{self.prefix}-gauge-{len(self._gauges)}")
        self._gauges.append(made)
        return made

    def send(self, gauge: Gauge, start: int, count: int, pause: float = 0.0) -> None:
        """Messages number start to start + count: tickets of two gates, counters of six meters, now and then the grid."""
        for n in range(start, start + count):
            at = (self.begin + timedelta(seconds=2 * n)).isoformat().replace("+00:00", "Z")
            site = ("north", "south")[n % 2]
            if n % 50 == 0:
                gauge.publish(f"{self.prefix}-grid/intensity", {"time": at, "g": 100 + n % 70}, f"g{n}")
            if n % 3 == 0:
                gauge.publish(f"{self.prefix}/{site}/gate", {"time": at, "litres": 1 + n % 7, "ticket": f"t{n}"}, f"t{n}")
            else:
                gauge.publish(f"{self.prefix}/{site}/m{n % 6}", {"time": at, "kwh": n * 0.25}, f"c{n}")
            if pause:
                time.sleep(pause)

    # what is where -------------------------------------------------------------------------------------------------------
    def log(self) -> pl.DataFrame:
        """All messages in Kafka: topic, payload, received_at, retained, partition, offset."""
        names = topics(self.plant.settings.kafka)  # type: ignore[arg-type]  # the plant has one
        consumer = KafkaConsumer(bootstrap_servers=self.kafka, enable_auto_commit=False, isolation_level="read_committed")
        frames = [pl.DataFrame(schema={**UNPACKED, "partition": pl.Int32, "of": pl.String})]
        try:
            places = [
                TopicPartition(name, n) for name in (names.raw, names.ref) for n in consumer.partitions_for_topic(name) or ()
            ]
            consumer.assign(places)
            consumer.seek_to_beginning()
            ends = consumer.end_offsets(places)
            while any(consumer.position(place) < ends[place] for place in places):
                for place, records in consumer.poll(timeout_ms=500, max_records=10_000).items():
                    found, refused = decode(records)
                    assert not refused
                    frames.append(found.with_columns(partition=pl.lit(place.partition), of=pl.lit(place.topic)))
        finally:
            consumer.close()
        return pl.concat(frames)

    def behind(self) -> int:
        """Records of the raw topic that the group has not committed."""
        names = topics(self.plant.settings.kafka)  # type: ignore[arg-type]  # the plant has one
        admin = KafkaAdminClient(bootstrap_servers=self.kafka)
        consumer = KafkaConsumer(bootstrap_servers=self.kafka, enable_auto_commit=False)
        try:
            places = [TopicPartition(names.raw, n) for n in consumer.partitions_for_topic(names.raw) or ()]
            ends = consumer.end_offsets(places)
            said = admin.list_group_offsets([names.group])
            known = said.get(names.group, {}) if isinstance(said, dict) else {}
            at = {place: known[place].offset for place in places if place in known and known[place].offset > 0}
            return sum(end - at.get(place, 0) for place, end in ends.items())
        except KafkaError:
            return -1
        finally:
            admin.close()
            consumer.close()

    def settled(self, timeout: float = 60) -> bool:
        """Wait until everything in the log is committed, ingest has nothing open and no figure changes any more."""
        seen: list[bytes] = [b"", b"x"]

        def still() -> bool:
            if self.behind() != 0:
                return False
            seen.append(self.stored())
            return seen[-1] == seen[-2]

        return until(still, timeout, 0.5)

    def reader(self) -> Reader:
        influx = Influx(self.plant.settings.influxdb, SecretStr(self._influx.token))  # type: ignore[arg-type]  # it has one
        return Reader(influx, self.prefix)

    def stored(self) -> bytes:
        """The figures in InfluxDB as the text of a csv export."""
        reader, lateness = self.reader(), self.plant.settings.reporting.lateness
        found = reader.read_figures(self.begin - timedelta(days=500), self.begin + timedelta(days=30))
        return _text(provisional(found, reader.read_clock(), lateness))

    def computed(self) -> bytes:
        """What `scopeline compute` makes of all messages in the log, as the same text."""
        messages, out = self.folder / "messages.ndjson", self.folder / "computed.parquet"
        with messages.open("w") as file:
            for topic, payload, received, retained in (
                self.log().select("topic", "payload", "received_at", "retained").iter_rows()
            ):
                line = {"topic": topic, "payload": payload.decode(), "received_at": received.isoformat(), "retained": retained}
                file.write(json.dumps(line) + "\n")
        self.command("compute", "--messages", str(messages), "--out", str(out))
        return _text(pl.read_parquet(out))

    def tickets(self, frame: pl.DataFrame) -> set[str]:
        """The event ids among messages of the log."""
        gates = frame.filter(pl.col("topic").str.ends_with("/gate"))
        return {json.loads(payload)["ticket"] for payload in gates["payload"]}

    def check(self, gauges: list[Gauge], timeout: float = 60) -> None:
        """Nothing acknowledged is lost, nothing counts twice: what InfluxDB holds is what the log says, to the byte."""
        for gauge in gauges:
            assert gauge.drained(), "the broker has not acknowledged everything"
        sent = {name for gauge in gauges for name in gauge.acknowledged if name.startswith("t")}
        assert sent
        until(lambda: sent <= self.tickets(self.log()), timeout, 0.5)
        assert self.settled(timeout), f"{self.behind()} records are not committed: " + "\n".join(
            r.said()[-1500:] for r in self.roles
        )
        log = self.log()
        assert sent <= self.tickets(log), f"lost: {sorted(sent - self.tickets(log))[:5]}"
        stored, computed = self.stored(), self.computed()
        assert stored.count(b"\n") > 10
        assert stored == computed, _difference(stored, computed)


def _text(figures: pl.DataFrame) -> bytes:
    """A frame of figures as csv, in the columns that both sides have."""
    return csv_text(figures.sort("interval_start", "site", "source", "component", "scope", "category", "basis"))


def _difference(stored: bytes, computed: bytes) -> str:
    a, b = stored.decode().splitlines(), computed.decode().splitlines()
    only_a, only_b = sorted(set(a) - set(b)), sorted(set(b) - set(a))
    return f"{len(only_a)} lines only in InfluxDB, {len(only_b)} only computed:\n" + "\n".join([*only_a[:3], "--", *only_b[:3]])


@contextmanager
def cluster(*arguments: Any, **options: Any) -> Iterator[Cluster]:
    made = Cluster(*arguments, **options)
    try:
        yield made
    finally:
        made.close()
