"""Checks of one channel of a feed: unit against kind, limits against unit, settings that belong to another kind."""

from datetime import timedelta
from decimal import Decimal

from schemas.feed import Channel, Feed, UnitRule
from schemas.scalars import Quantity
from schemas.units import Unit, is_additive, is_rate, no_conversion, unit
from scopeline.check.context import Context
from scopeline.check.meters import chain, is_open
from scopeline.plant.documents import Keys

_ONLY = {
    "counter": ("rollover_at", "jitter", "decrease"),
    "rate": ("between", "direction"),
    "amount": ("event", "period"),
}
"""Settings that belong to one kind."""

_TIMELESS = ("json", "plain", "csv")
"""Decoders whose payloads have no time of their own unless the feed says where."""


UPRIGHT = "write it above 0, and `- [meter]` in measured_by to take a meter off; a two-way meter has decrease: net"
"""What to do about a scale below 0 on a counter."""


def channel(c: Context, item: tuple[str, int], path: Keys, feed: Feed, rule: Channel) -> None:
    """Everything that a channel says of itself."""
    if rule.drop:
        return
    named = is_open(feed)
    kind = rule.kind or (None if named else "level")
    stated = _units(c, item, (*path, "unit"), rule)
    for found in stated:
        _fits(c, item, (*path, "unit"), found, kind)
    if rule.unit is None and kind not in (None, "level") and not named:
        c.error(item, (*path, "unit"), f"a {kind} has no unit", "add unit:, like kWh for a counter or kW for a rate")
    for of, keys in _ONLY.items():
        for key in keys:
            if key in rule.model_fields_set and kind not in (None, of):
                c.warning(item, (*path, key), f"has no effect on a {kind}", f"write kind: {of}, or remove {key}:")
    _possible(c, item, path, rule)
    _limits(c, item, path, rule, stated)
    untimed = feed.observed_at in (None, "received_at") and chain(feed)[-1:] and chain(feed)[-1] in _TIMELESS
    if kind == "amount" and rule.event is None and (untimed or feed.observed_at == "received_at"):
        message = "an amount with neither a time nor an event id of its own: a message that comes twice would count twice"
        c.warning(item, (*path, "event"), message, 'add event: "$.ticket" here, or observed_at: to the feed')


def _units(c: Context, item: tuple[str, int], path: Keys, rule: Channel) -> list[Unit]:
    if isinstance(rule.unit, UnitRule):
        known = [text for index, text in enumerate(rule.unit.allow) if c.unit(item, (*path, "allow", index), text)]
        found = [unit(text) for text in known]
        for index, other in enumerate(found[1:], 1):
            if other.dimension != found[0].dimension and len(known) == len(rule.unit.allow):
                message = f"{no_conversion(other, found[0]).split(':')[0]}, but one meter has one kind of unit"
                c.error(item, (*path, "allow", index), message, "make two channels, each with where: and its own unit")
        return found[:1]
    return [unit(rule.unit)] if rule.unit is not None and c.unit(item, path, rule.unit) else []


def _fits(c: Context, item: tuple[str, int], path: Keys, found: Unit, kind: str | None) -> None:
    name = found.name or "a plain number"
    if kind in ("counter", "amount") and not is_additive(found):
        what = "is a rate" if is_rate(found) else "does not add up"
        remedy = "write kind: rate" if is_rate(found) else "write kind: level, or a unit like kWh, m3, kg, piece"
        c.error(item, path, f"{name} {what}, but kind {kind} adds up", remedy)
    elif kind == "rate" and not is_rate(found):
        remedy = "write kind: counter or kind: amount" if is_additive(found) else "write kind: level, or a unit like kW, m3/h"
        c.error(item, path, f"{name} is no rate, but kind is rate", remedy)


def _possible(c: Context, item: tuple[str, int], path: Keys, rule: Channel) -> None:
    """Numbers that no device can have."""
    scaled(c, item, (*path, "scale"), rule.scale)
    if rule.scale < 0 and falling(rule):
        c.error(item, (*path, "scale"), f"scale {rule.scale:f} makes a counter fall, where a fall means a reset", UPRIGHT)
    if rule.rollover_at is not None and rule.rollover_at <= 0:
        c.error(item, (*path, "rollover_at"), "rollover_at is not above 0", "write where the counter starts again, like 100000")
    if rule.jitter < 0:
        c.error(item, (*path, "jitter"), "jitter is below 0", "write how far the counter may fall without a reset, like 0.2")
    if rule.max_rate is not None and rule.max_rate.value <= 0:
        c.error(item, (*path, "max_rate"), "max_rate is not above 0", "write how fast the counter can rise, like 3 MW")
    if rule.max_gap is not None and not rule.max_gap:
        c.error(item, (*path, "max_gap"), "max_gap is 0, so that every span is a gap", "write a duration, like 15m")
    if isinstance(rule.period, timedelta) and not rule.period:
        c.error(item, (*path, "period"), "the period has no length", "write how long it lasts, like 15m, or remove period:")


def scaled(c: Context, item: tuple[str, int], path: Keys, scale: Decimal) -> None:
    """A scale of 0 is none: nothing would be measured, and it would count as 0."""
    if scale == 0:
        c.error(item, path, "scale 0 makes every value 0", "write what the stated value is multiplied by, like 10")


def falling(rule: Channel) -> bool:
    """Whether a scale below 0 makes no sense: a counter that only rises, or starts again at a value, would be misread.

    On a rate it turns the direction, on an amount the sign, on a level it is arithmetic, and a two-way counter may fall.
    """
    return rule.kind == "counter" and (rule.decrease != "net" or rule.rollover_at is not None)


def _limits(c: Context, item: tuple[str, int], path: Keys, rule: Channel, stated: list[Unit]) -> None:
    for key in ("min", "max"):
        limit: Quantity | None = getattr(rule, key)
        if limit is None or not limit.unit or not c.unit(item, (*path, key), limit.unit) or not stated:
            continue
        if unit(limit.unit).dimension != stated[0].dimension:
            message, _, remedy = no_conversion(unit(limit.unit), stated[0]).partition(": ")
            c.error(item, (*path, key), message, remedy)
    if rule.min is not None and rule.max is not None and rule.min.unit == rule.max.unit and rule.min.value > rule.max.value:
        c.error(item, (*path, "min"), "min is above max", "exchange or correct the two")
    fastest, kind = rule.max_rate, rule.kind or "level"
    if fastest is None or not stated:
        return
    if kind != "counter":
        c.error(
            item, (*path, "max_rate"), f"max_rate belongs to counters, and this is a {kind}", "write max: for the highest value"
        )
    elif fastest.unit and c.unit(item, (*path, "max_rate"), fastest.unit):
        found = unit(fastest.unit)
        if found.dimension != f"{stated[0].dimension}_rate":
            message = f"{found.name or 'a plain number'} is no rate of {stated[0].name}"
            remedy = f"write how fast the value can rise, like 3 {rate_of(stated[0])}"
            c.error(item, (*path, "max_rate"), message, remedy)


def rate_of(found: Unit) -> str:
    """The base unit of how fast a quantity rises.

    >>> rate_of(unit("MWh")), rate_of(unit("l"))
    ('kW', 'm3/h')
    """
    return unit(f"{found.base}/h").base
