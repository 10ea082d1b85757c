"""Reads Shelly devices: generation 1 (`shellies/<device>/emeter/0/total`, bare values) and generation 2 and later
(`<device>/status/switch:0` and `<device>/events/rpc`, JSON).

Generation 1: relay energy is watt-MINUTES, emeter totals are Wh. Generation 2: energy totals are Wh, `by_minute` is mWh.
Totals stand beside their phases, and a status topic beside events/rpc: the same energy, never add them.
Source: shelly-api-docs.shelly.cloud (gen1 MQTT; gen2 components Switch, EM, EMData, PM1).
"""

import re

from ingest.decoders import plain
from ingest.decoders.decoder import Decoder, Document, Field, Token, scalar
from ingest.decoders.flatten import Meaning, Meanings, flatten, meaning

_PARTS_1 = ("relay", "emeter", "meter", "roller", "light", "white", "color")
_GEN_1: dict[str, Meaning] = {
    "power": ("W", "rate"),
    "reactive_power": ("var", "level"),
    "voltage": ("V", "level"),
    "current": ("A", "level"),
    "pf": (None, "level"),
    "energy": ("W-min", "counter"),
    "returned_energy": ("W-min", "counter"),
    "total": ("Wh", "counter"),
    "total_returned": ("Wh", "counter"),
}
_GEN_2: Meanings = (
    (re.compile(r"(?:ret_)?aenergy\.total|(?:[abc]_)?total_act(?:_ret)?(?:_energy)?"), "Wh", "counter"),
    (re.compile(r"(?:ret_)?aenergy\.by_minute\[\d+\]"), "mWh", "level"),
    (re.compile(r"apower|(?:[abc]_|total_)?act_power"), "W", "rate"),
    (re.compile(r"(?:[abcn]_|total_)?aprt_?power"), "VA", "level"),
    (re.compile(r"(?:[abcn]_)?voltage"), "V", "level"),
    (re.compile(r"(?:[abcn]_|total_)?current"), "A", "level"),
    (re.compile(r"(?:[abc]_)?freq"), "Hz", "level"),
    (re.compile(r"(?:temperature\.)?tC"), "degC", "level"),
    (re.compile(r"(?:temperature\.)?tF"), "degF", "level"),
)
_PASSED_OVER = re.compile(r"(?:.*\.)?(?:id|minute_ts|\w+_ts)")


def place(topic: str) -> tuple[str, str]:
    """The generation and the component that a topic speaks of.

    >>> place("shellies/em-1/emeter/0/total"), place("hall/plug/status/switch:0"), place("plug/events/rpc")
    (('1', 'emeter/0/total'), ('2', 'switch:0'), ('rpc', ''))
    """
    levels = topic.split("/")
    if levels[-2:] == ["events", "rpc"]:
        return "rpc", ""
    if levels[0] != "shellies" and len(levels) > 1 and levels[-2] == "status":
        return "2", levels[-1]
    start = next((n for n, level in enumerate(levels) if level in _PARTS_1), 2 if levels[0] == "shellies" else len(levels) - 1)
    return "1", "/".join(levels[start:])


def fields(document: Document, place: tuple[str, str]) -> list[Field]:
    """Every value, named by component: `emeter/0/total`, `switch:0.aenergy.total` (short: `total`, `aenergy.total`).

    >>> [(f.native, f.value, f.unit) for f in fields("64541.0", ("1", "relay/0/energy"))]
    [('relay/0/energy', '64541.0', 'W-min')]
    """
    generation, component = place
    if generation == "1":
        return _first(document, component)
    if generation == "2":
        return list(_component(component, document, None))
    params = document.get("params") if isinstance(document, dict) else None
    if not isinstance(params, dict):
        return []
    stamp = scalar(params.get("ts"))
    return [found for name, part in params.items() if isinstance(part, dict) for found in _component(name, part, stamp)]


def _first(document: Document, component: str) -> list[Field]:
    name = component.rsplit("/", 1)[-1]
    if isinstance(document, (dict, list)):
        return [Field(f"{component}.{native}", value) for native, value in flatten(document)]
    unit, kind = _GEN_1.get(name, (None, "level")) if component.split("/")[0] in _PARTS_1 else (None, "level")
    if name in ("temperature", "temperature_f") or component.startswith(("ext_temperature", "ext_temperature_f")):
        unit = "degF" if "_f" in component.removeprefix("ext") else "degC"
    return [Field(component, document, unit, kind, short=name)]


def _component(component: str, document: Document, stamp: Token) -> list[Field]:
    found = []
    for native, value in flatten(document):
        if _PASSED_OVER.fullmatch(native):
            continue
        unit, kind = meaning(native, _GEN_2)
        long = f"{component}.{native}" if native else component
        found.append(Field(long, value, unit, kind, short=native or None, stamp=stamp, stamp_format="epoch_s"))
    return found


DECODER = Decoder(
    parse=plain.parse_any,
    fields=fields,
    topics=("shellies/{device}/#", "{device}/status/+"),
    place=place,
    by_shape=True,
)
