"""Figures: table and chart of any range, interval, grouping and basis; download; each base figure leads to its trace."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import polars as pl
from nicegui import run, ui

from scopeline.console import charts
from scopeline.console.frame import Chart, card, dialogue, frame, percent, shown
from scopeline.query import QueryError, figure_query, local, moment, rfc3339
from scopeline.service import Service

_INTERVALS = {"base": "Base", "15m": "15 minutes", "1h": "Hour", "1d": "Day", "1mo": "Month", "1y": "Year", "all": "Whole range"}
_BASES = ("location", "market", "both")
_GROUPS = ("site", "source", "scope", "category", "component")
_DAYS = ("1d", "1mo", "1y")
_LIMIT = 2_000


@dataclass
class Asked:
    """What the form says; bound to its fields."""

    start: str
    end: str
    interval: str = "1h"
    group: list[str] | None = None
    basis: str = "location"
    where: str = ""

    def arguments(self) -> dict[str, str]:
        return {
            "from": self.start,
            "to": self.end,
            "interval": self.interval,
            "group_by": ",".join(self.group or ["none"]),
            "basis": self.basis,
            "where": self.where,
        }


_KEYS = {"from": "start", "to": "end", "interval": "interval", "basis": "basis", "where": "where"}


def linked(asked: Asked, given: Mapping[str, str], base: timedelta, groups: Sequence[str] = _GROUPS) -> dict[str, Any] | None:
    """Put what the page's address says into the form; the figure whose trace it asks for, if it does.

    The address may say from, to, interval, basis, where and group_by, or trace=SOURCE and at=TIME (RFC 3339, or the Unix
    milliseconds that Grafana knows). What the form does not offer is left as it is.

    >>> form = Asked("2026-01-01", "2026-01-02")
    >>> linked(form, {"trace": "boiler", "at": "1767225600000", "basis": "market"}, timedelta(minutes=1))
    {'source': 'boiler', '_at': '2026-01-01T00:00:00Z', 'basis': 'market'}
    >>> form.start, form.end, form.interval, form.where
    ('2026-01-01T00:00:00Z', '2026-01-01T00:01:00Z', 'base', 'source=boiler')
    """
    offered = {"interval": list(_INTERVALS), "basis": list(_BASES)}
    for key, name in _KEYS.items():
        if given.get(key) and given[key] in offered.get(key, [given[key]]):
            setattr(asked, name, given[key])
    asked.group = [group for group in given.get("group_by", "").split(",") if group in groups] or asked.group
    source, at = given.get("trace"), given.get("at", "")
    if not source:
        return None
    if re.fullmatch(r"\d{1,15}(\.\d+)?", at):
        instant = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=float(at))
    else:
        instant = moment(at, "at").instant("UTC")
    start = instant - (instant - datetime(1970, 1, 1, tzinfo=UTC)) % base
    asked.start, asked.end, asked.interval = rfc3339(start), rfc3339(start + base), "base"
    asked.where = f"source={source}"
    return {"source": source, "_at": asked.start, "basis": asked.basis if asked.basis != "both" else ""}


def page(service: Service) -> None:
    """Build the page and ask for what its address says, else for today by hour and scope."""
    zone = service.plant.settings.sites[0].timezone
    today = service.host.now().astimezone(ZoneInfo(zone)).date()
    asked = Asked(str(today - timedelta(days=1)), str(today + timedelta(days=1)), group=["site", "scope"])
    groups = [*_GROUPS, *(f"tag_{tag}" for tag in service.plant.settings.tags)]
    problem, wanted = "", None
    try:
        base = service.plant.settings.reporting.base_interval
        wanted = linked(asked, ui.context.client.request.query_params, base, groups)
    except (QueryError, OverflowError) as error:
        problem = str(error)
    with frame(service, "/figures") as stage:
        with card(), ui.row().classes("items-end w-full").style("gap: 14px"):
            ui.input("From").bind_value(asked, "start").style("width: 130px").tooltip("2026, 2026-03, 2026-03-29 or an instant")
            ui.input("To (exclusive)").bind_value(asked, "end").style("width: 130px")
            ui.select(_INTERVALS, label="Interval").bind_value(asked, "interval").style("width: 130px")
            ui.select(groups, label="Group by", multiple=True).bind_value(asked, "group").style("min-width: 170px")
            ui.select(list(_BASES), label="Basis").bind_value(asked, "basis").style("width: 120px")
            ui.input("Only").bind_value(asked, "where").style("width: 180px").tooltip(
                "column=value, like source=boiler-1,scope=1"
            )
            show = ui.button("Show").props("no-caps color=teal-9")
            with ui.dropdown_button("Download", auto_close=True).props("no-caps outline color=teal-9"):
                for ending in ("csv", "xlsx", "parquet", "json"):
                    ui.item(ending, on_click=lambda e=ending: ui.navigate.to(_download(asked, e)))
        note = ui.label().classes("scope-soft")
        with card() as area:
            graph = Chart(300)
        table = ui.table(columns=[], rows=[], row_key="_row", pagination=25).props("dense flat").classes("w-full cursor-pointer")
        table.on("row-click", lambda event: clicked(event.args[1])).set_visibility(False)

        async def ask() -> None:
            try:
                rows = await run.io_bound(_rows, service, asked)
            except QueryError as error:
                ui.notify(str(error), type="negative", multi_line=True)
                return
            if rows is None:
                return
            cut = f"The first {_LIMIT:,} rows; download for all of them. " if len(rows) > _LIMIT else ""
            note.set_text(f"{cut}{len(rows):,} rows. Times are local to {zone}.")
            series, axis = _series(rows, asked, zone)
            area.set_visibility(bool(series))
            shown_basis = "location" if asked.basis == "both" else asked.basis
            options = charts.stacked_bars("kgCO2e", axis, series, days=asked.interval in _DAYS)
            graph.show(f"Emissions, {shown_basis}-based ({axis})", options)
            _fill(table, rows.head(_LIMIT), asked, zone)

        async def clicked(row: dict[str, Any]) -> None:
            """A base figure shows its trace; any other row the base figures that it adds up. The form may say something else."""
            if row["_base"]:
                await _trace(service, stage, row)
            elif row["_at"]:
                asked.start, asked.end, asked.interval = row["_at"], row["_end"], "base"
                asked.where = row["_where"]
                await ask()
            else:
                ui.notify("This row adds up sites of several time zones: group by site to see its base figures.")

        async def begin() -> None:
            if problem:
                ui.notify(problem, type="negative", multi_line=True)
            await ask()
            if wanted:
                try:
                    await _trace(service, stage, wanted)
                except (LookupError, QueryError) as error:
                    ui.notify(str(error), type="negative", multi_line=True)

        show.on_click(ask)
        ui.timer(0.1, begin, once=True)


def _download(asked: Asked, ending: str) -> str:
    return "/api/v1/figures?" + urlencode({**asked.arguments(), "format": ending})


def _rows(service: Service, asked: Asked) -> pl.DataFrame:
    """Up to one row more than the page shows."""
    given = asked.arguments()
    query = figure_query(service.plant, asked.start, asked.end, asked.interval, given["group_by"], asked.where, asked.basis)
    found: list[pl.DataFrame] = []
    for chunk in service.figures(query):
        found.append(chunk)
        if sum(map(len, found)) > _LIMIT:
            break
    return pl.concat(found, how="diagonal_relaxed").head(_LIMIT + 1) if found else pl.DataFrame()


def _series(rows: pl.DataFrame, asked: Asked, zone: str) -> tuple[dict[str, list[tuple[datetime, float | None]]], str]:
    """One stacked series a group, and the zone of its axis: UTC where a row adds sites of several zones.

    A chart of both bases would add what must not be added: it shows location.
    """
    if rows.is_empty() or asked.interval == "all":
        return {}, zone
    if rows["interval_start"].null_count():
        starts = [datetime.fromisoformat(f"{period}-01-01"[: max(10, len(period))]) for period in rows["period"]]
        utc = [at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC) for at in starts]
        rows, zone = rows.with_columns(pl.Series("interval_start", utc, dtype=pl.Datetime("us", "UTC"))), "UTC"
    if "basis" in rows.columns and asked.basis == "both":
        rows = rows.filter(pl.col("basis").is_in(["location", ""]))
    groups = ["source"] if asked.interval == "base" else [g for g in asked.group or [] if g in rows.columns]
    words = [pl.col(group).cast(pl.String).fill_null("none") for group in groups] or [pl.lit("total")]
    kg = pl.when(pl.col("co2e_kg").count() > 0).then(pl.col("co2e_kg").sum())
    named = (
        rows.group_by("interval_start", _name=pl.concat_str(words, separator=" · ")).agg(kg=kg).sort("_name", "interval_start")
    )
    times = named["interval_start"].unique().sort().to_list()
    result = {}
    for (key,), points in named.group_by("_name", maintain_order=True):
        values = dict(points.select("interval_start", "kg").iter_rows())
        if points["kg"].null_count() == len(points):
            continue
        label = f"Scope {key}" if groups == ["scope"] and str(key).isdigit() else str(key)
        result[label] = [(at, values.get(at)) for at in times]
    return result, zone


_SHARES = ("coverage", "estimated_share", "unpriced_share")
_FIRST = ("period", "interval_start", "site", "source", "component", "scope", "category", "basis", "activity", "activity_unit")
_KG = ("co2e_kg", "co2_kg", "ch4_kg", "n2o_kg", "biogenic_co2_kg")
_LAST = ("coverage", "estimated_share", "unpriced_share", "status", "instrument", "factor_id", "factor_version")


def _fill(table: ui.table, rows: pl.DataFrame, asked: Asked, zone: str) -> None:
    """Show rows in the table that stays: a click on the row before them finds it still there."""
    tags = [c for c in rows.columns if c.startswith("tag_")]
    hidden = {"interval_start"} if "period" in rows.columns else set()
    wanted = [c for c in (*_FIRST, *tags, *_KG, *_LAST) if c in rows.columns and c not in hidden]
    sides = {c: "right" if rows.schema[c].is_numeric() else "left" for c in wanted}
    table.columns = [{"name": c, "label": c, "field": c, "align": sides[c], "sortable": True} for c in wanted]
    table.rows = [_row(number, row, wanted, asked, zone) for number, row in enumerate(rows.iter_rows(named=True))]
    table.pagination = {**table.pagination, "page": 1}
    table.set_visibility(True)


def _row(number: int, row: dict[str, Any], wanted: list[str], asked: Asked, zone: str) -> dict[str, Any]:
    """A row of the table: its cells, and (`_...`) what a click on it needs."""
    cells = _cells(row, wanted, zone)
    where = ",".join(f"{name}={cells[name]}" for name in asked.group or [] if cells.get(name))
    times = {"_at": rfc3339(row["interval_start"]), "_end": rfc3339(row["interval_end"])}
    return {"_row": number, "_base": asked.interval == "base", "_where": where, **times, **cells}


def _cells(row: dict[str, Any], wanted: list[str], zone: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in wanted:
        value = row[name]
        if name in _SHARES:
            found[name] = percent(value)
        elif isinstance(value, datetime):
            found[name] = local(value, zone)
        elif isinstance(value, float):
            found[name] = shown(value, 6)
        else:
            found[name] = str(value) if value is not None else "none" if name == "scope" else ""
    return found


async def _trace(service: Service, stage: ui.element, row: dict[str, Any]) -> None:
    basis = row.get("basis") or None
    found = await run.io_bound(service.trace, row["source"], moment(row["_at"], "at").at, basis)
    if found is not None:
        with dialogue(stage, f"Where the figure of {row['source']} comes from", 980):
            ui.label(found.text()).classes("scope-mono")
