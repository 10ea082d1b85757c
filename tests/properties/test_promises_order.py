"""A figure is a function of the set of messages: order, duplicates, blocks and windows change no byte of what `compute` writes.

One plant with everything that remembers something: counters that jitter, roll over, jump and are replaced, rates that hold or
run, events, periods, sums and differences, contracts, live intensity, local time stamps around a change of the clock.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scopeline import offline

ZERO = datetime(2026, 3, 28, 22, tzinfo=UTC)
SWAP = ZERO + timedelta(hours=2)


def feed(name: str, *channels: dict[str, Any], **more: Any) -> dict[str, Any]:
    at = {"path": "$.t", "format": "iso8601"}
    return (
        {"feed": name, "topic": f"w/{name}/+", "decoder": "json", "meter": f"w/{name}", "observed_at": at}
        | more
        | {"channels": channels}
    )


ROLLS = {"unit": "kWh", "kind": "counter", "rollover_at": 100, "max_gap": "30m"}
JITTERS = {"unit": "MWh", "kind": "counter", "jitter": 0.5, "max_rate": "40 MW"}
LOCAL = {"path": "$.local", "format": "%d.%m.%Y %H:%M"}
FEEDS = [
    feed("rolls", {"channel": "e", "value": "$.v", **ROLLS}),
    feed("jitters", {"channel": "e", "value": "$.v", **JITTERS}),
    feed("swaps", {"channel": "e", "value": "$.v", "unit": "kWh", "kind": "counter"}, topic="w/swaps/{device}", meters="table"),
    feed("runs", {"channel": "p", "value": "$.v", "unit": "kW", "kind": "rate", "max_gap": "20m", "direction": "import"}),
    feed("holds", {"channel": "p", "value": "$.v", "unit": "W", "kind": "rate", "between": "previous"}),
    feed("skips", {"channel": "m", "value": "$.v", "unit": "kg", "kind": "amount", "event": "$.id"}),
    feed("bills", {"channel": "e", "value": "$.v", "unit": "kWh", "kind": "amount", "period": "45m"}),
    feed("local", {"channel": "e", "value": "$.v", "unit": "kWh", "kind": "amount"}, observed_at=LOCAL),
    feed(
        "many", {"channel": "e", "value": "@.v", "unit": "kWh", "kind": "counter"}, each="$.list[*]", observed_at={"path": "@.t"}
    ),
    feed("grid", {"channel": "intensity", "value": "$.v", "unit": "g/kWh", "kind": "level"}, meter="ref/grid", site="ref"),
]


def source(name: str, scope: Any, category: str, measured_by: str, **more: Any) -> dict[str, Any]:
    return {"source": name, "site": "w", "scope": scope, "category": category, "measured_by": measured_by} | more


SOURCES = [
    source("bought", 2, "purchased_electricity", "w/rolls:e"),
    source("more", 2, "purchased_electricity", "[w/jitters:e] - 0.3 * [w/swaps:e]"),
    source("rest", "none", "energy_only", "sum([w/*:e])"),
    source("heat", 2, "purchased_heat", "[w/runs:p] + [w/holds:p]", factor={"id": "own/heat"}),
    source("flare", 1, "process", "w/skips:m", factor={"id": "own/gas"}, expect="1d"),
    source("billed", 1, "stationary_combustion", "w/bills:e", factor={"id": "own/heat"}, tags={"line": "a"}),
    source("clocked", "none", "energy_only", "w/local:e", tags={"line": "b"}),
    source("listed", 3, "cat_1", "w/many:e", factor={"id": "own/heat"}),
]
FACTORS = """\
factor_id,activity,region,gas,value,unit,per_unit,basis,boundary,valid_from,valid_to,published,citation
heat,Heat,,CO2e,0.19,kg,kWh,,,2026-03-29,,,a test
gas,Process gas,,CO2,2.7,kg,kg,,,,,,a test
gas,Process gas,,CH4,0.001,kg,kg,,,,,,a test
grid,Grid,DE,CO2e,0.4,kg,kWh,,generation,,,,a test
wind,Wind,,CO2e,0.01,kg,kWh,,generation,,,,a test
"""
PLANT = {
    "plant.yaml": {
        "organisation": "Order",
        "tags": ["line"],
        "sites": [{"site": "w", "timezone": "Europe/Berlin", "grid_region": "DE"}],
        "reporting": {"base_interval": "15m"},
        "grid_regions": [
            {"region": "DE", "intensity": "ref/grid:intensity", "factor": {"id": "own/grid"}, "max_age": "1h", "gas": "CO2e"}
        ],
    },
    "feeds/f.yaml": {"feeds": FEEDS},
    "sources/s.yaml": {"sources": SOURCES},
    "factors/own.csv": FACTORS,
    "meters/m.csv": "feed,device,channel,meter,site,valid_from,valid_to,first_reading,last_reading\n"
    f"swaps,a,e,w/swaps,w,,{SWAP.isoformat()},,60\nswaps,b,e,w/swaps,w,{SWAP.isoformat()},,5,\n",
    "contracts.yaml": {
        "contracts": [
            {"contract": "ppa", "site": "w", "kind": "ppa", "covers": {"share": "40%"}, "factor": {"id": "own/wind"}}
            | {"valid_from": "2026-03-29", "valid_to": "2026-12-31", "evidence": {"registry": "none"}},
            {"contract": "cert", "site": "w", "kind": "certificate", "covers": {"volume": "2 MWh"}, "factor": {"id": "own/wind"}}
            | {"valid_from": "2026-03-28", "valid_to": "2026-04-30"},
        ]
    },
}


def stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


@st.composite
def logs(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Messages of all feeds, with corrections, ties between topics, payloads and places in a payload, and duplicates."""
    found: list[dict[str, Any]] = []
    for one in draw(st.lists(st.sampled_from([f["feed"] for f in FEEDS]), min_size=1, max_size=7, unique=True)):
        at, value = ZERO + timedelta(minutes=draw(st.integers(0, 50))), 50.0
        for number in range(draw(st.integers(1, 9))):
            value = max(0.0, round(value + draw(st.sampled_from([0.1, 0.25, 3, 20, 60, 900, -0.2, -0.4, -7, -45])), 3))
            value = value % 100 if one == "rolls" else value
            received = at + timedelta(seconds=draw(st.sampled_from([1, 1, 1, 900, 7200])))
            said(found, one, at, value, received, number)
            again = draw(st.sampled_from(["", "", "", "", "tied", "other topic", "corrected", "duplicate", "back"]))
            if again == "tied":
                said(found, one, at, value + 1, received, number)
            elif again == "other topic":
                said(found, one, at, value + 2, received, number, topic="z")
            elif again == "corrected":
                said(found, one, at, value + 0.5, received + timedelta(minutes=30), number)
            elif again == "duplicate":
                said(found, one, at, value, received + timedelta(minutes=20), number)
            elif again == "back":
                said(found, one, at, value + 0.5, received + timedelta(minutes=30), number)
                said(found, one, at, value, received + timedelta(minutes=60), number)
            at += timedelta(minutes=draw(st.sampled_from([1, 5, 14, 15, 16, 31, 61])))
    return found


def said(
    found: list[dict[str, Any]], one: str, at: datetime, value: float, received: datetime, number: int, topic: str = "a"
) -> None:
    device = ("b" if at >= SWAP else "a") if one == "swaps" else topic
    local = (at + timedelta(hours=2 if at >= datetime(2026, 3, 29, 1, tzinfo=UTC) else 1)).strftime("%d.%m.%Y %H:%M")
    payload = {"t": stamp(at), "v": value, "id": f"n{number}", "local": local}
    if one == "many":
        payload = {"list": [{"t": stamp(at), "v": value}, {"t": stamp(at), "v": value + 1}]}
    message = {"topic": f"w/{one}/{device}", "payload": json.dumps(payload), "received_at": stamp(received)}
    found.append(message)


INTERVALS = [
    (),
    ("--interval", "1h", "--group-by", "site,source,scope,category"),
    ("--interval", "1d", "--group-by", "scope,tag_line"),
]


@settings(max_examples=12)
@given(logs(), st.randoms(use_true_random=False), st.integers(200, 3000), st.integers(1, 40))
def test_order_duplicates_and_blocks_change_no_byte(compute, messages, chance, block, window):
    mixed = messages + chance.sample(messages, chance.randint(0, len(messages)))
    chance.shuffle(mixed)
    for more in INTERVALS:
        whole = compute(PLANT, messages, *more)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(offline, "_BLOCK", block)
            patch.setattr(offline, "_WINDOW_ROWS", window)
            pieces = compute(PLANT, mixed, *more)
        assert pieces.bytes == whole.bytes
        assert pieces.rows or not whole.rows


def test_the_plant_of_this_file_computes_something_of_each_source(compute):
    found: list[dict[str, Any]] = []
    for one in FEEDS:
        for n in range(14):
            at = ZERO + timedelta(minutes=15 * n)
            said(found, one["feed"], at, 40 + n, at + timedelta(seconds=2), n)
    rows = compute(PLANT, found, *INTERVALS[1]).rows
    assert {row["source"] for row in rows if row["status"] not in ("missing", "")} == {one["source"] for one in SOURCES}
    assert {row["instrument"] for row in rows} >= {"certificate;grid_average;ppa", "grid_average"}
    assert {row["status"] for row in rows} >= {"unpriced", "provisional", "final"}
