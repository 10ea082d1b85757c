"""*Live plant*: what is used and emitted now, today by scope, the largest sources, and how complete it is."""

from datetime import timedelta

from grafana_foundation_sdk.models import dashboard as model

from grafana import frame
from grafana.facts import Facts
from grafana.influxql import SITE
from grafana.panels import (
    GREEN,
    KG,
    KG_HOUR,
    RED,
    SHARE,
    YELLOW,
    Ask,
    Panel,
    Size,
    clock,
    curve,
    limits,
    link,
    listing,
    number,
    prop,
    ranking,
)
from schemas.influx import FIGURES, READINGS

TODAY = "time >= now() - 25h AND time <= now()"
"""Long enough for every day (25 hours at the end of summer time); buckets of a day then show the last, which is today."""


def build(facts: Facts) -> model.Dashboard:
    """The dashboard of a plant."""
    rows = [("Now", _now(facts)), ("Today", _today(facts)), ("Meters", _meters(facts)), ("How complete", _complete(facts))]
    variables = [frame.zone(facts), frame.site(facts), frame.source(facts), *frame.tags(facts), frame.basis()]
    about = f"{facts.organisation}: power, flows and kgCO2e, seconds after the meter spoke. Scope 2 in the chosen basis."
    return frame.framed(facts, "live", about, variables, rows, "now-24h", "10s", facts.clock())


def _now(facts: Facts) -> list[Panel]:
    hourly = f"{timedelta(hours=1) / facts.base:g}"
    newest = (
        f'SELECT last("co2e_kg") * {hourly} AS "rate" FROM "{FIGURES}" '
        f'WHERE {frame.chosen(facts)} AND "coverage" >= 0.999 AND time >= now() - 1h AND time <= now() GROUP BY *'
    )
    emitting = number(
        facts,
        "Emitting now",
        "kgCO2e an hour: of each source the newest interval of the last hour that its meters span whole. Deliveries and other "
        "events are not in it.",
        [Ask(f'SELECT sum("rate") AS "now" FROM ({newest})')],
        Size(4, 8),
        KG_HOUR,
    )
    over_time = curve(
        facts,
        "Emissions",
        "kgCO2e an hour by scope. The newest bars may still grow: they are provisional until the site's clock has passed them.",
        [
            Ask(
                f'SELECT sum("co2e_kg") * 3600000 / $__interval_ms AS "rate" FROM "{FIGURES}" WHERE {frame.chosen(facts)} '
                'AND $timeFilter GROUP BY time($__interval), "scope" fill(none)',
                "Scope $tag_scope",
            )
        ],
        Size(14, 8),
        KG_HOUR,
        stacked=True,
        bars=True,
        every=_least(facts),
    )
    about = "Figures after this instant may still change: the newest message of the site, less the plant's lateness."
    final = clock(facts, "Provisional after", about, Size(6, 8), "dateTimeAsIso", facts.lateness)
    return [emitting, over_time, final]


def _today(facts: Facts) -> list[Panel]:
    parts, seconds = facts.finest()  # edges of 15 minutes are those of days in every zone, those of hours are not
    of_today = f'FROM "{parts if seconds == 900 else FIGURES}" WHERE {frame.chosen(facts)} AND {TODAY}'
    day = "tz('${zone:text}')"
    scopes = number(
        facts,
        "Today by scope",
        "kgCO2e since midnight of the sites (${zone:text}). A dash: nothing is known of today.",
        [Ask(f'SELECT sum("co2e_kg") AS "kg" {of_today} GROUP BY time(1d), "scope" fill(null) {day}', "Scope $tag_scope")],
        Size(8, 9),
        KG,
        reducer="last",
        decimals=1,
    )
    sources = ranking(
        facts,
        "Sources today",
        "kgCO2e since midnight of the sites (${zone:text}), the largest first. A click leads to the source.",
        [Ask(f'SELECT sum("co2e_kg") AS "kg" {of_today} GROUP BY time(1d), "source" fill(null) {day}', "$tag_source")],
        Size(16, 9),
        KG,
    )
    sources.data_links([link("This source", f"/d/{facts.dashboard('source')}?var-source=${{__data.fields[0]}}")])
    return [scopes, sources]


def _meters(facts: Facts) -> list[Panel]:
    def of(kind: str, unit: str) -> str:
        return (
            f'SELECT mean("value") AS "value" FROM "{READINGS}" WHERE {SITE} AND "kind" = \'{kind}\' AND "unit" {unit} '
            'AND $timeFilter GROUP BY time($__interval), "meter", "unit" fill(none)'
        )

    def panel(title: str, about: str, query: str, unit: str, alias: str) -> Panel:
        return curve(facts, title, about, [Ask(query, alias)], Size(8, 9), unit)

    newest = listing(
        facts,
        "Newest readings",
        "The last reading of each meter in the chosen range, in its base unit, and when it was taken.",
        [
            Ask(
                f'SELECT last("value") AS "value", "quality" FROM "{READINGS}" WHERE {SITE} AND $timeFilter '
                'GROUP BY "site", "meter", "kind", "unit"',
                shape="table",
            )
        ],
        Size(24, 9),
    )
    newest.override_by_name("Time", [prop("displayName", "observed at"), prop("unit", "dateTimeFromNow")])
    return [
        panel("Power", "kW of meters that state power.", of("rate", "=~ /^kW$/"), "kwatt", "$tag_meter"),
        panel(
            "Flows",
            "Flows other than power, in their base unit an hour.",
            of("rate", "!~ /^kW$/"),
            "none",
            "$tag_meter, $tag_unit",
        ),
        panel("Levels", "Temperatures, concentrations, states.", of("level", "=~ /.*/"), "none", "$tag_meter, $tag_unit"),
        newest,
    ]


def _complete(facts: Facts) -> list[Panel]:
    parts, seconds = facts.finest()
    spans = (
        f'SELECT max("covered_s") AS "covered" FROM "{parts}" WHERE {frame.chosen(facts)} AND "expected_s" > 0 AND $timeFilter '
        f'GROUP BY time({seconds}s), "source" fill(0)'
    )
    whole = ranking(
        facts,
        "Coverage of the range",
        "Share of the chosen range that readings span; the rest is unknown, not zero. Sources of events are not in it.",
        [Ask(f'SELECT sum("covered") / $__range_s AS "coverage" FROM ({spans}) GROUP BY "source"', "$tag_source")],
        Size(8, 9),
        SHARE,
    )
    whole.max(1).thresholds(limits((None, RED), (0.9, YELLOW), (0.99, GREEN)))
    over_time = curve(
        facts,
        "Coverage",
        "Share of each interval that readings span, by source; the newest is not over yet.",
        [Ask(f'SELECT "covered" / {seconds} AS "coverage" FROM ({spans}) GROUP BY "source"', "$tag_source")],
        Size(16, 9),
        SHARE,
        step=True,
    )
    over_time.min(0).max(1)
    return [whole, over_time]


def _least(facts: Facts) -> str:
    """The least interval of a curve of figures: the base interval."""
    return f"{facts.base.total_seconds():.0f}s"
