"""A plant that says everything a worker must bear, messages of it at random, and what they come to as a whole."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import strategies as st

from schemas.connections import InfluxDB, Kafka
from schemas.frames import FIGURE_KEY, FIGURES, MESSAGES, shaped
from schemas.plant import Plant
from scopeline import pipeline
from scopeline.catalogue import catalogue
from scopeline.cluster.topics import topics

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
    return pl.DataFrame([{"message": first + n, **row} for n, row in enumerate(rows)], schema=MESSAGES)


def whole(rows: list[dict[str, Any]], of: Plant) -> tuple[pl.DataFrame, Any]:
    """FIGURES of all messages computed at once, and the configuration."""
    _, found, configuration = at_once(rows, of)
    return found, configuration


def at_once(rows: list[dict[str, Any]], of: Plant) -> tuple[Any, pl.DataFrame, Any]:
    """All messages metered, their FIGURES, and the configuration."""
    table = frame(rows)
    said = pipeline.read(table, pipeline.configure(of, catalogue()))
    seen = dict(said.readings.group_by("meter").agg(pl.col("unit").min()).iter_rows())
    configuration = pipeline.configure(of, catalogue(), seen)
    metered = pipeline.meter(said.readings, configuration, lambda ids: table.filter(pl.col("message").is_in(ids)))
    first = said.readings.group_by("meter").agg(
        first_observed_at=pl.min_horizontal(pl.col("observed_at").min(), pl.col("period_start").min())
    )
    found = pipeline.figures(metered.amounts, metered.levels, first, configuration)
    return metered, shaped(found, FIGURES).sort(FIGURE_KEY), configuration


def figures(replica: Any) -> pl.DataFrame:
    """All FIGURES of a replica."""
    found = list(replica.store.figures())
    return (pl.concat(found) if found else pl.DataFrame(schema=FIGURES)).select(FIGURES.keys()).sort(FIGURE_KEY)


def assert_same(left: pl.DataFrame, right: pl.DataFrame) -> None:
    if not left.equals(right):
        gone = right.join(left, on=right.columns, how="anti", nulls_equal=True)
        more = left.join(right, on=right.columns, how="anti", nulls_equal=True)
        raise AssertionError(f"too much: {more.head(4).to_dicts()}\nmissing: {gone.head(4).to_dicts()}")
