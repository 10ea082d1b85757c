"""Frames from a real Kafka: what single records say, also around transactions, compression, compaction, seeking and pausing."""

from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition

from scopeline.cluster import reading

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]


def send(kafka: str, topic: str, first: int, count: int, **settings: Any) -> None:
    """Messages; in a transaction that is given up where `transactional_id` ends in `-abort`."""
    producer = KafkaProducer(bootstrap_servers=kafka, acks="all", linger_ms=20, batch_size=20_000, **settings)
    name = settings.get("transactional_id")
    if name:
        producer.init_transactions()
        producer.begin_transaction()
    for n in range(first, first + count):
        headers = [("topic", b"a/%d" % (n % 7)), ("received_us", b"%d" % n), *([("retained", b"1")] if n % 5 == 0 else [])]
        producer.send(topic, b"v%d" % n if n % 11 else None, key=b"works", headers=headers, partition=0)
    producer.flush()
    if name:
        (producer.abort_transaction if name.endswith("-abort") else producer.commit_transaction)()
    producer.close()


@pytest.fixture
def filled(kafka: str, unique: str) -> Iterator[tuple[str, TopicPartition, list[int]]]:
    """A topic of 2,900 records that count, and the values of `received_us` in it."""
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    admin.create_topics({unique: {"num_partitions": 1, "replication_factor": 1}})
    send(kafka, unique, 0, 1000)
    send(kafka, unique, 1000, 500, transactional_id=f"{unique}-abort")
    send(kafka, unique, 2000, 500, compression_type="lz4")
    send(kafka, unique, 3000, 500, transactional_id=f"{unique}-commit")
    send(kafka, unique, 4000, 900, compression_type="gzip")
    yield kafka, TopicPartition(unique, 0), [*range(1000), *range(2000, 2500), *range(3000, 3500), *range(4000, 4900)]
    admin.delete_topics([unique])
    admin.close()


def consumer(kafka: str, place: TopicPartition, frames: bool, **settings: Any) -> KafkaConsumer:
    found = KafkaConsumer(
        bootstrap_servers=kafka,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        **settings,
    )
    if frames:
        assert reading.columnar(found)
    found.assign([place])
    return found


def whole(client: KafkaConsumer, place: TopicPartition, end: int, some: int) -> tuple[pl.DataFrame, int]:
    """Everything from the position on, so many records at a time; how many polls gave frames."""
    found, frames = [], 0
    while client.position(place) < end:
        polled = client.poll(timeout_ms=1000, max_records=some).get(place, [])
        frames += any(isinstance(one, pl.DataFrame) for one in polled)
        found.append(reading.gathered(polled))
        assert found[-1].height <= some
    return pl.concat(found), frames


@pytest.mark.parametrize(("fetch", "columnar"), [(30_000, True), (1 << 20, False)])
def test_frames_say_what_single_records_say(filled: Any, fetch: int, columnar: bool) -> None:
    """Small fetches are plain data or of a transaction, a large one is both, which the library reads."""
    kafka, place, wanted = filled
    told = []
    for frames in (True, False):
        client = consumer(kafka, place, frames, max_partition_fetch_bytes=fetch)
        end = client.end_offsets([place])[place]
        records, read = whole(client, place, end, 333)
        assert (read > 0) == (frames and columnar)
        told.append((records, client.position(place)))
        client.close()
    assert told[0][0].equals(told[1][0]) and told[0][1] == told[1][1]
    assert told[0][0]["received_us"].cast(pl.String).cast(pl.Int64).to_list() == wanted


def test_seeking_and_pausing_amid_a_frame(filled: Any) -> None:
    kafka, place, _ = filled
    client = consumer(kafka, place, True)
    client.seek(place, 10)
    while not (first := reading.gathered(client.poll(timeout_ms=1000, max_records=100).get(place, []))).height:
        pass
    assert first["offset"].to_list() == list(range(10, 110)) and client.position(place) == 110
    client.pause(place)
    assert client.poll(timeout_ms=300) == {}
    assert client.position(place) == 110
    client.resume(place)
    again, _ = whole(client, place, 200, 90)
    assert again["offset"].to_list() == list(range(110, 200))
    client.seek(place, 57)
    assert whole(client, place, 58, 1)[0]["offset"].to_list() == [57]
    client.close()
