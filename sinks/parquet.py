"""Frames as one Parquet file with typed columns, in constant memory."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 32_768
"""Rows of a row group: fixed, so that the file does not depend on how its frames were cut; few, since they are held in memory."""


def write_parquet(frames: Iterable[pl.DataFrame], path: Path) -> int:
    """Write frames of one shape; returns the number of rows. Text is plain UTF-8, times are UTC microseconds."""
    rows = 0
    writer: pq.ParquetWriter | None = None
    try:
        for frame in even(frames, ROWS):
            table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
            schema = pa.schema(
                [pa.field(f.name, pa.string() if pa.types.is_large_string(f.type) else f.type) for f in table.schema]
            )
            writer = writer or pq.ParquetWriter(path, schema, compression="zstd")
            writer.write_table(table.cast(schema), row_group_size=ROWS)
            rows += frame.height
    finally:
        if writer:
            writer.close()
    if not writer:
        pq.write_table(pa.table({}), path)
    return rows


def even(frames: Iterable[pl.DataFrame], size: int) -> Iterator[pl.DataFrame]:
    """The same rows in frames of one size; the last is shorter. At least one frame comes, if any was given.

    >>> [f.height for f in even([pl.DataFrame({"a": range(5)}), pl.DataFrame({"a": range(4)})], 4)]
    [4, 4, 1]
    """
    held: pl.DataFrame | None = None
    given = False
    for frame in frames:
        held = frame if held is None else pl.concat([held, frame])
        while held.height >= size:
            yield held[:size]
            held, given = held[size:], True
    if held is not None and (held.height or not given):
        yield held
