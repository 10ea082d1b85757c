"""A worker as a member of its consumer group: its two consumers, partitions that come and go, and waiting without falling out."""

import gc
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.base import MemberState
from kafka.errors import KafkaError, KafkaTimeoutError, RebalanceInProgressError
from kafka.structs import OffsetAndMetadata

from scopeline.cluster.kafka import consumer
from scopeline.cluster.part import Gone
from scopeline.cluster.reading import columnar

if TYPE_CHECKING:
    from scopeline.cluster.process import Process

SESSION_S, HEARTBEAT_S, POLL_S = 30, 3, 600
FETCH_BYTES = 32 * 1024 * 1024
"""Of a partition, at a time: who is behind takes large batches, since much of a batch's cost is the same for any size."""
RECORDS = 1_000_000
"""Of one poll, at most: more than a fetch holds, for what is left of one would be a small batch of its own."""
GARBAGE = (100_000, 20, 10)
"""Thresholds of Python's search for cycles: where records come one by one (scopeline.cluster.reading), a batch of them is some
hundred thousand objects, none of them garbage, and with the usual thresholds the search takes a fifth of a busy worker's time."""
METADATA_S = 10
"""How soon a member learns that the topic was made after it joined."""
COMMIT_MS = 20_000
_CLOSE_MS = 4000


@contextmanager
def member(process: "Process") -> Iterator[tuple[Any, Any]]:
    """The consumer of the raw topic, in the group, and that of the reference topic, which every worker reads whole."""
    gc.collect()
    gc.freeze()  # what start-up made stays
    gc.set_threshold(*GARBAGE)
    common = consumer(process.kafka, process.plant_dir) | {"fetch_max_wait_ms": 100, "max_partition_fetch_bytes": FETCH_BYTES}
    data = KafkaConsumer(
        **common,
        group_id=process.names.group,
        partition_assignment_strategy=[CooperativeStickyAssignor],
        max_poll_records=RECORDS,
        max_poll_interval_ms=POLL_S * 1000,
        session_timeout_ms=SESSION_S * 1000,
        heartbeat_interval_ms=HEARTBEAT_S * 1000,
        metadata_max_age_ms=METADATA_S * 1000,
    )
    reference = KafkaConsumer(**common)
    for one in (data, reference):
        columnar(one)
    try:
        reference.assign([TopicPartition(process.names.ref, 0)])
        data.subscribe([process.names.raw], listener=_Listener(process))
        data.topics()  # who joins before it knows the topic's partitions joins once more as soon as it does
        yield data, reference
    finally:
        for one in (data, reference):
            one.close(timeout_ms=_CLOSE_MS)


class _Listener(ConsumerRebalanceListener):
    """Partitions come and go while the worker polls."""

    def __init__(self, process: "Process") -> None:
        self._process = process

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._process.assigner.wanted |= {place.partition for place in assigned}

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._process.lose(place.partition for place in revoked)

    def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        self._process.lose(place.partition for place in lost)


class Waiting(threading.Event):
    """What the InfluxDB client waits on: meanwhile the worker stays a member of its group."""

    def __init__(self, process: "Process") -> None:
        super().__init__()
        self._process = process

    def wait(self, timeout: float | None = None) -> bool:
        process, end = self._process, time.monotonic() + (timeout or 0)
        while (left := end - time.monotonic()) > 0:
            if process.stopping.wait(min(1.0, left)):
                return True
            process.breathe()
        return process.stopping.is_set()


def joined(consumer: Any, since: float) -> bool:
    """Whether the group counts this member, which it last did at `since` (monotonic seconds).

    The library can stay outside for ever and say nothing: when a coordinator never answers, or when a poll ends between the two
    steps of joining again. Raises KafkaTimeoutError after two sessions, so that the worker begins anew.
    """
    if consumer.group_metadata().state == MemberState.STABLE:
        return True
    if time.monotonic() - since > 2 * SESSION_S:
        raise KafkaTimeoutError("the consumer group does not take this worker in again")
    return False


def sure(process: "Process") -> None:
    """Before each write to InfluxDB, which cannot tell one worker from another: whether what is told is still ours to tell.

    A worker that slept for longer than its session learns here that its partition went to another one: raises Gone.
    """
    part, now = process.busy, time.monotonic()
    if part is None or now - part.ours < SESSION_S / 2:
        return
    known = OffsetAndMetadata(part.committed, part.meta_committed, -1)
    try:
        process.consumer.commit({TopicPartition(process.names.raw, part.number): known}, timeout_ms=COMMIT_MS)
    except RebalanceInProgressError:
        raise Gone from None  # the next turn knows more
    except KafkaError as error:
        process.lose([part.number])
        raise Gone from error
    part.ours = now


_LOST = (
    "CommitFailedError",
    "IllegalGenerationError",
    "UnknownMemberIdError",
    "RebalanceInProgressError",
    "FencedInstanceIdError",
)


def lost(error: KafkaError) -> bool:
    """Whether a commit was refused because the partition has gone to another member."""
    return type(error).__name__ in _LOST
