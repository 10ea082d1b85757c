"""From raw tokens to readings: numbers, meters, instants, units, periods; and the reason where one of them is missing."""

from typing import Any

import polars as pl

from ingest import clock, naming
from ingest.decoders.decoder import matches, text
from ingest.ready import Feeds, Spec
from ingest.values import numbers, texts
from schemas.frames import DECODED, REJECTS, TIME, empty, shaped

RAW = {
    "row": pl.UInt32,  # of the messages frame
    "route": pl.UInt32,
    "index": pl.Int32,
    "spec": pl.UInt32,
    **dict.fromkeys(("value", "stamp", "unit_token", "event", "quality", "device_token", "start", "end"), pl.String),
}
"""One reading as tokens: what the slots of all payloads say."""

MOST_NAMED = 50_000
_NAMES = {
    "name": pl.Int64,
    **dict.fromkeys(("device_token", "feed", "channel", "native", "kind", "unit", "scale", "site", "meter"), pl.String),
    **dict.fromkeys(("zone", "format", "device", "unlisted"), pl.String),
    **dict.fromkeys(("valid_from", "valid_to", "period_us"), pl.Int64),
    **dict.fromkeys(("stamped", "optional", "has_event", "has_periods"), pl.Boolean),
    "rank": pl.Int32,
    "series": pl.Int64,  # a meter, as one of those that a device may be
}


def readings(
    raw: pl.DataFrame, specs: list[Spec], routes: list[tuple[Any, ...]], messages: pl.DataFrame, feeds: Feeds
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """RAW -> DECODED and REJECTS. `routes`: (feed number, captures) by route number; `messages`: MESSAGES by row."""
    values, reasons = numbers(raw["value"])
    devices = raw["device_token"].null_count() < raw.height
    keys = ["name", "device_token"] if devices else ["name"]
    raw = raw.with_columns_seq(
        values.alias("number"),
        reasons.alias("reason"),
        (pl.col("route").cast(pl.Int64) * len(specs) + pl.col("spec")).alias("name"),
    )
    names = _names(raw.select_seq(keys).unique(), specs, routes, feeds)
    frame = raw.join(
        names if devices else names.drop("device_token"), on=keys, how="left", nulls_equal=True, maintain_order="left"
    )
    if names["optional"].any():
        frame = frame.filter(~(pl.col("optional") & pl.col("reason").is_not_null()))
    frame = frame.with_columns_seq(
        messages["received_at"].gather(frame["row"]).alias("received_at"),
        messages["message"].gather(frame["row"]).alias("message"),
    )
    frame = _times(frame, names)
    frame = _valid(frame, names)
    frame = _units(frame, specs)
    frame = _words(frame, specs)
    bad = frame["reason"].is_not_null()
    if not bad.any():
        return shaped(_stated(frame), DECODED), empty(REJECTS)
    return shaped(_stated(frame.filter(~bad)), DECODED), _rejects(frame.filter(bad).rechunk())


def _stated(good: pl.DataFrame) -> pl.DataFrame:
    """With the number in place of the token that it was read from."""
    return good.with_columns_seq(good["number"].alias("value"))


def _names(wanted: pl.DataFrame, specs: list[Spec], routes: list[tuple[Any, ...]], feeds: Feeds) -> pl.DataFrame:
    """What is the same for one route, spec and device: meter, site, zone, unit, scale; several rows where the table is dated."""
    rows: list[tuple[Any, ...]] = []
    for name, *tokens in wanted.sort(wanted.columns).rows():
        route, number = divmod(name, len(specs))
        token = tokens[0] if tokens else None
        found = (
            _named(feeds, routes[route], specs[number])
            if token is None
            else _worked_out(feeds, routes[route], specs[number], token)
        )
        rows += [(name, token, *row, rank, len(rows) + rank) for rank, row in enumerate(found)]
    return pl.DataFrame(rows, schema=_NAMES, orient="row")


def _named(feeds: Feeds, route: tuple[Any, ...], spec: Spec) -> list[tuple[Any, ...]]:
    """The same without a device in the payload, remembered: devices publish to the same topics again and again."""
    key = (route[0], *route[1].items(), spec)
    known = feeds.named.get(key)
    if known is None:
        if len(feeds.named) > MOST_NAMED:  # topics come from devices
            feeds.named.clear()
        known = feeds.named[key] = _worked_out(feeds, route, spec, None)
    return known


def _worked_out(feeds: Feeds, route: tuple[Any, ...], spec: Spec, token: str | None) -> list[tuple[Any, ...]]:
    """What `_names` says of a name, but for name, token and the numbers at the end."""
    feed, captured = feeds.feeds[route[0]], route[1]
    rule = feed.naming
    device = naming.device_of(rule, captured) if rule.device_path is None else text(token)
    found: list[naming.Named] | str
    if rule.device_path is not None and not device:
        found = f"there is no device name at {rule.device_path.text}"
    else:
        found = naming.names(rule, captured, device, spec.channel)
    rows = []
    for one in [None] if isinstance(found, str) else found:
        scale = spec.scale * one.scale if one else spec.scale
        rows.append(
            (
                feed.feed.feed, spec.channel, spec.native, spec.kind, (one and one.unit) or spec.unit,
                None if scale == 1 else format(scale, "f"), one and one.site, one and one.meter,
                spec.zone or (one.zone if one else None), spec.time_format, device, found if isinstance(found, str) else None,
                one and one.start_us, one and one.end_us, spec.period_us,
                spec.stamped, spec.optional, spec.event, spec.periods,
            )
        )  # fmt: skip
    return rows


def _times(frame: pl.DataFrame, names: pl.DataFrame) -> pl.DataFrame:
    missing = frame["stamp"].is_null() | (frame["stamp"] == "null")
    if missing.all():
        at = pl.select(pl.when(~frame["stamped"] | frame["format"].is_null()).then(frame["received_at"])).to_series()
    else:
        at = clock.instants(frame, frame["stamp"])
        if missing.any() or names["format"].null_count():
            arrival = (missing & ~frame["stamped"]) | frame["format"].is_null()
            at = frame["received_at"].zip_with(arrival, at)
    frame = frame.with_columns_seq(at.alias("observed_at"))
    if at.null_count() or names["unlisted"].null_count() < names.height:
        frame = frame.with_columns_seq(
            pl.when(pl.col("reason").is_not_null())
            .then("reason")
            .when(pl.col("unlisted").is_not_null())
            .then(pl.lit("unlisted"))
            .when(pl.col("observed_at").is_null())
            .then(pl.lit("no_time"))
            .alias("reason")
        )
    length = pl.duration(microseconds=pl.col("period_us"))
    whole = pl.when(pl.col("period_us").is_not_null())
    if names["period_us"].null_count() < names.height:
        frame = frame.with_columns_seq(
            whole.then(pl.col("observed_at") - length).cast(TIME).alias("period_start"),
            whole.then("observed_at").cast(TIME).alias("period_end"),
        )
    if names["has_periods"].any():
        frame = _periods(frame)
    return frame


def _periods(frame: pl.DataFrame) -> pl.DataFrame:
    """Periods that the payload states, in the feed's format and zone; one that does not end after its start is no_time."""
    asked = frame.with_columns_seq(pl.col("format").fill_null("iso8601"))
    start, end = clock.instants(asked, frame["start"]), clock.instants(asked, frame["end"])
    states = pl.col("has_periods")
    have = {name for name in ("period_start", "period_end") if name in frame.columns}
    frame = frame.with_columns_seq(
        pl.when(states).then(found).otherwise(pl.col(name) if name in have else None).cast(TIME).alias(name)
        for name, found in (("period_start", start), ("period_end", end))
    )
    bad = states & ~(pl.col("period_start") < pl.col("period_end")).fill_null(False) & pl.col("reason").is_null()
    return frame.with_columns_seq(pl.when(bad).then(pl.lit("no_time")).otherwise("reason").alias("reason"))


def _valid(frame: pl.DataFrame, names: pl.DataFrame) -> pl.DataFrame:
    """Of the meters that a device may be, the one whose dates hold the reading; none: unlisted."""
    if not names["rank"].max() and names["valid_from"].null_count() == names["valid_to"].null_count() == names.height:
        return frame
    at = pl.col("observed_at").to_physical()
    holds = (
        pl.col("observed_at").is_not_null()
        & (pl.col("valid_from").is_null() | (at >= pl.col("valid_from")))
        & (pl.col("valid_to").is_null() | (at < pl.col("valid_to")))
    )
    one = ["row", "route", "index"]
    frame = frame.with_columns_seq(holds.alias("holds")).sort(
        [*one, "holds", "rank"], descending=[False, False, False, True, False]
    )
    frame = frame.unique(one, keep="first", maintain_order=True)
    late = ~pl.col("holds") & pl.col("reason").is_null()
    return frame.with_columns_seq(
        pl.when(late).then(pl.lit("unlisted")).otherwise("reason").alias("reason"),
        pl.when(pl.col("holds")).then("meter").alias("meter"),
        pl.when(late)
        .then(pl.format("device {} is in the meters table, but not at this time: add a row", "device"))
        .otherwise("unlisted")
        .alias("unlisted"),
    )


def _units(frame: pl.DataFrame, specs: list[Spec]) -> pl.DataFrame:
    """Units that payloads state: those the feed allows."""
    limited = [number for number, spec in enumerate(specs) if spec.allow]
    if frame["unit_token"].null_count() == frame.height and not limited:
        return frame
    stated = texts(frame["unit_token"])
    frame = frame.with_columns_seq(pl.col("unit").fill_null(stated), stated.alias("stated"))
    if not limited:
        return frame
    pairs = frame.filter(pl.col("spec").is_in(limited)).select_seq("spec", "stated").unique()
    refused = pairs.filter(pl.Series([unit not in (specs[spec].allow or ()) for spec, unit in pairs.rows()], dtype=pl.Boolean))
    if not refused.height:
        return frame
    refused = refused.with_columns_seq(pl.lit(True).alias("refused"))
    frame = frame.join(refused, on=["spec", "stated"], how="left", nulls_equal=True, maintain_order="left")
    bad = pl.col("refused").fill_null(False) & pl.col("reason").is_null()
    return frame.with_columns_seq(pl.when(bad).then(pl.lit("unknown_unit")).otherwise("reason").alias("reason"))


def _words(frame: pl.DataFrame, specs: list[Spec]) -> pl.DataFrame:
    """Event ids and quality."""
    quality: pl.Expr = pl.lit("good")
    rated = [number for number, spec in enumerate(specs) if spec.good is not None]
    if rated:
        pairs = frame.filter(pl.col("spec").is_in(rated)).select_seq("spec", "quality").unique()
        bad = pairs.filter(pl.Series([not matches(said, specs[spec].good) for spec, said in pairs.rows()], dtype=pl.Boolean))
        marked = bad.with_columns_seq(pl.lit("suspect").alias("mark"))
        frame = frame.join(marked, on=["spec", "quality"], how="left", nulls_equal=True, maintain_order="left")
        quality = pl.col("mark").fill_null("good")
    frame = frame.with_columns_seq(quality.alias("quality"))
    if frame["has_event"].any():
        event = texts(frame["event"])
        frame = frame.with_columns_seq(event.alias("event"))
        lacks = pl.col("has_event") & (pl.col("event").fill_null("") == "") & pl.col("reason").is_null()
        frame = frame.with_columns_seq(
            pl.when(lacks).then(pl.lit("no_value")).otherwise("reason").alias("reason"), lacks.alias("no_event")
        )
    return frame


def _rejects(bad: pl.DataFrame) -> pl.DataFrame:
    """Why, in a sentence, with what the payload says there."""

    def said(column: str) -> pl.Expr:
        return pl.col(column).str.slice(0, 60).fill_null("nothing")

    native = pl.col("native")
    lacks = pl.col("no_event") if "no_event" in bad.columns else pl.lit(False)
    unit = said("stated") if "stated" in bad.columns else pl.lit("nothing")
    reason = pl.col("reason")
    period = pl.col("has_periods") & pl.col("observed_at").is_not_null()
    detail = (
        pl.when(lacks.fill_null(False))
        .then(pl.format("{}: its event id is missing: every event needs one, else it would count twice", native))
        .when((reason == "no_value") & pl.col("value").is_null())
        .then(pl.format("there is no value at {}: correct value:, or say with where: which messages hold it", native))
        .when(reason == "no_value")
        .then(pl.format("{} says {}, which is no number: correct value: or the device", native, said("value")))
        .when(reason == "not_finite")
        .then(pl.format("{} says {}, which is not finite", native, said("value")))
        .when(reason == "out_of_range")
        .then(pl.format("{} has more than 400 digits", native))
        .when(reason == "unlisted")
        .then("unlisted")
        .when((reason == "no_time") & period)
        .then(pl.format("the period from {} to {} is none: correct period: or the device", said("start"), said("end")))
        .when(reason == "no_time")
        .then(pl.format("the stamp says {}, which is no {}: correct observed_at:", said("stamp"), pl.col("format").fill_null("")))
        .when(reason == "unknown_unit")
        .then(pl.format("{} is in {}, which unit: allow: does not list", native, unit))
    )
    return shaped(bad.with_columns_seq(detail.alias("detail")), REJECTS)
