"""Messages as records and back: all columns, any mixture, and what is no record is put apart without harm to its neighbours."""

import struct
import zlib
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import records

BEGIN = datetime(1970, 1, 1, tzinfo=UTC)
MESSAGE = st.tuples(
    st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20),
    st.binary(max_size=50),
    st.integers(0, 7_000_000_000_000_000),
    st.booleans(),
)


def record(offset: int, value: bytes | None, headers: Any = (), timestamp: int = 0) -> Any:
    return SimpleNamespace(offset=offset, value=value, headers=headers, timestamp=timestamp)


def packed(messages: list[tuple[str, bytes, int, bool]], broker: str | None = None, first: int = 0) -> list[Any]:
    columns: list[Any] = [list(column) for column in zip(*messages, strict=True)]
    return [record(first + place, *one) for place, one in enumerate(records.pack(*columns, broker))]


def frame(count: int) -> pl.DataFrame:
    one = {"topic": "a/b", "payload": b'{"kwh": 1}', "received_at": BEGIN, "retained": False, "broker": None}
    return pl.DataFrame([one] * count, schema=records.COLUMNS)


@given(st.lists(st.lists(MESSAGE, min_size=1, max_size=12), max_size=6), st.sampled_from([None, "hall"]))
def test_what_goes_in_comes_out(batches: list[list[tuple[str, bytes, int, bool]]], broker: str | None) -> None:
    given_out: list[Any] = []
    for batch in batches:
        given_out += packed(batch, broker, len(given_out))
    found = records.decode(given_out)
    assert found.refused == []
    wanted = [(*one, broker) for batch in batches for one in batch]
    stamps = found.messages["received_at"].to_physical()
    rows = list(
        zip(*found.messages.select("topic", "payload"), stamps, *found.messages.select("retained", "broker"), strict=True)
    )
    assert rows == wanted
    assert found.messages.schema == pl.Schema(records.UNPACKED)
    assert found.messages["offset"].is_sorted()


def test_few_messages_are_bare_and_many_are_packed() -> None:
    assert len(packed([("t", b"1", 1, False)] * (records.FEW - 1))) == records.FEW - 1
    assert len(packed([("t", b"1", 1, False)] * records.FEW)) == 1


def test_offsets_follow_their_records() -> None:
    found = records.decode(
        [record(7, records.encode(frame(3))), *packed([("t", b"x", 5, True)], first=8), record(11, records.encode(frame(2)))]
    )
    assert found.messages["offset"].to_list() == [7, 7, 7, 8, 11, 11]
    assert found.messages["retained"].to_list() == [False] * 3 + [True] + [False] * 2


def test_a_bare_record_of_another_producer() -> None:
    """Its own time counts where no header states one."""
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    found = records.decode(
        [
            record(1, b"5", [("topic", b"a/b")], int(at.timestamp() * 1000)),
            record(2, b"6", [("other", None), ("topic", b"a/b"), ("received_us", b"17"), ("retained", b"true")], 99),
        ]
    )
    assert found.messages["received_at"].to_list() == [at, BEGIN + timedelta(microseconds=17)]
    assert found.messages["retained"].to_list() == [False, True]


@pytest.mark.parametrize(
    ("foreign", "reason"),
    [
        (record(5, b'{"kwh": 1}', [], 0), "no packed record"),
        (record(5, None, [], 0), "empty"),
        (record(5, b"", [], 0), "empty"),
        (record(5, None, [("topic", b"a")], 0), "empty"),
        (record(5, b"1", [("topic", b"\xff")], 0), "no UTF-8"),
        (record(5, b"1", [("topic", None)], 0), "no UTF-8"),
        (record(5, b"1", [("topic", b"a"), ("received_us", b"yesterday")], 0), "no time"),
        (record(5, b"1", [("topic", b"a"), ("received_us", b"-5")], 0), "no time"),
        (record(5, b"1", [("topic", b"a"), ("received_us", b"99999999999999999999")], 0), "no time"),
        (record(5, b"1", [("topic", b"a")], -1), "no time"),
        (record(5, b"1", [("topic", b"a"), ("broker", b"\xff")], 0), "`broker`"),
    ],
)
def test_foreign_records_are_put_apart(foreign: Any, reason: str) -> None:
    found = records.decode([record(4, records.encode(frame(2))), foreign, *packed([("t", b"x", 5, True)], first=6)])
    assert [one.offset for one in found.refused] == [5]
    assert reason in found.refused[0].reason
    assert found.messages["offset"].to_list() == [4, 4, 6]


def test_a_damaged_record_is_put_apart_whatever_was_damaged() -> None:
    value = records.encode(frame(5))
    for place in range(0, len(value), 7):
        damaged = bytearray(value)
        damaged[place] ^= 0x55
        found = records.decode([record(1, value), record(2, bytes(damaged)), record(3, value[:place]), record(4, value)])
        assert {one.offset for one in found.refused} == {2, 3}, place
        assert found.messages["offset"].to_list() == [1] * 5 + [4] * 5


def test_a_false_stream_with_a_right_checksum_harms_nobody(capfd: pytest.CaptureFixture[str]) -> None:
    """The count is a lie, the columns are others, the stream is none: each is refused, its neighbours are read."""

    def signed(body: bytes, count: int) -> bytes:
        body += b"SCL1" + struct.pack("<I", count)
        return body + struct.pack("<I", zlib.crc32(body))

    value = records.encode(frame(5))
    stream = value[:-12]
    other = stream.replace(b"payload", b"payl0ad")
    halved = stream[: len(stream) // 2] + b"\xff" * (len(stream) - len(stream) // 2)
    bad = [signed(stream, 4), signed(other, 5), signed(halved, 5), signed(b"\xff" * 40, 5), signed(b"\xff\xff\xff\xff", 0)]
    for one in bad:
        found = records.decode([record(1, value), record(2, one), record(3, value)])
        assert [refused.offset for refused in found.refused] == [2]
        assert found.messages["offset"].to_list() == [1] * 5 + [3] * 5
    capfd.readouterr()  # the Arrow reader speaks on standard error before it gives up
