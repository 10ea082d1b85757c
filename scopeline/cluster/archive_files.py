"""The archive's Parquet files: written whole and read back, and many of them read as one stream in the order of the log."""

import tempfile
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pyarrow.parquet as pq

from ingest.records import COLUMNS
from scopeline.cluster.archive_index import Damaged, Piece, piece_name
from scopeline.cluster.vault import Missing, Vault, digest

FILE = {**COLUMNS, "partition": pl.Int32, "offset": pl.Int64, "row": pl.Int32}
"""Columns of a file: the message, and its place: a row of a record. topic is null where a record holds no message of ours."""
_GROUP_BYTES = 4 << 20
"""Payload of one row group, about: what a reader holds of each file."""
_MOST_ROWS = 65_536


def write(place: Vault, topic: str, site: str, day: date, frames: Iterable[pl.DataFrame]) -> Piece:
    """Store frames (FILE, in the order of the log, of one partition) as a file; Damaged where it does not read back."""
    with tempfile.TemporaryDirectory(prefix="scopeline-archive-") as folder:
        path = Path(folder) / "made.parquet"
        partition, first, last, rows = 0, None, 0, 0
        schema = pl.DataFrame(schema=FILE).to_arrow(compat_level=pl.CompatLevel.oldest()).schema
        with pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True) as out:
            for frame in frames:
                for part in _groups(frame):
                    out.write_table(part.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema))
                partition, first, last = (
                    frame["partition"][0],
                    frame["offset"][0] if first is None else first,
                    frame["offset"][-1],
                )
                rows += frame.height
        assert first is not None, "a file of no messages"
        name, sha256 = piece_name(site, day, topic, partition, first, last), digest(path)
        place.put(name, path)
    piece = Piece(name, sha256, rows, first, last, site, day)
    with checked(place, piece):
        return piece


def _groups(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    mean = max(1, int(frame.estimated_size()) // max(1, frame.height))
    return frame.iter_slices(max(1, min(_MOST_ROWS, _GROUP_BYTES // mean)))


class checked:
    """A file for reading, after its checksum was compared: `with checked(place, piece) as path`."""

    def __init__(self, place: Vault, piece: Piece) -> None:
        self._place, self._piece, self._opened = place, piece, place.local(piece.name)

    def __enter__(self) -> Path:
        path = self._opened.__enter__()
        if digest(path) != self._piece.sha256:
            self._opened.__exit__(None, None, None)
            raise Damaged(f"archive: {self._place.where}/{self._piece.name} is damaged: its checksum differs")
        return path

    def __exit__(self, *error: object) -> None:
        self._opened.__exit__(None, None, None)


class Opened(NamedTuple):
    """A file that was checked and lies here."""

    piece: Piece
    path: Path


def stream(files: Iterable[Opened], start: int, end: int) -> Iterator[pl.DataFrame]:
    """The rows of files with offsets in [start, end), in the order of the log, each once, as frames of whole records.

    Files of several sites and days interleave: what is held of each is one row group.
    """
    waiting = sorted((one for one in files if one.piece.last >= start and one.piece.first < end), key=_first, reverse=True)
    held: list[_Held] = []
    while waiting or held:
        limits = [(one.last, number) for number, one in enumerate(held)]
        if waiting and (not limits or waiting[-1].piece.first <= min(limits)[0]):
            held.append(_Held(waiting.pop()))
            continue
        held[min(limits)[1]].more()
        limit = min([*(one.last for one in held), *([waiting[-1].piece.first] if waiting else [])])
        ready = pl.concat([one.take(limit) for one in held])
        held = [one for one in held if one.last != _EVER or one.frame.height]
        ready = ready.filter(pl.col("offset").is_between(start, end - 1))
        if ready.height:
            yield ready.unique(["offset", "row"], maintain_order=False).sort("offset", "row")


_EVER = 1 << 63


class _Held:
    """One file while it is read. `last`: rows with smaller offsets are all in `frame`."""

    def __init__(self, opened: Opened) -> None:
        try:
            self._file = pq.ParquetFile(opened.path, page_checksum_verification=True)
        except FileNotFoundError as error:
            raise Missing(f"archive: {opened.piece.name} has gone") from error
        self._next, self.frame, self.last = 0, pl.DataFrame(schema=FILE), opened.piece.first

    def more(self) -> None:
        """Read the next row group."""
        if self._next < self._file.num_row_groups:
            found = pl.from_arrow(self._file.read_row_group(self._next))
            assert isinstance(found, pl.DataFrame)
            self._next += 1
            self.frame = pl.concat([self.frame, found.select(pl.col(name).cast(kind) for name, kind in FILE.items())])
        if self._next < self._file.num_row_groups:
            self.last = self.frame["offset"][-1]
        else:
            self.last = _EVER
            self._file.close()

    def take(self, limit: int) -> pl.DataFrame:
        """What lies before an offset."""
        count = int(self.frame["offset"].search_sorted(limit, side="left")) if limit != _EVER else self.frame.height
        found, self.frame = self.frame[:count], self.frame[count:]
        return found


def _first(opened: Opened) -> int:
    return opened.piece.first


__all__ = ["FILE", "Opened", "checked", "stream", "write"]
