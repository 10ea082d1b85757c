"""What rows a roll-up has: its periods, its groups, and which figures each adds up; all of it follows from plan and request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl

from processors.periods import CLOCK, periods
from processors.plan import Plan

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
    request: Request
    lines: pl.DataFrame
    """A line a row: LINE, site, zone, calendar, tags, `mixed` (its group spans zones), `expected` (also shown when silent)."""
    members: pl.DataFrame
    """A line and a row of the output that it adds to: LINE, grouping columns, `out` (its basis), `adds` (kg and activity)."""
    calendar: pl.DataFrame
    """calendar, period, start, end, `order` (sorts periods), `done` (the instant from which no zone adds to the period)."""
    windows: pl.DataFrame
    """site, window_start, window_end."""


def layout(plan: Plan, request: Request) -> Layout:
    """The rows of a request. Raises ValueError for an interval that is not known."""
    if request.interval not in INTERVALS:
        raise ValueError(f"interval {request.interval!r} is not known: use one of {', '.join(INTERVALS)}")
    rows = [(site, *window) for site, window in sorted(request.windows.items()) if window[0] < window[1]]
    ranges: Any = {"site": pl.String, "window_start": pl.Datetime("us", "UTC"), "window_end": pl.Datetime("us", "UTC")}
    windows = pl.DataFrame(rows, schema=ranges, orient="row")
    facts = plan.table.select("source", "site", "zone", "active_from", "active_to").join(plan.tagged, on="source")
    lines = plan.lines.join(facts, on="source").join(windows, on="site").filter(_wanted(request))
    group = list(request.group_by)
    fixed = [name for name in group if name != "component"]
    lines = _over(lines, fixed, (pl.col("zone").n_unique() > 1).alias("mixed"))
    local = pl.col("site") if request.interval == "all" else pl.col("zone")
    common = pl.col("mixed") if request.interval in CLOCK else pl.lit(False)
    lines = lines.with_columns(calendar=pl.when(common).then(pl.lit("UTC")).otherwise(local))
    return Layout(request, lines, _members(lines, group), _calendar(lines, request.interval), windows)


def _wanted(request: Request) -> pl.Expr:
    bases = ["", "location", "market"] if request.basis == "both" else ["", request.basis]
    wanted = pl.col("basis").is_in(bases)
    for column, values in request.where.items():
        text = pl.col(column).cast(pl.String).fill_null("none") if column == "scope" else pl.col(column).fill_null("")
        wanted &= text.is_in(list(values))
    return wanted


def _over(lines: pl.DataFrame, group: list[str], fact: pl.Expr) -> pl.DataFrame:
    """A fact of each group, beside its lines; without grouping columns all lines are one group."""
    if not group:
        return lines.with_columns(lines.select(fact).to_series().new_from_index(0, len(lines)) if len(lines) else fact)
    return lines.join(lines.group_by(group).agg(fact), on=group, nulls_equal=True, maintain_order="left")


def _members(lines: pl.DataFrame, group: list[str]) -> pl.DataFrame:
    """Where a group holds scope 2 there is a row a basis, with the basis-less figures in each; else one row, basis empty.

    In a group with scopes, what is outside them (categories outside_scopes, removal, energy_only) adds no activity and no kg
    but biogenic CO2 and gases outside the Kyoto Protocol, which are apart anyway.
    """
    bases = pl.col("basis").filter(pl.col("basis") != "").unique().sort().alias("bases")
    lines = _over(_over(lines, group, bases.implode()), group, pl.col("scope").is_not_null().any().alias("scoped"))
    own = pl.when(pl.col("basis") != "").then(pl.concat_list("basis")).when(pl.col("bases").list.len() > 0).then("bases")
    members = lines.with_columns(out=own.otherwise(pl.concat_list(pl.lit("")))).explode("out")
    adds = pl.col("scope").is_not_null() | ~pl.col("scoped")
    facts = ["site", "zone", "calendar", "mixed", "expected", "active_from", "active_to", "out"]
    return members.select(*dict.fromkeys([*LINE, *group, *facts]), adds=adds)


def _calendar(lines: pl.DataFrame, interval: str) -> pl.DataFrame:
    parts = []
    ranges = lines.group_by("calendar").agg(pl.col("zone").first(), pl.col("window_start").min(), pl.col("window_end").max())
    for calendar, zone, start, end in ranges.sort("calendar").rows():
        found = periods(interval, "UTC" if calendar == "UTC" else zone, start, end)
        parts.append(found.select(pl.lit(calendar).alias("calendar"), "period", "start", "end"))
    schema: Any = {"calendar": pl.String, "period": pl.String, "start": pl.Datetime("us", "UTC"), "end": pl.Datetime("us", "UTC")}
    frame = pl.concat([pl.DataFrame(schema=schema), *parts])
    across = frame.group_by("period").agg(order=pl.col("start").min(), done=pl.col("end").max())
    return frame.join(across, on="period").sort("calendar", "start")
