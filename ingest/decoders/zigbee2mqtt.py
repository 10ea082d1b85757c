"""Reads Zigbee2MQTT: `zigbee2mqtt/<device>` (JSON), and with attribute output `zigbee2mqtt/<device>/<attribute>` (bare values).

Units are those of the exposes: energy kWh, power W, voltage V, but mV where the device has a battery.
Source: zigbee2mqtt.io, guide/usage/exposes and guide/configuration/mqtt.
"""

import re

from ingest.decoders import plain
from ingest.decoders.decoder import Decoder, Document, Field, scalar
from ingest.decoders.flatten import Meanings, flatten, meaning

_MEANINGS: Meanings = (
    (re.compile(r"(?:produced_)?energy(?:_l[0-9]+|_phase_[abc]|_[0-9])?"), "kWh", "counter"),
    (re.compile(r"power_apparent(?:_l[0-9]+|_phase_[abc])?"), "VA", "level"),
    (re.compile(r"power_reactive(?:_l[0-9]+|_phase_[abc])?"), "var", "level"),
    (re.compile(r"(?:produced_)?power(?:_l[0-9]+|_phase_[abc]|_[0-9])?"), "W", "rate"),
    (re.compile(r"voltage(?:_l[0-9]+|_phase_[abc])?"), "V", "level"),
    (re.compile(r"current(?:_l[0-9]+|_phase_[abc]|_neutral)?"), "A", "level"),
    (re.compile(r"ac_frequency(?:_l[0-9]+)?"), "Hz", "level"),
    (re.compile(r"(?:device_)?temperature(?:_l[0-9]+)?"), "degC", "level"),
    (re.compile(r"humidity(?:_l[0-9]+)?|battery|soil_moisture"), "%", "level"),
    (re.compile(r"pressure"), "hPa", "level"),
)
_PASSED_OVER = ("availability", "set", "get")


def place(topic: str) -> str:
    """The attribute that a topic speaks of, '' for the whole device, 'bridge' for the bridge's own topics.

    >>> place("zigbee2mqtt/z1"), place("zigbee2mqtt/z1/energy"), place("zigbee2mqtt/bridge/info")
    ('', 'energy', 'bridge')
    """
    levels = topic.split("/")
    return "bridge" if levels[1:2] == ["bridge"] else "/".join(levels[2:])


def fields(document: Document, place: str) -> list[Field]:
    """Every value, named as exposed: `energy`, `power_l1`, `update.installed_version`.

    >>> [(f.native, f.value, f.unit) for f in fields("12.05", "energy")]
    [('energy', '12.05', 'kWh')]
    """
    if place == "bridge" or place.split("/")[-1] in _PASSED_OVER:
        return []
    stamp = scalar(document.get("last_seen")) if isinstance(document, dict) else None
    battery = isinstance(document, dict) and "battery" in document
    found = []
    for name, value in flatten(document, place.replace("/", ".")):
        if name == "last_seen":
            continue
        unit, kind = meaning(name, _MEANINGS)
        if battery and name == "voltage":
            unit = "mV"
        found.append(Field(name, value, unit, kind, stamp=stamp, stamp_format="iso8601_or_ms"))
    return found


DECODER = Decoder(
    parse=plain.parse_any,
    fields=fields,
    topics=("zigbee2mqtt/{device}", "zigbee2mqtt/{device}/+"),
    place=place,
    by_shape=True,
)
