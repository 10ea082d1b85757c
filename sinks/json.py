"""Frames as JSON records: an array of objects, in constant memory, with the numbers that csv has."""

from collections.abc import Iterable, Iterator

import orjson
import polars as pl

from schemas.numeric import text
from sinks.csv import rfc3339


def json_records(frames: Iterable[pl.DataFrame]) -> Iterator[bytes]:
    """The pieces of one JSON array. Null is null; times are RFC 3339 with Z.

    >>> b"".join(json_records([pl.DataFrame({"site": ['a"b', None], "kg": [0.5, None]})])).decode().splitlines()
    ['[', '{"site":"a\\\\"b","kg":0.5},', '{"site":null,"kg":null}', ']']
    """
    before = b"[\n"
    for frame in frames:
        if frame.height:
            lines = frame.select(pl.concat_str([pl.lit("{"), *_members(frame), pl.lit("}")]).alias("line"))["line"]
            yield before + ",\n".join(lines.to_list()).encode()
            before = b",\n"
    yield b"\n]\n" if before == b",\n" else b"[]\n"


def _members(frame: pl.DataFrame) -> list[pl.Expr]:
    members: list[pl.Expr] = []
    for number, (name, dtype) in enumerate(frame.schema.items()):
        key = ("," if number else "") + orjson.dumps(name).decode() + ":"
        members += [pl.lit(key), _value(frame, name, dtype).fill_null("null")]
    return members


def _value(frame: pl.DataFrame, name: str, dtype: pl.DataType) -> pl.Expr:
    if isinstance(dtype, pl.Datetime):
        return pl.lit('"') + rfc3339(name) + pl.lit('"')
    if dtype.is_float():
        return text(pl.col(name).cast(pl.Float64).fill_nan(None))
    if dtype.is_integer() or dtype == pl.Boolean:
        return pl.col(name).cast(pl.String)
    words = frame[name].cast(pl.String).unique().drop_nulls().to_list()
    quoted = {word: orjson.dumps(word).decode() for word in words}
    return pl.col(name).cast(pl.String).replace_strict(quoted, default=None, return_dtype=pl.String)
