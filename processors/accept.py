"""DECODED -> READINGS: stated text becomes an exact quantity of the base unit, or the reading is rejected with its reason.

`value_n` = stated number x scale x unit factor (+ offset), in 1e-9 of the base unit, rounded half to even once.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import Any, NamedTuple

import polars as pl

from processors.exact import EXACT, FITS, LIMIT_N, base_n, big, decimals, half_even, parse, rounded
from processors.series import distinct, narrowed
from schemas.feed import Accept, Channel, UnitRule
from schemas.frames import READINGS, REJECTS, empty, shaped
from schemas.numeric import N
from schemas.plant import Plant
from schemas.scalars import Quantity
from schemas.units import Unit, UnitProblem, is_additive, is_rate, no_conversion, unit

_CONSTANTS = ["_num", "_add", "_den"]
_RULE = ["feed", "channel", "kind", "unit", "scale"]
_NEVER_N = 10**6 * LIMIT_N  # a limit that no reading reaches


class Accepted(NamedTuple):
    readings: pl.DataFrame  # READINGS
    rejects: pl.DataFrame  # REJECTS


@dataclass(frozen=True)
class Channels:
    """What the plant says of each channel and feed, ready for `accept` and `attributes`."""

    rules: dict[tuple[str, str], Channel]
    windows: dict[str, Accept]

    def rule(self, feed: str, channel: str) -> Channel | None:
        return self.rules.get((feed, channel))


def channels(plant: Plant) -> Channels:
    """The channel rules of a plant by feed and channel; of two entries of one name the first speaks."""
    rules = {(feed.feed, rule.channel): rule for feed in plant.feeds for rule in reversed(feed.channels)}
    return Channels(rules, {feed.feed: feed.accept for feed in plant.feeds})


def limit_n(limit: Quantity | None, stated: Unit) -> int | None:
    """A limit in 1e-9 of the base unit; a number without unit is in the channel's unit.

    >>> limit_n(Quantity(parse("3"), "MW"), unit("W")), limit_n(Quantity(parse("-5"), ""), unit("W"))
    (3000000000000, -5000000)
    """
    if limit is None:
        return None
    own = unit(limit.unit) if limit.unit else stated
    if own.dimension != stated.dimension:
        raise UnitProblem(no_conversion(own, stated))
    exact = rounded((Fraction(limit.value) * own.factor + own.offset) * N)
    return max(-_NEVER_N, min(exact, _NEVER_N))


def stated_unit(text: str | None, kind: str | None, rule: Channel | None) -> Unit:
    """The unit of a reading, checked against its kind and its channel; UnitProblem says what is wrong and the remedy.

    >>> stated_unit("kWh", "rate", None)
    Traceback (most recent call last):
    schemas.units.UnitProblem: 'kWh' is no rate: kind rate needs a power or a flow, like kW or m3/h; or it is a counter
    """
    if text is None and kind != "level":
        raise UnitProblem(f"a {kind} needs a unit: state `unit:` in the channel")
    found = unit(text or "")
    if kind == "rate" and not is_rate(found):
        raise UnitProblem(f"{text!r} is no rate: kind rate needs a power or a flow, like kW or m3/h; or it is a counter")
    if kind in ("counter", "amount") and not is_additive(found):
        raise UnitProblem(f"{text!r} does not add up: kind {kind} needs a quantity, like kWh, m3 or kg; or it is a rate")
    if rule is not None and isinstance(rule.unit, UnitRule):
        if found.name not in {unit(allowed).name for allowed in rule.unit.allow}:
            raise UnitProblem(f"{text!r} is not allowed here: add it to `allow:` or correct the device")
    elif rule is not None and rule.unit is not None and unit(rule.unit).dimension != found.dimension:
        raise UnitProblem(no_conversion(found, unit(rule.unit)))
    return found


def accept(decoded: pl.DataFrame, channels: Channels, window: bool = True) -> Accepted:
    """Exact readings of decoded ones, in their order, and the rejected ones with their reasons.

    decoded: DECODED. window: whether received_at limits observed_at (`accept:` of the feed; `try` without a time switches it
    off), and observed_at a period: it begins at most twice `behind` before, and ends at most `behind` after. Reasons:
    unknown_unit, no_value, not_finite, out_of_range, below_min, above_max, too_old, in_future, no_time.

    >>> from schemas.frames import DECODED
    >>> row = {"feed": "f", "meter": "s/a:e", "kind": "counter", "unit": "Wh", "value": "10.5", "scale": None}
    >>> accept(shaped(pl.DataFrame([row]), DECODED), Channels({}, {}), window=False).readings["value_n"].to_list()
    [10500000]
    """
    combinations = distinct(decoded, _RULE)
    table = _rules(combinations.rows(), channels)
    if table.height == 1:
        only = table.row(0, named=True)
        ruled = decoded.with_columns_seq(pl.lit(only[name], dtype=dtype).alias(name) for name, dtype in table.schema.items())
        constants = [pl.lit(only[name], dtype=EXACT) for name in _CONSTANTS]
    else:
        number = combinations.with_row_index("_rule")
        place = decoded.select_seq(_RULE).join(number, on=_RULE, how="left", nulls_equal=True, maintain_order="left")["_rule"]
        ruled = decoded.with_columns_seq(table[place])
        constants = [pl.col(name) for name in _CONSTANTS]
    ruled = ruled.with_columns_seq(value_n=_value_n(ruled, constants))
    refused = ruled.select_seq(_REFUSED if window else _REFUSED_EVER).to_series()
    if not refused.any():
        return Accepted(narrowed(ruled, READINGS), empty(REJECTS))
    rejects = ruled.filter(refused).rechunk()  # polars 2.1 panics in format() over several chunks
    rejects = rejects.with_columns_seq(reason=_reason()).with_columns_seq(detail=_detail())
    return Accepted(narrowed(ruled.filter(~refused), READINGS), shaped(rejects, REJECTS))


def _rules(combinations: Iterable[tuple[Any, ...]], channels: Channels) -> pl.DataFrame:
    """One row a combination of feed, channel, kind, unit and scale: the arithmetic and the limits of its readings."""
    rows = []
    for feed, channel, kind, text, scale in combinations:
        rule = channels.rule(feed, channel)
        accepts = channels.windows.get(feed, Accept())
        row: dict[str, Any] = dict.fromkeys(("_num", "_add", "_den", "_min_n", "_max_n", "_problem", "_factor", "_offset"))
        row |= {"_behind": accepts.behind, "_ahead": accepts.ahead}
        try:
            found = stated_unit(text, kind, rule)
            row |= _arithmetic(found, parse(scale) if scale is not None else None, scale)
            row |= {"_min_n": limit_n(rule.min, found), "_max_n": limit_n(rule.max, found)} if rule else {}
        except UnitProblem as problem:
            row["_problem"] = str(problem)
        rows.append(row)
    wide, text_, span = EXACT, pl.String, pl.Duration("us")
    schema = {"_num": wide, "_add": wide, "_den": wide, "_min_n": wide, "_max_n": wide, "_problem": text_, "_factor": text_}
    return pl.DataFrame(rows, schema=schema | {"_offset": text_, "_behind": span, "_ahead": span}, orient="row")


def _arithmetic(found: Unit, scale: Any, text: str | None) -> dict[str, Any]:
    """value_n = (1e-18 integer x num + add) / den; null where the constants themselves would not fit into 128 bits."""
    if text is not None and (scale is None or not scale.is_finite() or abs(scale.adjusted()) > 60):
        raise UnitProblem(f"scale {text!r} is not a number within range: correct `scale:`")
    factor = found.factor * (Fraction(scale) if scale is not None else 1)
    per, offset = factor * N / 10**18, found.offset * N
    den = lcm(per.denominator, offset.denominator)
    num, add = int(per * den), int(offset * den)
    fits = max(abs(num), abs(add), 4 * den) < FITS
    exact = {"_num": num, "_add": add, "_den": den} if fits else {}
    return {"_factor": str(factor), "_offset": str(found.offset)} | exact


def _value_n(ruled: pl.DataFrame, constants: list[pl.Expr]) -> pl.Series:
    """The exact quantity: vectorised where number and constants fit, by fractions elsewhere; the same result."""
    num, add, den = constants
    stated = ruled.select_seq(decimals(pl.col("value")).alias("stated"), *_CONSTANTS)
    bound = pl.col("stated").cast(pl.Float64).abs() * num.cast(pl.Float64).abs() + add.cast(pl.Float64).abs()
    found = stated.select_seq(fits=(bound < FITS).fill_null(False), value=half_even(pl.col("stated") * num + add, den))
    fits, value = found["fits"], found["value"]
    if fits.all():
        return value
    where = (~fits).arg_true()
    slow = [_slow(*row) for row in ruled[where].select_seq("value", "_factor", "_offset").rows()]
    return value.scatter(where, pl.Series(slow, dtype=EXACT))


def _slow(text: str | None, factor: str | None, offset: str | None) -> int | None:
    number = parse(text)
    if factor is None or offset is None or number is None or not number.is_finite():
        return None
    exact = base_n(number, Fraction(factor), Fraction(offset))
    return LIMIT_N + 1 if exact is None else exact


_BEGINS_EARLY = pl.col("period_start") < pl.col("observed_at") - 2 * pl.col("_behind")
_ENDS_LATE = pl.col("period_end") > pl.col("observed_at") + pl.col("_behind")
"""A bill may speak of last year, or of the next; a period of centuries would fill the store with intervals of nothing."""

_SPOKEN_AGAINST: dict[str, pl.Expr] = {
    "unknown_unit": pl.col("_problem").is_not_null(),
    "no_value": pl.col("value_n").is_null(),
    "out_of_range": pl.max_horizontal("value_n", big(0) - pl.col("value_n")) > big(LIMIT_N),
    "below_min": pl.col("value_n") < pl.col("_min_n"),
    "above_max": pl.col("value_n") > pl.col("_max_n"),
    "no_time": pl.col("period_start").is_not_null()
    & (pl.col("period_end").is_null() | (pl.col("period_end") < pl.col("period_start"))),
    "too_old": (pl.col("observed_at") < pl.col("received_at") - pl.col("_behind")) | _BEGINS_EARLY,
    "in_future": (pl.col("observed_at") > pl.col("received_at") + pl.col("_ahead")) | _ENDS_LATE,
}
"""What speaks against a reading, in the order in which it is said. A value that is no number may be an endless one."""


def _refused(window: bool) -> pl.Expr:
    words = [word for word in _SPOKEN_AGAINST if window or word not in ("too_old", "in_future")]
    return pl.any_horizontal(_SPOKEN_AGAINST[word].fill_null(False) for word in words)


_REFUSED, _REFUSED_EVER = _refused(True), _refused(False)


def _reason() -> pl.Expr:
    """The first reason that speaks against a refused reading."""
    endless = pl.col("value").str.to_lowercase().str.contains("^[+-]?s?(nan|inf|infinity)[0-9]*$")
    said = {word: pl.lit(word) for word in _SPOKEN_AGAINST}
    said["no_value"] = pl.when(endless.fill_null(False)).then(pl.lit("not_finite")).otherwise(pl.lit("no_value"))
    return pl.coalesce(pl.when(against.fill_null(False)).then(said[word]) for word, against in _SPOKEN_AGAINST.items())


def _span(seconds: pl.Expr) -> pl.Expr:
    """Seconds in the largest unit of which there are two.

    >>> pl.DataFrame({"s": [90, 7300, 217_508_856]}).select_seq(_span(pl.col("s")))["s"].to_list()
    ['90 s', '2 h', '2517 days']
    """
    text = pl.format("{} s", seconds)
    for name, size in (("min", 60), ("h", 3600), ("days", 86_400)):
        text = pl.when(seconds >= 2 * size).then(pl.format(f"{{}} {name}", seconds // size)).otherwise(text)
    return text


def _detail() -> pl.Expr:
    """What is wrong with a rejected reading and what to do, in a sentence."""
    stated = pl.format("{} {}", pl.col("value").fill_null("nothing"), pl.col("unit").fill_null(""))
    late = (pl.col("received_at") - pl.col("observed_at")).dt.total_seconds()
    said = {
        "unknown_unit": pl.col("_problem"),
        "not_finite": pl.format("the value is {}: a reading must be a finite number", pl.col("value")),
        "no_value": pl.format("{} is no number: correct the path of `value:` or the device", stated),
        "out_of_range": pl.format("{} is beyond 1e15 base units: correct `unit:` or `scale:`", stated),
        "below_min": pl.format("{} is below the channel's `min:`", stated),
        "above_max": pl.format("{} is above the channel's `max:`", stated),
        "no_time": pl.lit("the period ends before it starts, or has no end: correct the paths of `period:`"),
        "too_old": pl.when(_BEGINS_EARLY)
        .then(pl.lit("the period begins long before it was observed: correct it, or raise `accept: behind`"))
        .otherwise(
            pl.format("observed {} before it was received: set the device's clock, or raise `accept: behind`", _span(late))
        ),
        "in_future": pl.when(_ENDS_LATE)
        .then(pl.lit("the period ends long after it was observed: correct it, or raise `accept: behind`"))
        .otherwise(
            pl.format("observed {} after it was received: set the device's clock, or raise `accept: ahead`", _span(-late))
        ),
    }
    return pl.coalesce(pl.when(pl.col("reason") == word).then(text) for word, text in said.items())
