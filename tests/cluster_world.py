"""A worker of the cluster profile without servers: log, consumer group, carry and plant topic, archive and InfluxDB in memory.

The worker in it is the real one (Process, Assigner, Part, Replica, Carrier, Teller); only what it talks to stands in this file.
"""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
from hypothesis import strategies as st
from kafka import TopicPartition
from kafka.coordinator.base import MemberState

from ingest.records import decode, pack
from processors.output import finish_base
from schemas.connections import InfluxDB, Kafka
from schemas.frames import FIGURE_KEY, FIGURES, OUTPUT, TIME, shaped
from schemas.influx import FIELDS, FIGURE_TAGS, plant_tags
from schemas.plant import Plant
from scopeline import pipeline
from scopeline.catalogue import catalogue
from scopeline.cluster import assign, carry, process, tell
from scopeline.cluster.topics import topics
from sinks import line_protocol

START = datetime(2026, 3, 27, 10, tzinfo=UTC)
KAFKA = Kafka(bootstrap_servers=("nowhere:1",), horizon=timedelta(hours=48), partitions=1)
INFLUX = InfluxDB(url="http://nowhere:1", org="o", bucket="b", token_file="t")
NAMES = topics(KAFKA)
CHANNELS = [
    {"channel": "plain", "unit": "kWh", "kind": "counter", "max_gap": "20m"},
    {"channel": "shaky", "unit": "kWh", "kind": "counter", "jitter": 3, "max_rate": "600 kW"},
    {"channel": "round", "unit": "kWh", "kind": "counter", "rollover_at": 50, "jitter": 2},
    {"channel": "power", "unit": "kW", "kind": "rate", "max_gap": "10m"},
    {"channel": "ticket", "unit": "kWh", "kind": "amount", "event": "$.id"},
    {"channel": "quarter", "unit": "kWh", "kind": "amount", "period": "15m"},
]
_WIND = {"factor_id": "wind", "activity": "w", "gas": "CO2e", "value": "0.01", "unit": "kg", "per_unit": "kWh", "citation": "c"}
_CONTRACT = {"contract": "wind", "site": "works", "kind": "ppa", "covers": {"share": "40%"}, "factor": {"id": "own/wind"}}


def plant(contracts: bool = False, line: str = "a", factor: str = "0.5", scale: int = 1, base: str = "15m") -> Plant:
    """Two sites, a live grid intensity, one source a channel, a sum, a virtual meter; `line`: the tag of most sources."""
    at = {"path": "$.at", "format": "iso8601"}
    channels = [{"value": f"$.{c['channel']}", **c} for c in CHANNELS]
    channels[0]["scale"] = scale
    feed = {"feed": "f", "topic": "t/{device}", "site": "works", "decoder": "json", "observed_at": at, "channels": channels}
    far = {"feed": "g", "topic": "g/{device}", "site": "far", "decoder": "json", "observed_at": at, "channels": channels[:1]}
    level = [{"channel": "intensity", "value": "$.g", "unit": "g/kWh", "kind": "level"}]
    grid = {"feed": "grid", "topic": "grid", "decoder": "json", "meter": "ref/grid", "observed_at": at, "channels": level}
    bought = {"site": "works", "scope": 2, "category": "purchased_electricity"}
    tagged = {"tags": {"line": line}} if line else {}
    sources: list[dict[str, Any]] = [
        {"source": c["channel"], "measured_by": f"works/a:{c['channel']}", **bought, **tagged} for c in CHANNELS
    ]
    sources.append({"source": "all", "measured_by": "sum([works/*:plain]) - [works/a:shaky]", **bought})
    sources.append({"source": "each-{n}", "for_each": "works/*:power", "measured_by": "{meter}", **bought})
    direct = {"scope": 1, "category": "process", "factor": {"id": "own/gas"}}
    sources.append({"source": "far", "site": "far", "measured_by": "far/a:plain", **direct})
    sources.append({"source": "net", "site": "works", "measured_by": "[works/net:e]", **direct})
    gas = _WIND | {"factor_id": "gas", "value": factor}
    return Plant.model_validate(
        {
            "settings": {
                "organisation": "Works",
                "tags": ["line"],
                "sites": [
                    {"site": "works", "timezone": "Europe/Berlin", "grid_region": "GB"},
                    {"site": "far", "timezone": "Australia/Lord_Howe"},
                ],
                "reporting": {"base_interval": base},
                "grid_regions": [{"region": "GB", "intensity": "ref/grid:intensity", "gas": "CO2", "max_age": "30m"}],
                "factor_sets": {"desnz": "2026"},
            },
            "feeds": [feed, far, grid],
            "virtual_meters": [{"meter": "works/net:e", "unit": "kWh", "is": "[works/a:plain] - 0.5 * [works/b:plain]"}],
            "sources": sources,
            "own_factors": [_WIND, gas],
            "contracts": [{**_CONTRACT, "valid_from": "2026-01-01", "valid_to": "2026-12-31"}] if contracts else [],
        }
    )


_GAPS = [1, 20, 300, 300, 2400, 2400, 5 * 3600, 30 * 3600, 70 * 3600]
_LATE = [1, 1, 1, 1, 5, 700, 4000, 9 * 3600, 60 * 3600, 100 * 3600]


@st.composite
def sent(draw: st.DrawFn, most: int = 26) -> list[dict[str, Any]]:
    """Messages in the order in which they were received: near and far apart, late, repeated, corrected, up and down."""
    said: list[dict[str, Any]] = []
    received = START
    for _ in range(draw(st.integers(3, most))):
        received += timedelta(seconds=draw(st.sampled_from(_GAPS)))
        if said and draw(st.integers(0, 9)) == 0:
            said.append(draw(st.sampled_from(said)) | {"received_at": received})  # sent again
            continue
        at = received - timedelta(seconds=draw(st.sampled_from(_LATE)))
        if said and draw(st.integers(0, 9)) == 0:
            at = draw(st.sampled_from(said))["at"]  # a correction, perhaps
        if draw(st.integers(0, 7)) == 0:
            topic, body = "grid", {"g": draw(st.integers(100, 300))}
        else:
            channel = draw(st.sampled_from(CHANNELS))["channel"]
            topic, body = f"t/{draw(st.sampled_from('aaab'))}", {channel: draw(st.integers(0, 60))}
            if channel == "plain" and draw(st.booleans()):
                topic = "g/a"
            if channel == "ticket":
                body["id"] = draw(st.sampled_from(["x", "y", "z"]))
        said.append(message(topic, at, received, **body))
    return said


def message(topic: str, at: datetime, received: datetime, **body: Any) -> dict[str, Any]:
    payload = json.dumps({"at": at.isoformat(), **body}).encode()
    return {"topic": topic, "payload": payload, "received_at": received, "retained": False, "broker": None, "at": at}


def frame(rows: list[dict[str, Any]], first: int = 1) -> pl.DataFrame:
    """MESSAGES, numbered from `first`."""
    names = ("topic", "payload", "received_at", "retained", "broker")
    schema = {"message": pl.Int64, "topic": pl.String, "payload": pl.Binary, "received_at": TIME, "retained": pl.Boolean}
    table = [{"message": first + n, **{name: row[name] for name in names}} for n, row in enumerate(rows)]
    return pl.DataFrame(table, schema=schema | {"broker": pl.String})


def whole(rows: list[dict[str, Any]], of: Plant) -> tuple[pl.DataFrame, Any]:
    """FIGURES of all messages computed at once, and the configuration."""
    table = frame(rows)
    said = pipeline.read(table, pipeline.configure(of, catalogue()))
    seen = dict(said.readings.group_by("meter").agg(pl.col("unit").min()).iter_rows())
    configuration = pipeline.configure(of, catalogue(), seen)
    metered = pipeline.meter(said.readings, configuration, lambda ids: table.filter(pl.col("message").is_in(ids)))
    first = said.readings.group_by("meter").agg(
        first_observed_at=pl.min_horizontal(pl.col("observed_at").min(), pl.col("period_start").min())
    )
    figures = pipeline.figures(metered.amounts, metered.levels, first, configuration)
    return shaped(figures, FIGURES).sort(FIGURE_KEY), configuration


def figures(replica: Any) -> pl.DataFrame:
    """All FIGURES of a replica."""
    found = list(replica.store.figures())
    return (pl.concat(found) if found else pl.DataFrame(schema=FIGURES)).select(FIGURES.keys()).sort(FIGURE_KEY)


def assert_same(left: pl.DataFrame, right: pl.DataFrame) -> None:
    if not left.equals(right):
        gone = right.join(left, on=right.columns, how="anti", nulls_equal=True)
        more = left.join(right, on=right.columns, how="anti", nulls_equal=True)
        raise AssertionError(f"too much: {more.head(4).to_dicts()}\nmissing: {gone.head(4).to_dicts()}")


# InfluxDB ------------------------------------------------------------------------------------------------------------------
Point = tuple[frozenset[tuple[str, str]], int]


class Crash(Exception):
    """The worker dies here."""


class Store:
    """InfluxDB as far as the worker sees it: points merge by field, deletions match by the tags that are named."""

    problem: str | None = None

    def __init__(self) -> None:
        self.points: dict[str, dict[Point, dict[str, Any]]] = {}
        self.operations = 0
        self.fails: int | None = None  # the worker dies at this operation
        self.refuse: Callable[[str], str | None] = lambda line: None

    def _operated(self) -> None:
        self.operations += 1
        if self.fails is not None and self.operations >= self.fails:
            raise Crash

    def write(self, bucket: str, lines: pl.Series) -> Any:
        refused = []
        for line in lines:
            if reason := self.refuse(line):
                refused.append(SimpleNamespace(line=line, reason=reason))
                continue
            measurement, tags, fields, at = parsed(line)
            kept = self.points.setdefault(measurement, {})
            kept.setdefault((frozenset(tags.items()), at), {}).update(fields)
        self._operated()
        return tell_result(len(lines) - len(refused), refused)

    def delete(self, bucket: str, measurement: str, keys: pl.DataFrame, every: timedelta | None = None) -> int:
        named = [name for name in keys.columns if name != "time"]
        wanted = {
            (tuple(row[name] or "" for name in named), round(row["time"].timestamp() * 1e6)) for row in keys.iter_rows(named=True)
        }
        kept = self.points.get(measurement, {})
        for tags, at in list(kept):
            of = dict(tags)
            if (tuple(of.get(name, "") for name in named), at) in wanted:
                del kept[tags, at]
        self._operated()
        return 1

    def of(self, measurement: str) -> dict[Point, dict[str, Any]]:
        return self.points.get(measurement, {})


def tell_result(accepted: int, refused: list[Any]) -> Any:
    return SimpleNamespace(accepted=accepted, refused=[(one.line, one.reason) for one in refused])


def parsed(line: str) -> tuple[str, dict[str, str], dict[str, Any], int]:
    """A line of line protocol: measurement, tags, fields, time in microseconds."""
    head, rest = re.match(r"((?:\\.|[^\\ ])+) (.*)$", line, re.S).groups()  # type: ignore[union-attr]  # always matches
    fields, at = rest.rsplit(" ", 1)
    name, *tags = re.split(r"(?<!\\),", head)
    plain = dict(re.split(r"(?<!\\)=", re.sub(r"\\([, ])", r"\1", tag), maxsplit=1) for tag in tags)
    found: dict[str, Any] = {}
    for key, text, number in re.findall(r'([^=,]+)=(?:"((?:\\.|[^"\\])*)"|([^,]+))(?:,|$)', fields):
        found[key] = float(number) if number else re.sub(r"\\(.)", r"\1", text)
    return name, plain, found, int(at)


def points(lines: pl.Series) -> dict[Point, dict[str, Any]]:
    found = {}
    for line in lines:
        _, tags, fields, at = parsed(line)
        assert (frozenset(tags.items()), at) not in found, line
        found[frozenset(tags.items()), at] = fields
    return found


def expected(rows: pl.DataFrame, configuration: Any) -> dict[Point, dict[str, Any]]:
    """What the store must hold of these FIGURES."""
    output = finish_base(rows, configuration.plan, {})
    lags = rows.select(*FIGURE_KEY, "lag_us")
    output = output.join(lags, on=FIGURE_KEY, how="left", nulls_equal=True, maintain_order="left")
    return points(line_protocol.figures(output, plant_tags(configuration.plant.settings.tags)))


class Reader:
    """sinks.influx.Reader over the Store."""

    def __init__(self, store: Store, bucket: str, tags: tuple[str, ...] = ()) -> None:
        self._store, self._tags = store, tags

    def read_figures(self, start: datetime, end: datetime, sources: Any = None) -> pl.DataFrame:
        schema = {**OUTPUT, **dict.fromkeys(self._tags, pl.String)}
        rows = []
        for (tags, at), fields in self._store.of("figures").items():
            time = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)
            row: dict[str, Any] = dict(tags)
            if start <= time < end and (sources is None or row["source"] in sources):
                row |= {"scope": int(row["scope"]) if "scope" in row else None, "basis": row.get("basis", "")}
                length = timedelta(seconds=fields["interval_s"])
                rows.append(row | {"interval_start": time, "interval_end": time + length} | fields)
        names = [*FIELDS["figures"], *FIGURE_TAGS, "interval_start", "interval_end", *self._tags]
        found = pl.DataFrame(rows, schema_overrides=schema, infer_schema_length=None) if rows else pl.DataFrame(schema=schema)
        missing = [pl.lit(None).alias(name) for name in {*names, *schema} - {*found.columns}]
        return shaped(found.with_columns(missing), schema).sort(*FIGURE_KEY, nulls_last=True)


# Kafka ---------------------------------------------------------------------------------------------------------------------
class World:
    """One partition: its log, what the group committed, what was carried over, the plant folders published, the store."""

    def __init__(self, *plants: Plant) -> None:
        self.raw: list[Any] = []
        self.ref: list[Any] = []
        self.sent: list[dict[str, Any]] = []  # of both
        self.of_raw: list[dict[str, Any]] = []
        self.committed: Any = None
        self.carried: dict[bytes, bytes] = {}
        self.plants = [(f"{n:06}", one) for n, one in enumerate(plants, 1)]
        self.store = Store()
        self.loaded = 0  # messages that were read from the archive

    def say(self, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            us = round(row["received_at"].timestamp() * 1_000_000)
            (value, headers), *_ = pack([row["topic"]], [row["payload"]], [us], [row["retained"]])
            reference = row["topic"] == "grid"
            log = self.ref if reference else self.raw
            log.append(SimpleNamespace(offset=len(log), value=value, headers=headers, timestamp=us // 1000, key=b"works"))
            self.sent.append(row)
            if not reference:
                self.of_raw.append(row)

    def before(self, offset: int, since: datetime) -> Iterator[pl.DataFrame]:
        found = decode(self.raw[:offset]).messages.filter(pl.col("received_at") >= since)
        self.loaded += found.height
        for start in range(0, found.height, 5):
            yield found[start : start + 5]


class Consumer:
    """Of the raw topic in the group, or of the reference topic."""

    def __init__(self, world: World, topic: str, pace: int) -> None:
        self.world, self.topic, self.pace = world, topic, pace
        self.place = TopicPartition(topic, 0)
        self.at = 0
        self.mine = True
        self.fails: list[Exception] = []  # of the next commits

    @property
    def log(self) -> list[Any]:
        return self.world.ref if self.topic == NAMES.ref else self.world.raw

    def assignment(self) -> set[TopicPartition]:
        return {self.place} if self.mine else set()

    def partitions_for_topic(self, _: str) -> set[int]:
        return {0}

    def poll(self, timeout_ms: int = 0, max_records: int = 0) -> dict[TopicPartition, list[Any]]:
        if not self.mine:
            return {}
        found = self.log[self.at : self.at + self.pace]
        self.at += len(found)
        return {self.place: found} if found else {}

    def seek(self, place: TopicPartition, offset: int) -> None:
        assert place == self.place
        self.at = offset

    def position(self, _: TopicPartition) -> int:
        return self.at

    def committed(self, _: TopicPartition, metadata: bool = False) -> Any:
        return self.world.committed

    def beginning_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, 0)

    def end_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, len(self.log))

    def offsets_for_times(self, asked: dict[TopicPartition, int]) -> dict[TopicPartition, Any]:
        found = {}
        for place, at in asked.items():
            found[place] = next((SimpleNamespace(offset=r.offset) for r in self.log if r.timestamp >= at), None)
        return found

    def commit(self, offsets: dict[TopicPartition, Any], timeout_ms: int = 0) -> None:
        if self.fails:
            raise self.fails.pop(0)
        for said in offsets.values():
            self.world.committed = SimpleNamespace(offset=said.offset, metadata=said.metadata)

    def group_metadata(self) -> Any:
        return SimpleNamespace(state=MemberState.STABLE)

    def pause(self, *_: Any) -> None: ...
    def resume(self, *_: Any) -> None: ...
    def paused(self) -> set[Any]:
        return set()


class Sender:
    """carry.Sender into the World."""

    def __init__(self, world: World) -> None:
        self._world = world

    def send(self, number: int, records: Any) -> int:
        found = dict(records)
        self._world.carried |= found
        return len(found)


class Follow:
    """PlantTopic: the newest plant of the World."""

    problem = None

    def __init__(self, world: World) -> None:
        self._world = world
        self.seen = len(world.plants)

    def poll(self, timeout: float = 0.0) -> Any:
        if self.seen == len(self._world.plants):
            return None
        self.seen = len(self._world.plants)
        version, of = self._world.plants[-1]
        return SimpleNamespace(version=version, plant=of)


class Worker:
    """A Process that talks to the World. `turn` as its loop does."""

    def __init__(self, world: World, folder: Path, patch: Any, pace: int = 3, fence: float = 0.0) -> None:
        self.world, self.folder = world, folder
        patch.setattr(assign, "History", lambda *_: SimpleNamespace(before=lambda n, first, since: world.before(first, since)))
        patch.setattr(assign, "read", lambda *_: carry.parsed(world.carried.values()))
        patch.setattr(tell, "Reader", Reader)
        patch.setattr(process, "_PLANT_EVERY", -1.0)
        found = process.Process(folder, folder / "state")
        found.kafka, found.names, found.archive, found.fence_s = KAFKA, NAMES, None, fence  # type: ignore[assignment]  # unused here
        found.teller, found.sender = tell.Teller(world.store, INFLUX), Sender(world)  # type: ignore[arg-type,assignment]  # fakes
        version, of = world.plants[-1]
        found._follow, found.version = Follow(world), version  # type: ignore[assignment]  # a fake
        found.configuration = pipeline.configure(of, catalogue(), {})
        self.consumer, self.reference = Consumer(world, NAMES.raw, pace), Consumer(world, NAMES.ref, pace)
        found.consumer, found.reference = self.consumer, self.reference
        found.assigner = assign.Assigner(found, self.consumer)
        found.assigner.wanted = {0}
        self.process = found

    @property
    def part(self) -> Any:
        return self.process.parts[0]

    @property
    def replica(self) -> Any:
        return self.part.replica

    def turn(self, times: int = 1) -> None:
        for _ in range(times):
            self.process._turn()

    def settle(self) -> None:
        """Turn until nothing is left to do."""
        for _ in range(400):
            self.turn()
            part = self.process.parts.get(0)
            done = part and part.position == len(self.world.raw) and part.ref_position == len(self.world.ref)
            if done and not part.behind and not part.fence_due and self.process._follow.seen == len(self.world.plants):
                return
        raise AssertionError("the worker never gets done")

    def die(self, state_too: bool) -> None:
        """The process is gone; perhaps its disk, too."""
        for part in self.process.parts.values():
            part.replica.close()
        self.process._place.release()
        if state_too:
            shutil.rmtree(self.folder / "state", ignore_errors=True)
