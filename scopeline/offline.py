"""Messages in, figures out, without a service: a message file streams through the same steps that run live.

Readings are collected in compact form, metered by groups of meters, and priced window by window, so that memory grows by some
hundred bytes a reading and never with the text of the messages.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from ingest.messages_file import parse_messages
from processors.factors import Catalogue
from schemas.frames import AMOUNTS, EVENTS, READINGS, TIME, empty, shaped
from schemas.plant import Plant
from scopeline import pipeline
from scopeline.compact import Readings

_BLOCK = 8 * 2**20
_WINDOW_ROWS = 100_000


@dataclass
class Offline:
    """A message file, metered: everything known about it but its figures, which `figures()` streams."""

    configuration: pipeline.Configuration
    amounts: pl.DataFrame
    levels: pl.DataFrame
    events: pl.DataFrame
    first: pl.DataFrame
    clocks: dict[str, datetime]
    messages: int = 0
    readings: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)

    def span(self) -> tuple[datetime, datetime] | None:
        """From the first to the end of the last base interval in which something is known of a source; None when nothing is."""
        names = self.amounts.select(pl.col("meter").unique().cast(pl.String))["meter"].to_list()
        used = self.configuration.plan.meters(names)["meter"].unique()
        known = self.amounts.filter(pl.col("meter").cast(pl.String).is_in(used.implode()))
        if known.is_empty():
            return None
        first, last = known.select(first=pl.col("interval_start").min(), last=pl.col("interval_start").max()).row(0)
        return first, last + timedelta(microseconds=self.configuration.base_us)

    def windows(self) -> Iterator[tuple[datetime, datetime]]:
        """Whole UTC hours, each window with about 100,000 amounts, that cover everything known."""
        hours = self.amounts.group_by(hour=pl.col("interval_start").dt.truncate("1h")).len().sort("hour")
        start, rows, last = None, 0, None
        for hour, size in hours.iter_rows():
            if start is not None and last is not None and rows + size > _WINDOW_ROWS:
                yield start, last + timedelta(hours=1)
                start, rows = None, 0
            start, rows, last = start or hour, rows + size, hour
        if start is not None and last is not None:
            yield start, last + timedelta(hours=1)

    def figures(self) -> Iterator[pl.DataFrame]:
        """FIGURES frames in time order."""
        for start, end in self.windows():
            inside = self.amounts.filter(pl.col("interval_start").is_between(start, end, closed="left"))
            yield pipeline.figures(inside, self.levels, self.first, self.configuration)


def blocks(path: Path) -> Iterator[tuple[bytes, int]]:
    """Pieces of a message file that end at a line's end, each with the number of its first line (from 1)."""
    line = 1
    with path.open("rb") as file:
        rest = b""
        while data := file.read(_BLOCK):
            cut = data.rfind(b"\n") + 1
            if not cut:
                rest += data
                continue
            block, rest = rest + data[:cut], data[cut:]
            yield block, line
            line += block.count(b"\n")
        if rest:
            yield rest, line


def payloads_of(path: Path) -> pipeline.Payloads:
    """Looks up messages by line number: reads the file once more, only when two readings tie."""

    def payloads(wanted: list[int]) -> pl.DataFrame:
        found = []
        for block, line in blocks(path):
            messages, _ = parse_messages(block, line)
            found.append(messages.filter(pl.col("message").is_in(wanted)).select("message", "topic", "payload"))
        return pl.concat(found)

    return payloads


def load(path: Path, plant: Plant, catalogue: Catalogue) -> Offline:
    """Read, decode and meter a message file."""
    reading = pipeline.configure(plant, catalogue)
    collected = Readings()
    messages = readings = 0
    outcomes: Counter[str] = Counter()
    reasons: Counter[tuple[str, str]] = Counter()
    for block, line in blocks(path):
        parsed, unreadable = parse_messages(block, line)
        read = pipeline.read(parsed, reading)
        messages += len(parsed) + len(unreadable)
        readings += len(read.readings)
        outcomes.update(dict(read.outcomes.group_by("outcome").len().iter_rows()))
        outcomes["quarantined"] += len(unreadable)
        for rejects in (unreadable, read.rejects):
            for feed, reason, count in rejects.group_by("feed", "reason").len().iter_rows():
                reasons[(feed or "", reason)] += count
        collected.add(read.readings)
    configuration = pipeline.configure(plant, catalogue, collected.meters(), reading)
    metered = [pipeline.meter(group, configuration, payloads_of(path)) for group in collected.groups()]
    clocks: dict[str, datetime] = {}
    for part in metered:
        for site, newest in part.clocks.iter_rows():
            clocks[site] = max(newest, clocks.get(site, newest))
    events = _joined([part.events for part in metered], EVENTS)
    for reason, count in events.filter(pl.col("event").is_in(["spike", "glitch"])).group_by("event").len().iter_rows():
        reasons[("", reason)] += count
    return Offline(
        configuration,
        _joined([part.amounts for part in metered], AMOUNTS),
        pl.concat([empty(READINGS), *(shaped(part.levels, READINGS) for part in metered)]),
        events,
        collected.first(),
        clocks,
        messages,
        readings,
        outcomes,
        reasons,
    )


def _joined(parts: list[pl.DataFrame], schema: dict) -> pl.DataFrame:
    """One frame of all parts; each part's Enum texts become one Categorical, so that text stays small."""
    texts = [name for name, dtype in schema.items() if dtype == pl.String]
    return pl.concat([part.with_columns(pl.col(texts).cast(pl.Categorical)) for part in parts]) if parts else empty(schema)


class Answers:
    """What `scopeline.service.figures` asks of a store, answered from a message file."""

    def __init__(self, offline: Offline) -> None:
        self._offline = offline

    @contextmanager
    def snapshot(self) -> Iterator["Answers"]:
        yield self

    def position(self) -> int:
        return self._offline.messages

    def clocks(self) -> pl.DataFrame:
        rows = sorted(self._offline.clocks.items())
        return pl.DataFrame(rows, schema={"site": pl.String, "newest": TIME}, orient="row")

    def first_readings(self) -> pl.DataFrame:
        return self._offline.first

    def figures(
        self, start: datetime, end: datetime, sites: list[str] | None = None, sources: list[str] | None = None, chunk: int = 0
    ) -> Iterator[pl.DataFrame]:
        """FIGURES of the range in time order, all of them: the message file is the question."""
        wanted = pl.col("interval_start").is_between(start, end, closed="left")
        if sites is not None:
            wanted &= pl.col("site").is_in(sites)
        if sources is not None:
            wanted &= pl.col("source").is_in(sources)
        for found in self._offline.figures():
            rows = found.filter(wanted)
            if len(rows):
                yield rows


@dataclass(frozen=True)
class Desk:
    """The Host of a message file (scopeline.service.host): nothing runs, nothing can be published."""

    configuration: pipeline.Configuration
    store: Answers

    def now(self) -> datetime:
        return datetime.now(UTC)


def desk(offline: Offline) -> Desk:
    return Desk(offline.configuration, Answers(offline))
