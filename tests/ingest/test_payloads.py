"""Genuine payloads of devices yield the values, units and times that tests/payloads/INDEX.csv names."""

import csv
import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

PAYLOADS = Path(__file__).parents[1] / "payloads"
INDEX = list(csv.DictReader((PAYLOADS / "INDEX.csv").open(newline="")))

PRESETS = {
    "tasmota": {"decoder": "tasmota"},
    "shelly_gen1": {"decoder": "shelly"},
    "shelly_gen2": {"decoder": "shelly"},
    "zigbee2mqtt": {"decoder": "zigbee2mqtt"},
    "senml": {"decoder": "senml", "topic": "senml/{device}"},
    "influx_line_protocol": {"decoder": "influx", "topic": "telegraf/{device}/cpu"},
}


def _json(topic, *channels, **more):
    named = [dict(zip(("channel", "value", "unit"), channel, strict=False)) for channel in channels]
    return {"topic": topic, "decoder": "json", "channels": named, **more}


def _wmbus(*channels):
    return [_json("wmbusmeters/{device}", *((name.replace("-", "_"), f"$.{name}", unit) for name, unit in channels))]


def _register(name, unit):
    allow = {"path": f"$.{name}.units", "allow": [unit]}
    return _json(
        "m4m-example/shadow",
        (name.lower(), f"$.{name}.value", allow),
        observed_at={"path": f"$.{name}.last_updated", "format": "epoch_ms"},
    )


OWN = {
    "plain_numeric/1.txt": [
        {"topic": "emon/{device}/power1", "decoder": "plain", "channels": [{"channel": "power1", "unit": "W"}]}
    ],
    "plain_numeric/2.txt": [{"topic": "tele/{device}/PAC", "decoder": "plain", "channels": [{"channel": "pac", "unit": "W"}]}],
    "plain_numeric/5.json": [
        {"topic": "W/{p}/pvinverter/{device}/Ac/Power", "decoder": "plain", "channels": [{"channel": "ac_power", "unit": "W"}]}
    ],
    "gas_meter/1.json": _wmbus(("total_m3", "m3")),
    "gas_meter/3.json": [
        _json("watermeter/{device}/json", ("value", "$.value", "m3"), observed_at={"path": "$.timestamp", "format": "iso8601"})
    ],
    "gas_meter/6.json": [
        _json(
            "glow/{device}/SENSOR/gasmeter",
            ("cumulative", "$.gasmeter.energy.import.cumulative", {"path": "$.gasmeter.energy.import.units", "allow": ["kWh"]}),
            ("cumulativevol", "$.gasmeter.energy.import.cumulativevol", "m3"),
            observed_at={"path": "$.gasmeter.timestamp"},
        )
    ],
    "flow_meter/1.json": _wmbus(("total_m3", "m3")),
    "flow_meter/2.json": _wmbus(("total_m3", "m3"), ("max_flow_m3h", "m3/h")),
    "wmbusmeters/1.json": _wmbus(
        ("total_energy_consumption_kwh", "kWh"),
        ("current_power_consumption_kw", "kW"),
        ("total_energy_production_kwh", "kWh"),
        ("voltage_at_phase_1_v", "V"),
    ),
    "wmbusmeters/2.json": _wmbus(
        ("total_energy_consumption_kwh", "kWh"),
        ("total_volume_m3", "m3"),
        ("volume_flow_m3h", "m3/h"),
        ("flow_temperature_c", "Cel"),
    ),
    "wmbusmeters/3.json": _wmbus(("heat_kwh", "kWh"), ("volume_m3", "m3"), ("power_kw", "kW"), ("flow_m3h", "m3/h")),
    "thingsboard/1.json": [_json("v1/devices/{device}/telemetry", ("temperature", "$.temperature"), ("humidity", "$.humidity"))],
    "thingsboard/2.json": [
        _json(
            "v1/devices/{device}/telemetry",
            ("temperature", "$.values.temperature"),
            ("humidity", "$.values.humidity"),
            observed_at={"path": "$.ts", "format": "epoch_ms"},
        )
    ],
    "meter_gateway/1.txt": [
        {
            "topic": "/Raspi/SDM630/{device}/TotkWhImport",
            "decoder": "plain",
            "channels": [{"channel": "totkwhimport", "unit": "kWh"}],
        }
    ],
    "meter_gateway/3.json": [
        {
            "topic": "sentron/{device}",
            "decoder": "json",
            "each": "$._embedded.item[*]",
            "channels": [
                {
                    "channel": "active_power",
                    "value": "@.value",
                    "unit": {"path": "@.unit", "allow": ["W"]},
                    "where": {"@.name": "active_power", "@.quality": "valid"},
                }
            ],
        }
    ],
    "meter_gateway/5.json": [
        _json(
            "enphase/{device}/meters",
            ("grid_power", "$.grid.power", "W"),
            ("grid_energy_forward", "$.grid.energy_forward", "kWh"),
            ("grid_energy_reverse", "$.grid.energy_reverse", "kWh"),
        )
    ],
    "modbus_gateway/2.json": [
        _json("/neuron/{device}", ("modbus_grp_tag0", "$.values.tag0"), observed_at={"path": "$.timestamp", "format": "epoch_ms"})
    ],
    "modbus_gateway/4.json": [
        _register("ACTIVE_ENERGY_IMPORT", "kWh"),
        _register("ACTIVE_ENERGY_EXPORT", "kWh"),
        _register("ACTIVE_POWER_TOTAL", "W"),
        _register("FREQUENCY", "Hz"),
    ],
    "cloud_envelope/5.json": [
        {
            "topic": "$oc/devices/gateway",
            "decoder": "json",
            "each": "$.devices[*]",
            "device": "@.device_id",
            "observed_at": {"path": "@.event_time"},
            "channels": [
                {"channel": "device1_motor_current", "value": '@.properties["Motor/Current"]'},
                {"channel": "device1_motor_voltage", "value": '@.properties["Motor/Voltage"]'},
            ],
        }
    ],
}
"""Feeds as an operator would write them for formats that are plain JSON or a bare number."""

ENERGY = {"total": "Total", "import": "ImportActive", "export": "ExportActive"}


def _is(row, name: str) -> bool:
    """Is this the reading that INDEX.csv calls by that name? Formats that name values themselves keep their own names."""
    native, channel = row["native"], row["channel"]
    tasmota = re.fullmatch(r"(energy_(?P<total>total|import|export)|(?P<other>power|voltage|current))(?:_l(?P<phase>\d))?", name)
    if tasmota and native.startswith("ENERGY."):
        key = ENERGY[tasmota["total"]] if tasmota["total"] else tasmota["other"].capitalize()
        return native == f"ENERGY.{key}" + (f"[{int(tasmota['phase']) - 1}]" if tasmota["phase"] else "")
    if native.startswith("emeter/"):
        return native.rsplit("/", 1)[-1] == {"energy_import": "total", "energy_export": "total_returned"}.get(name, name)
    return (
        native in (name, name.replace("/", "_"))
        or native.endswith(f"0.{name}")
        or channel == re.sub(r"[^a-z0-9]+", "_", name.lower())
    )


def _time(stamp: str, arrival: datetime) -> datetime:
    if stamp == "arrival":
        return arrival
    number, _, unit = stamp.partition(" unix ")
    if unit:
        micros = int(Decimal(number) * {"s": 10**6, "ms": 1000, "ns": Decimal("0.001")}[unit])
        return datetime.fromtimestamp(micros // 10**6, UTC).replace(microsecond=micros % 10**6)
    found = datetime.fromisoformat(stamp.removesuffix(" local"))
    return found if found.tzinfo else found.replace(tzinfo=ZoneInfo("Europe/Berlin"))


@pytest.mark.parametrize("row", INDEX, ids=lambda row: row["file"])
def test_payload_yields_what_the_index_says(row, plant, messages, both_ways, arrival):
    feeds = OWN.get(row["file"]) or [PRESETS[row["format"]]]
    made = plant(*({"feed": f"f{n}", "site": "duisburg", **feed} for n, feed in enumerate(feeds)))
    found = both_ways(messages((row["topic"], (PAYLOADS / row["file"]).read_bytes())), made)
    assert not found.rejects.height and set(found.outcomes["outcome"]) == {"decoded"}
    left = found.decoded.to_dicts()
    for expected in json.loads(row["readings"]):
        named = [one for one in left if _is(one, expected["name"])]
        if not isinstance(expected["value"], int | float) or isinstance(expected["value"], bool):
            assert not named, "text and booleans are no readings"
            continue
        same = [
            one
            for one in named
            if Decimal(one["value"]) == Decimal(str(expected["value"]))
            and (one["unit"] or "") == expected["unit"]
            and one["observed_at"] == _time(expected["timestamp"], arrival)
        ]
        assert same, (expected, named or left)
        left.remove(same[0])


def test_every_payload_is_tried():
    files = {path.relative_to(PAYLOADS).as_posix() for path in PAYLOADS.rglob("*.*") if path.parent != PAYLOADS}
    assert files == {row["file"] for row in INDEX} and len(files) > 40
    assert all(row["source"] for row in INDEX)


def test_known_traps(plant, messages, both_ways):
    """Watt-minutes beside Wh, mWh by the minute, mV of batteries, null for no reading."""
    made = plant(
        {"feed": "shelly", "site": "duisburg", "decoder": "shelly"},
        {"feed": "zigbee", "site": "duisburg", "decoder": "zigbee2mqtt"},
    )
    found = both_ways(
        messages(
            ("shellies/plug/relay/0/energy", "1200"),
            ("shellies/em/emeter/0/total", "1200"),
            ("plug/status/switch:0", '{"id":0,"aenergy":{"total":10.5,"by_minute":[3198.7]},"n_current":null}'),
            ("zigbee2mqtt/button", '{"battery":97,"voltage":3005}'),
            ("zigbee2mqtt/plug", '{"voltage":230}'),
            ("zigbee2mqtt/bridge/info", '{"permit_join_timeout":3}'),
        ),
        made,
    )
    units = {(message, native): unit for message, native, unit in found.decoded.select("message", "native", "unit").rows()}
    assert units == {
        (0, "relay/0/energy"): "W-min",
        (1, "emeter/0/total"): "Wh",
        (2, "switch:0.aenergy.total"): "Wh",
        (2, "switch:0.aenergy.by_minute[0]"): "mWh",
        (3, "battery"): "%",
        (3, "voltage"): "mV",
        (4, "voltage"): "V",
    }
