"""How far a worker's partitions are behind the log: for the metrics, the watchdog and InfluxDB."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import polars as pl
from kafka import TopicPartition

from schemas.frames import TIME
from scopeline.cluster.part import Part

EVERY = 10.0
"""Seconds from one look to the next."""
_SCHEMA: dict[str, Any] = {"at": TIME, "partition": pl.String, "records": pl.Float64, "seconds": pl.Float64}


class Lag:
    """records: partition -> records that are not applied yet, at the last look."""

    def __init__(self) -> None:
        self.records: dict[int, int] = {}
        self._looked = 0.0

    def measure(self, consumer: Any, topic: str, parts: Mapping[int, Part]) -> tuple[dict[int, int], dict[int, int]] | None:
        """Positions and ends of the log, by partition; None where it is not time to look, or nothing to look at."""
        if time.monotonic() - self._looked < EVERY or not parts:
            return None
        self._looked = time.monotonic()
        places = [TopicPartition(topic, number) for number in parts]
        ends = {place.partition: int(end) for place, end in consumer.end_offsets(places).items()}
        at = {number: part.position for number, part in parts.items()}
        self.records = {number: max(0, ends.get(number, 0) - position) for number, position in at.items()}
        return at, ends

    def rows(self, parts: Mapping[int, Part]) -> pl.DataFrame:
        """at, partition, records, seconds (how old the newest applied message is, while others wait)."""
        now, rows = datetime.now(UTC), []
        for number, part in parts.items():
            records, newest = self.records.get(number, 0), part.replica.upkeep.state.clocks["newest"].max()
            seconds = (now - newest).total_seconds() if records and isinstance(newest, datetime) else 0.0
            rows.append({"at": now, "partition": str(number), "records": float(records), "seconds": seconds})
        return pl.DataFrame(rows, schema=_SCHEMA)
