"""The console's own replica of all partitions. It follows the log by itself, so that console, API, exports and traces ask a data
file as they do in the embedded profile, and agree with `messages | compute` byte for byte. It never writes to InfluxDB.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import polars as pl
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from ingest.records import decode, pack
from ingest.routing import REF, Routes
from schemas.plant import Plant
from schemas.problem import Problem
from scopeline import pipeline
from scopeline.catalogue import catalogue
from scopeline.cluster.history import History
from scopeline.cluster.kafka import consumer, producer
from scopeline.cluster.plant_topic import InForce, KafkaProblem, PlantTopic
from scopeline.cluster.reading import columnar, gathered
from scopeline.cluster.replica import BEGINNING, Replica, Stopping
from scopeline.cluster.topics import LARGEST, topics
from scopeline.corrections import redriven, replayed
from scopeline.log import Store
from scopeline.log.archive import due, move
from scopeline.runtime import CONSOLE
from scopeline.tokens import STATE

log = logging.getLogger(__name__)

RECORDS = 20_000
_PLANT_EVERY, _END_EVERY, _AGAIN, _CONFIRM, _HOUR = 1.0, 5.0, 5.0, 30.0, 3600.0
Answer = TypeVar("Answer")


class NotPublished(Exception):
    """There is no plant folder in the cluster yet."""


class Follower:
    """A Host (scopeline.service.host) over the cluster. `start` raises NotPublished, KafkaProblem, StateError: with remedy."""

    broker = None
    external: tuple[Any, ...] = ()

    def __init__(self, plant_dir: Path, plant: Plant, state: Path | None = None, roles: Any = None) -> None:
        """plant: the local folder, for the connections; what is computed with comes from the cluster. roles: others in this
        process, whose problems are told too."""
        assert plant.settings.kafka and plant.settings.archive
        self.plant_dir, self.kafka, self.archive = plant_dir.resolve(), plant.settings.kafka, plant.settings.archive
        self._state = state or self.plant_dir / STATE
        self._stop, self._turn = threading.Event(), threading.RLock()
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)
        self._problem: str | None = None
        self._roles = roles
        self._behind = 0
        self._plant_at = self._end_at = self._retain_at = 0.0
        self._producer: Any = None

    # Host ----------------------------------------------------------------------------------------------------------------
    @property
    def store(self) -> Store:
        return self._replica.store

    @property
    def configuration(self) -> pipeline.Configuration:
        return self._replica.configuration

    @property
    def problems(self) -> list[Problem]:
        """Of Kafka, of the disk, of the published plant folder."""
        found = list(self._roles.problems) if self._roles else []
        for where, said in (("kafka", self._problem), ("", self._replica.problem), ("", self._follow.problem)):
            if said:
                found.append(
                    Problem("error", "plant.yaml", None, where, said, "See that the servers run; `scopeline doctor` says more")
                )
        if self._behind > RECORDS:
            what = f"the console is {self._behind:,} records behind the log"
            found.append(Problem("note", "plant.yaml", None, "kafka", what, "Wait; until then its figures are older"))
        return found

    @property
    def running(self) -> bool:
        return self._thread.is_alive() and self._problem is None

    def now(self) -> datetime:
        return datetime.now(UTC)

    def publish(self, topic: str, payload: bytes, received_at: datetime | None = None) -> int:
        """Put a message into the log as if it had come by MQTT; returns once this replica has it."""
        at = received_at or self.now()
        us = round((at - BEGINNING).total_seconds() * 1_000_000)
        names, places = topics(self.kafka), {}
        with self._turn:
            routes = Routes(self.configuration.feeds, self.configuration.plant)
        for route in routes.of(topic):
            (value, headers), *_ = pack([topic], [payload], [us], [False])
            to = names.ref if route.site == REF else names.raw
            sent = self._sender().send(to, key=route.key.encode(), value=value, headers=list(headers))
            record = sent.get(timeout=_CONFIRM)
            places[f"raw-{record.partition}" if to == names.raw else "ref"] = record.offset
        while any(self._replica.offsets.get(name, 0) <= offset for name, offset in places.items()):
            if self._stop.wait(0.02):
                raise Stopping("Scopeline is stopping")
        return self.store.position()

    def redrive(self, message: int | None = None, feed: str | None = None) -> dict[str, int]:
        """Read quarantined messages again under the configuration in force: {tried, read, still}."""
        return self._do(lambda replica: redriven(replica.upkeep, message, feed))

    def replay(self, start: datetime, end: datetime) -> dict[str, Any]:
        """Read and compute a range again here: {messages, readings, figures, sources: {source: n}}."""
        change = self._do(lambda replica: replayed(replica.upkeep, start, end))
        return {**change._asdict(), "figures": change.figures}

    def _do(self, action: Callable[[Replica], Answer]) -> Answer:
        with self._turn:
            return self._replica.whole(lambda: action(self._replica))

    # life ----------------------------------------------------------------------------------------------------------------
    def start(self, listen: bool = True) -> None:
        """Open the data file and follow the log."""
        self._follow = PlantTopic(self.kafka, self.plant_dir, self._state / "console")
        now = self._follow.current()
        if now is None:
            raise NotPublished("No plant folder has been published to the cluster yet. Publish it with `scopeline apply`.")
        configuration = pipeline.configure(now.plant, catalogue(), {})
        self._replica = Replica(self._state / CONSOLE, configuration, self._history, self._breathe, self._stop)
        self._consumer = self._connect(now)
        if listen:
            self._thread.start()

    def stop(self) -> None:
        """Stop following, close the file."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(8)
        if self._producer:
            self._producer.close(timeout=2)
        if hasattr(self, "_consumer"):
            self._consumer.close(timeout_ms=2000)
        if hasattr(self, "_follow"):
            self._follow.close()
        if hasattr(self, "_replica"):
            self._replica.close()

    def _connect(self, now: InForce) -> Any:
        names = topics(self.kafka)
        common = {"fetch_max_wait_ms": 100, "max_poll_records": RECORDS, "max_partition_fetch_bytes": 8 * 1024 * 1024}
        found = KafkaConsumer(**consumer(self.kafka, self.plant_dir), **common)
        columnar(found)
        numbers = found.partitions_for_topic(names.raw)
        if not numbers:
            raise KafkaProblem(f"there is no topic {names.raw}: make it with `scopeline setup`")
        self._places = {f"raw-{number}": TopicPartition(names.raw, number) for number in sorted(numbers)}
        self._places["ref"] = TopicPartition(names.ref, 0)
        found.assign(list(self._places.values()))
        starts = found.beginning_offsets(list(self._places.values()))
        if not self._replica.offsets:
            first = {name: starts[place] for name, place in self._places.items()}
            self._replica.start_all(first, whole=not any(first[name] for name in first if name != "ref"))
        self._replica.extend(BEGINNING)  # what the log has no more; nothing to do where all of it has been read
        for name, place in self._places.items():
            at = self._replica.offsets.get(name, 0)
            if at < starts[place]:
                raise KafkaProblem(
                    f"the console's state ends at {at} of {place.topic} {place.partition}, the log begins at {starts[place]}: "
                    f"remove {self._replica.log.path} and start again, it is made anew from the archive"
                )
            found.seek(place, at)
        self._adopt(now)
        return found

    def _history(self, _: int, since: datetime) -> Iterator[pl.DataFrame]:
        firsts = self._replica.store.fact("firsts", {})
        for name, first in firsts.items():
            if name != "ref":
                archive = History(self.kafka, self.archive, self.plant_dir)
                yield from archive.before(self._places[name].partition, first, since)

    # following -----------------------------------------------------------------------------------------------------------
    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._step()
            except Stopping:
                return
            except (KafkaError, KafkaProblem, OSError) as error:
                self._problem = f"{type(error).__name__}: {error}"
                log.debug("%s; trying again", self._problem, exc_info=True)
                self._stop.wait(_AGAIN)
            except Exception:
                self._problem = "the console cannot go on with what the log says; see its log"
                log.exception("%s", self._problem)
                self._stop.wait(_AGAIN)

    def _step(self) -> None:
        records = self._consumer.poll(timeout_ms=250, max_records=RECORDS)
        by_place = {place: name for name, place in self._places.items()}
        with self._turn:
            try:
                for place, some in records.items():
                    self._apply(place, by_place[place], some)
            except BaseException:  # what was polled and not applied comes again
                for place in records:
                    self._consumer.seek(place, self._replica.offsets.get(by_place[place], 0))
                raise
            if records:
                self._problem = None
            if time.monotonic() - self._plant_at > _PLANT_EVERY:
                self._plant_at = time.monotonic()
                new = self._follow.poll()
                if new:
                    self._adopt(new)
            self._retain()
        if time.monotonic() - self._end_at > _END_EVERY:
            self._end_at = time.monotonic()
            ends = self._consumer.end_offsets(list(self._places.values()))
            self._problem = None
            self._behind = sum(max(0, ends[place] - self._replica.offsets.get(name, 0)) for name, place in self._places.items())

    def _apply(self, place: TopicPartition, name: str, polled: list[Any]) -> None:
        records = gathered(polled)
        messages, refused = decode(records)
        for offset, reason in refused:
            log.error("record %d of %s %d holds no messages (%s)", offset, place.topic, place.partition, reason)
        self._replica.apply(messages.drop("offset"), {name: records.item(-1, "offset") + 1}, noting=False)

    def _retain(self) -> None:
        """Once an hour: days of messages beyond the retention move from the data file to Parquet beside it."""
        if time.monotonic() < self._retain_at:
            return
        self._retain_at = time.monotonic() + _HOUR
        for day in due(self._replica.log, self.now(), self.configuration.plant.settings.retention.days):
            log.info("messages of %s moved to %s", day, move(self._replica.log, day))

    def _adopt(self, now: InForce) -> None:
        if self._replica.store.fact("plant") != now.version:
            changed = self._replica.configure(now.plant, now.version)
            log.info("plant folder %s is in force, %d figures changed", now.version, changed)

    def _breathe(self) -> None:
        if self._stop.is_set():
            raise Stopping

    def _sender(self) -> Any:
        with self._turn:
            if self._producer is None:
                self._producer = KafkaProducer(**producer(self.kafka, self.plant_dir), max_request_size=LARGEST)
        return self._producer
