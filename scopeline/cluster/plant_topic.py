"""The plant folder by version in the compacted topic `<prefix>.plant`: `publish` writes it, workers follow it with `PlantTopic`.

The number in a version is the lock: a record is in force only if its number is higher than that of the one before, so of two
that publish onto the same version the first in the log wins, everywhere, and the other is told.
"""

import getpass
import logging
import os
import shutil
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from schemas.connections import Kafka
from schemas.plant import Plant
from scopeline.cluster.kafka import consumer, producer
from scopeline.cluster.plant_record import VERSION, PlantTopicError, Published, collect, decode, encode
from scopeline.cluster.reach import PATIENCE_MS, KafkaProblem, needed, reaching
from scopeline.cluster.topics import LARGEST, topics
from scopeline.plant import fingerprint, load

log = logging.getLogger(__name__)

_KEPT = 2
"""Versions whose folders stay: the one in force, and the one that a worker may just be leaving."""


class InForce(NamedTuple):
    """A version, unpacked and loaded."""

    version: str
    folder: Path
    plant: Plant
    published: Published


class Reader:
    """Follows the plant topic; keeps the newest version that can be read. `problem`: why a newer one is not taken, else None."""

    def __init__(self, kafka: Kafka, plant_dir: Path) -> None:
        self.newest: Published | None = None
        self.problem: str | None = None
        self.number = 0
        self._kafka = kafka
        self._place = TopicPartition(topics(kafka).plant, 0)
        with reaching(kafka, self._place.topic):
            self._consumer = KafkaConsumer(**consumer(kafka, plant_dir), bootstrap_timeout_ms=PATIENCE_MS)
            needed(self._consumer, self._place.topic)
            self._consumer.assign([self._place])
            self._consumer.seek_to_beginning(self._place)

    def poll(self, timeout: float = 0.0) -> bool:
        """Take what has come; whether there is a newer version."""
        with reaching(self._kafka, self._place.topic):
            found = self._consumer.poll(timeout_ms=round(timeout * 1000))
        before = self.newest
        for record in found.get(self._place, []):
            self._take(record.key, record.value)
        return self.newest is not before

    def to_end(self) -> Published | None:
        """Read on to what is the end now; the newest version."""
        with reaching(self._kafka, self._place.topic):
            end = self._consumer.end_offsets([self._place])[self._place]
            while self._consumer.position(self._place) < end:
                self.poll(0.5)
        return self.newest

    def close(self) -> None:
        self._consumer.close()

    def _take(self, key: bytes | None, value: bytes | None) -> None:
        if value is None:
            return
        try:
            found = decode(key, value)
        except PlantTopicError as problem:
            self.problem = str(problem)
            log.error("%s; the version before stays", self.problem)
            if named := VERSION.fullmatch((key or b"").decode("utf-8", "replace")):
                self.number = max(self.number, int(named[1]))
            return
        if found.number > self.number:
            self.number, self.newest, self.problem = found.number, found, None


class PlantTopic:
    """The version in force for a worker: unpacked under `<state>/plant/<version>/` and loaded.

    What cannot be read (damaged, of a newer format, with errors) leaves the version before in force, and `problem` says why.
    """

    def __init__(self, kafka: Kafka, plant_dir: Path, state: Path) -> None:
        self._reader, self._state = Reader(kafka, plant_dir), state / "plant"
        self._current: InForce | None = None
        self._refused: str | None = None

    @property
    def problem(self) -> str | None:
        return self._reader.problem or self._refused

    def current(self) -> InForce | None:
        """The version in force after reading all that the topic holds now; None: nothing has been published yet."""
        self._reader.to_end()
        self._take()
        return self._current

    def poll(self, timeout: float = 0.0) -> InForce | None:
        """A newer version, if one has come since the last call of `poll` or `current`; waits at most `timeout` seconds."""
        return self._take() if self._reader.poll(timeout) else None

    def close(self) -> None:
        self._reader.close()

    def _take(self) -> InForce | None:
        found = self._reader.newest
        if found is None or (self._current and found.version == self._current.version):
            return None
        folder = unpack(found, self._state)
        plant, problems = load(folder)
        if plant is None or fingerprint(folder) != found.fingerprint:
            said = "; ".join(str(p) for p in problems if p.severity == "error") or "its files are not those that were published"
            self._refused = f"version {found.version} of the plant folder cannot be used here: {said}"
            log.error("%s; the version before stays", self._refused)
            return None
        self._current, self._refused = InForce(found.version, folder, plant, found), None
        _tidy(self._state, found.version)
        return self._current


def unpack(published: Published, place: Path) -> Path:
    """The files as a folder `<place>/<version>`, whole or not at all."""
    folder, part = place / published.version, place / f".{published.version}.{os.getpid()}"
    if folder.is_dir() and fingerprint(folder) == published.fingerprint:
        return folder
    for old in (folder, part):
        shutil.rmtree(old, ignore_errors=True)
    for name, data in published.files.items():
        (part / name).parent.mkdir(parents=True, exist_ok=True)
        (part / name).write_bytes(data)
    os.replace(part, folder)
    return folder


def _tidy(place: Path, newest: str) -> None:
    known = sorted((path for path in place.iterdir() if VERSION.fullmatch(path.name)), key=lambda path: path.stat().st_mtime)
    for path in [path for path in known if path.name != newest][: 1 - _KEPT]:
        shutil.rmtree(path, ignore_errors=True)


def newest(kafka: Kafka, plant_dir: Path) -> Published | None:
    """The version in force in the topic, for commands; PlantTopicError where only unreadable ones are there."""
    reader = Reader(kafka, plant_dir)
    try:
        reader.to_end()
        return reader.newest
    finally:
        reader.close()


def publish(kafka: Kafka, folder: Path, *, onto: str | None = None, force: bool = False) -> tuple[Published, bool]:
    """Put the plant folder in force; (its version, whether it is a new one). The folder must have passed `check`.

    onto: the version that the edit was made on, "" for none; another one in force is refused. force: publish all the same.
    Raises PlantTopicError, KafkaProblem.
    """
    content, mark = collect(folder), fingerprint(folder)
    reader = Reader(kafka, folder)
    try:
        while True:
            old = reader.to_end()
            if old and old.fingerprint == mark and not reader.problem:
                return old, False
            if onto is not None and onto != (old.version if old else "") and not force:
                raise PlantTopicError(_overtaken(old, onto))
            number = reader.number + 1
            now = datetime.now(UTC).replace(microsecond=0)
            mine = Published(f"{number:06}-{mark[:12]}", number, mark, now, _who(), content)
            _send(kafka, folder, mine)
            reader.to_end()
            if reader.newest and reader.newest.number == number and reader.newest[:5] == mine[:5]:
                return mine, True
            if reader.number >= number and not force:
                raise PlantTopicError(_overtaken(reader.newest, old.version if old else ""))
    finally:
        reader.close()


def _send(kafka: Kafka, folder: Path, mine: Published) -> None:
    value = encode(mine)
    if len(value) > LARGEST // 2:
        raise PlantTopicError(f"the plant folder is too large: {len(value):,} bytes compressed, at most {LARGEST // 2:,}")
    name = topics(kafka).plant
    with reaching(kafka, name):
        sender = KafkaProducer(**producer(kafka, folder), max_request_size=LARGEST)
        try:
            sender.send(name, key=mine.version.encode(), value=value, partition=0).get(timeout=30)
        finally:
            sender.close(timeout=5)


def _overtaken(now: Published | None, onto: str) -> str:
    if now is None:
        return (
            f"This folder was edited on version {onto}, and the topic holds none: its data is lost, or kafka.prefix is another. "
        )
    when = now.published_at.strftime("%Y-%m-%d %H:%M UTC")
    return (
        f"Version {now.version} was published by {now.by} at {when}, after {onto or 'the topic was empty'}, on which this folder "
        "was edited. Take their changes over into this folder, then `scopeline apply --force`."
    )


def _who() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (OSError, KeyError):
        return socket.gethostname()


__all__ = ["InForce", "KafkaProblem", "PlantTopic", "PlantTopicError", "Published", "newest", "publish"]
