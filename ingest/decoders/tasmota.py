"""Reads Tasmota's telemetry: `tele/<device>/SENSOR`, and the answers `stat/<device>/STATUS8` and `STATUS10`.

ENERGY: Total, Yesterday, Today, Import and Export in kWh, Period in Wh, Power in W; arrays are phases. Time is the device's
local wall clock without a zone. Today and Yesterday are parts of Total: never add them.
Source: tasmota/docs, docs/devices/Sonoff-Pow.md; Smart Meter Interface descriptor of the Carlo Gavazzi EM24.
"""

import re
from typing import Any

from ingest.decoders import json
from ingest.decoders.decoder import Decoder, Document, Field, channel_name, scalar
from ingest.decoders.flatten import Meaning, Meanings, flatten, meaning

_ENERGY = {
    **dict.fromkeys(("Total", "ExportActive", "ImportActive", "TotalTariff", "ExportTariff"), ("kWh", "counter")),
    **dict.fromkeys(("Yesterday", "Today", "TodaySumImport", "TodaySumExport"), ("kWh", "level")),
    "ImportReactive": ("kvarh", "counter"),
    "ExportReactive": ("kvarh", "counter"),
    "Period": ("Wh", "level"),
    "Power": ("W", "rate"),
    "ApparentPower": ("VA", "level"),
    "ReactivePower": ("var", "level"),
    "Voltage": ("V", "level"),
    "Current": ("A", "level"),
    "CurrentNeutral": ("A", "level"),
    "Frequency": ("Hz", "level"),
}
_EM24: Meanings = (
    (re.compile(r"Energy_Tot_(?:Import|Export)"), "kWh", "counter"),
    (re.compile(r"Power_L\d"), "W", "rate"),
    (re.compile(r"Power_va_L\d"), "VA", "level"),
    (re.compile(r"Power_var_L\d"), "var", "level"),
    (re.compile(r"Voltage_L\d"), "V", "level"),
    (re.compile(r"Current_L\d"), "A", "level"),
)
_PHASE = re.compile(r"\[(\d+)\]")


def _meaning(native: str) -> Meaning:
    section, _, name = native.partition(".")
    if section == "ENERGY":
        return _ENERGY.get(_PHASE.sub("", name), (None, "level"))
    if section == "EM24":
        return meaning(name, _EM24)
    return None, "level"


def fields(document: Document, place: Any) -> list[Field]:
    """Every value of the telemetry, named `ENERGY.Total`; phases are channels `..._l1`, `_l2`, `_l3`.

    >>> [(f.native, f.channel, f.value, f.unit) for f in fields(json.read(
    ...     '{"Time": "2023-01-10T13:03:21", "ENERGY": {"Total": 6.294, "Power": [-1.5, 2]}}'), None)]
    [('ENERGY.Total', 'energy_total', '6.294', 'kWh'), ('ENERGY.Power[0]', 'energy_power_l1', '-1.5', 'W'), \
('ENERGY.Power[1]', 'energy_power_l2', '2', 'W')]
    """
    if isinstance(document, dict) and isinstance(document.get("StatusSNS"), dict):
        document = document["StatusSNS"]
    if not isinstance(document, dict):
        return []
    stamp = scalar(document.get("Time"))
    found = []
    for native, value in flatten({key: value for key, value in document.items() if key != "Time"}):
        unit, kind = _meaning(native)
        channel = channel_name(_PHASE.sub(lambda phase: f"_l{int(phase[1]) + 1}", native))
        found.append(Field(native, value, unit, kind, stamp=stamp, channel=channel))
    return found


DECODER = Decoder(
    parse=json.parse,
    fields=fields,
    topics=("tele/{device}/SENSOR", "stat/{device}/STATUS8", "stat/{device}/STATUS10"),
    by_shape=True,
)
