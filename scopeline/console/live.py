"""Live: what the plant emits now, today and over the last 24 hours, and how sure that is."""

from collections.abc import Mapping
from datetime import datetime

import polars as pl
from nicegui import run, ui

from scopeline.console import charts
from scopeline.console.frame import Chart, card, frame, percent, shown
from scopeline.query import local
from scopeline.service import Live, Service

_SCOPES = ("1", "2", "3")


def page(service: Service) -> None:
    """Build the page; it follows the log twice a second."""
    zone = service.plant.settings.sites[0].timezone
    by = {"by": "scope", "basis": "location"}
    with frame(service, "/"):
        with ui.row().classes("items-center").style("gap: 16px; width: 100%"):
            ui.toggle({"location": "Location-based", "market": "Market-based"}, value="location").bind_value(by, "basis").props(
                "dense no-caps unelevated toggle-color=teal-9"
            )
            ui.toggle({"scope": "By scope", "source": "By source"}, value="scope").bind_value(by, "by").props(
                "dense no-caps unelevated toggle-color=teal-9"
            )
            ui.space()
            clock = ui.label().classes("scope-soft")
        content = ui.element("div").classes("scope-grid")
        with content:
            view = _View(zone)

        async def refresh() -> None:
            live = await run.io_bound(service.live, by["by"], by["basis"])
            if live is not None:
                clock.set_text(f"{local(live.at, zone)} · {live.position:,} messages")
                view.update(live)

        ui.timer(0.5, refresh)


class _View:
    """The elements of the page, changed in place so that nothing flickers."""

    def __init__(self, zone: str) -> None:
        self.zone = zone
        self.key: object = None
        with ui.element("div").classes("scope-grid scope-cards"):
            with card("Emitting now"):
                self.rate = ui.label("–").classes("scope-big").mark("rate")
                ui.label("kgCO2e per hour, metered sources").classes("scope-soft")
            self.scopes = {}
            for scope in _SCOPES:
                with card(f"Scope {scope} today"):
                    self.scopes[scope] = ui.label("–").classes("scope-big").style(f"color: {charts.SCOPE_COLOURS[scope]}")
                    ui.label("kgCO2e since local midnight").classes("scope-soft")
            with card("Coverage, last 24 h"):
                self.coverage = ui.label("–").classes("scope-big")
                self.certainty = ui.label("").classes("scope-soft")
        with card():
            self.area = Chart(300)
        with ui.element("div").classes("scope-grid").classes("scope-halves"):
            with card("Power, flows and levels now"):
                self.flows = _table(("Meter", "Value", "Unit", "Age"))
            with card("Sources today"):
                self.today = _table(("Source", "Category", "kgCO2e", ""))
        with card():
            self.strip = Chart(300)

    def update(self, live: Live) -> None:
        self.rate.set_text(shown(live.rate_kg_per_h))
        totals = scope_totals(live.today)
        for scope, label in self.scopes.items():
            label.set_text(shown(totals.get(scope)))
        self.coverage.set_text(percent(coverage(live.strip)))
        self.certainty.set_text(certainty(live.status))
        _fill(self.flows, [(f["meter"], shown(f["value"], 4), f["unit"], age(f["age_s"])) for f in live.flows.to_dicts()])
        marks = [(t["source"], t["category"], shown(t["co2e_kg"], 4), _mark(t)) for t in live.today.to_dicts()]
        _fill(self.today, marks)
        key = (live.position, live.by, live.basis, live.at.replace(second=0, microsecond=0))
        if key == self.key:
            return
        self.key = key
        series = area_series(live)
        title = f"Emissions of the last 24 h by {live.by}, {live.basis}-based ({self.zone})"
        self.area.show(title, charts.stacked_area("kgCO2e in 15 min", self.zone, series))
        rows = live.strip["source"].unique(maintain_order=True).to_list()
        cells = [(s["interval_start"], s["source"], _strip_status(s["status"]), s["coverage"]) for s in live.strip.to_dicts()]
        options = charts.strip(self.zone, rows, [cell for cell in cells if cell[2]])
        self.strip.show(f"Coverage and quality of the last 24 h by hour ({self.zone})", options, 76 + 24 * len(rows))


def _table(columns: tuple[str, ...]) -> ui.table:
    spec = [
        {"name": str(n), "label": label, "field": str(n), "align": "left" if n == 0 else "right"}
        for n, label in enumerate(columns)
    ]
    return (
        ui.table(columns=spec, rows=[], row_key="0").props("dense flat hide-pagination").classes("w-full").style("border: none")
    )


def _fill(table: ui.table, rows: list[tuple]) -> None:
    found = [{str(n): value for n, value in enumerate(row)} for row in rows]
    if found != table.rows:
        table.rows = found


def scope_totals(today: pl.DataFrame) -> dict[str, float | None]:
    """kgCO2e by scope as text; a scope of which nothing is known is None, not 0."""
    sums = (
        today.filter(pl.col("scope").is_not_null())
        .group_by("scope")
        .agg(known=pl.col("co2e_kg").count(), kg=pl.col("co2e_kg").sum())
    )
    return {str(scope): kg if known else None for scope, known, kg in sums.iter_rows()}


def coverage(strip: pl.DataFrame) -> float | None:
    """Mean coverage over source-hours in which readings are due."""
    return strip["coverage"].mean()  # type: ignore[return-value]  # a Float64 column's mean is a float


def certainty(status: pl.DataFrame) -> str:
    """One line: how much of the kg is final, provisional, restated; what is unpriced."""
    kg: Mapping[str, float] = dict(status.select("status", pl.col("co2e_kg").fill_null(0)).iter_rows())
    total = sum(kg.values())
    parts = [f"{percent(value / total)} {name}" for name, value in kg.items() if total and value > total / 1000]
    unpriced = status.filter(pl.col("status") == "unpriced")["intervals"].sum()
    return ", ".join(parts) + (f"; {unpriced} intervals unpriced" if unpriced else "")


def age(seconds: float | None) -> str:
    """How long ago, for a person.

    >>> age(4), age(150), age(7300), age(200000)
    ('4 s', '2 min', '2 h', '2 d')
    """
    if seconds is None:
        return "–"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def area_series(live: Live) -> dict[str, list[tuple[datetime, float | None]]]:
    """Series of kgCO2e by quarter hour on one time grid: an unknown quarter is a gap."""
    times = live.series["interval_start"].unique().sort().to_list()
    found: dict[str, list[tuple[datetime, float | None]]] = {}
    for key in live.series["key"].unique().sort().to_list():
        values = dict(live.series.filter(pl.col("key") == key).select("interval_start", "co2e_kg").iter_rows())
        name = f"Scope {key}" if live.by == "scope" and key.isdigit() else key
        if any(value is not None for value in values.values()):
            found[name] = [(at, values.get(at)) for at in times]
    return found


def _mark(row: dict) -> str:
    if row["unpriced"]:
        return "unpriced"
    return "provisional" if row["provisional_kg"] else ""


def _strip_status(status: str) -> str:
    """An hour without an event is no news: it stays blank."""
    return "" if status == "event" else status
