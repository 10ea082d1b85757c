"""A trace as plain text for a terminal: what it is, how it was computed, from what."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from schemas.numeric import number_text
from scopeline.query import local

_SHOWN_GAS = {"unsplit": "CO2e (not split into gases)", "CO2_biogenic": "biogenic CO2"}
_SHOWN = 8
"""Readings and messages of a meter that are shown; --json and --case have all."""


def inert(value: Any) -> str:
    """Text from data for a terminal: control characters are shown, not obeyed.

    >>> inert("a\\x1b[2Jb"), inert(None)
    ('a\\\\x1b[2Jb', '')
    """
    text = "" if value is None else str(value)
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def text(trace: dict[str, Any]) -> str:
    """The trace (Trace.as_dict, from JSON) as lines; control characters in data are shown, not obeyed."""
    return "\n".join(inert(line) for line in _lines(trace))


def _lines(trace: dict[str, Any]) -> Iterator[str]:
    source, zone = trace["source"], trace["zone"]
    start, end = (_time(trace[name], zone) for name in ("interval_start", "interval_end"))
    yield f"{source['source']} at {source['site']}, {start} to {end}"
    yield f"  {_scope(source)}, measured by {source['measured_by']}"
    for figure in sorted(trace["figures"], key=lambda figure: (figure["scope"] or 9, figure["basis"], figure["component"])):
        yield ""
        yield from _figure(figure)
    yield ""
    yield "Activity"
    for term in trace["terms"]:
        yield from _term(term, zone)
    for level in trace["intensity"]:
        value = f"{number_text(level['value'])} {level['unit']}"
        yield f"  intensity {level['meter']} = {value} at {_time(level['observed_at'], zone)} (message {level['message']})"
    for event in trace["events"]:
        yield f"  event {event['event']} of {event['meter']} at {_time(event['at'], zone)}: {event['detail'] or ''}".rstrip(": ")
    yield ""
    yield f"Messages ({len(trace['messages'])})"
    for message in _ends(trace["messages"]):
        if message is None:
            yield "  ..."
            continue
        payload = message.get("payload", message.get("payload_base64", ""))
        yield f"  {message['message']:>8}  {_time(message['received_at'], zone)}  {message['topic']}  {payload[:200]}"
    yield ""
    yield f"Log position {trace['log_position']}, configuration {trace['configuration'][:16]}"


def _scope(source: dict[str, Any]) -> str:
    scope = source["scope"]
    return f"{source['category']} ({'outside the scopes' if scope == 'none' else f'scope {scope}'})"


def _figure(figure: dict[str, Any]) -> Iterator[str]:
    basis = f", {figure['basis']}-based" if figure["basis"] else ""
    kg = "unknown" if figure["co2e_kg"] is None else f"{number_text(figure['co2e_kg'])} kgCO2e"
    yield f"{figure['category']} / {figure['component']}{basis}: {kg}   [{figure['status']}]"
    for line in figure["formula"]:
        yield f"  {line}"
    known = [
        (name, figure[name]) for name in ("coverage", "estimated_share", "factor_age_years", "instrument", "uncertainty_pct")
    ]
    told = [f"{name} {number_text(v) if isinstance(v, int | float) else v}" for name, v in known if v is not None]
    if told:
        yield "  " + ", ".join(told)
    yield f"  factor {figure['factor_id'] or 'none'} ({figure['factor_version'] or '-'}), config {figure['config']}"
    for factor in figure["factors"]:
        gases = ", ".join(f"{number_text(kg)} kg {_SHOWN_GAS.get(gas, gas)}" for gas, kg in factor["kg_per_unit"].items())
        what = " > ".join(part for part in (factor["table"], factor["activity"], factor["item"]) if part)
        yield f"    {factor['id']} {factor['version']}: {what}: {gases} per {factor['per_unit']}"
        if factor["citation"]:
            yield f"    cited: {factor['citation']} {factor['url'] or ''}".rstrip()
        if factor["note"]:
            yield f"    note on {factor['set']} {factor['version']}: {factor['note']}"


def _term(term: dict[str, Any], zone: str) -> Iterator[str]:
    amount = "unknown" if term["amount"] is None else f"{number_text(term['amount'])} {term['unit']}"
    share = "" if term["coverage"] is None else f", {number_text(round(term['coverage'] * 100, 1))} % covered"
    yield f"  {term['meter']}: {amount}{share}"
    for step in _ends(term["steps"]):
        if step is None:
            yield "    ..."
            continue
        marks = "".join(f", {mark}" for mark in ("estimated", "suspect") if step[mark])
        span = _time(step["start"], zone) + ("" if step["start"] == step["end"] else f" to {_time(step['end'], zone)}")
        yield f"    step {span}: {_number(step['amount'])} ({step['shape']}{marks})"
    for reading in _ends(term["readings"]):
        if reading is None:
            yield "    ..."
            continue
        value = f"{number_text(reading['value'])} {reading['unit'] or ''}".rstrip()
        doubt = "" if reading["quality"] == "good" else f", {reading['quality']}"
        place = "at" if reading["kind"] == "amount" else reading["place"]
        yield f"    {place:6} {_time(reading['observed_at'], zone)}  {value}{doubt} (message {reading['message']})"


def _number(value: float | None) -> str:
    return "unknown" if value is None else number_text(value)


def _ends(rows: list[dict[str, Any]]) -> list[dict[str, Any] | None]:
    """The first and the last rows of many, None between them."""
    return list(rows) if len(rows) <= _SHOWN else [*rows[: _SHOWN // 2], None, *rows[-_SHOWN // 2 :]]


def _time(value: str | datetime, zone: str) -> str:
    return local(datetime.fromisoformat(value) if isinstance(value, str) else value, zone)
