"""A whole cluster for a test: a plant folder on real servers, roles as processes of their own, and the comparison that counts."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from live_gauge import PATIENCE, Gauge, until
from live_role import ROOT, SESSION, Role
from pydantic import SecretStr

from ingest.records import UNPACKED, decode
from schemas.influx import plant_tags
from scopeline.cluster.topics import topics
from scopeline.plant import load
from sinks.csv import csv_text
from sinks.influx import Influx, Reader, provisional

COMMAND = [sys.executable, "-c", "from scopeline.cli import main; main()"]
TEMPLATE = ROOT / "tests" / "live" / "cluster_plant"
GIVEN = {"partitions": 2, "horizon": "48h", "timeout": "5s"}


class Cluster:
    """A plant on given servers. Everything it makes is its own; `close` ends what it started.

    template: a plant folder with @names@ to be filled in; options: of GIVEN
    step: seconds between messages by their own clock; window: minutes that they begin before now.
    """

    def __init__(
        self,
        folder: Path,
        mqtt: int,
        kafka: str,
        influx: Any,
        prefix: str,
        step: float = 2.0,
        window: float = 30,
        template: Path = TEMPLATE,
        **options: Any,
    ) -> None:
        self.folder, self.plant_dir, self.prefix, self.mqtt, self.kafka = folder, folder / "plant", prefix, mqtt, kafka
        self.influx, self.step, self.template = influx, step, template
        self.roles: list[Role] = []
        self.gauges: list[Gauge] = []
        self.begin = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=window)
        self._given = {
            **GIVEN,
            "mqtt": mqtt,
            "kafka": kafka,
            "influx": influx.url,
            "org": influx.org,
            "prefix": prefix,
            **options,
        }
        self._write(self.plant_dir)
        plant, problems = load(self.plant_dir)
        assert plant, problems
        self.plant = plant
        self.topics = topics(plant.settings.kafka)  # type: ignore[arg-type]  # the plant has one

    def _write(self, folder: Path, **other: Any) -> Path:
        """The plant folder, or one that differs in some connections."""
        shutil.copytree(self.template, folder)
        for file in filter(Path.is_file, folder.rglob("*")):
            text = file.read_text()
            for name, value in {**self._given, "archive": self.folder / "archive", **other}.items():
                text = text.replace(f"@{name}@", str(value))
            file.write_text(text)
        (folder / "token").write_text(self.influx.token)
        return folder

    # commands and roles --------------------------------------------------------------------------------------------------
    def command(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command on the plant folder, to its end."""
        done = subprocess.run(
            [*COMMAND, *arguments, "--plant", str(self.plant_dir)], cwd=ROOT, capture_output=True, text=True, timeout=300
        )
        assert not check or done.returncode == 0, done.stderr + done.stdout
        return done

    def setup(self) -> None:
        self.command("setup")
        self.command("apply", "--no-wait")

    def start(
        self, role: str, limits: dict[str, Any] | None = None, others: dict[str, Any] | None = None, **environment: str
    ) -> Role:
        """Start a role; limits: of launcher.py; others: connections of its own, like {"kafka": address}, in its own folder."""
        name = f"{role}-{len(self.roles)}"
        plant = self._write(self.folder / f"plant-{name}", **others) if others else self.plant_dir
        self.roles.append(Role(plant, role, self.folder / f"{name}.log", limits or {}, environment))
        return self.roles[-1]

    def state(self, role: Role) -> list[Path]:
        """The files in which workers of this plant folder keep partitions."""
        return sorted(role.plant.glob(".scopeline/process/*/partitions/*"))

    def close(self) -> None:
        for gauge in self.gauges:
            gauge.close()
        for role in self.roles:
            role.kill()

    # messages ------------------------------------------------------------------------------------------------------------
    def gauge(self, port: int | None = None) -> Gauge:
        made = Gauge(port or self.mqtt, f"{self.prefix}-gauge-{len(self.gauges)}")
        self.gauges.append(made)
        return made

    def send(self, gauge: Gauge, start: int, count: int, pause: float = 0.0) -> None:
        """Messages number start to start + count: see `message`."""
        for n in range(start, start + count):
            self.say(gauge, n)
            if pause:
                time.sleep(pause)

    def due(self, n: int) -> bool:
        """Whether message n has been by now, by its own clock: one of the future would be refused."""
        return self.begin + timedelta(seconds=self.step * n) < datetime.now(UTC)

    def say(self, gauge: Gauge, n: int, again: str = "", retain: bool = False) -> None:
        """Message n: a ticket of one of two gates or the counter of one of four meters, now and then the grid's intensity."""
        at = (self.begin + timedelta(seconds=self.step * n)).isoformat().replace("+00:00", "Z")
        site = ("north", "south")[n % 2]
        if n % 50 == 0:
            gauge.publish(f"{self.prefix}-grid/intensity", {"time": at, "g": 100 + n % 70}, f"g{n}{again}", retain)
        if n % 3 == 0:
            ticket = {"time": at, "litres": 1 + n % 7, "ticket": f"t{n}"}
            gauge.publish(f"{self.prefix}/{site}/gate", ticket, f"t{n}{again}", retain)
        else:
            gauge.publish(f"{self.prefix}/{site}/m{n % 6}", {"time": at, "kwh": n * 0.25}, f"c{n}{again}", retain)

    # what is where -------------------------------------------------------------------------------------------------------
    def log(self) -> pl.DataFrame:
        """All messages in Kafka: topic, payload, received_at, retained, partition, offset, of (the Kafka topic)."""
        consumer = KafkaConsumer(bootstrap_servers=self.kafka, enable_auto_commit=False, isolation_level="read_committed")
        frames = [pl.DataFrame(schema={**UNPACKED, "partition": pl.Int32, "of": pl.String})]
        try:
            names = (self.topics.raw, self.topics.ref)
            places = [TopicPartition(name, n) for name in names for n in consumer.partitions_for_topic(name) or ()]
            consumer.assign(places)
            consumer.seek_to_beginning()
            ends = consumer.end_offsets(places)
            while any(consumer.position(place) < ends[place] for place in places):
                for place, records in consumer.poll(timeout_ms=500, max_records=10_000).items():
                    found, _ = decode(records)
                    frames.append(found.with_columns(partition=pl.lit(place.partition), of=pl.lit(place.topic)))
        finally:
            consumer.close()
        return pl.concat(frames)

    def behind(self) -> int:
        """Records, references too, that the group has not committed; -1 while Kafka does not say."""
        admin = KafkaAdminClient(bootstrap_servers=self.kafka)
        consumer = KafkaConsumer(bootstrap_servers=self.kafka, enable_auto_commit=False)
        try:
            places = [TopicPartition(self.topics.raw, n) for n in consumer.partitions_for_topic(self.topics.raw) or ()]
            ends = consumer.end_offsets(places)
            reference = TopicPartition(self.topics.ref, 0)
            last = consumer.end_offsets([reference])[reference]
            known = admin.list_group_offsets([self.topics.group]).get(self.topics.group, {})
            at = {place: known[place] for place in places if place in known and known[place].offset > 0}
            told = [json.loads(one.metadata or "{}").get("ref", 0) for one in at.values()]
            left = [end - (at[place].offset if place in at else 0) for place, end in ends.items()]
            return sum(left) + sum(last - n for n in told)
        except KafkaError:
            return -1
        finally:
            admin.close()
            consumer.close()

    def settled(self, timeout: float = 2 * PATIENCE) -> bool:
        """Wait until everything in the log is committed and no figure changes any more."""
        seen: list[bytes] = [b"", b"x"]

        def still() -> bool:
            if self.behind() != 0:
                return False
            seen.append(self.stored())
            return seen[-1] == seen[-2]

        return until(still, timeout, every=0.5)

    def reader(self) -> Reader:
        settings = self.plant.settings.influxdb
        assert settings
        own = settings.model_copy(update={"url": self.influx.url, "timeout": timedelta(seconds=PATIENCE)})
        influx = Influx(own, SecretStr(self.influx.token))
        return Reader(influx, self.prefix, plant_tags(self.plant.settings.tags))

    def figures(self) -> pl.DataFrame:
        """The figures in InfluxDB as an export has them."""
        reader, lateness = self.reader(), self.plant.settings.reporting.lateness
        found = reader.read_figures(self.begin - timedelta(days=500), self.begin + timedelta(days=30))
        return provisional(found, reader.read_clock(), lateness)

    def stored(self) -> bytes:
        """The figures in InfluxDB as the text of a csv export."""
        return _text(self.figures())

    def computed(self, log: pl.DataFrame | None = None) -> bytes:
        """What `scopeline compute` makes of all messages in the log, as the same text."""
        messages, out = self.folder / "messages.ndjson", self.folder / "computed.parquet"
        found = (self.log() if log is None else log).select("topic", "payload", "received_at", "retained")
        with messages.open("w") as file:
            for topic, payload, received, retained in found.iter_rows():
                line = {"topic": topic, "payload": payload.decode(), "received_at": received.isoformat(), "retained": retained}
                file.write(json.dumps(line) + "\n")
        self.command("compute", "--messages", str(messages), "--out", str(out))
        return _text(pl.read_parquet(out))

    # the comparison ------------------------------------------------------------------------------------------------------
    @property
    def fence(self) -> float:
        """Seconds after an assignment until a worker looks at the store once more: session, timeout of a write, reserve."""
        settings = self.plant.settings.influxdb
        assert settings
        return SESSION + settings.timeout.total_seconds() + 5

    def check(self, gauges: Iterable[Gauge] | None = None, timeout: float = 2 * PATIENCE, moved: bool = False) -> pl.DataFrame:
        """Nothing acknowledged is lost, nothing counts twice: what InfluxDB holds is what the log says, to the byte.

        moved: partitions went from one worker to another, so that this holds after the fence delay only. Returns the log.
        """
        sent = {name for gauge in gauges or self.gauges for name in self._acknowledged(gauge) if name.startswith("t")}
        assert sent
        until(lambda: sent <= tickets(self.log()).keys(), timeout, every=0.5)
        assert self.settled(timeout), f"{self.behind()} records are not committed: {self.said()}"
        log = self.log()
        assert sent <= tickets(log).keys(), f"lost: {sorted(sent - tickets(log).keys())[:5]}"
        if moved:
            time.sleep(self.fence)
        self.check_figures(log, PATIENCE if moved else 0)
        return log

    def check_figures(self, log: pl.DataFrame, within: float = 0) -> None:
        """InfluxDB against `scopeline compute` of the log, and both against a count that knows nothing of Scopeline.

        within: seconds that a second look, which is due, may take to put right what differs.
        """
        computed = self.computed(log)
        until(lambda: self.stored() == computed, within, every=0.5)
        figures = self.figures()
        stored = _text(figures)
        assert stored.count(b"\n") > 10
        assert stored == computed, _difference(stored, computed) + self.said()
        fuel = figures.filter(pl.col("source").str.starts_with("trucks"))["activity"].sum()
        assert abs(fuel - sum(tickets(log).values())) < 1e-6, "each ticket counts once"
        energy = figures.filter((pl.col("scope") == 2) & (pl.col("basis") == "location"))["activity"].sum()
        assert abs(energy - energies(log)) < 1e-6, "each counter's way counts once"

    @staticmethod
    def _acknowledged(gauge: Gauge) -> dict[str, float]:
        assert gauge.drained(), f"the broker has not acknowledged {gauge.waiting} messages"
        return {name.partition("#")[0]: at for name, at in gauge.acknowledged.items()}

    def said(self) -> str:
        """The ends of what all roles have said, for a test that fails."""
        return "".join(f"\n--- {role.log.name}, code {role.code}\n{role.said()[-2500:]}" for role in self.roles)


def tickets(log: pl.DataFrame) -> dict[str, float]:
    """Ticket -> litres, of the messages of the gates."""
    said = (json.loads(payload) for payload in log.filter(pl.col("topic").str.ends_with("/gate"))["payload"])
    return {one["ticket"]: one["litres"] for one in said}


def energies(log: pl.DataFrame) -> float:
    """How far the counters of all meters have come."""
    rising = log.filter(pl.col("topic").str.contains("/m[0-9]$"))
    said = [(topic, json.loads(payload)["kwh"]) for topic, payload in rising.select("topic", "payload").iter_rows()]
    meters = pl.DataFrame(said, schema={"topic": pl.String, "kwh": pl.Float64}, orient="row")
    return meters.group_by("topic").agg(pl.col("kwh").max() - pl.col("kwh").min())["kwh"].sum()


def _text(figures: pl.DataFrame) -> bytes:
    """A frame of figures as csv, in the columns that both sides have."""
    return csv_text(figures.sort("interval_start", "site", "source", "component", "scope", "category", "basis"))


def _difference(stored: bytes, computed: bytes) -> str:
    a, b = stored.decode().splitlines(), computed.decode().splitlines()
    only_a, only_b = sorted(set(a) - set(b)), sorted(set(b) - set(a))
    return f"{len(only_a)} lines only in InfluxDB, {len(only_b)} only computed:\n" + "\n".join([*only_a[:3], "--", *only_b[:3]])
