"""The frames on every arrow of the data's way: column names and types.

Integers named `..._n` are exact quantities in 1e-9 of a base unit (kWh, m3, kg, km, piece, a currency; rates: base unit an hour,
so kW; levels: the base unit of their dimension). Durations named `..._us` are microseconds. Times are UTC microseconds.
`meter`, `feed`, `channel`, `site` are text, or an Enum of text where a frame is large.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import polars as pl

TIME = pl.Datetime("us", "UTC")
EXACT = pl.Int128
_EPOCH, _TICK = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)

Columns = dict[str, pl.DataType | type[pl.DataType]]
"""Column name -> type."""

MESSAGES: Columns = {
    "message": pl.Int64,  # its place in the log (embedded), or its line in a message file
    "topic": pl.String,
    "payload": pl.Binary,
    "received_at": TIME,
    "retained": pl.Boolean,
    "broker": pl.String,  # null: the plant's first
}
"""One MQTT publish a row."""

OUTCOMES: Columns = {
    "message": pl.Int64,
    "feed": pl.String,  # null where unmatched
    "outcome": pl.String,  # decoded, skipped, unmatched, quarantined
    "reason": pl.String,  # of quarantined and skipped
}
"""What became of a message, a row for each feed that matched it, or one row with feed null."""

DECODED: Columns = {
    "message": pl.Int64,
    "index": pl.Int32,  # place in the payload
    "feed": pl.String,
    "channel": pl.String,
    "device": pl.String,  # null where the feed has none
    "meter": pl.String,  # <site>/<path>:<channel>
    "site": pl.String,
    "observed_at": TIME,
    "received_at": TIME,
    "period_start": TIME,  # amounts with a period: it ends at period_end
    "period_end": TIME,
    "event": pl.String,
    "value": pl.String,  # the decimal number as the payload states it: "10.5", "1e-7", "-3"
    "scale": pl.String,  # channel scale x meters-table scale, decimal text; null: 1
    "unit": pl.String,  # as feed or payload states it
    "kind": pl.String,  # counter, rate, amount, level
    "quality": pl.String,  # good, suspect
    "native": pl.String,  # the value's name in the payload: ENERGY.Total
}
"""What a message says, before units: the output of the decoders, one reading a row."""

REJECTS: Columns = {
    "message": pl.Int64,
    "index": pl.Int32,  # null: the whole message
    "feed": pl.String,
    "meter": pl.String,  # null where not known
    "observed_at": TIME,  # null where not known
    "reason": pl.String,  # a word of REASONS
    "detail": pl.String,  # a sentence with the remedy
}
"""What could not be read, and why. A whole message, or one reading of it."""

REASONS = (
    "malformed",  # the decoder cannot read the payload
    "no_value",  # path missing, null, boolean, text that is no number
    "not_finite",
    "no_time",  # stamp missing or unreadable
    "too_old",
    "in_future",
    "out_of_range",  # beyond 1e15 base units
    "below_min",
    "above_max",
    "unknown_unit",  # not in the table, not allowed, or of another dimension than the channel
    "unlisted",  # not in the meters table
    "spike",
    "glitch",
    "too_large",  # payload size, nesting or number of readings
)

READINGS: Columns = {
    "meter": pl.String,
    "site": pl.String,
    "feed": pl.String,
    "channel": pl.String,
    "device": pl.String,
    "kind": pl.String,
    "observed_at": TIME,
    "event": pl.String,
    "period_start": TIME,
    "period_end": TIME,
    "value_n": EXACT,
    "unit": pl.String,  # the stated unit, for people; value_n is in the base unit
    "quality": pl.String,
    "received_at": TIME,
    "message": pl.Int64,
    "index": pl.Int32,
}
"""Accepted readings in base units. Key: (meter, event) where event is set, else (meter, observed_at)."""

EVENTS: Columns = {
    "meter": pl.String,
    "at": TIME,
    "event": pl.String,  # swap, spike, glitch, rollover, jitter, reset, gap, too_fast, overlap
    "detail": pl.String,
    "message": pl.Int64,  # null for a swap
    "index": pl.Int32,
}
"""Named events of a meter, kept and shown. spike and glitch are readings taken out (quarantined)."""

STEPS: Columns = {
    "meter": pl.String,
    "start": TIME,
    "end": TIME,  # == start: an amount at its instant
    "shape": pl.String,  # even (amount_n spread evenly), ramp (trapezoid from rate0_n to rate1_n), point
    "amount_n": EXACT,
    "rate0_n": EXACT,  # base unit an hour, at start (after `direction`)
    "rate1_n": EXACT,
    "estimated": pl.Boolean,
    "suspect": pl.Boolean,
    "spans": pl.Boolean,  # counts for coverage (false for events without period)
    "observed0": TIME,
    "received0": TIME,
    "observed1": TIME,  # period_end for amounts with a period
    "received1": TIME,
}
"""Known amounts between two readings (counter, rate), or of one (amount). Unknown spans have no row."""

AMOUNTS: Columns = {
    "meter": pl.String,
    "interval_start": TIME,
    "amount_n": EXACT,
    "covered_us": pl.Int64,  # null: an event, coverage does not apply
    "estimated_n": EXACT,  # part of abs(amount_n) that was spread over a gap
    "suspect": pl.Boolean,
    "lag_us": pl.Int64,  # max over used readings of received_at - max(interval end, own observed_at or period end)
}
"""How much of a meter falls into each base interval; only intervals in which something is known."""

ACTIVITY: Columns = {
    "source": pl.String,
    "interval_start": TIME,
    "quantity_n": EXACT,
    "covered_us": pl.Int64,  # null: an event source
    "estimated_n": EXACT,
    "suspect": pl.Boolean,
    "lag_us": pl.Int64,
}
"""Activity of a source in a base interval, in the base unit of its dimension (Source plan: `unit`); only known intervals."""

GASES = ("co2", "ch4", "n2o", "hfc", "pfc", "sf6", "nf3", "unsplit", "co2e", "biogenic_co2", "non_kyoto")
"""Parts of a figure. co2, ch4, n2o, sf6, nf3, biogenic_co2: kg of gas. hfc, pfc, unsplit, non_kyoto, co2e: kg CO2e."""

FIGURES: Columns = {
    "interval_start": TIME,
    "site": pl.String,
    "source": pl.String,
    "component": pl.String,
    "scope": pl.Int8,
    "category": pl.String,
    "basis": pl.String,  # location, market or ""
    "method": pl.String,
    "activity_n": EXACT,  # base units; null: unknown
    "activity_unit": pl.String,  # the factor's per_unit, in which it is shown
    **{f"{gas}_n": EXACT for gas in GASES},  # null: not stated by the factor, or unpriced
    "covered_us": pl.Int64,
    "estimated_n": EXACT,  # estimated part of abs(activity_n), all of it where a fallback priced it
    "suspect": pl.Boolean,
    "priced": pl.Boolean,
    "lag_us": pl.Int64,
    "factor_id": pl.String,
    "factor_version": pl.String,
    "factor_age_years": pl.Int32,
    "instrument": pl.String,
    "gwp": pl.String,
    "config": pl.String,
}
"""Base-interval figures as the store holds them; status, shares and text come on reading (processors.rollup)."""

FIGURE_KEY = ("interval_start", "site", "source", "component", "scope", "category", "basis")

OUTPUT: Columns = {
    "interval_start": TIME,
    "interval_end": TIME,
    "site": pl.String,
    "source": pl.String,
    "component": pl.String,
    "scope": pl.Int8,
    "category": pl.String,
    "basis": pl.String,
    "method": pl.String,
    "activity": pl.Float64,
    "activity_unit": pl.String,
    "co2_kg": pl.Float64,
    "ch4_kg": pl.Float64,
    "n2o_kg": pl.Float64,
    "hfc_co2e_kg": pl.Float64,
    "pfc_co2e_kg": pl.Float64,
    "sf6_kg": pl.Float64,
    "nf3_kg": pl.Float64,
    "unsplit_co2e_kg": pl.Float64,
    "co2e_kg": pl.Float64,
    "biogenic_co2_kg": pl.Float64,
    "non_kyoto_co2e_kg": pl.Float64,
    "uncertainty_pct": pl.Float64,
    "coverage": pl.Float64,
    "estimated_share": pl.Float64,
    "unpriced_share": pl.Float64,
    "status": pl.String,
    "factor_id": pl.String,
    "factor_version": pl.String,
    "factor_age_years": pl.Float64,
    "instrument": pl.String,
    "gwp": pl.String,
    "config": pl.String,
}
"""Figure columns as people get them (`tag_<name>` follow)."""


def instant(at: datetime) -> pl.Expr:
    """A UTC instant in an expression. (Made of a datetime, a literal costs several times what uses it.)"""
    return pl.lit((at - _EPOCH) // _TICK).cast(TIME)


def empty(schema: Mapping[str, Any]) -> pl.DataFrame:
    """A frame of this shape without rows."""
    return _empty(tuple(schema.items())).clone()


@lru_cache(maxsize=1000)
def _empty(columns: tuple[tuple[str, Any], ...]) -> pl.DataFrame:
    return pl.DataFrame(schema=dict(columns))


def shaped(frame: pl.DataFrame, schema: Mapping[str, Any]) -> pl.DataFrame:
    """The frame's columns in the schema's order and types; columns it lacks are null."""
    if frame.columns == list(schema) and frame.dtypes == list(schema.values()):
        return frame
    have = frame.schema
    return frame.select_seq(
        _null(name, dtype) if name not in have else name if have[name] == dtype else pl.col(name).cast(dtype)
        for name, dtype in schema.items()
    )


@lru_cache(maxsize=1000)
def _null(name: str, dtype: Any) -> pl.Expr:
    return pl.lit(None, dtype=dtype).alias(name)
