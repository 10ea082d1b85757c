"""A raw log that a test fills, and what its archive and its history say of it; the fixture `log` of conftest.py gives one."""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from kafka import KafkaAdminClient, KafkaProducer, TopicPartition

from ingest.records import pack
from schemas.connections import Archive, Kafka
from scopeline.cluster.archive import Archiver
from scopeline.cluster.history import History
from scopeline.cluster.kafka import producer

DAY = datetime(2026, 3, 1, tzinfo=UTC)
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Log:
    """A raw log that is filled by the test, and all that was put into it."""

    def __init__(self, kafka: Kafka, folder: Path) -> None:
        self.kafka, self.folder = kafka, folder
        self.archive = Archive(path=str(folder / "archive"))
        self.sent: list[tuple[int, str, bytes, datetime]] = []
        self._out = KafkaProducer(**producer(kafka, folder))

    def send(self, site: str, at: datetime, count: int, partition: int = 0) -> None:
        """Messages a second apart: packed from eight on, bare below."""
        times = [at + timedelta(seconds=number) for number in range(count)]
        payloads = [b"%d" % (len(self.sent) + number) for number in range(count)]
        stamps = [round(one.timestamp() * 1_000_000) for one in times]
        for value, headers in pack([f"acme/{site}"] * count, payloads, stamps, [False] * count):
            self._out.send(f"{self.kafka.prefix}.raw", key=site.encode(), value=value, headers=list(headers), partition=partition)
        self.sent += [(partition, f"acme/{site}", payload, one) for payload, one in zip(payloads, times, strict=True)]

    def flush(self) -> None:
        self._out.flush()

    def some_days(self, days: int, seed: int = 1, first: int = 0) -> None:
        """A few sites, some records across midnight."""
        chance = random.Random(seed)
        for number in range(days * 6):
            for site in ("duisburg", "essen"):
                at = DAY + timedelta(days=first, hours=4 * number, seconds=-5)
                self.send(site, at, chance.choice([1, 3, 20]), partition=chance.choice([0, 0, 1]))
        self.flush()

    def of(self, partition: int, since: datetime = LONG_AGO) -> list[tuple[str, bytes, datetime]]:
        return [(topic, payload, at) for number, topic, payload, at in self.sent if number == partition and at >= since]

    def end(self, partition: int) -> int:
        admin = KafkaAdminClient(bootstrap_servers=list(self.kafka.bootstrap_servers))
        place = TopicPartition(f"{self.kafka.prefix}.raw", partition)
        found = admin.list_partition_offsets({place: -1})[place].offset
        admin.close()
        return int(found)

    def forget(self, partition: int, offset: int) -> None:
        """What Kafka's retention does."""
        admin = KafkaAdminClient(bootstrap_servers=list(self.kafka.bootstrap_servers))
        admin.delete_records({TopicPartition(f"{self.kafka.prefix}.raw", partition): offset})
        admin.close()

    def archived(self, now: datetime = DAY, **options: Any) -> Archiver:
        made = Archiver(self.kafka, self.archive, self.folder, member="one", now=lambda: now, **options)
        try:
            made.once()
            self.lag = made.lag()
        finally:
            made.close()
        return made

    def before(self, partition: int, offset: int, since: datetime = LONG_AGO) -> list[tuple[str, bytes, datetime]]:
        frames = History(self.kafka, self.archive, self.folder).before(partition, offset, since)
        return [row for frame in frames for row in frame.select("topic", "payload", "received_at").rows()]

    @property
    def files(self) -> list[Path]:
        return sorted((self.folder / "archive").glob("site=*/day=*/*.parquet"))

    def spoil(self, file: Path) -> None:
        """One bit of it falls over."""
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)

    def close(self) -> None:
        self._out.close()
