"""Days that are over: their small files become one by site, day and partition, and their index entries one by day.

A step is durable before the next: the merged files, the entries that name them, and only then the old ones go. Whoever reads
meanwhile finds either the old or the new, and each message once.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date, timedelta
from itertools import groupby

from scopeline.cluster.archive_files import FILE, Opened, checked, stream, write
from scopeline.cluster.archive_index import Entry, Index, Key, Piece
from scopeline.cluster.failpoint import failpoint
from scopeline.cluster.vault import Vault

_TIDIED = timedelta(days=60)
"""How far back `tidy` looks: a merge that was cut off is tidied up after the next start."""


def merge(place: Vault, topic: str, partition: int, today: date) -> int:
    """Merge what ends before `today`; how many files went. Raises VaultProblem (Damaged: the file that is, by name)."""
    index = Index(place, topic, partition)
    keys = sorted(index.keys())
    over = [key for key in keys if not key.merged and key.last_day < today]
    done = [(key, whole) for key in over for whole in keys if whole.merged and whole.start <= key.start and key.end <= whole.end]
    gone = sum(_forget(place, index, key, whole) for key, whole in dict(done).items())  # a merge that was interrupted
    for run in _runs([key for key in over if key not in dict(done)]):
        before = [key for key in list(index.keys()) if key.merged and key.start < run[0].start <= key.end]
        gone += _merge(place, index, run, max(before, default=None))
    return gone


def tidy(place: Vault, topic: str, partition: int, today: date) -> int:
    """Delete the files that a merge which was cut off had still to delete, once after a start; how many."""
    index = Index(place, topic, partition)
    late = [key for key in list(index.keys()) if key.last_day >= today - _TIDIED]
    entries = {key: index.load(key) for key in late}
    named = {piece.name for entry in entries.values() for piece in entry.pieces}
    gone = 0
    for key, entry in entries.items():
        folders = {piece.name.rsplit("/", 1)[0] for piece in entry.pieces} if key.merged else set()
        lost = {name for folder in folders for name in place.names(folder) if index.holds(name, key.start, key.end)} - named
        for name in sorted(lost):
            place.delete(name)
        gone += len(lost)
    return gone


def _forget(place: Vault, index: Index, key: Key, whole: Key) -> int:
    kept, old = {piece.name for piece in index.load(whole).pieces}, {piece.name for piece in index.load(key).pieces}
    return _drop(place, index, [key], old - kept, key.start, key.end)


def _drop(place: Vault, index: Index, keys: list[Key], names: set[str], start: int, end: int) -> int:
    """Forget entries, then delete files, except those that another entry of the same offsets names, too."""
    for key in keys:
        index.delete(key)
    left = [key for key in list(index.keys()) if key.start < end and key.end > start]
    names = names - {piece.name for key in left for piece in index.load(key).pieces}
    failpoint("archive:merge_forgotten")
    for name in sorted(names):
        place.delete(name)
    return len(names)


def _runs(keys: list[Key]) -> Iterator[list[Key]]:
    """Entries of one last day that follow each other without a gap."""
    for _, same in groupby(keys, key=lambda key: key.last_day):
        run: list[Key] = []
        for key in same:
            if run and key.start > max(one.end for one in run):
                yield run
                run = []
            run.append(key)
        yield run


def _merge(place: Vault, index: Index, run: list[Key], before: Key | None) -> int:
    """Merge a run of entries; `before`: the merged entry just before it, whose last day may go on in the run."""
    earlier = index.load(before) if before else None
    entries = [*([earlier] if earlier else []), *(index.load(key) for key in run)]
    start, end = entries[0].key.start, max(key.end for key in run)
    old = {piece for entry in entries for piece in entry.pieces}
    new = [piece for piece in old if piece.first < start]  # an entry still further back names it, too
    for (site, day), same in groupby(sorted(old - set(new), key=_place), key=_place):
        pieces = sorted(same, key=lambda piece: (piece.first, piece.last))
        new.append(pieces[0] if len(pieces) == 1 else _joined(place, index.topic, site, day, pieces))
    first, last = min(key.first_day for key in run), max(key.last_day for key in run)
    if before and earlier and set(old) & set(earlier.pieces) - set(new):
        index.save(_entry(before, new))
    failpoint("archive:merge_files")
    index.save(_entry(Key(run[0].start, end, first, last, True), new))
    failpoint("archive:merge_index")
    kept = {piece.name for piece in new}
    folders = {name.rsplit("/", 1)[0] for name in kept}
    orphans = {name for folder in folders for name in place.names(folder) if index.holds(name, start, end)}
    return _drop(place, index, run, ({piece.name for piece in old} | orphans) - kept, start, end)


def _place(piece: Piece) -> tuple[str, date]:
    return piece.site, piece.day


def _entry(key: Key, pieces: list[Piece]) -> Entry:
    """An entry with those of the files that hold its offsets."""
    return Entry(key, tuple(sorted(piece for piece in pieces if piece.last >= key.start and piece.first < key.end)))


def _joined(place: Vault, topic: str, site: str, day: date, pieces: list[Piece]) -> Piece:
    with ExitStack() as opened:
        files = [Opened(piece, opened.enter_context(checked(place, piece))) for piece in pieces]
        last = max(piece.last for piece in pieces)
        return write(place, topic, site, day, (frame.select(*FILE) for frame in stream(files, pieces[0].first, last + 1)))
