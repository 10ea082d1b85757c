"""Files and index of the archive: order, overlaps, damage; the merging of days that are over. No server needed."""

import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.records import pack
from scopeline.cluster.archive import UNKEYED, rows
from scopeline.cluster.archive_files import FILE, Opened, checked, stream, write
from scopeline.cluster.archive_index import Damaged, Entry, Index, Key, Piece, cover
from scopeline.cluster.archive_merge import merge
from scopeline.cluster.vault import Folder, Missing

DAY = date(2026, 3, 1)
TOPIC = "works.raw"


def frame(offsets: list[int], day: date = DAY, each: int = 2) -> pl.DataFrame:
    at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    return pl.DataFrame(
        [
            {"topic": "t", "payload": f"{offset}.{row}".encode(), "received_at": at, "retained": False, "broker": None}
            | {"partition": 0, "offset": offset, "row": row}
            for offset in offsets
            for row in range(each)
        ],
        schema=FILE,
    )


def kept(place: Folder, site: str, offsets: list[int], day: date = DAY) -> Piece:
    return write(place, TOPIC, site, day, [frame(offsets, day)])


def entry(place: Folder, start: int, end: int, pieces: list[Piece], day: date = DAY) -> None:
    Index(place, TOPIC, 0).save(Entry(Key(start, end, day, day, False), tuple(pieces)))


def everything(place: Folder) -> list[tuple[int, int]]:
    """All rows, as a reader finds them."""
    index, found = Index(place, TOPIC, 0), []
    for one in cover(index.keys(), 0, 10_000):
        if one.key:
            files = [Opened(piece, place.root / piece.name) for piece in index.load(one.key).pieces]
            found += [row for part in stream(files, one.start, one.end) for row in part.select("offset", "row").rows()]
    return found


def test_files_interleave_in_the_order_of_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("scopeline.cluster.archive_files._GROUP_BYTES", 200)  # several row groups a file
    place = Folder(tmp_path)
    shared = [kept(place, "a", [0, 3, 4, 9, 40]), kept(place, "b", [1, 2, 5, 6, 7, 8, 41]), kept(place, "c", [20, 21])]
    files = [Opened(piece, place.root / piece.name) for piece in shared]
    found = list(stream(files, 0, 100))
    assert [row for part in found for row in part["offset"]] == [o for o in [*range(10), 20, 21, 40, 41] for _ in range(2)]
    assert len(found) > 3, "not all at once"
    assert all(part.group_by("offset").len()["len"].eq(2).all() for part in found), "whole records"
    assert [o for part in stream(files, 4, 21) for o in part["offset"].unique(maintain_order=True)] == [4, 5, 6, 7, 8, 9, 20]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 12)), max_size=8), st.integers(0, 20), st.integers(1, 45))
def test_every_offset_is_read_once(spans: list[tuple[int, int]], start: int, end: int):
    keys = [Key(first, first + length, DAY, DAY, False) for first, length in spans]
    found = cover(keys, start, end)
    offsets = [(offset, one.key) for one in found for offset in range(one.start, one.end)]
    assert [offset for offset, _ in offsets] == list(range(start, max(start, end)))
    for offset, key in offsets:
        assert (key is not None) == any(one.start <= offset < one.end for one in keys)
        assert key is None or key.start <= offset < key.end


@pytest.mark.parametrize("seed", range(6))
def test_merging_changes_nothing_for_readers(tmp_path: Path, seed: int):
    """Entries that overlap, days that go on in the next entry, late sites: one file by site and day, the same rows."""
    chance, place = random.Random(seed), Folder(tmp_path)
    end, sent = 0, set()
    for number in range(10):
        day = DAY + timedelta(days=number // 3)
        begin = max(0, end - chance.choice([0, 0, 0, 2]))  # taken twice, after a crash
        end = begin + chance.randint(1, 6) + (end - begin if end > begin else 0)
        sites: dict[tuple[str, date], list[int]] = {}
        for offset in range(begin, end):
            sites.setdefault(("ab"[offset % 2], DAY + timedelta(days=offset // 12)), []).append(offset)
            sent.add(offset)
        pieces = [kept(place, site, offsets, of) for (site, of), offsets in sites.items()]
        days = [piece.day for piece in pieces]
        Index(place, TOPIC, 0).save(Entry(Key(begin, end, min(days), max(days), False), tuple(pieces)))
        if chance.random() < 0.4:
            merge(place, TOPIC, 0, day)
    before = everything(place)
    assert before == [(offset, row) for offset in sorted(sent) for row in range(2)]
    merge(place, TOPIC, 0, DAY + timedelta(days=99))
    assert everything(place) == before
    index = Index(place, TOPIC, 0)
    named = {piece.name for key in list(index.keys()) for piece in index.load(key).pieces}
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("site=*/*/*")} == named


def test_a_day_that_is_not_over_stays(tmp_path: Path):
    place = Folder(tmp_path)
    for number in range(3):
        entry(place, number, number + 1, [kept(place, "a", [number])])
    assert merge(place, TOPIC, 0, DAY) == 0 and len(Index(place, TOPIC, 0).keys()) == 3
    assert merge(place, TOPIC, 0, DAY + timedelta(days=1)) == 3
    (key,) = Index(place, TOPIC, 0).keys()
    assert key == Key(0, 3, DAY, DAY, True)
    assert [path.name for path in tmp_path.glob("site=a/*/*")] == [f"{TOPIC}-0-0-2.parquet"]


def test_every_changed_byte_is_found(tmp_path: Path):
    place = Folder(tmp_path)
    piece = kept(place, "a", [1, 2])
    entry(place, 1, 3, [piece])
    file = tmp_path / piece.name
    good = file.read_bytes()
    for at in range(0, len(good), 97):
        file.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        with pytest.raises(Damaged, match="checksum"), checked(place, piece):
            pass
    file.unlink()
    with pytest.raises(Missing, match=piece.name), checked(place, piece):
        pass
    (written,) = Index(place, TOPIC, 0).keys()
    index = tmp_path / "index" / f"{TOPIC}-0" / written.name
    index.write_bytes(index.read_bytes().replace(b'"first": 1', b'"first": 2'))
    with pytest.raises(Damaged, match="checksum"):
        Index(place, TOPIC, 0).load(written)


def record(offset: int, value: bytes | None, headers: Any = (), key: bytes | None = b"duisburg") -> Any:
    return SimpleNamespace(offset=offset, value=value, headers=headers, timestamp=1_772_359_200_000, key=key)


def test_records_become_rows_and_nothing_is_dropped():
    at = 1_772_359_200_000_000
    value, headers = pack(["a/b"] * 9, [b"%d" % n for n in range(9)], [at + n for n in range(9)], [False] * 9)[0]
    bare, of_bare = pack(["a/c"], [b"1"], [at], [True], "second")[0]
    found = rows([record(5, value, headers), record(6, b"junk"), record(7, bare, of_bare), record(8, None, key=None)], 3)
    assert found["offset"].to_list() == [5] * 9 + [6, 7, 8] and found["row"].to_list() == [*range(9), 0, 0, 0]
    assert found.filter(offset=6).select("topic", "payload", "site").row(0) == (None, b"junk", "duisburg")
    assert found.filter(offset=7).select("topic", "retained", "broker").row(0) == ("a/c", True, "second")
    assert found.filter(offset=8).select("payload", "site").row(0) == (b"", UNKEYED)
    assert set(found["partition"]) == {3} and set(found["day"]) == {date(2026, 3, 1)}
