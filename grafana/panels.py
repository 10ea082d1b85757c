"""Panels in the house's style: one function a kind, each with title, sentence, unit, query and size."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Literal, NamedTuple, TypeVar

from grafana_foundation_sdk.builders import barchart, bargauge, common, dashboard, stat, table, timeseries
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as model

from grafana import influxql
from grafana.facts import Facts
from grafana.influxql import SITE
from grafana.query import Influx, ref
from schemas.influx import CLOCK

Panel = timeseries.Panel | stat.Panel | bargauge.Panel | table.Panel | barchart.Panel
P = TypeVar("P", timeseries.Panel, stat.Panel, bargauge.Panel, table.Panel, barchart.Panel)
GREEN, YELLOW, RED, BLUE = "green", "yellow", "red", "blue"
NOTHING = "–"
"""What stands where nothing is known: a dash is not a zero."""
KG, KG_HOUR, SHARE = "masskg", "suffix: kgCO2e/h", "percentunit"


class Ask(NamedTuple):
    """A query of a panel: its text, what its series are called, and its shape."""

    query: str
    alias: str = ""
    shape: Literal["time_series", "table"] = "time_series"


class Size(NamedTuple):
    """Columns (of 24) and rows of the grid."""

    width: int
    height: int


def _common(panel: P, facts: Facts, title: str, about: str, asks: Sequence[Ask], size: Size) -> P:
    for letter, ask in zip("ABCDEF", asks, strict=False):
        query = influxql.checked(ask.query, facts.tags)
        uid = facts.datasource(influxql.datasource(query))
        panel.with_target(Influx(query, uid, letter, ask.shape, ask.alias))
    panel.datasource(ref(uid)).title(title).description(about).no_value(NOTHING).span(size.width).height(size.height)
    return panel


def limits(*steps: tuple[float | None, str]) -> dashboard.ThresholdsConfig:
    """Colours from a value on; the first from None."""
    return (
        dashboard.ThresholdsConfig()
        .mode(model.ThresholdsMode.ABSOLUTE)
        .steps([model.Threshold(value=value, color=colour) for value, colour in steps])
    )


def curve(
    facts: Facts,
    title: str,
    about: str,
    asks: Sequence[Ask],
    size: Size,
    unit: str,
    stacked: bool = False,
    bars: bool = False,
    every: str = "",
    step: bool = False,
) -> timeseries.Panel:
    """A curve over time, or bars (stacked: only of parts of one total). Gaps stay gaps. every: the least interval of a point."""
    panel = _common(timeseries.Panel(), facts, title, about, asks, size).unit(unit)
    panel.legend(
        common.VizLegendOptions()
        .display_mode(kinds.LegendDisplayMode.LIST)
        .placement(kinds.LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs([])
    )
    panel.tooltip(common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI).sort(kinds.SortOrder.DESCENDING))
    panel.draw_style(kinds.GraphDrawStyle.BARS if bars else kinds.GraphDrawStyle.LINE).span_nulls(False)
    panel.fill_opacity(70 if bars else 12).line_width(0 if bars else 1).show_points(kinds.VisibilityMode.AUTO)
    if step:
        panel.line_interpolation(kinds.LineInterpolation.STEP_AFTER)
    if stacked:
        panel.stacking(common.StackingConfig().mode(kinds.StackingMode.NORMAL).group("A"))
    return panel.interval(every) if every else panel


def number(
    facts: Facts,
    title: str,
    about: str,
    asks: Sequence[Ask],
    size: Size,
    unit: str,
    reducer: str = "lastNotNull",
    decimals: int | None = None,
) -> stat.Panel:
    """Large numbers, one a series."""
    panel = _common(stat.Panel(), facts, title, about, asks, size).unit(unit)
    panel.reduce_options(common.ReduceDataOptions().calcs([reducer]).values(False).fields(""))
    panel.graph_mode(kinds.BigValueGraphMode.NONE).color_mode(kinds.BigValueColorMode.VALUE)
    panel.text_mode(kinds.BigValueTextMode.VALUE_AND_NAME if any(ask.alias for ask in asks) else kinds.BigValueTextMode.VALUE)
    return panel.decimals(decimals) if decimals is not None else panel


def clock(facts: Facts, title: str, about: str, size: Size, unit: str, less: timedelta | None = None) -> stat.Panel:
    """Of each site when its newest message came, or that much `less`."""
    earlier = "" if less is None else f" - {less / timedelta(milliseconds=1):.0f}"
    query = (
        f'SELECT last("newest") * 1000{earlier} AS "clock" FROM "{CLOCK}" WHERE {SITE} AND time >= now() - 30d '
        'AND time <= now() GROUP BY "site"'
    )
    return number(facts, title, about, [Ask(query, "$tag_site")], size, unit)


def ranking(
    facts: Facts, title: str, about: str, asks: Sequence[Ask], size: Size, unit: str, reducer: str = "last", most: int = 20
) -> bargauge.Panel:
    """Bars from the largest down, one a series."""
    panel = _common(bargauge.Panel(), facts, title, about, asks, size).unit(unit)
    column = {"last": "Last", "lastNotNull": "Last *", "sum": "Total"}[reducer]
    panel.transformations(
        [
            changed("reduce", {"reducers": [reducer], "mode": "seriesToRows", "includeTimeField": False}),
            changed("sortBy", {"fields": {}, "sort": [{"field": column, "desc": True}]}),
            changed("limit", {"limitField": most}),
        ]
    )
    panel.reduce_options(common.ReduceDataOptions().calcs([]).values(True).limit(most).fields(""))
    return panel.display_mode(kinds.BarGaugeDisplayMode.BASIC).orientation(kinds.VizOrientation.HORIZONTAL).min(0)


def listing(
    facts: Facts, title: str, about: str, asks: Sequence[Ask], size: Size, changes: Sequence[model.DataTransformerConfig] = ()
) -> table.Panel:
    """A table of rows."""
    panel = _common(table.Panel(), facts, title, about, asks, size)
    if changes:
        panel.transformations(list(changes))
    return panel.show_header(True)


def months(
    facts: Facts, title: str, about: str, ask: Ask, size: Size, unit: str, by: str, value: str, stacked: bool
) -> barchart.Panel:
    """Bars a month: the rows of days are added up by month in the plant's calendar. `by` and `value` are columns of the rows."""
    panel = _common(barchart.Panel(), facts, title, about, [ask], size).unit(unit)
    panel.transformations(
        [
            changed("formatTime", {"timeField": "Time", "outputFormat": "YYYY-MM", "timezone": facts.zone, "useTimezone": True}),
            changed(
                "groupBy",
                {
                    "fields": {
                        "Time": {"operation": "groupby", "aggregations": []},
                        by: {"operation": "groupby", "aggregations": []},
                        value: {"operation": "aggregate", "aggregations": ["sum"]},
                    }
                },
            ),
            changed("groupingToMatrix", {"rowField": "Time", "columnField": by, "valueField": f"{value} (sum)"}),
        ]
    )
    panel.x_field(f"Time\\{by}").orientation(kinds.VizOrientation.VERTICAL).group_width(0.7).bar_width(0.9)
    panel.show_value(kinds.VisibilityMode.NEVER)
    panel.stacking(kinds.StackingMode.NORMAL if stacked else kinds.StackingMode.NONE)
    return panel


def changed(name: str, options: dict[str, Any]) -> model.DataTransformerConfig:
    """A transformation of what a query returned."""
    return model.DataTransformerConfig(id_val=name, options=options)


def link(title: str, url: str, new_tab: bool = False) -> dashboard.DashboardLink:
    """Where a value leads."""
    return dashboard.DashboardLink(title).url(url).target_blank(new_tab)


def prop(name: str, value: Any) -> model.DynamicConfigValue:
    """One property of an override."""
    return model.DynamicConfigValue(id_val=name, value=value)
