"""Roll-ups: figures of base intervals added up over periods and groups.

Sums are exact integers, so that parts may be added in any order: `partial` reduces a chunk of figures, `merge` joins parts,
`finish` makes the rows; `stream` does all of it for a range that is too long to hold.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

import polars as pl

from processors import coverage
from processors.consolidation import consolidated
from processors.layout import LINE, Layout, Request, layout
from processors.output import SHOWN, finish_base, in_units, numbers
from processors.plan import Plan
from processors.product import part
from processors.status import status
from schemas.frames import EXACT, FIGURES, GASES, OUTPUT, TIME, empty

__all__ = ["Layout", "Partial", "Request", "finish", "finish_base", "layout", "merge", "partial", "stream"]

DERIVED = ("wtt", "t_and_d", "wtt_t_and_d")
"""Components of category 3 that repeat the activity of what they derive from; their activity is not added."""

SLICE = 100_000
"""Figures that are added up at a time, which bounds the memory of a long range."""

_TEXTS = ("method", "factor_id", "factor_version", "instrument", "gwp", "config")
_KEYS = ("line", "number", "component", "activity_unit", *_TEXTS)
_GASES = tuple(f"{gas}_n" for gas in GASES)
_MOST_ROWS = 100_000
"""Rows of a roll-up that are made at a time, about."""
_APART = ("biogenic_co2_n", "non_kyoto_n")
_SUMS = ("activity_n", "size", "estimated_n", "unpriced_size", "kg_size", "kg_estimated", "rows", "unpriced_rows")
_ROW = ("common", "group")
_LATEST = ("last_end", "lag_us", "factor_age_years")


class Partial(NamedTuple):
    """Exact sums of some figures: `sums` by period, line and origin; `times` what is covered, by period and source."""

    sums: pl.DataFrame
    times: pl.DataFrame


def partial(figures: pl.DataFrame, plan: Plan, rows: Layout) -> Partial:
    """Sums of a chunk of FIGURES. A chunk holds whole base intervals of a source; chunks do not overlap.

    The estimated part of a figure's kg is its kg x estimated activity / activity, rounded half to even.
    """
    found = figures.with_columns_seq(pl.col(n).cast(pl.String) for n, kind in FIGURES.items() if kind == pl.String)
    if rows.request.consolidated:
        found = consolidated(found, plan)
    found = found.join(rows.lines, on=list(LINE), nulls_equal=True)
    found = found.filter(pl.col("interval_start").is_between("window_start", "window_end", closed="left")).sort("interval_start")
    spans = rows.calendar.select_seq("calendar", "number", "start").sort("start")
    found = found.join_asof(spans, left_on="interval_start", right_on="start", by="calendar", check_sortedness=False)
    none = pl.lit(0, dtype=EXACT)
    weighed = found.with_columns_seq(size=pl.col("activity_n").abs(), kg_size=pl.col("co2e_n").abs())
    weighed = weighed.with_columns_seq(
        part(weighed["kg_size"], weighed["estimated_n"], weighed["size"]).fill_null(0).alias("kg_estimated"),
        unpriced_size=pl.when("priced").then(none).otherwise("size"),
        rows=pl.lit(1, dtype=pl.Int64),
        unpriced_rows=(~pl.col("priced")).cast(pl.Int64),
        last_end=pl.col("interval_start") + pl.duration(microseconds=plan.base_us),
    )
    return Partial(_added(weighed), coverage.times(found, plan))


def merge(parts: Sequence[Partial]) -> Partial:
    """Several parts as one; their order does not matter."""
    return Partial(_added(pl.concat(p.sums for p in parts)), coverage.merged(pl.concat(p.times for p in parts)))


def _added(frame: pl.DataFrame) -> pl.DataFrame:
    """Sums by key; a gas that no row states stays null."""
    gases = [pl.when(pl.col(g).count() > 0).then(pl.col(g).sum()).alias(g) for g in _GASES]
    return frame.group_by(_KEYS).agg(*gases, *(pl.col(c).sum() for c in _SUMS), *(pl.col(c).max() for c in _LATEST))


def finish(total: Partial, plan: Plan, clock: Mapping[str, datetime], first: pl.DataFrame, rows: Layout) -> pl.DataFrame:
    """The rows of a roll-up: period, interval_start, interval_end, the grouping columns, basis, and the columns that sums define.

    clock: site -> the newest received_at of its readings; first: meter, first_observed_at. Every group has a row in every period
    in which a source of it is active, also when silent (status missing, coverage 0). Sorted by period, group and basis.
    """
    spans = coverage.active(rows, plan, first)
    numbered = rows.calendar.select_seq("number", "common", "start", "end", "order")
    share = coverage.covered(spans, total.times, rows, plan).join(rows.members.select_seq("who", "group").unique(), on="who")
    share = share.join(numbered.select_seq("number", "common"), on="number")
    share = share.group_by(_ROW).agg(pl.col("covered_us", "expected_us").sum())
    heard = total.sums.join(rows.members.select_seq("line", "group", "site", "adds"), on="line")
    heard = heard.join(numbered.select_seq("number", "common"), on="number")
    silent = rows.members.filter("expected").select_seq("who", "group").unique().join(spans.select_seq("who", "number"), on="who")
    known = (
        pl.concat([silent.select_seq("group", "number"), heard.select_seq("group", "number")])
        .unique()
        .join(numbered, on="number")
    )
    table = known.group_by(_ROW).agg(pl.col("order").min(), pl.col("start").min(), pl.col("end").max())
    names = rows.calendar.select_seq("common", "period").unique()
    table = table.sort("order", "common", "group").join(rows.groups, on="group", maintain_order="left")  # groups are in order
    for facts, key in ((names, ["common"]), (share, _ROW), (_grouped(heard, plan, clock), _ROW)):
        table = table.join(facts, on=key, how="left", maintain_order="left")
    return _shown(table, list(rows.request.group_by))


def _grouped(heard: pl.DataFrame, plan: Plan, clock: Mapping[str, datetime]) -> pl.DataFrame:
    """One row a period and group in which something is known, still exact."""
    lateness = plan.lateness_us
    newest = pl.col("site").replace_strict(dict(clock), default=None, return_dtype=TIME)
    nothing = pl.lit(None, dtype=EXACT)
    origins = heard.select_seq(_TEXTS).unique().with_row_index("origin")
    units = heard.select_seq("activity_unit").unique().drop_nulls().sort("activity_unit").with_row_index("unit")
    found = heard.join(origins, on=list(_TEXTS), nulls_equal=True).join(units, on="activity_unit", how="left")
    own = pl.col("adds") & ~pl.col("component").is_in(DERIVED)
    found = found.with_columns_seq(
        *(pl.when("adds").then(g).otherwise(nothing).alias(g) for g in _GASES if g not in _APART),
        *(pl.when(own).then(c).alias(c) for c in ("activity_n", "size", "estimated_n", "unpriced_size", "unit")),
        provisional=newest <= pl.col("last_end") + pl.duration(microseconds=lateness),
    )
    gases = [pl.when(pl.col(g).count() > 0).then(pl.col(g).sum()).alias(g) for g in _GASES]
    table = found.group_by(_ROW).agg(
        *gases,
        *(pl.col(c).sum() for c in _SUMS),
        pl.col("factor_age_years").max(),
        pl.col("provisional").any(),
        restated=(pl.col("lag_us") > lateness).any(),
        unit=pl.when(pl.col("unit").min() == pl.col("unit").max()).then(pl.col("unit").min()),
        origin=pl.col("origin").min(),
        last_origin=pl.col("origin").max(),
    )
    return _texts(table.join(units, on="unit", how="left"), found, origins)


def _texts(table: pl.DataFrame, found: pl.DataFrame, origins: pl.DataFrame) -> pl.DataFrame:
    """The distinct words of each text column, sorted, joined by `;`, worked out once for each set of origins."""
    several = table.filter(pl.col("origin") != pl.col("last_origin")).select_seq(_ROW)
    sets = found.join(several, on=_ROW, how="semi").group_by(_ROW).agg(pl.col("origin").unique().sort().alias("origins"))
    single = table.filter(pl.col("origin") == pl.col("last_origin")).select_seq(*_ROW, origins=pl.concat_list("origin"))
    sets = pl.concat([sets, single])
    kinds = sets.select_seq("origins").unique().with_row_index("set")
    words = kinds.explode("origins").join(origins, left_on="origins", right_on="origin")
    joined = [pl.col(t).drop_nulls().str.split(";").explode().drop_nulls().unique().sort().str.join(";").alias(t) for t in _TEXTS]
    told = words.group_by("set").agg(joined).with_columns_seq(pl.col(t).replace("", None) for t in _TEXTS)
    named = sets.join(kinds.join(told, on="set").drop("set"), on="origins").drop("origins")
    return table.join(named, on=_ROW, how="left")


def _shown(table: pl.DataFrame, group: list[str]) -> pl.DataFrame:
    """Numbers, shares and status of exact rows, in the columns of the contract."""
    one = pl.col("activity_unit").is_not_null()
    table = table.with_columns_seq(heard=pl.col("rows").is_not_null())
    kg, size = (pl.col(c).cast(pl.Float64) for c in ("kg_size", "size"))
    by_kg, by_activity = pl.col("kg_estimated").cast(pl.Float64) / kg, pl.col("estimated_n").cast(pl.Float64) / size
    estimated = pl.when(kg > 0).then(by_kg).when(one & (size > 0)).then(by_activity).when(pl.col("estimated_n") == 0).then(0.0)
    unpriced = pl.col("unpriced_size").cast(pl.Float64) / size
    by_rows = pl.col("unpriced_rows") / pl.col("rows")
    share = pl.col("covered_us") / pl.col("expected_us")
    table = table.with_columns_seq(
        in_units(table["activity_n"], table["activity_unit"]).alias("activity"),
        *(numbers(table[f"{gas}_n"]).alias(shown) for gas, shown in SHOWN.items()),
        coverage=pl.when(~pl.col("heard")).then(0.0).when(pl.col("expected_us") > 0).then(share),
        estimated_share=pl.when("heard").then(estimated.clip(0, 1)),
        unpriced_share=pl.when("heard").then(pl.when(one & (unpriced > 0)).then(unpriced).otherwise(by_rows)),
        uncertainty_pct=pl.lit(None, dtype=pl.Float64),
        factor_age_years=pl.col("factor_age_years").cast(OUTPUT["factor_age_years"]),
        interval_start=pl.when(~pl.col("mixed")).then("start"),
        interval_end=pl.when(~pl.col("mixed")).then("end"),
        status=status(
            known=pl.col("heard"),
            priced=pl.col("unpriced_rows") == 0,
            provisional=pl.col("provisional"),
            restated=pl.col("restated"),
        ),
    )
    names = [
        c
        for c in OUTPUT
        if c not in ("interval_start", "interval_end", "site", "source", "component", "scope", "category", "basis")
    ]
    columns = ["period", "interval_start", "interval_end", *group, "basis", *names]
    return table.select_seq(columns)


def stream(
    chunks: Iterable[pl.DataFrame], plan: Plan, rows: Layout, clock: Mapping[str, datetime], first: pl.DataFrame
) -> Iterator[pl.DataFrame]:
    """The rows of a roll-up from FIGURES in chunks of time; a period is given out as soon as no later chunk can add to it.

    Chunks are in time order; an interval may be cut between two of them. Memory holds the periods that are still open.
    """
    held: list[pl.DataFrame] = []
    parts: list[Partial] = []
    calendar = rows.calendar
    for chunk in (cut for given in chunks for cut in given.iter_slices(SLICE) if len(cut)):
        held.append(chunk)
        newest = chunk["interval_start"].max()
        open_ = pl.concat(held)
        ready = open_.filter(pl.col("interval_start") < newest)
        if not len(ready):
            continue
        held = [open_.filter(pl.col("interval_start") >= newest)]
        parts = [merge([*parts, partial(ready, plan, rows)])]
        waiting = calendar.filter(pl.col("done") > newest)["order"].min()
        done = calendar.filter(pl.col("order") < waiting) if waiting is not None else calendar
        if len(done):
            calendar = calendar.join(done, on="number", how="anti")
            yield from (_upto(parts, some, plan, clock, first, rows) for some in _pieces(done, rows))
            keep = [frame.join(done, on="number", how="anti") for frame in parts[0]]
            parts = [Partial(*keep)]
    left = pl.concat(held) if held else empty(FIGURES)
    parts = [merge([*parts, partial(left, plan, rows)])]
    yield from (_upto(parts, some, plan, clock, first, rows) for some in _pieces(calendar, rows))


def _pieces(calendar: pl.DataFrame, rows: Layout) -> Iterator[pl.DataFrame]:
    """The periods in turn, a bounded number of rows at a time: a long silence is as long a table as a busy time."""
    orders = calendar["order"].unique().sort()
    size = max(1, _MOST_ROWS // max(1, len(rows.members)))
    for at in range(0, max(1, len(orders)), size):
        yield calendar.filter(pl.col("order").is_in(orders[at : at + size].implode()))


def _upto(
    parts: list[Partial], done: pl.DataFrame, plan: Plan, clock: Mapping[str, datetime], first: pl.DataFrame, rows: Layout
) -> pl.DataFrame:
    total = merge(parts)
    some = [frame.join(done, on="number", how="semi") for frame in total]
    return finish(Partial(*some), plan, clock, first, replace(rows, calendar=done))
