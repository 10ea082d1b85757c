"""What a worker without state must know of the time before the horizon: the last readings of each meter, all named events.

Produced to the compacted carry topic before the offsets that rely on it are committed. With it, readings at the horizon have
their neighbours, a sum knows since when a meter is expected, and an event that is corrected later finds its earlier version.
"""

import hashlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import polars as pl
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from schemas.connections import Kafka
from schemas.frames import READINGS, empty
from scopeline.cluster.changes import NotingLog
from scopeline.cluster.kafka import consumer, producer
from scopeline.cluster.reach import KafkaProblem, reaching
from scopeline.cluster.topics import topics
from scopeline.log.tables import METERS, loaded

KEPT = 32
"""Instants of a meter that are carried, be they of half an hour or of three years. Rules look at eight beside a reading at most
(scopeline.windows.bounds); who looks for them goes four times as far back at each try (scopeline.remeter), and what lies before
all that is carried is only in the archive."""
_KNOWN = ("meter", "site", "feed", "kind", "unit", "first_observed_at", "stretch_us", "eventful", "named_unit")
_STILL = 30.0


class Carried(NamedTuple):
    """METERS and READINGS; their messages are numbered below zero, since they are in no file."""

    meters: pl.DataFrame
    readings: pl.DataFrame


class Carrier:
    """Makes the records of one partition, and remembers which were sent."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._sent: dict[str, bytes] = {}

    def records(self, log: NotingLog, horizon: datetime, meters: Iterable[str] | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Key and value of what has changed since it was last sent: of these meters, or of all."""
        only = "" if meters is None else "AND meter IN (SELECT meter FROM wanted)"
        wanted = pl.DataFrame({"meter": [] if meters is None else sorted(meters)}, schema={"meter": pl.String})
        columns = ", ".join(f'"{name}"' for name in READINGS)
        sql = f"""SELECT {columns} FROM readings WHERE event IS NULL AND observed_at < ? AND meter NOT LIKE 'ref/%' {only}
        QUALIFY dense_rank() OVER (PARTITION BY meter ORDER BY observed_at DESC) <= {KEPT} ORDER BY ALL"""
        timed = loaded(log.asked(sql, [horizon.replace(tzinfo=None)], wanted=wanted), READINGS)
        sql = f"SELECT {', '.join(METERS)} FROM meters WHERE meter NOT LIKE 'ref/%' {only} ORDER BY meter"
        found = loaded(log.asked(sql, wanted=wanted), METERS)
        by = timed.partition_by("meter", as_dict=True)
        for row in found.select(_KNOWN).iter_rows(named=True):
            readings = by.get((row["meter"],), empty(READINGS))
            yield from self._changed(
                row["meter"], {"known": _plain(row), "readings": [*map(_plain, readings.iter_rows(named=True))]}
            )

    def events(self, log: NotingLog, since: int) -> Iterator[tuple[bytes, bytes]]:
        """Every version of the events that messages after a place have named."""
        columns = ", ".join(f't."{name}"' for name in READINGS)
        named = "SELECT DISTINCT meter, event FROM readings WHERE message > ? AND event IS NOT NULL"
        sql = f"SELECT {columns} FROM readings t JOIN ({named}) k USING (meter, event) ORDER BY ALL"
        found = loaded(log.asked(sql, [since]), READINGS)
        for (meter, event), rows in found.partition_by("meter", "event", as_dict=True).items():
            yield from self._changed(f"{meter}#{event}", {"readings": [*map(_plain, rows.iter_rows(named=True))]})

    def _changed(self, name: str, said: dict[str, Any]) -> Iterator[tuple[bytes, bytes]]:
        value = orjson.dumps(said)
        digest = hashlib.blake2b(value, digest_size=12).digest()
        if self._sent.get(name) != digest:
            self._sent[name] = digest
            yield f"{self._number}/{name}".encode(), value


def meter_of(key: bytes) -> str:
    """The meter that a record is about.

    >>> meter_of(b"3/works/gate:fuel#ticket-7")
    'works/gate:fuel'
    """
    return key.decode().partition("/")[2].partition("#")[0]


class Sender:
    """Produces carry records; returns when Kafka has them all."""

    def __init__(self, kafka: Kafka, plant_dir: Path) -> None:
        self._kafka, self._topic = kafka, topics(kafka).carry
        with reaching(kafka, self._topic):
            self._producer = KafkaProducer(**producer(kafka, plant_dir), linger_ms=20, compression_type="lz4")

    def send(self, number: int, records: Iterable[tuple[bytes, bytes]]) -> int:
        """How many were sent."""
        with reaching(self._kafka, self._topic):
            sent = [self._producer.send(self._topic, key=key, value=value, partition=number) for key, value in records]
            for one in sent:
                one.get(timeout=_STILL)
        return len(sent)

    def close(self) -> None:
        self._producer.close(timeout=2)


def read(kafka: Kafka, plant_dir: Path, number: int) -> Carried:
    """What was carried over of a partition."""
    place = TopicPartition(topics(kafka).carry, number)
    newest: dict[bytes, bytes] = {}
    with reaching(kafka, place.topic):
        found = KafkaConsumer(**consumer(kafka, plant_dir))
        try:
            found.assign([place])
            found.seek_to_beginning(place)
            end = found.end_offsets([place])[place]
            while found.position(place) < end:
                records = found.poll(timeout_ms=round(_STILL * 1000), max_records=10_000).get(place)
                if not records:
                    raise KafkaProblem(f"Kafka gives nothing of {place.topic} for {_STILL:.0f} s: look at its log")
                newest.update((record.key, record.value) for record in records if record.key is not None)
        finally:
            found.close(timeout_ms=2000)
    return parsed(value for value in newest.values() if value)


def parsed(values: Iterable[bytes]) -> Carried:
    """Records as frames."""
    known, readings = [], []
    for value in values:
        said = orjson.loads(value)
        readings += said["readings"]
        if "known" in said:
            known.append(said["known"])
    newest: dict[str, dict[str, Any]] = {}
    for row in sorted(readings, key=lambda row: (row["observed_at"], row["received_at"])):
        newest[row["meter"]] = row
    names = {"last_observed_at": "observed_at", "last_value_n": "value_n", "last_received_at": "received_at"}
    known = [row | {name: newest[row["meter"]][of] for name, of in names.items()} for row in known if row["meter"] in newest]
    rows = pl.DataFrame(readings, schema=_TEXTS, orient="row") if readings else pl.DataFrame(schema=_TEXTS)
    rows = rows.with_columns(message=-1 - pl.int_range(pl.len(), dtype=pl.Int64))
    meters = pl.DataFrame(known, schema=_texts(METERS)) if known else pl.DataFrame(schema=_texts(METERS))
    return Carried(_typed(meters, METERS), _typed(rows, READINGS))


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row as JSON can say it: times as microseconds, 128-bit integers as text; the place in this file is left out."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, datetime):
            found[name] = round((value - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1_000_000)
        elif name != "message":
            found[name] = str(value) if name.endswith("_n") and value is not None else value
    return found


def _texts(schema: Any) -> dict[str, Any]:
    """The types in which JSON says a row of the schema."""
    times, exact = pl.Datetime("us", "UTC"), pl.Int128
    return {name: pl.Int64 if kind == times else pl.String if kind == exact else kind for name, kind in schema.items()}


def _typed(frame: pl.DataFrame, schema: Any) -> pl.DataFrame:
    return frame.select(pl.col(name).cast(kind) for name, kind in schema.items())


_TEXTS = _texts(READINGS)
