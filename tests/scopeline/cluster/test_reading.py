"""Fetched bytes as frames against kafka-python's own reader of the same bytes: the same records, positions and errors.

A log of any batches stands behind a fetcher of the library, once with each reader; both are asked, moved and paused alike.
"""

import logging
import struct
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka import TopicPartition
from kafka.consumer.fetcher import CompletedFetch, Fetcher
from kafka.consumer.subscription_state import SubscriptionState
from kafka.record import MemoryRecordsBuilder
from kafka.record.default_records import DefaultRecordBatchBuilder
from kafka.record.util import calc_crc32c

from ingest import fetched
from scopeline.cluster import reading

PLACE = TopicPartition("raw", 0)
GZIP, LZ4, STAMPED, TRANSACTION, CONTROL = 1, 3, 0x08, 0x10, 0x20

HEADER = st.tuples(
    st.sampled_from(["topic", "received_us", "retained", "broker", "other", "é", "topic"]),
    st.one_of(st.none(), st.binary(max_size=3), st.just(b"x" * 200)),
)
RECORD = st.tuples(
    st.integers(1, 3) | st.just(300),  # how far behind the record before it stands
    st.integers(-5, 5) | st.just(70_000),
    st.one_of(st.none(), st.binary(max_size=3)),
    st.one_of(st.none(), st.binary(max_size=5), st.just(b"v" * 150)),
    st.lists(HEADER, max_size=3),
)


class Batch(NamedTuple):
    """What a batch is made of; `kind`: plain, of a transaction, or the marker of one that was committed or aborted."""

    records: list[Any]
    kind: str
    codec: int
    producer: int
    epoch: int
    gap: int
    stamped: bool


BATCH = st.builds(
    Batch,
    records=st.lists(RECORD, max_size=6),
    kind=st.sampled_from(["plain"] * 6 + ["transaction", "commit", "abort"]),
    codec=st.sampled_from([0, 0, 0, GZIP, LZ4]),
    producer=st.sampled_from([-1, 7, 8]),
    epoch=st.sampled_from([3, 3, 3, 4]),
    gap=st.sampled_from([0, 0, 2]),
    stamped=st.booleans(),
)
PLAIN = BATCH.map(lambda batch: batch._replace(kind="plain", epoch=3))
ACTION = st.one_of(st.integers(1, 9), st.just("pause"), st.just("resume"), st.tuples(st.just("seek"), st.integers(0, 60)))


def encoded(batch: Batch, first: int) -> tuple[bytes, int]:
    """The bytes of a batch that begins at an offset, and the offset behind it."""
    control = batch.kind in ("commit", "abort")
    producer = max(batch.producer, 0) if batch.kind != "plain" else batch.producer
    builder = DefaultRecordBatchBuilder(2, batch.codec, batch.kind != "plain", producer, 0, 0, 1 << 20)
    at, records = -1, batch.records
    if control:
        records = [(1, 0, struct.pack(">hh", 0, batch.kind == "commit"), b"\0" * 6, [])]
    for step, moved, key, value, headers in records:
        at += step
        builder.append(at, 1_750_000_000_000 + moved, key, value, headers)
    data = bytearray(builder.build())
    last = max(at, 0) + batch.gap
    struct.pack_into(">q", data, 0, first)
    struct.pack_into(">i", data, 12, batch.epoch)
    attributes = struct.unpack_from(">h", data, 21)[0] | (CONTROL if control else 0) | (STAMPED if batch.stamped else 0)
    struct.pack_into(">hi", data, 21, attributes, last)
    return sealed(data), first + last + 1


def sealed(data: bytearray) -> bytes:
    struct.pack_into(">I", data, 17, calc_crc32c(memoryview(data)[21:]))
    return bytes(data)


class Log:
    """Batches, one behind the other; `aborted`: transactions as a broker tells them."""

    def __init__(self, batches: list[Batch]) -> None:
        self.batches: list[tuple[int, int, bytes]] = []
        self.aborted: list[Any] = []
        at = 0
        begun: dict[int, int] = {}
        for batch in batches:
            data, end = encoded(batch, at)
            self.batches.append((at, end, data))
            producer = max(batch.producer, 0)
            if batch.kind == "transaction":
                begun.setdefault(producer, at)
            elif batch.kind in ("commit", "abort"):
                start = begun.pop(producer, None)
                if start is not None and batch.kind == "abort":
                    self.aborted.append(SimpleNamespace(producer_id=producer, first_offset=start))
            at = end
        self.end = at

    def fetch(self, offset: int, most: int) -> bytes:
        """From the batch with an offset on, so many bytes, but one whole batch at least."""
        found = [data for _, end, data in self.batches if end > offset]
        return b"".join(found)[: max(most, len(found[0]) if found else 0)]


def told(log: Log, reader: Any, actions: list[Any], most: int, check: bool, start: int) -> list[Any]:
    """What a fetcher with this reader says: records and position after each action, until the log is read or damaged."""
    subscription = SubscriptionState()
    subscription.assign_from_user([PLACE])
    subscription.seek(PLACE, start)
    client: Any = SimpleNamespace(_manager=SimpleNamespace(_net=None))
    fetcher = Fetcher(client, subscription, isolation_level="read_committed", check_crcs=check)
    fetcher.PartitionRecords = reader
    found: list[Any] = []
    for action in [*actions, "resume", *[4] * 400]:
        if action == "pause":
            subscription.pause(PLACE)
        elif action == "resume":
            subscription.resume(PLACE)
        elif isinstance(action, tuple):
            subscription.seek(PLACE, min(action[1], log.end))
        else:
            position = subscription.position(PLACE)
            if position.offset < log.end and not (fetcher._completed_fetches or fetcher._paused_completed_fetches):
                said = {"error_code": 0, "high_watermark": log.end, "diverging_epoch": None, "preferred_read_replica": -1}
                data = log.fetch(position.offset, most)
                answer = SimpleNamespace(**said, records=data, aborted_transactions=log.aborted)
                fetcher._completed_fetches.append(CompletedFetch(PLACE, position.offset, 12, answer, None))
            try:
                polled = fetcher.fetched_records(action)[0].get(PLACE, [])
            except Exception as error:
                return [*found, repr(error)]
            position = subscription.position(PLACE)
            found.append((reading.gathered(polled).rows(), position))
            if position.offset >= log.end:
                return found
    return found


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    """Few records are read as frames, too; the library is silent about what it skips."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetched, "FEW", 1)
        logging.getLogger("kafka").setLevel(logging.ERROR)
        yield
        logging.getLogger("kafka").setLevel(logging.NOTSET)


@given(st.lists(BATCH, min_size=1, max_size=8), st.lists(ACTION, max_size=12), st.integers(60, 3000), st.integers(0, 9))
def test_any_log_reads_as_the_library_reads_it(batches: list[Batch], actions: list[Any], most: int, start: int) -> None:
    log = Log(batches)
    given_by = [told(log, reader, actions, most, True, min(start, log.end)) for reader in (reading.Columns, LIBRARY)]
    assert given_by[0] == given_by[1]


@given(st.lists(PLAIN, min_size=1, max_size=6), st.lists(ACTION, max_size=6), st.integers(60, 3000), st.data())
@settings(max_examples=150)
def test_a_damaged_log_too(batches: list[Batch], actions: list[Any], most: int, data: st.DataObject) -> None:
    """A byte is another one: with and without a checksum that gives it away."""
    log = Log(batches)
    which = data.draw(st.integers(0, len(log.batches) - 1))
    first, end, good = log.batches[which]
    damaged = bytearray(good)
    damaged[data.draw(st.integers(21 + 6, len(good) - 1))] ^= data.draw(st.integers(1, 255))
    signed = data.draw(st.booleans())
    log.batches[which] = (first, end, sealed(damaged) if signed else bytes(damaged))
    given_by = [told(log, reader, actions, most, True, 0) for reader in (reading.Columns, LIBRARY)]
    assert given_by[0] == given_by[1]


LIBRARY = Fetcher.PartitionRecords


@given(st.lists(PLAIN, min_size=1, max_size=5).filter(lambda batches: any(batch.records for batch in batches)))
def test_plain_data_is_not_left_to_the_library(batches: list[Batch]) -> None:
    """Whatever its headers, nulls, gaps and compression: else nobody would notice that it is slow."""
    log = Log(batches)
    data = log.fetch(0, 1 << 20)
    found = fetched.read(data + data[:40], calc_crc32c, reading._CODECS)
    assert found is not None
    assert found.records.height == sum(len(batch.records) for batch in batches)
    assert found.next_offset == log.end


def test_the_installed_library_is_known() -> None:
    """Fails when another version of kafka-python has not got what scopeline.cluster.reading uses of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetched, "FEW", 100)
        reading.agrees.cache_clear()
        assert reading.agrees()


@pytest.mark.parametrize(
    "change",
    [
        lambda patch: patch.delattr(Fetcher, "PartitionRecords"),
        lambda patch: patch.delattr(Fetcher, "_append"),
        lambda patch: patch.setattr(MemoryRecordsBuilder, "buffer", lambda self: b"\0" * 100),
        lambda patch: patch.setattr(Fetcher, "fetched_records", lambda self, some: ({PLACE: []}, True)),
        lambda patch: patch.setattr(fetched, "read", lambda *given: None),
    ],
)
def test_an_unknown_library_is_left_alone(change: Any) -> None:
    """Its consumer goes on giving single records, which `gathered` takes as well."""
    consumer = SimpleNamespace(_fetcher=SimpleNamespace())
    reading.agrees.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        change(patch)
        assert not reading.columnar(consumer)
    reading.agrees.cache_clear()
    assert vars(consumer._fetcher) == {}


def test_frames_and_single_records_are_one_frame() -> None:
    def single(offset: int) -> Any:
        return SimpleNamespace(offset=offset, value=b"1", headers=[("topic", b"a")], timestamp=5)

    one = reading.gathered([single(3), single(4)])
    assert reading.gathered([one, single(5), one, single(6), single(7)])["offset"].to_list() == [3, 4, 5, 3, 4, 6, 7]
    assert reading.gathered([]).height == 0
