"""Reads SenML in JSON (RFC 8428), and the older draft's `{"e": [...], "bn": ..., "bt": ...}`."""

from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from typing import Any

from ingest.decoders import json
from ingest.decoders.decoder import MAX_NAME, Decoder, Document, Field, Token, Unreadable, channel_name, text

_EXACT = Context(prec=400, traps=[Inexact, InvalidOperation, Overflow])
_KNOWN_VERSION = 10


def fields(document: Document, place: Any) -> list[Field]:
    """One field a record that holds a value, resolved (RFC 8428 section 4.6): name, unit, time and value with their bases.

    The time is in the format `senml`: below 2**28 seconds it counts from the arrival. A record without a name of its own is a
    channel named after base name and unit, since such records differ by nothing else.

    >>> [(f.native, f.value, f.unit_token, f.stamp) for f in fields(json.read(
    ...     '[{"bn": "urn:x:", "bt": 1276020076, "bu": "A", "n": "i", "v": 1.20}, {"n": "i", "t": -5, "v": 1.3}]'), None)]
    [('urn:x:i', '1.20', '"A"', '1276020076'), ('urn:x:i', '1.3', '"A"', '1276020071')]
    """
    if isinstance(document, dict) and isinstance(document.get("e"), list):
        document = [{key: value for key, value in document.items() if key != "e"}, *document["e"]]
    if not isinstance(document, list):
        raise Unreadable("is no SenML: a pack is an array of records")
    found: list[Field] = []
    base: dict[str, Token] = {}
    for record in document:
        if not isinstance(record, dict):
            raise Unreadable("is no SenML: a record is an object")
        for key, value in record.items():
            if key.endswith("_"):
                raise Unreadable(f'holds the field "{key[:80]}", which must be understood and is not known')
            if key in ("bn", "bt", "bu", "bv", "bver"):
                base[key] = value
        if "bver" in record and _number(base["bver"]) > _KNOWN_VERSION:
            raise Unreadable(f"is SenML version {base['bver']}: version {_KNOWN_VERSION} is the newest known")
        if not any(key in record for key in ("v", "vs", "vb", "vd", "s")):
            continue
        own = _name(record.get("n"))
        name = _name(base.get("bn")) + own
        if not name:
            raise Unreadable('a record has no name: neither "n" nor "bn" is given')
        if "v" not in record:
            continue
        unit = record.get("u", base.get("bu"))
        label = name if own or unit is None else f"{name} {text(unit)}"
        if len(label) > MAX_NAME:
            raise Unreadable(f"names a value by more than {MAX_NAME} characters: {label[:60]}...", "too_large")
        found.append(
            Field(
                native=name,
                value=_sum(base.get("bv"), record["v"]),
                short=own or None,
                stamp=_sum(base.get("bt"), record.get("t")),
                stamp_format="senml",
                channel=channel_name(label),
                unit_token=unit,
                element={**base, **record, "name": f'"{name}"'},
            )
        )
    return found


def _name(token: Token) -> str:
    if token is None:
        return ""
    if not isinstance(token, str) or token[:1] != '"':
        raise Unreadable("is no SenML: a name is text")
    return token[1:-1]


def _number(token: Token) -> Decimal:
    stated = text(token) if isinstance(token, str) and token[:1] != '"' else None
    if stated is None:
        raise Unreadable("is no SenML: base value, version and times are numbers")
    if len(stated) > MAX_NAME:
        raise Unreadable(f"holds a number of more than {MAX_NAME} digits", "too_large")
    return Decimal(stated)


def _sum(base: Token, own: Token) -> Token:
    if base is None or own is None:
        return own if base is None else base
    first = _number(base)
    if first == 0:
        return own
    try:
        return format(_EXACT.add(first, _number(own)), "f")
    except (Inexact, InvalidOperation, Overflow):
        raise Unreadable("base and value differ by more than 400 digits", "out_of_range") from None


DECODER = Decoder(parse=json.parse, fields=fields)
