"""Decoding alone: messages to DECODED frames. `python -m scopeline.bench.decode PLANT READINGS` prints processor seconds."""

import sys
import time
from pathlib import Path

import polars as pl

import ingest
from schemas.frames import MESSAGES, shaped
from scopeline.bench.generate import messages
from scopeline.plant import load

CHUNK = 100_000


def decode(plant: Path, readings: int) -> float:
    """Processor seconds in `ingest.decode` for that many messages; AssertionError when one is not read."""
    found, problems = load(plant)
    assert found, problems
    feeds = ingest.compile(found)
    seconds, place = 0.0, 0
    for frame in messages(readings, CHUNK):
        received = pl.col("received_at").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us", time_zone="UTC")
        given = shaped(
            frame.with_columns(received, pl.col("payload").cast(pl.Binary), retained=False).with_row_index("message", place),
            MESSAGES,
        )
        begun = time.process_time()
        read = ingest.decode(given, feeds)
        seconds += time.process_time() - begun
        assert read.decoded.height == frame.height, read.rejects
        place += frame.height
    return seconds


if __name__ == "__main__":
    print(decode(Path(sys.argv[1]), int(sys.argv[2])))
