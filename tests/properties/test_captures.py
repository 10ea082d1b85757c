"""What people's own devices published (tests/payloads/captures.jsonl, each with its origin): real values, real faults."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

CAPTURES = [json.loads(line) for line in (Path(__file__).parents[1] / "payloads" / "captures.jsonl").open(encoding="utf-8")]


def feed(name: str, **more: Any) -> dict[str, Any]:
    return {"feed": name, "site": "home", "meter": f"home/{name}/{{device}}", **more}


GLOW = [
    {
        "channel": "energy",
        "value": "$.{0}.energy.import.cumulative",
        "unit": {"path": "$.{0}.energy.import.units", "allow": ["kWh"]},
    },
    {"channel": "power", "value": "$.{0}.power.value", "unit": {"path": "$.{0}.power.units", "allow": ["kW"]}},
]


def glow(name: str, topic: str) -> dict[str, Any]:
    channels = json.loads(json.dumps(GLOW).replace("{0}", name))
    kinds = zip(channels, ("counter", "rate"), strict=True)
    at = {"path": f"$.{name}.timestamp", "format": "iso8601"}
    return feed(name, topic=topic, decoder="json", observed_at=at, channels=[{**c, "kind": kind} for c, kind in kinds])


FEEDS = [
    feed("zigbee", decoder="zigbee2mqtt"),
    feed("tasmota", decoder="tasmota", observed_at={"path": "$.Time", "timezone": "Europe/Paris"}, topic="tele/{device}/SENSOR"),
    feed("status", decoder="tasmota", topic="stat/{device}/STATUS8"),
    feed("linky", decoder="tasmota", topic="compteur/tele/SENSOR") | {"meter": "home/linky"},
    feed("shelly", decoder="shelly", topic="aiida/{device}/events/rpc"),
    glow("electricitymeter", "+/{device}/SENSOR/electricitymeter"),
    glow("gasmeter", "glow/{device}/SENSOR/gasmeter"),
]


def source(name: str, meter: str) -> dict[str, Any]:
    return {"source": name, "site": "home", "scope": "none", "category": "energy_only", "measured_by": f"home/{meter}"}


SOURCES = [
    source("dryer", "zigbee/DeumidificatoreC:energy"),
    source("dryer-power", "zigbee/DeumidificatoreC:power"),
    source("stove", "zigbee/Plug%20Kachel:energy"),
    source("plug", "zigbee/plug_name:power"),
    source("idle", "tasmota/tasmota1:energy_total"),
    source("desk", "tasmota/sonoff_desk:energy_total"),
]
PLANT = {
    "plant.yaml": {
        "organisation": "Homes",
        "sites": [{"site": "home", "timezone": "Europe/Rome"}],
        "reporting": {"base_interval": "1h"},
    },
    "feeds/f.yaml": {"feeds": FEEDS},
    "sources/s.yaml": {"sources": SOURCES},
}

ARRIVED = {
    "zigbee2mqtt/Plug Kachel": ["2023-05-24T15:47:30", "2023-05-24T15:47:35"],
    "zigbee2mqtt/plug_name": ["2023-02-26T20:08:41", "2023-02-26T20:08:42", "2023-02-26T20:08:43"],
    "zigbee2mqtt/DeumidificatoreC": ["2024-03-12T21:22:58", "2024-03-12T21:25:01", "2024-03-12T21:26:04", "2024-03-12T21:27:05"],
    "zigbee2mqtt/Living_Plug_01": ["2024-01-05T17:34:34"],
    "zigbee2mqtt/0x04cf8cdf3c79c957": ["2020-07-06T08:04:06"],
}
"""When the captures of zigbee2mqtt came, by the notes of those who posted them; others state their own time."""


def stated(payload: str) -> str:
    """The time that a payload states, as it writes it."""
    found = json.loads(payload)
    inner = next(iter(found.values()))
    if isinstance(inner, dict) and "timestamp" in inner:
        return inner["timestamp"].removesuffix("Z")
    if "params" in found:
        return datetime.fromtimestamp(found["params"]["ts"], UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return found["Time"] if "Time" in found else found["StatusSNS"]["Time"]


def messages() -> list[dict[str, Any]]:
    """The captures; what states a local time is taken to arrive some seconds after it, in the zone of its own."""
    arrived, found = {topic: list(times) for topic, times in ARRIVED.items()}, []
    for one in CAPTURES:
        topic = one["topic"]
        text = arrived[topic].pop(0) if topic in arrived else stated(one["payload"])
        at = datetime.fromisoformat(text).replace(tzinfo=UTC) + timedelta(seconds=3)
        found.append({"topic": topic, "payload": one["payload"], "received_at": at.strftime("%Y-%m-%dT%H:%M:%SZ")})
    return found


def test_captures_give_what_their_devices_meant(compute):
    """The dryer's total rises by 0.02 kWh, its power of 293 W over 247 s says as much; a repeated last_seen is one reading."""
    found = compute(PLANT, messages())
    assert "quarantined" not in found.said
    assert "unmatched" not in found.said
    assert {row["source"]: row["activity"] for row in found.rows} == {
        "stove": "0",
        "plug": "2.638e-6",
        "dryer": "0.02",
        "dryer-power": "0.020103055",
        "idle": "0",
    }


@pytest.mark.parametrize("more", [1, 7, 64, 200])
def test_captures_among_themselves_in_any_number_give_the_same(compute, more):
    """Shapes that are read by batch, and the same captures one by one: every device many times over."""
    whole = compute(PLANT, messages())
    assert compute(PLANT, messages() * more).rows == whole.rows
    assert compute(PLANT, list(reversed(messages() * more))).rows == whole.rows


def test_values_of_formats_that_name_them_are_counters_and_rates_by_themselves(compute):
    """A preset decoder brings unit and kind; a feed without channels gives totals that count."""
    zone = {"path": "$.Time", "format": "iso8601", "timezone": "UTC"}
    feeds = [
        feed("tasmota", decoder="tasmota", observed_at=zone),
        feed("zigbee", decoder="zigbee2mqtt"),
        feed("shelly", decoder="shelly"),
    ]
    wanted = {
        "tasmota": "tasmota/p:energy_total", "tasmota-power": "tasmota/p:energy_power", "zigbee": "zigbee/z:energy",
        "shelly": "shelly/s:relay_0_energy",
    }  # fmt: skip
    files = {**PLANT, "feeds/f.yaml": {"feeds": feeds}, "sources/s.yaml": {"sources": [source(*pair) for pair in wanted.items()]}}
    found = []
    for n in range(3):
        at = f"2026-03-02T00:{5 * n:02d}:00Z"
        payloads = {
            "tele/p/SENSOR": json.dumps({"Time": at[:-1], "ENERGY": {"Total": 5 + n, "Power": 60}}),
            "zigbee2mqtt/z": json.dumps({"energy": 10 + n / 2, "power": 5}),
            "shellies/s/relay/0/energy": str(60_000 * n),
        }
        found += [{"topic": topic, "payload": payload, "received_at": at} for topic, payload in payloads.items()]
    rows = compute(files, found).rows
    assert {row["source"]: row["activity"] for row in rows} == {
        "tasmota": "2",
        "tasmota-power": "0.01",
        "zigbee": "1",
        "shelly": "2",
    }
