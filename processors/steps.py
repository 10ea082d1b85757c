"""READINGS -> STEPS: the known amounts that lie between two readings, or in one; unknown spans give no row.

Counter: the change of the total. Rate: its integral (trapezoid or hold). Amount: itself, at its instant or over its period.
Level: nothing. Nothing is extrapolated before the first and after the last reading.
"""

from typing import NamedTuple

import polars as pl

from processors.counters import change_text, faster, flagged, neighboured, peaked, series
from processors.exact import EXACT, HOUR_US, big, guarded
from processors.meters import IDENTITY, Meters
from processors.series import edges, narrowed, ordered, ruled
from schemas.frames import EVENTS, STEPS, empty, shaped
from schemas.numeric import text

_EVENTS = {
    "rollover": "{}: the counter rolled over",
    "jitter": "{}: fall within jitter, counts nothing until the old maximum is passed",
    "reset": "{}: the counter started anew, the new value counts",
    "gap": "{}: longer than max_gap after the reading before, spread and estimated",
    "too_fast": "{}: faster than max_rate, unknown",
}


class Stepped(NamedTuple):
    steps: pl.DataFrame  # STEPS
    events: pl.DataFrame  # EVENTS


def steps(
    readings: pl.DataFrame, meters: Meters, peaks: pl.DataFrame | None = None, counters: pl.DataFrame | None = None
) -> Stepped:
    """STEPS and named events of cleaned READINGS.

    peaks: meter, peak_n: a jittering counter's maximum since its last swap, rollover or reset before the first reading here.
    counters: their neighboured series, where `clean` has made it already.
    """
    kinds = readings["kind"].unique().to_list()
    found = []
    if "counter" in kinds:
        found.append(_counters(neighboured(series(readings, meters)) if counters is None else counters, peaks))
    found += [step(readings, meters) for kind, step in (("rate", _rates), ("amount", _amounts)) if kind in kinds]
    if len(found) == 1:
        return found[0]
    if not found:
        return Stepped(empty(STEPS), empty(EVENTS))
    return Stepped(pl.concat([part.steps for part in found]), pl.concat([part.events for part in found]))


def _counters(neighbours: pl.DataFrame, peaks: pl.DataFrame | None) -> Stepped:
    frame = peaked(flagged(neighbours), peaks).with_columns_seq(_JUDGED)
    known = frame.select_seq(_EVEN).filter("_known")
    flags = [flag for flag in (*_EVENTS, "unstated") if frame[flag].any()]
    events = [_named(frame.filter(flag), "observed_at", flag, _EVENTS[flag], change_text()) for flag in flags if flag in _EVENTS]
    if "unstated" in flags:
        unfit = "{}: the stated reading of a replacement does not fit, the gap is unknown"
        events.append(_named(frame.filter("unstated"), "observed_at", "swap", unfit, change_text()))
    if frame["side"].null_count() < frame.height:
        device = pl.col("device").fill_null("?")
        swapped = frame.filter(pl.col("side") == 1)
        events.append(_named(swapped, "observed_at", "swap", "device {} replaced the one before", device))
    return Stepped(narrowed(known, STEPS), _joined(events))


def _both_ends() -> dict[str, pl.Expr]:
    """What a step between two neighbouring rows takes from each of them."""
    doubtful = (pl.col("quality") == "suspect").fill_null(False)
    return {
        "suspect": doubtful | doubtful.shift(1),
        "spans": pl.lit(True),
        "observed0": pl.col("observed_at").shift(1),
        "received0": pl.col("received_at").shift(1),
        "observed1": pl.col("observed_at"),
        "received1": pl.col("received_at"),
    }


def _judged() -> list[pl.Expr]:
    """too_fast, gap: what is wrong with the step up to a reading."""
    span, amount = pl.col("span_us"), pl.col("amount_n")
    gap = (span > pl.col("max_gap_us")).fill_null(False) & amount.is_not_null()
    return [faster(amount, span).fill_null(False).alias("too_fast"), gap.alias("gap")]


def _even() -> dict[str, pl.Expr]:
    """STEPS of a counter, each up to a reading, and whether it is known."""
    return {
        "meter": pl.col("meter"),
        "start": pl.col("observed_at").shift(1),
        "end": pl.col("observed_at"),
        "shape": pl.when(pl.col("span_us") == 0).then(pl.lit("point")).otherwise(pl.lit("even")),
        "amount_n": pl.col("amount_n"),
        "estimated": pl.col("gap"),
        **_both_ends(),
        "_known": pl.col("amount_n").is_not_null() & ~pl.col("too_fast"),
    }


_JUDGED, _EVEN = _judged(), [column.alias(name) for name, column in _even().items()]


def _rates(readings: pl.DataFrame, meters: Meters) -> Stepped:
    """Trapezoid between neighbours, or hold; `direction` first: import takes max(x, 0), export max(-x, 0), of both ends."""
    frame = ordered(readings.filter(pl.col("kind") == "rate"))
    frame = ruled(frame, meters.rules, ["between", "direction", "max_gap_us", "base"], IDENTITY)
    value, time, direction = pl.col("value_n"), pl.col("observed_at").to_physical(), pl.col("direction")
    taken = (
        pl.when(direction == "import")
        .then(pl.max_horizontal(value, big(0)))
        .when(direction == "export")
        .then(pl.max_horizontal(big(0) - value, big(0)))
        .otherwise(value)
    )
    alike = meters.rules["meter"].n_unique() == meters.rules.height
    inner = ~(edges(frame, "meter") if alike else edges(frame, "meter", "base"))
    frame = frame.with_columns_seq(taken=taken, span_us=pl.when(inner).then(time - time.shift(1)))
    gap = (pl.col("span_us") > pl.col("max_gap_us")).fill_null(False)
    before = pl.col("taken").shift(1)
    known = frame.select_seq(
        "meter",
        "span_us",
        start=pl.col("observed_at").shift(1),
        end="observed_at",
        shape=pl.lit("ramp"),
        rate0_n=before,
        rate1_n=pl.when(pl.col("between") == "previous").then(before).otherwise("taken"),
        estimated=pl.lit(False),
        **_both_ends(),
        _known=(pl.col("span_us") > 0) & ~gap,
    ).filter("_known")
    amount = integral(known)
    seconds = text(pl.col("span_us") / 1_000_000)
    late = _named(frame.filter(gap), "observed_at", "gap", "{} s after the reading before, longer than max_gap: unknown", seconds)
    return Stepped(narrowed(known.with_columns_seq(amount_n=amount), STEPS), late)


def integral(ramps: pl.DataFrame) -> pl.Series:
    """The whole of each trapezoid, floored: (rate0 + rate1) / 2 x span (trapezoidal rule, see `exact.ramp_floor`).

    >>> ramps = pl.DataFrame({"rate0_n": [60], "rate1_n": [120], "span_us": [600_000_000]})
    >>> integral(ramps).to_list()
    [15]
    """
    ramps = ramps.with_columns_seq(pl.col("rate0_n", "rate1_n").cast(EXACT))
    span = pl.col("span_us").cast(EXACT)
    size = 2 * (pl.col("rate0_n").cast(pl.Float64).abs() + pl.col("rate1_n").cast(pl.Float64).abs()) * pl.col("span_us")
    total = (pl.col("rate0_n") + pl.col("rate1_n")) * span // big(2 * HOUR_US)
    return guarded(ramps, size, total, lambda r0, r1, us: (r0 + r1) * us // (2 * HOUR_US), ["rate0_n", "rate1_n", "span_us"])


def _amounts(readings: pl.DataFrame, meters: Meters) -> Stepped:
    """Amounts at their instant, or evenly over their period; periods of a meter that overlap are named, and add."""
    frame = readings.filter(pl.col("kind") == "amount")
    lasting = (pl.col("period_start") < pl.col("period_end")).fill_null(False)
    at = pl.coalesce("period_end", "observed_at")
    frame = frame.with_columns_seq(
        start=pl.when(lasting).then("period_start").otherwise(at),
        end=at,
        spans=lasting,
        shape=pl.when(lasting).then(pl.lit("even")).otherwise(pl.lit("point")),
    )
    frame = ordered(frame, "start", then=("end",) if frame["spans"].any() else ())
    known = frame.with_columns_seq(
        amount_n="value_n",
        estimated=pl.lit(False),
        suspect=(pl.col("quality") == "suspect").fill_null(False),
        observed1=at,
        received1="received_at",
    )
    periods = frame.filter("spans")
    before = pl.col("end").cum_max().over("meter").shift(1).over("meter")
    over = periods.filter((pl.col("start") < before).fill_null(False))
    instants = (pl.col(name).dt.strftime("%Y-%m-%dT%H:%M:%SZ") for name in ("start", "end"))
    named = _named(over, "start", "overlap", "the period from {} to {} overlaps an earlier one", *instants)
    return Stepped(narrowed(known, STEPS), named)


def _named(frame: pl.DataFrame, at: str, event: str, sentence: str, *words: pl.Expr) -> pl.DataFrame:
    if frame.is_empty():
        return empty(EVENTS)
    frame = frame.rechunk()  # polars 2.1 panics in format() over several chunks
    return shaped(frame.with_columns_seq(at=at, event=pl.lit(event), detail=pl.format(sentence, *words)), EVENTS)


def _joined(events: list[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(events) if events else empty(EVENTS)
