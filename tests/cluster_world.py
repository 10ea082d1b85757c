"""A worker of the cluster profile without servers: log, consumer group, carry and plant topic, archive and InfluxDB in memory.

The worker in it is the real one (Process, Assigner, Part, Replica, Carrier, Teller); only what it talks to stands in this file.
"""

import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
from cluster_messages import INFLUX, KAFKA, NAMES, START, assert_same, at_once, figures, frame, message, plant, sent, whole
from cluster_store import Crash, Reader, Store, assert_summed, expected
from kafka import TopicPartition
from kafka.coordinator.base import MemberState

from ingest.records import decode, pack
from schemas.frames import FIGURE_KEY
from schemas.plant import Plant
from scopeline import pipeline
from scopeline.catalogue import catalogue
from scopeline.cluster import assign, carry, process, tell

__all__ = ["FIGURE_KEY", "START", "Crash", "Worker", "World", "assert_same", "assert_summed", "at_once", "expected"]
__all__ += ["figures", "frame", "message", "plant", "sent", "whole"]


class World:
    """One partition: its log, what the group committed, what was carried over, the plant folders published, the store."""

    def __init__(self, *plants: Plant) -> None:
        self.raw: list[Any] = []
        self.ref: list[Any] = []
        self.sent: list[dict[str, Any]] = []  # of both
        self.of_raw: list[dict[str, Any]] = []
        self.committed: Any = None
        self.carried: dict[bytes, bytes] = {}
        self.plants = [(f"{n:06}", one) for n, one in enumerate(plants, 1)]
        self.store = Store()
        self.loaded = 0  # messages that were read from the archive

    def say(self, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            us = round(row["received_at"].timestamp() * 1_000_000)
            (value, headers), *_ = pack([row["topic"]], [row["payload"]], [us], [row["retained"]])
            reference = row["topic"] == "grid"
            log = self.ref if reference else self.raw
            log.append(SimpleNamespace(offset=len(log), value=value, headers=headers, timestamp=us // 1000, key=b"works"))
            self.sent.append(row)
            if not reference:
                self.of_raw.append(row)

    def before(self, offset: int, since: datetime) -> Iterator[pl.DataFrame]:
        found = decode(self.raw[:offset]).messages.filter(pl.col("received_at") >= since)
        self.loaded += found.height
        for start in range(0, found.height, 5):
            yield found[start : start + 5]


class Consumer:
    """Of the raw topic in the group, or of the reference topic."""

    def __init__(self, world: World, topic: str, pace: int) -> None:
        self.world, self.topic, self.pace = world, topic, pace
        self.place = TopicPartition(topic, 0)
        self.at = 0
        self.mine = True
        self.fails: list[Exception] = []  # of the next commits

    @property
    def log(self) -> list[Any]:
        return self.world.ref if self.topic == NAMES.ref else self.world.raw

    def assignment(self) -> set[TopicPartition]:
        return {self.place} if self.mine else set()

    def partitions_for_topic(self, _: str) -> set[int]:
        return {0}

    def poll(self, timeout_ms: int = 0, max_records: int = 0) -> dict[TopicPartition, list[Any]]:
        if not self.mine:
            return {}
        found = self.log[self.at : self.at + self.pace]
        self.at += len(found)
        return {self.place: found} if found else {}

    def seek(self, place: TopicPartition, offset: int) -> None:
        assert place == self.place
        self.at = offset

    def position(self, _: TopicPartition) -> int:
        return self.at

    def committed(self, _: TopicPartition, metadata: bool = False) -> Any:
        return self.world.committed

    def beginning_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, 0)

    def end_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, len(self.log))

    def offsets_for_times(self, asked: dict[TopicPartition, int]) -> dict[TopicPartition, Any]:
        found = {}
        for place, at in asked.items():
            found[place] = next((SimpleNamespace(offset=r.offset) for r in self.log if r.timestamp >= at), None)
        return found

    def commit(self, offsets: dict[TopicPartition, Any], timeout_ms: int = 0) -> None:
        if self.fails:
            raise self.fails.pop(0)
        for said in offsets.values():
            self.world.committed = SimpleNamespace(offset=said.offset, metadata=said.metadata)

    def group_metadata(self) -> Any:
        return SimpleNamespace(state=MemberState.STABLE)

    def pause(self, *_: Any) -> None: ...
    def resume(self, *_: Any) -> None: ...
    def paused(self) -> set[Any]:
        return set()


class Sender:
    """carry.Sender into the World."""

    def __init__(self, world: World) -> None:
        self._world = world

    def send(self, number: int, records: Any) -> int:
        found = dict(records)
        self._world.carried |= found
        return len(found)


class Follow:
    """PlantTopic: the newest plant of the World."""

    problem = None

    def __init__(self, world: World) -> None:
        self._world = world
        self.seen = len(world.plants)

    def poll(self, timeout: float = 0.0) -> Any:
        if self.seen == len(self._world.plants):
            return None
        self.seen = len(self._world.plants)
        version, of = self._world.plants[-1]
        return SimpleNamespace(version=version, plant=of)


class Worker:
    """A Process that talks to the World. `turn` as its loop does."""

    def __init__(self, world: World, folder: Path, patch: Any, pace: int = 3, fence: float = 0.0) -> None:
        self.world, self.folder = world, folder
        patch.setattr(assign, "History", lambda *_: SimpleNamespace(before=lambda n, first, since: world.before(first, since)))
        patch.setattr(assign, "read", lambda *_: carry.parsed(world.carried.values()))
        patch.setattr(tell, "Reader", Reader)
        patch.setattr(process, "_PLANT_EVERY", -1.0)
        found = process.Process(folder, folder / "state")
        found.kafka, found.names, found.archive, found.fence_s = KAFKA, NAMES, None, fence  # type: ignore[assignment]  # unused here
        found.teller, found.sender = tell.Teller(world.store, INFLUX), Sender(world)  # type: ignore[arg-type,assignment]  # fakes
        version, of = world.plants[-1]
        found._follow, found.version = Follow(world), version  # type: ignore[assignment]  # a fake
        found.configuration = pipeline.configure(of, catalogue(), {})
        self.consumer, self.reference = Consumer(world, NAMES.raw, pace), Consumer(world, NAMES.ref, pace)
        found.consumer, found.reference = self.consumer, self.reference
        found.assigner = assign.Assigner(found, self.consumer)
        found.assigner.wanted = {0}
        self.process = found

    @property
    def part(self) -> Any:
        return self.process.parts[0]

    @property
    def replica(self) -> Any:
        return self.part.replica

    def turn(self, times: int = 1) -> None:
        for _ in range(times):
            self.process._turn()

    def settle(self) -> None:
        """Turn until nothing is left to do."""
        for _ in range(400):
            self.turn()
            part = self.process.parts.get(0)
            done = part and part.position == len(self.world.raw) and part.ref_position == len(self.world.ref)
            if (
                done
                and not (part.behind or part.fence_due or part.unsummed)
                and self.process._follow.seen == len(self.world.plants)
            ):
                return
        raise AssertionError("the worker never gets done")

    def die(self, state_too: bool) -> None:
        """The process is gone; perhaps its disk, too."""
        for part in self.process.parts.values():
            part.replica.close()
        self.process._place.release()
        if state_too:
            shutil.rmtree(self.folder / "state", ignore_errors=True)
