"""Which offsets of the log are in which files of the archive: the index, one small JSON file a write.

An entry says: of this topic and partition, all messages with offsets in [start, end) are in these files. Whoever reads goes by
the index alone. Entries may overlap (an archiver that was killed, or that was taken for dead); a file may hold more than its
entry's offsets. `cover` gives each offset to one entry, so that every message is read once.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from datetime import date
from typing import NamedTuple
from urllib.parse import quote

from scopeline.cluster.vault import Vault, VaultProblem, read

INDEX = "index"
_NAME = re.compile(r"(\d{20})-(\d{20})-(\d{4}-\d\d-\d\d)-(\d{4}-\d\d-\d\d)(-merged)?\.json")


class Damaged(VaultProblem):
    """A file of the archive is not what was written."""


class Piece(NamedTuple):
    """One Parquet file."""

    name: str
    sha256: str
    rows: int
    first: int
    """Smallest offset in it."""
    last: int
    site: str
    day: date


class Key(NamedTuple):
    """What the name of an entry says. `merged`: its days are over, and its files are one by site and day."""

    start: int
    end: int
    first_day: date
    """Of received_at (UTC)."""
    last_day: date
    merged: bool

    @property
    def name(self) -> str:
        return f"{self.start:020}-{self.end:020}-{self.first_day}-{self.last_day}{'-merged' if self.merged else ''}.json"


class Entry(NamedTuple):
    """A range of offsets, and the files that hold all its messages."""

    key: Key
    pieces: tuple[Piece, ...]


class Range(NamedTuple):
    """Offsets [start, end) that are read from one entry; `key` None: no entry has them."""

    start: int
    end: int
    key: Key | None


def piece_name(site: str, day: date, topic: str, partition: int, first: int, last: int) -> str:
    """Where a file lies.

    >>> piece_name("../a", date(2026, 1, 2), "scopeline.raw", 3, 10, 12)
    'site=..%2Fa/day=2026-01-02/scopeline.raw-3-10-12.parquet'
    """
    return f"site={quote(site, safe='')}/day={day}/{topic}-{partition}-{first}-{last}.parquet"


def cover(keys: Iterable[Key], start: int, end: int) -> list[Range]:
    """The offsets [start, end), in order, each given to one entry or to none.

    >>> day = date(2026, 1, 1)
    >>> made = [Key(0, 5, day, day, False), Key(3, 9, day, day, False), Key(12, 15, day, day, False)]
    >>> [(one.start, one.end, one.key and one.key.start) for one in cover(made, 0, 14)]
    [(0, 5, 0), (5, 9, 3), (9, 12, None), (12, 14, 12)]
    """
    found, at = [], start
    for key in sorted(keys, key=lambda one: (one.start, -one.end, not one.merged)):
        if key.end <= at or key.start >= end:
            continue
        if key.start > at:
            found.append(Range(at, key.start, None))
            at = key.start
        found.append(Range(at, min(key.end, end), key))
        at = found[-1].end
    return [*found, Range(at, end, None)] if at < end else found


class Index:
    """The entries of one topic and partition."""

    def __init__(self, place: Vault, topic: str, partition: int) -> None:
        self._place, self.topic, self.folder = place, topic, f"{INDEX}/{topic}-{partition}"
        self._file = re.compile(rf"{re.escape(topic)}-{partition}-(\d+)-(\d+)\.parquet")

    def keys(self) -> list[Key]:
        """All entries, by what their names say."""
        found = []
        for name in self._place.names(self.folder):
            if parts := _NAME.fullmatch(name.rsplit("/", 1)[1]):
                first, last = date.fromisoformat(parts[3]), date.fromisoformat(parts[4])
                found.append(Key(int(parts[1]), int(parts[2]), first, last, parts[5] is not None))
        return found

    def end(self) -> int | None:
        """The offset after the newest that the archive holds; None: it holds nothing."""
        return max((key.end for key in self.keys()), default=None)

    def holds(self, name: str, start: int, end: int) -> bool:
        """Whether a file, by its name, has only offsets of this partition in [start, end)."""
        found = self._file.fullmatch(name.rsplit("/", 1)[1])
        return found is not None and start <= int(found[1]) and int(found[2]) < end

    def load(self, key: Key) -> Entry:
        """An entry with its files; Damaged where it is not what was written, Missing where it is gone."""
        name = f"{self.folder}/{key.name}"
        text, _, mark = read(self._place, name).decode("utf-8", "replace").rstrip("\n").rpartition("\n")
        if hashlib.sha256(text.encode()).hexdigest() != mark:
            raise Damaged(f"archive: {self._place.where}/{name} is damaged: its checksum differs")
        pieces = json.loads(text)["files"]
        return Entry(key, tuple(Piece(**{**one, "day": date.fromisoformat(one["day"])}) for one in pieces))

    def save(self, entry: Entry) -> None:
        """Write an entry, durably; its files must be there."""
        files = [{**piece._asdict(), "day": str(piece.day)} for piece in entry.pieces]
        text = json.dumps({"format": 1, "start": entry.key.start, "end": entry.key.end, "files": files})
        self._place.put(f"{self.folder}/{entry.key.name}", f"{text}\n{hashlib.sha256(text.encode()).hexdigest()}\n".encode())

    def delete(self, key: Key) -> None:
        self._place.delete(f"{self.folder}/{key.name}")
