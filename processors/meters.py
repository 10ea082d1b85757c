"""What the plant says of each meter in a frame of readings: its rules in base units, and where its device was replaced.

Rules belong to a reading's meter, feed, device and unit (a meter may change all three at a replacement); what lies between
two readings follows the rules of the later one.
"""

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

import polars as pl

from processors.accept import Channels, channels, limit_n
from processors.exact import EXACT, LIMIT_N, base_n, rounded
from processors.replacements import replacements
from processors.series import distinct
from schemas.frames import TIME
from schemas.numeric import N
from schemas.plant import Plant
from schemas.source import MeterRow
from schemas.units import Unit, UnitProblem, unit

IDENTITY = ["meter", "feed", "device", "unit"]
_KEPT = [*IDENTITY, "channel", "site", "kind"]
_MOST_KNOWN = 200_000
_HOLE = timedelta(minutes=15)
_ENDLESS_N = 10**22  # a max_rate beyond 1e13 base units an hour limits nothing

RULES: dict[str, Any] = {
    "meter": pl.String,
    "feed": pl.String,
    "device": pl.String,
    "unit": pl.String,
    "kind": pl.String,
    "base": pl.String,  # base unit of value_n
    "rollover_n": EXACT,  # null: never rolls over
    "jitter_n": EXACT,
    "max_rate_n": EXACT,  # base unit an hour; null: no limit
    "max_gap_us": pl.Int64,  # null: no limit
    "between": pl.String,  # linear, previous
    "direction": pl.String,  # net, import, export
    "net": pl.Boolean,  # decrease: net
}
"""One row for each meter, feed, device and unit that readings have."""

SWAPS: dict[str, Any] = {
    "meter": pl.String,
    "swap": TIME,  # when the new device starts
    "at": TIME,  # of this side's stated reading
    "side": pl.Int8,  # 0: the old device's end, 1: the new one's start
    "value_n": EXACT,  # last_reading, first_reading; null where not stated
    "device": pl.String,
    "feed": pl.String,
    "unit": pl.String,
}
"""Two rows for each replacement of a counter's device."""


class Meters(NamedTuple):
    rules: pl.DataFrame  # RULES
    swaps: pl.DataFrame  # SWAPS


class Rulebook:
    """What a plant says of its meters: the rule of each meter, feed, device and unit is worked out once."""

    def __init__(self, plant: Plant) -> None:
        self._plant, self._channels, self._rows = plant, channels(plant), _by_meter(plant)
        self._zones = {site.site: site.timezone for site in plant.settings.sites}
        self._known: dict[tuple[Any, ...], tuple[Any, ...] | None] = {}
        self._last: tuple[list[tuple[Any, ...]], Meters] | None = None
        self.jittering = any(rule.jitter for rule in self._channels.rules.values())
        """Whether `jitter_n` of a meter can be other than 0."""

    def attributes(self, readings: pl.DataFrame) -> Meters:
        """Rules and replacements of the meters that occur in READINGS, from the plant's channels and its meters table.

        rollover_at, jitter, first_reading and last_reading are what the device shows: scale and unit apply to them as to a value.
        """
        found = distinct(readings, _KEPT).cast(pl.String).rows()
        last = self._last
        if last is None or last[0] != found:  # batch by batch it is often the same meters that speak
            last = self._last = found, self._attributes(found)
        return last[1]

    def _attributes(self, found: list[tuple[Any, ...]]) -> Meters:
        swaps = self._replaced(found) if self._plant.meters else []
        rules: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        for row in [*found, *(side[:-1] for side in swaps)]:
            rule = self._rule(row)
            if rule is not None:
                rules.setdefault(row[: len(IDENTITY)], rule)
        stated = pl.DataFrame([side[-1] for side in swaps], schema=SWAPS, orient="row")
        return Meters(pl.DataFrame(list(rules.values()), schema=RULES, orient="row"), stated)

    def _rule(self, row: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """The rule of a row of `_KEPT`, as a row of RULES; None where the unit is none: such a reading is not accepted."""
        if row not in self._known:
            if len(self._known) > _MOST_KNOWN:
                self._known.clear()
            try:
                rule = _rule(dict(zip(_KEPT, row, strict=True)), self._channels, self._rows)
                self._known[row] = tuple(rule.get(name) for name in RULES)
            except UnitProblem:
                self._known[row] = None
        return self._known[row]

    def _replaced(self, found: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """Each side of each replacement of these counters: a row of `_KEPT`, and its row of SWAPS."""
        counters: dict[str, list[dict[str, Any]]] = {}
        for row in found:
            named = dict(zip(_KEPT, row, strict=True))
            if named["kind"] == "counter":
                counters.setdefault(named["meter"], []).append(named)
        sides = []
        for meter, alike in counters.items():
            for side in _swaps(meter, self._zones.get(alike[0]["site"], "UTC"), alike, self._channels, self._rows):
                stated = alike[0] | {name: side[name] for name in IDENTITY}
                sides.append((*(stated[name] for name in _KEPT), side))
        return sides


def attributes(readings: pl.DataFrame, plant: Plant) -> Meters:
    """See `Rulebook.attributes`."""
    return Rulebook(plant).attributes(readings)


def _by_meter(plant: Plant) -> dict[str, list[MeterRow]]:
    found: dict[str, list[MeterRow]] = {}
    for row in plant.meters:
        found.setdefault(row.meter, []).append(row)
    return found


def _rule(row: dict[str, Any], of_plant: Channels, rows: dict[str, list[MeterRow]]) -> dict[str, Any]:
    found, rule = unit(row["unit"] or ""), of_plant.rule(row["feed"], row["channel"])
    basic = {name: row[name] for name in (*IDENTITY, "kind")} | {"base": found.base, "jitter_n": 0, "net": False}
    basic |= {"between": "linear", "direction": "net", "max_gap_us": _us(_HOLE) if row["kind"] == "rate" else None}
    if rule is None:
        return basic
    place, channel = row["meter"].rsplit(":", 1)
    listed = [entry for entry in rows.get(place, ()) if entry.device == row["device"] and entry.channel in (None, channel)]
    scale = Fraction(rule.scale) * next((Fraction(entry.scale) for entry in listed if entry.scale is not None), Fraction(1))
    if rule.rollover_at is not None:
        basic["rollover_n"] = abs(_shown(rule.rollover_at, found, scale))
    if rule.max_gap is not None:
        basic["max_gap_us"] = _us(rule.max_gap)
    fastest = None if rule.max_rate is None else _rate_n(rule.max_rate, found)
    basic |= {"jitter_n": abs(_shown(rule.jitter, found, scale)), "max_rate_n": fastest, "net": rule.decrease == "net"}
    return basic | {"between": rule.between, "direction": rule.direction}


def _us(span: timedelta) -> int:
    return span // timedelta(microseconds=1)


def _shown(value: Decimal, found: Unit, scale: Fraction) -> int:
    """A number that the device shows, in 1e-9 of the base unit (a length: without offset); beyond all readings: a bound."""
    return max(-4 * LIMIT_N, min(rounded(Fraction(value) * scale * found.factor * N), 4 * LIMIT_N))


def _rate_n(limit: Any, found: Unit) -> int | None:
    """max_rate in 1e-9 base units an hour: in its own unit (3 MW), or without one in the channel's unit an hour.

    >>> from schemas.scalars import Quantity
    >>> _rate_n(Quantity(Decimal(3), "MW"), unit("Wh")), _rate_n(Quantity(Decimal(500), ""), unit("Wh"))
    (3000000000000, 500000000)
    """
    fastest = limit_n(limit, unit(f"{found.name}/h")) if found.name else None
    return fastest if fastest is None or fastest < _ENDLESS_N else None


def _swaps(
    meter: str, zone: str, known: list[dict[str, Any]], of_plant: Channels, rows: dict[str, list[MeterRow]]
) -> list[dict[str, Any]]:
    place, channel = meter.rsplit(":", 1)
    found: list[dict[str, Any]] = []
    for swap in replacements([row for row in rows.get(place, ()) if row.channel in (None, channel)], zone):
        for side, at, row, shown in ((0, swap.until, swap.old, swap.last), (1, swap.at, swap.new, swap.first)):
            rule = of_plant.rule(row.feed, channel)
            stated = row.unit or (rule.unit if rule and isinstance(rule.unit, str) else None)
            seen = [entry["unit"] for entry in known if entry["device"] == row.device] + [entry["unit"] for entry in known]
            text = stated if stated is not None else seen[0]
            scale = (rule.scale if rule else Decimal(1)) * (row.scale if row.scale is not None else Decimal(1))
            of = unit(text or "")
            value = None if shown is None else base_n(shown * scale, of.factor, of.offset)
            entry = {"meter": meter, "swap": swap.at, "at": at, "side": side, "value_n": value, "device": row.device}
            found.append(entry | {"feed": row.feed, "unit": text})
    return found
