"""What Kafka sends for a partition as one frame, a column a field: many records at a time instead of an object each.

The format is Kafka's record batch, version 2 (https://kafka.apache.org/documentation/#recordbatch). One pass in Python finds
where each record begins; then each field of all records is read at once. What is read here is the plain case: whole batches of
data outside transactions, from one leader. Everything else, and everything that is not as the format says, is left to the client
library, which knows what to skip and what to call damaged.
"""

import struct
from collections.abc import Callable, Mapping
from typing import NamedTuple

import polars as pl
import pyarrow as pa

from ingest.records import HEADERS, RECORDS

Buffer = bytes | bytearray | memoryview
Checksum = Callable[[Buffer], int]
Codecs = Mapping[int, Callable[[bytes], bytes]]

_HEAD = struct.Struct(">qiibIhiqqqhii")
_LENGTHS = struct.Struct(">qi")
_CODEC, _STAMPED_BY_LOG, _PLAIN = 0x07, 0x08, 0x0F
"""Of a batch's attributes; PLAIN: what a batch may have that is no control batch, in no transaction, and not compacted twice."""
_CHECKED = 21
"""Where in a batch begins what its checksum covers."""
_PAD = bytes(16)
"""Behind the last record, so that a number is looked for in what is there."""
_LARGEST, _LATEST = 1 << 30, 1 << 60
"""Bytes, and offsets or times: beyond, sums could overflow."""
_MOST_HEADERS = 16
FEW = 100
"""Fewer records than this the library reads faster: a frame costs something by itself."""


class Fetched(NamedTuple):
    """The records of a fetch, and what the client's position becomes when all of them are taken."""

    records: pl.DataFrame
    """RECORDS, in the order of the log."""
    size: int
    """Bytes of the records."""
    next_offset: int
    """Behind the last batch, which may have lost its last records to compaction."""
    leader_epoch: int


class _Odd(Exception):
    """Something that is left to the client library."""


class _Batch(NamedTuple):
    first: int
    records: int
    time: int
    stamped: bool
    codec: int
    crc: int
    covered: memoryview
    """What the checksum is of: the end of the batch's head, and its records."""

    def body(self, codecs: Codecs) -> Buffer:
        data = self.covered[_HEAD.size - _CHECKED :]
        return codecs[self.codec](bytes(data)) if self.codec else data


def read(data: Buffer, checksum: Checksum | None, codecs: Codecs) -> Fetched | None:
    """The records of whole batches, without a batch at the end that was cut off; None where the library has to read it.

    checksum: CRC-32C; None: nothing is checked. codecs: what undoes a compression, by its number in the format.
    """
    try:
        return _read(memoryview(data), checksum, codecs)
    except (Exception, pl.exceptions.PanicException):  # whatever it was: the library says what is wrong, and where
        return None


def _read(data: memoryview, checksum: Checksum | None, codecs: Codecs) -> Fetched:
    batches: list[_Batch] = []
    epochs, at, behind = set(), 0, 0
    while len(data) - at >= _LENGTHS.size:
        end = at + _LENGTHS.size + _LENGTHS.unpack_from(data, at)[1]
        if end > len(data):
            break
        if end - at < _HEAD.size:
            raise _Odd
        first, _, epoch, magic, crc, attributes, last, begin, latest, _, _, _, records = _HEAD.unpack_from(data, at)
        if magic != 2 or attributes & ~_PLAIN or records < 0 or max(abs(first), abs(begin), abs(latest)) > _LATEST:
            raise _Odd
        stamped, codec = bool(attributes & _STAMPED_BY_LOG), attributes & _CODEC
        covered = data[at + _CHECKED : end]
        batches.append(_Batch(first, records, latest if stamped else begin, stamped, codec, crc, covered))
        epochs.add(epoch)
        at, behind = end, first + last + 1
    if len(epochs) != 1 or sum(batch.records for batch in batches) < FEW:
        raise _Odd
    if checksum is not None and any(checksum(batch.covered) != batch.crc for batch in batches):
        raise _Odd
    records, size = _records(batches, [batch.body(codecs) for batch in batches])
    return Fetched(records, size, behind, epochs.pop())


def _records(batches: list[_Batch], bodies: list[Buffer]) -> tuple[pl.DataFrame, int]:
    """RECORDS of the batches, and how many bytes they are."""
    data = b"".join([*bodies, _PAD])
    if len(data) > _LARGEST:
        raise _Odd
    fields = _Fields(data, _starts(data, batches, bodies))
    size = fields.number()
    if (size % 2 != 0).any() or (fields.byte() != 0).any():
        raise _Odd
    later, delta = _signed(fields.number()), _signed(fields.number())
    fields.text()  # the key
    value = fields.text()
    headers = fields.headers()
    if not fields.done():
        raise _Odd
    offset = _each(batches, [batch.first for batch in batches]) + delta
    if not offset.is_sorted():
        raise _Odd
    if any(batch.stamped for batch in batches):
        later *= _each(batches, [int(not batch.stamped) for batch in batches])
    columns = {"offset": offset, "timestamp": _each(batches, [batch.time for batch in batches]) + later, "value": value}
    return pl.DataFrame(columns | headers, schema=RECORDS), int(size.sum()) // 2


def _starts(data: bytes, batches: list[_Batch], bodies: list[Buffer]) -> list[int]:
    """Where each record begins."""
    found: list[int] = []
    at = 0
    for batch, body in zip(batches, bodies, strict=True):
        end = at + len(body)
        for _ in range(batch.records):
            found.append(at)
            length = data[at]
            at += 1
            if length > 127:
                length, shift = length & 127, 7
                while (more := data[at]) > 127:
                    length |= (more & 127) << shift
                    shift += 7
                    at += 1
                length |= more << shift
                at += 1
            at += length >> 1
        if at != end:
            raise _Odd
    return found


def _each(batches: list[_Batch], values: list[int]) -> pl.Series:
    """What is said of a batch, for each of its records."""
    counts = pl.Series([batch.records for batch in batches], dtype=pl.UInt32)
    return pl.Series(values, dtype=pl.Int64).repeat_by(counts).explode(empty_as_null=False)


def _signed(number: pl.Series) -> pl.Series:
    """Numbers whose last bit is the sign (zigzag).

    >>> _signed(pl.Series([0, 1, 2, 3, 4])).to_list()
    [0, -1, 1, -2, 2]
    """
    half, odd = number // 2, number % 2
    return half * (1 - 2 * odd) - odd


class _Fields:
    """All records at once: each call reads the next field of every record (of those that are alive, the others wait)."""

    def __init__(self, data: bytes, starts: list[int]) -> None:
        self._bytes = pl.Series(pa.UInt8Array.from_buffers(pa.uint8(), len(data), [None, pa.py_buffer(data)]))
        ends = pl.Series([*starts, len(data) - len(_PAD)], dtype=pl.Int64)
        rows = pa.LargeBinaryArray.from_buffers(
            pa.large_binary(), len(starts), [None, ends.to_arrow().buffers()[1], pa.py_buffer(data)]
        )
        self._rows = pl.Series("row", rows)
        self._starts, self._ends = ends.head(len(starts)), ends.tail(len(starts))
        self._at = self._starts

    def byte(self, alive: pl.Series | None = None) -> pl.Series:
        found = self._bytes.gather(self._at)
        self._at += 1 if alive is None else alive
        return found

    def number(self, alive: pl.Series | None = None) -> pl.Series:
        """A varint as it stands; 0 where not alive."""
        byte = self.byte(alive)
        if alive is not None:
            byte *= alive
        more = byte > 127
        if not more.any():
            return byte.cast(pl.Int64)
        found, factor = (byte & 127).cast(pl.Int64), 128
        while more.any():
            if factor > 1 << 49:
                raise _Odd
            byte = self.byte(more) * more
            found += (byte & 127).cast(pl.Int64) * factor
            more, factor = byte > 127, factor * 128
        return found

    def text(self, alive: pl.Series | None = None) -> pl.Series:
        """Bytes, or null; null where not alive."""
        raw = self.number(alive)
        null = raw == 1
        length = raw // 2
        if not ((raw % 2 == 0) | null).all() or (self._at + length > self._ends).any():
            raise _Odd
        place = pl.DataFrame([self._rows, (self._at - self._starts).alias("at"), length.alias("length")])
        found = place.select(pl.col("row").bin.slice("at", "length")).to_series()
        self._at += length
        absent = null if alive is None else null | ~alive
        return found.zip_with(~absent, _nothing(found.len())) if absent.any() else found

    def headers(self) -> dict[str, pl.Series]:
        """HEADERS as columns, and `headed`; of a header that a record has twice the last one counts."""
        counts = self.number()
        most = counts.max()
        if not isinstance(most, int) or most > 2 * _MOST_HEADERS or (counts % 2 != 0).any():
            raise _Odd
        found: dict[str, pl.Series] = {}
        headed = pl.repeat(False, counts.len(), eager=True)
        for place in range(most // 2):
            alive = counts > 2 * place
            some = None if alive.all() else alive
            names, values = self.text(some), self.text(some)
            if names.null_count() != (0 if some is None else (~some).sum()):
                raise _Odd
            for name in _distinct(names):
                text = name.decode()
                if text not in HEADERS:
                    continue
                here = _equal(names, name).fill_null(False)
                found[text] = values if here.all() else values.zip_with(here, found.get(text, _nothing(values.len())))
                if text == "topic":
                    headed |= here
        return {"headed": headed} | {name: found.get(name, _nothing(counts.len())) for name in HEADERS}

    def done(self) -> bool:
        """Whether every record has been read to its end, and no further."""
        return bool((self._at == self._ends).all())


def _distinct(names: pl.Series) -> list[bytes]:
    """The names there are: mostly one."""
    known = names.drop_nulls()
    first: list[bytes] = known.head(1).to_list()
    return first if not first or _equal(known, first[0]).all() else known.unique().to_list()


def _equal(names: pl.Series, name: bytes) -> pl.Series:
    return names == pl.Series([name], dtype=pl.Binary)


def _nothing(rows: int) -> pl.Series:
    return pl.repeat(None, rows, dtype=pl.Binary, eager=True)
