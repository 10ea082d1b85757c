"""READINGS -> READINGS: one reading a key, whatever came twice, late or corrected, and in whatever order.

Key: (meter, event) where an event is stated, else (meter, observed_at). Equal values collapse to their earliest received_at; then
the latest received_at wins, then the greater (topic, payload), then the later index in the payload. The place in the log
never decides. Collapsing what was collapsed before is not the same (a repeated old value would win): keep every version.
"""

from collections.abc import Callable

import polars as pl

from processors.series import codes, edges, ordered

Payloads = Callable[[list[int]], pl.DataFrame]
"""Message ids -> frame (message, topic, payload)."""

_SAID = ["observed_at", "period_start", "period_end", "value_n", "quality", "unit", "feed", "device", "kind", "site"]


def collapse(readings: pl.DataFrame, payloads: Payloads) -> pl.DataFrame:
    """The reading that counts of each key, by meter and time.

    payloads is asked only where two different readings of different messages were received in the same microsecond.

    >>> from datetime import UTC, datetime
    >>> from schemas.frames import READINGS, shaped
    >>> at = lambda second: datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC)
    >>> rows = [{"meter": "s/a:e", "observed_at": at(0), "value_n": v, "received_at": at(r)} for v, r in ((7, 1), (8, 2), (7, 3))]
    >>> collapse(shaped(pl.DataFrame(rows), READINGS), lambda ids: pl.DataFrame()).select_seq("value_n", "received_at").rows()
    [(8, datetime.datetime(2026, 1, 1, 0, 0, 2, tzinfo=zoneinfo.ZoneInfo(key='UTC')))]
    """
    eventful = readings["event"].is_not_null()
    if eventful.any():
        timed = _collapse(readings.filter(~eventful), "observed_at", payloads)
        named = _collapse(readings.filter(eventful), "event", payloads)
        return ordered(pl.concat([timed, named]), then=("event",))
    return _collapse(readings, "observed_at", payloads)


def _collapse(readings: pl.DataFrame, by: str, payloads: Payloads) -> pl.DataFrame:
    placed = ordered(readings) if by == "observed_at" else readings.sort(pl.lit(codes(readings["meter"])), by)
    first = edges(placed, "meter", by)
    if first.all():
        return placed
    last = first.shift(-1, fill_value=True)
    single = first & last
    several = placed.with_columns_seq(_key=first.cast(pl.UInt32).cum_sum()).filter(~single)
    chosen = _choose(several, payloads).drop("_key")
    kept = pl.concat([placed.filter(single), chosen])
    return ordered(kept) if by == "observed_at" else kept


def _choose(several: pl.DataFrame, payloads: Payloads) -> pl.DataFrame:
    """One row a `_key`, by the rule above."""
    received = pl.col("received_at")
    earliest = several.filter(received == received.min().over("_key", "value_n"))
    latest = earliest.filter(received == received.max().over("_key"))
    left = latest.sort("_key", "index", "message", descending=[False, True, False], nulls_last=True)
    left = left.unique(["_key", *_SAID], keep="first", maintain_order=True)
    tied = left["_key"].is_duplicated()
    if not tied.any():
        return left
    open_keys = left.filter(tied)["_key"].unique()
    ties = latest.filter(pl.col("_key").is_in(open_keys.implode()))
    torn = ties.filter(pl.col("message").n_unique().over("_key") > 1)
    asked = payloads(torn["message"].unique().sort().to_list()) if torn.height else _NONE
    said = asked.select_seq(pl.col("message").cast(pl.Int64), "topic", pl.col("payload").cast(pl.Binary)).unique("message")
    ties = ties.join(said, on="message", how="left")
    # what is equal even in topic, payload and index comes from one text, so that the last columns never decide about a value
    order = ["_key", "topic", "payload", "index", "value_n", "observed_at", "quality", "unit", "device", "message"]
    won = (
        ties.sort(order, descending=[name == "message" for name in order], nulls_last=False)
        .unique("_key", keep="last", maintain_order=True)
        .drop("topic", "payload")
    )
    return pl.concat([left.filter(~tied), won])


_NONE = pl.DataFrame(schema={"message": pl.Int64, "topic": pl.String, "payload": pl.Binary})
