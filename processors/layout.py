"""What rows a roll-up has: its periods, its groups, and which figures each adds up; all of it follows from plan and request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl

from processors.periods import CLOCK, periods
from processors.plan import Plan
from schemas.frames import TIME

LINE = ("source", "component", "scope", "category", "basis")
"""What a figure belongs to, whatever its interval."""
INTERVALS = ("15m", "1h", "1d", "1mo", "1y", "all")
DEFAULT_GROUP = ("site", "source", "scope", "category")


@dataclass(frozen=True)
class Request:
    """One question: `windows` are the UTC ranges of the sites, from (in) to (out); a site without one is left out.

    group_by and the keys of where: site, source, component, scope, category, tag_<name>; where also method and instrument.
    Values are text (scope "none": the categories outside the scopes); those of one column are alternatives, columns narrow each
    other.
    """

    interval: str
    windows: Mapping[str, tuple[datetime, datetime]]
    group_by: tuple[str, ...] = DEFAULT_GROUP
    where: Mapping[str, Sequence[str]] = field(default_factory=dict)
    basis: str = "both"
    consolidated: bool = False


@dataclass(frozen=True)
class Layout:
    """The rows of a request, by number: a line is what a figure belongs to, a `who` a source with the calendar it counts by."""

    request: Request
    lines: pl.DataFrame
    """LINE, line, who, calendar, window_start, window_end."""
    members: pl.DataFrame
    """line, who, group, site, expected (shown when silent), adds (kg and activity): which rows a line adds to."""
    groups: pl.DataFrame
    """group, the grouping columns, basis, mixed (of several zones)."""
    who: pl.DataFrame
    """who, source, site, calendar, active_from, active_to, window_start, window_end."""
    calendar: pl.DataFrame
    """number, common (the same for periods of one name), calendar, period, start, end, order (sorts the rows), done (the instant
    from which nothing adds to the period)."""


def layout(plan: Plan, request: Request) -> Layout:
    """The rows of a request. Raises ValueError for an interval that is not known."""
    if request.interval not in INTERVALS:
        raise ValueError(f"interval {request.interval!r} is not known: use one of {', '.join(INTERVALS)}")
    rows = [(site, *window) for site, window in sorted(request.windows.items()) if window[0] < window[1]]
    ranges: Any = {"site": pl.String, "window_start": TIME, "window_end": TIME}
    windows = pl.DataFrame(rows, schema=ranges, orient="row")
    facts = plan.table.select_seq("source", "site", "zone", "active_from", "active_to").join(plan.tagged, on="source")
    lines = plan.lines.join(facts, on="source").join(windows, on="site").filter(_wanted(request)).sort(LINE, nulls_last=True)
    lines = _over(lines, list(request.group_by), (pl.col("zone").n_unique() > 1).alias("mixed"))
    local = pl.col("site") if request.interval == "all" else pl.col("zone")
    common = pl.col("mixed") if request.interval in CLOCK else pl.lit(False)
    lines = lines.with_columns_seq(calendar=pl.when(common).then(pl.lit("UTC")).otherwise(local)).with_row_index("line")
    each = ["source", "site", "calendar", "active_from", "active_to", "window_start", "window_end"]
    who = lines.select_seq(each).unique(maintain_order=True).with_row_index("who")
    lines = lines.join(who.select_seq("who", "source", "calendar"), on=["source", "calendar"], maintain_order="left")
    members, groups = _members(lines, list(request.group_by))
    return Layout(
        request,
        lines.select_seq(*LINE, "line", "who", "calendar", "window_start", "window_end"),
        members,
        groups,
        who,
        _calendar(lines, request.interval),
    )


def _wanted(request: Request) -> pl.Expr:
    bases = ["", "location", "market"] if request.basis == "both" else ["", request.basis]
    wanted = pl.col("basis").is_in(bases)
    for column, values in request.where.items():
        text = pl.col(column).cast(pl.String).fill_null("none") if column == "scope" else pl.col(column).fill_null("")
        wanted &= text.is_in(list(values))
    return wanted


def _over(lines: pl.DataFrame, group: list[str], fact: pl.Expr) -> pl.DataFrame:
    """A fact of each group, beside its lines; without grouping columns all lines are one group."""
    whole = lines.with_columns_seq(pl.lit(0).alias("whole"))
    keys = group or ["whole"]
    return whole.join(whole.group_by(keys).agg(fact), on=keys, nulls_equal=True, maintain_order="left").drop("whole")


def _members(lines: pl.DataFrame, group: list[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Where a group holds scope 2 there is a row a basis, with the basis-less figures in each; else one row, basis empty.

    In a group with scopes, what is outside them (categories outside_scopes, removal, energy_only) adds no activity and no kg
    but biogenic CO2 and gases outside the Kyoto Protocol, which are apart anyway.
    """
    bases = pl.col("basis").filter(pl.col("basis") != "").unique().sort().alias("bases")
    lines = _over(_over(lines, group, bases), group, pl.col("scope").is_not_null().any().alias("scoped"))
    own = pl.when(pl.col("basis") != "").then(pl.concat_list("basis")).when(pl.col("bases").list.len() > 0).then("bases")
    lines = lines.with_columns_seq(row_basis=own.otherwise(pl.concat_list(pl.lit("")))).explode("row_basis")
    key = [*group, "row_basis"]
    groups = lines.group_by(key).agg(pl.col("mixed").any()).sort(key, nulls_last=True).with_row_index("group")
    members = lines.join(groups.select_seq("group", *key), on=key, nulls_equal=True)
    adds = pl.col("scope").is_not_null() | ~pl.col("scoped")
    members = members.select_seq("line", "who", "group", "site", "expected", adds=adds)
    return members, groups.select_seq("group", *group, "mixed", basis="row_basis")


def _calendar(lines: pl.DataFrame, interval: str) -> pl.DataFrame:
    schema: Any = {"calendar": pl.String, "period": pl.String, "start": TIME, "end": TIME}
    parts = [pl.DataFrame(schema=schema)]
    ranges = lines.group_by("calendar").agg(pl.col("zone").first(), pl.col("window_start").min(), pl.col("window_end").max())
    for calendar, zone, start, end in ranges.sort("calendar").rows():
        found = periods(interval, "UTC" if calendar == "UTC" else zone, start, end)
        parts.append(found.select_seq(pl.lit(calendar).alias("calendar"), "period", "start", "end"))
    frame = pl.concat(parts).sort("start", "calendar").with_row_index("number")
    order, done = pl.col("start"), pl.col("end")
    if lines["mixed"].any():  # a period's row waits for all zones
        order, done = order.min().over("period"), done.max().over("period")
    return frame.with_columns_seq(common=pl.col("number").min().over("period"), order=order, done=done)
