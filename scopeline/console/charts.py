"""ECharts options of the console's charts: pure, data in, dict out. Times show in the site's zone, whatever the browser's."""

from collections.abc import Mapping, Sequence
from datetime import datetime

SCOPE_COLOURS = {"1": "#c4622d", "2": "#2f74b5", "3": "#4f9a6a"}
PALETTE = ("#2f74b5", "#c4622d", "#4f9a6a", "#8a63b8", "#b8902f", "#3a9ea5", "#b5527a", "#6b7a8f")
STATUS_COLOURS = {
    "final": "#4f9a6a",
    "restated": "#8a63b8",
    "provisional": "#5ba4cf",
    "unpriced": "#d9a13b",
    "missing": "#b9bec6",
}

Points = Sequence[tuple[datetime, float | None]]


def _clock(zone: str, parts: str) -> str:
    """A JavaScript formatter that writes an instant in `zone`."""
    return f"(v) => new Intl.DateTimeFormat('en-GB', {{timeZone: '{zone}', {parts}}}).format(v)"


INK = "#7d8896"
"""A grey that reads on light and on dark."""


def _time_axis(zone: str, days: bool) -> dict:
    parts = "day: '2-digit', month: 'short'" if days else "hour: '2-digit', minute: '2-digit'"
    return {
        "type": "time",
        "axisLabel": {":formatter": _clock(zone, parts), "hideOverlap": True, "color": INK},
        "axisPointer": {"label": {":formatter": f"(p) => ({_clock(zone, _FULL)})(p.value)"}},
        "splitLine": {"show": False},
    }


_FULL = "day: '2-digit', month: 'short', hour: '2-digit', minute: '2-digit', timeZoneName: 'short'"


def _base(unit: str, zone: str, days: bool) -> dict:
    return {
        "backgroundColor": "transparent",
        "animation": False,
        "textStyle": {"color": INK},
        "legend": {
            "type": "scroll",
            "textStyle": {"color": INK},
            "inactiveColor": "#b9bec6",
            "top": 0,
            "left": 0,
            "itemWidth": 14,
            "itemHeight": 10,
        },
        "grid": {"left": 8, "right": 16, "top": 54, "bottom": 8, "containLabel": True},
        "tooltip": {
            "trigger": "axis",
            "axisPointer": {"type": "line"},
            ":valueFormatter": f"(v) => v == null ? 'unknown' : Number(v).toPrecision(4) * 1 + ' {unit}'",
        },
        "xAxis": _time_axis(zone, days),
        "yAxis": {
            "type": "value",
            "name": unit,
            "nameTextStyle": {"align": "left", "color": INK},
            "nameGap": 12,
            "axisLabel": {"color": INK},
            "splitLine": {"lineStyle": {"color": INK, "opacity": 0.2}},
        },
        "series": [],
    }


def _points(points: Points) -> list[list]:
    return [[at.isoformat(), value] for at, value in points]


def _colour(name: str, place: int) -> str:
    return SCOPE_COLOURS.get(name.removeprefix("Scope "), PALETTE[place % len(PALETTE)])


def stacked_area(unit: str, zone: str, series: Mapping[str, Points], days: bool = False) -> dict:
    """A stacked area a series; gaps (None) stay gaps.

    >>> stacked_area("kg/h", "Europe/Berlin", {"Scope 1": []})["series"][0]["name"]
    'Scope 1'
    """
    options = _base(unit, zone, days)
    options["series"] = [
        {
            "name": name,
            "type": "line",
            "stack": "all",
            "areaStyle": {"opacity": 0.55},
            "lineStyle": {"width": 1},
            "showSymbol": False,
            "color": _colour(name, place),
            "data": _points(points),
        }
        for place, (name, points) in enumerate(series.items())
    ]
    return options


def stacked_bars(unit: str, zone: str, series: Mapping[str, Points], days: bool = True) -> dict:
    """A stacked bar a period and series."""
    options = _base(unit, zone, days)
    options["series"] = [
        {"name": name, "type": "bar", "stack": "all", "barMaxWidth": 38, "color": _colour(name, place), "data": _points(points)}
        for place, (name, points) in enumerate(series.items())
    ]
    return options


def strip(zone: str, rows: Sequence[str], cells: Sequence[tuple[datetime, str, str, float | None]]) -> dict:
    """Coverage and status over time: one row a source, one coloured cell (start, source, status, coverage) an interval."""
    kinds = list(STATUS_COLOURS)
    times = sorted({at for at, _, _, _ in cells})
    column = {at: place for place, at in enumerate(times)}
    line = {name: place for place, name in enumerate(rows)}
    shown = [
        [column[at], line[name], kinds.index(status), None if coverage is None else round(coverage * 100, 1)]
        for at, name, status, coverage in cells
        if name in line
    ]
    write = _clock(zone, _FULL)
    return {
        "backgroundColor": "transparent",
        "animation": False,
        "textStyle": {"color": INK},
        "grid": {"left": 8, "right": 16, "top": 32, "bottom": 8, "containLabel": True},
        "tooltip": {
            ":formatter": f"(p) => ({write})(new Date({[at.isoformat() for at in times]!r}[p.data[0]]))"
            " + '<br>' + p.name + '<br>'"
            f" + {kinds!r}[p.data[2]] + (p.data[3] == null ? '' : ', coverage ' + p.data[3] + ' %')",
        },
        "xAxis": {
            "type": "category",
            "data": [at.isoformat() for at in times],
            "axisLabel": {":formatter": f"(v) => ({_clock(zone, _HOUR)})(new Date(v))", "hideOverlap": True, "color": INK},
            "axisTick": {"show": False},
        },
        "yAxis": {
            "type": "category",
            "data": list(rows),
            "inverse": True,
            "axisTick": {"show": False},
            "axisLabel": {"color": INK},
        },
        "visualMap": {
            "type": "piecewise",
            "dimension": 2,
            "pieces": [{"value": place, "label": kind, "color": STATUS_COLOURS[kind]} for place, kind in enumerate(kinds)],
            "orient": "horizontal",
            "textStyle": {"color": INK},
            "left": 0,
            "top": 0,
            "itemWidth": 12,
            "itemHeight": 12,
        },
        "series": [{"type": "heatmap", "data": shown, "itemStyle": {"borderWidth": 0.5, "borderColor": "rgba(127,127,127,.25)"}}],
    }


_HOUR = "hour: '2-digit', minute: '2-digit'"
