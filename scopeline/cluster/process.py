"""The processing worker: a member of the consumer group that turns the log into figures in InfluxDB.

For each partition: apply records to the replica, tell InfluxDB what changed, carry over what a successor needs, commit the
offsets; in that order, so that a position moves only after the store has the figures.
"""

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
from kafka import TopicPartition
from kafka.errors import KafkaError, RebalanceInProgressError
from kafka.structs import OffsetAndMetadata

from scopeline import pipeline
from scopeline.catalogue import catalogue
from scopeline.cluster.assign import Assigner, put_away
from scopeline.cluster.carry import Sender
from scopeline.cluster.failpoint import failpoint
from scopeline.cluster.history import HistoryMissing
from scopeline.cluster.lag import Lag
from scopeline.cluster.membership import COMMIT_MS, RECORDS, SESSION_S, Waiting, joined, lost, member, sure
from scopeline.cluster.part import Gone, Part
from scopeline.cluster.place import Place
from scopeline.cluster.plant_topic import KafkaProblem, PlantTopic
from scopeline.cluster.reading import gathered
from scopeline.cluster.replica import Stopping
from scopeline.cluster.sweep import Sweep
from scopeline.cluster.tell import Teller
from scopeline.cluster.topics import topics
from scopeline.cluster.vault import VaultProblem
from scopeline.cluster.watchdog import Watchdog
from scopeline.log import DamagedState, damaged
from scopeline.log.opening import first_line
from scopeline.plant import load, secret
from scopeline.tokens import STATE
from sinks.influx import Influx, InfluxProblem, Stopped

log = logging.getLogger(__name__)

TOKEN = "SCOPELINE_INFLUXDB_TOKEN"
_PLANT_EVERY, _RENEW_EVERY, _AGAIN = 1.0, 3600.0, 5.0
_BREATH = 20.0
"""Seconds of long work after which the group is told that this member lives."""


class Process:
    """One worker. `run` returns when `stop` was called, and tries again after what may get better by itself."""

    def __init__(self, plant_dir: Path, state: Path | None = None, watchdog: Watchdog | None = None) -> None:
        self.plant_dir = plant_dir.resolve()
        self._place = Place(state or self.plant_dir / STATE / "process")
        self.state = self._place.folder
        self.stopping = threading.Event()
        self.watchdog = watchdog or Watchdog()
        self.parts: dict[int, Part] = {}
        self.problem: str | None = "starting"
        self.lag = Lag()
        self.committed_at: float | None = None
        self.corrected = 0  # figures that differed in InfluxDB
        self.teller: Teller | None = None
        self.sender: Sender | None = None
        self.busy: Part | None = None
        self.reference_at: int | None = None  # where the reference topic is read next
        self._polled = self._plant_at = self._joined_at = 0.0
        self._renewed_at = time.monotonic()
        self.sweep = Sweep()

    # life ----------------------------------------------------------------------------------------------------------------
    def stop(self) -> None:
        """Ask `run` to end: what is being done is finished or given up, nothing half is committed."""
        self.stopping.set()

    def run(self) -> None:
        """Work until stopped."""
        self.watchdog.start()
        try:
            while not self.stopping.is_set():
                try:
                    self._session()
                except (Stopping, Stopped):
                    break
                except (KafkaError, KafkaProblem, InfluxProblem, HistoryMissing, VaultProblem, OSError) as error:
                    self.problem = f"{type(error).__name__}: {error}" if isinstance(error, KafkaError) else str(error)
                    log.debug("%s; trying again in %.0f s", self.problem, _AGAIN, exc_info=True)
                    if not isinstance(error, (KafkaError, KafkaProblem)):  # who gets nowhere with Kafka starts anew in the end
                        self.watchdog.beat()
                    self.stopping.wait(_AGAIN)
        finally:
            self.watchdog.stop()
            self._place.release()

    def _session(self) -> None:
        """Connect to everything, work until something breaks."""
        plant, problems = load(self.plant_dir)
        settings = plant.settings if plant else None
        if settings is None or settings.kafka is None or settings.influxdb is None:
            said = "; ".join(str(p) for p in problems if p.severity == "error")
            raise InfluxProblem(said or "plant.yaml needs kafka: and influxdb: for the cluster profile")
        if settings.archive is None:
            raise InfluxProblem("plant.yaml needs archive: for the cluster profile")
        self.kafka, self.names, self.archive = settings.kafka, topics(settings.kafka), settings.archive
        self.fence_s = SESSION_S + settings.influxdb.timeout.total_seconds() + 5
        token = secret(self.plant_dir, settings.influxdb.token_file, TOKEN)
        influx = Influx(settings.influxdb, token, Waiting(self))
        influx.before = lambda: sure(self)
        self.teller = Teller(influx, settings.influxdb)
        influx.ping()
        follow = PlantTopic(self.kafka, self.plant_dir, self.state)
        try:
            now = follow.current()
            if now is None:
                raise InfluxProblem("no plant folder has been published yet: run `scopeline apply`")
            self.configuration = pipeline.configure(now.plant, catalogue(), {})
            self.version, self._follow = now.version, follow
            self.sender = Sender(self.kafka, self.plant_dir)
            with member(self) as (self.consumer, self.reference):
                self.assigner, self.reference_at, self._joined_at = Assigner(self, self.consumer), None, time.monotonic()
                self.problem = None
                while not self.stopping.is_set():
                    self._turn()
        finally:
            follow.close()
            influx.close()
            if self.sender:
                self.sender.close()
            self.sender = None
            for part in self.parts.values():
                part.close()
            self.parts.clear()

    # one turn ------------------------------------------------------------------------------------------------------------
    def _turn(self) -> None:
        if joined(self.consumer, self._joined_at):
            self._joined_at = time.monotonic()
            self.watchdog.beat()
        self._take_plant()
        records = self._poll(250)
        self._take_reference()
        for place, some in records.items():
            part = self.parts.get(place.partition)
            if part is not None:
                with self._at(part):
                    part.take(some)
                    if part.position <= some.item(-1, "offset"):  # it waits for the reference topic
                        self.consumer.seek(place, part.position)
        for part in self._held():
            idle = not any(place.partition == part.number for place in records)
            if part.behind or part.fence_due or (idle and part.caught_up and part.unsummed):
                with self._at(part):
                    self._confirm(part, idle)
        self._measure()
        self._renew()
        self.corrected += self.sweep.turn(self._held(), self._at, self.teller, self.kafka.horizon)

    def _poll(self, timeout_ms: int) -> dict[TopicPartition, pl.DataFrame]:
        found: dict[TopicPartition, list[Any]] = self.consumer.poll(timeout_ms=timeout_ms, max_records=RECORDS)
        self._polled = time.monotonic()
        held = {place.partition for place in self.consumer.assignment()}
        self.assigner.wanted |= held - self.parts.keys()  # new ones, and those that were given up and are ours all the same
        opened = self.assigner.open()  # and sought: what was fetched of them before began elsewhere
        return {place: gathered(records) for place, records in found.items() if place.partition not in opened}

    def _held(self) -> Iterator[Part]:
        """The parts, without those that are taken away while one before them is worked on."""
        for part in list(self.parts.values()):
            if not part.gone:
                yield part

    @contextmanager
    def _at(self, part: Part) -> Iterator[None]:
        """Work on a part, which may be taken away meanwhile."""
        self.busy, broken = part, None
        try:
            yield
        except Gone:
            log.warning("partition %d went to another worker", part.number)
        except (DamagedState, duckdb.Error) as error:
            if not isinstance(error, DamagedState) and not damaged(error):
                raise
            log.error("partition %d: its state is damaged (%s) and is made again from the log", part.number, first_line(error))
            self.lose([part.number])
            broken = part.replica.log.path
        finally:
            self.busy = None
            if part.gone:
                part.close()
        if broken:
            put_away(broken)

    def _confirm(self, part: Part, idle: bool) -> None:
        """Tell, then commit. idle: nothing more came for it in this turn."""
        assert self.teller is not None and self.sender is not None
        part.tell(self.teller, idle)
        part.carry(self.sender, self.kafka.horizon, self.teller)
        place = TopicPartition(self.names.raw, part.number)
        begun = time.monotonic()
        try:
            self.consumer.commit({place: OffsetAndMetadata(part.position, part.meta_text(), -1)}, timeout_ms=COMMIT_MS)
        except RebalanceInProgressError:
            return  # it stays noted: told again, and committed, when the group has settled
        except KafkaError as error:
            if error.retriable and not lost(error):
                raise
            self.lose([part.number])
            raise Gone from error
        failpoint("process:after_commit")
        part.confirmed()
        part.ours = begun
        self.committed_at = time.monotonic()
        if part.fence_due:
            self.corrected += part.fence(self.teller) or 0

    def _renew(self) -> None:
        """Once an hour, one file that has grown old is made again from the horizon: state is a cache of the log."""
        if time.monotonic() - self._renewed_at < _RENEW_EVERY:
            return
        self._renewed_at = time.monotonic()
        old = next((part for part in self.parts.values() if part.aged(self.kafka.horizon)), None)
        if old is not None:
            log.info("partition %d: the state has grown old and is made again", old.number)
            self.lose([old.number])
            old.replica.log.path.unlink()
            self.assigner.wanted.add(old.number)

    def _take_reference(self) -> None:
        """Read on in the reference topic, or again from where the part stands that is furthest behind and takes some now."""
        place = TopicPartition(self.names.ref, 0)
        first = min((part.ref_position for part in self.parts.values() if part.takes_references), default=None)
        if first is not None and (self.reference_at is None or first < self.reference_at):
            self.reference.seek(place, first)
            self.reference_at = first
        if self.reference_at is None:
            return
        for records in map(gathered, self.reference.poll(timeout_ms=0, max_records=RECORDS).values()):
            self.reference_at = records.item(-1, "offset") + 1
            for part in self._held():
                with self._at(part):
                    part.take_ref(records)

    def _take_plant(self) -> None:
        if time.monotonic() - self._plant_at < _PLANT_EVERY:
            return
        self._plant_at = time.monotonic()
        new = self._follow.poll()
        if new is None:
            return
        log.info("plant folder %s is put in force", new.version)
        self.configuration = pipeline.configure(new.plant, catalogue(), {})
        self.version = new.version
        for part in self._held():
            with self._at(part):
                self.adopt(part)

    def adopt(self, part: Part) -> None:
        """Put the configuration in force in a part; what it changes is told with the next commit."""
        if part.replica.store.fact("plant") != self.version:
            changed = part.replica.configure(self.configuration.plant, self.version)
            log.info("partition %d: %d figures changed by version %s", part.number, changed, self.version)
        else:
            part.replica.settle()

    # meanwhile -----------------------------------------------------------------------------------------------------------
    def breathe(self) -> None:
        """Amid long work: the watchdog and the group learn that this member lives; Gone when the partition does not stay."""
        self.watchdog.beat()
        if self.stopping.is_set():
            raise Stopping
        self.lag.measure(self.consumer, self.names.raw, self.parts)
        if time.monotonic() - self._polled > _BREATH:
            held = self.consumer.assignment()
            self.consumer.pause(*held)
            self.consumer.poll(timeout_ms=0)
            self._polled = time.monotonic()
            self.consumer.resume(*self.consumer.paused())
        if self.busy is not None and self.busy.gone:
            raise Gone

    def lose(self, numbers: Iterable[int]) -> None:
        """These partitions are not ours any more."""
        for number in numbers:
            part = self.parts.pop(number, None)
            self.assigner.wanted.discard(number)
            if part is not None:
                part.gone = True
                if part is not self.busy:
                    part.close()

    def _measure(self) -> None:
        measured = self.lag.measure(self.consumer, self.names.raw, self.parts)
        if measured and self.teller:
            self.watchdog.positions(*measured)
            self.teller.lag(self.lag.rows(self.parts))
