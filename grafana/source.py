"""*Source*: one source from its readings by activity and factor to its figure, and into the console's trace."""

from collections.abc import Iterable

from grafana_foundation_sdk.builders.dashboard import DashboardLink
from grafana_foundation_sdk.models import dashboard as model

from grafana import frame
from grafana.facts import Facts
from grafana.influxql import BASIS, OWN, SCOPED, SITE
from grafana.panels import KG, SHARE, Ask, Panel, Size, clock, curve, link, listing, prop
from schemas.influx import FIGURES, READINGS

OF = f'{SITE} AND "source" =~ /^${{source:regex}}$/ AND {BASIS}'
KG_UNIT = "suffix: kgCO2e/unit"


def build(facts: Facts) -> model.Dashboard:
    """The dashboard of a plant."""
    rows = [
        ("Reading", _readings(facts)),
        ("Activity and factor", _activity(facts)),
        ("Figure", _figures(facts)),
    ]
    variables = [*frame.one_source(facts), frame.meter(facts), frame.basis()]
    about = f"{facts.organisation}: one source from reading to figure. Choose its meters: sources/*.yaml says which they are."
    return frame.framed(facts, "source", about, variables, rows, "now-24h", "30s", facts.clock())


def _readings(facts: Facts) -> list[Panel]:
    query = (
        f'SELECT "value" FROM "{READINGS}" WHERE {SITE} AND "meter" =~ /^${{meter:regex}}$/ AND $timeFilter '
        'GROUP BY "meter", "unit"'
    )
    return [
        curve(
            facts,
            "Readings",
            "Every reading of the chosen meters, in base units. A counter rises; its differences are the activity.",
            [Ask(query, "$tag_meter, $tag_unit")],
            Size(24, 9),
            "none",
        )
    ]


def _activity(facts: Facts) -> list[Panel]:
    base = f"{facts.base.total_seconds():.0f}s"
    activity = curve(
        facts,
        "Activity",
        "How much happened, in the unit that the table names; without components that repeat it.",
        [
            Ask(
                f'SELECT sum("activity") AS "activity" FROM "{FIGURES}" WHERE {OF} AND {OWN} AND $timeFilter '
                "GROUP BY time($__interval) fill(none)",
                "activity",
            )
        ],
        Size(10, 9),
        "none",
        bars=True,
        every=base,
    )
    implied = curve(
        facts,
        "kgCO2e per unit of activity",
        "By component: the factor at work. A step is another factor, a live intensity, or another share of a contract.",
        [
            Ask(
                f'SELECT sum("co2e_kg") / sum("activity") AS "factor" FROM "{FIGURES}" WHERE {OF} AND {SCOPED} AND $timeFilter '
                'GROUP BY time($__interval), "component" fill(none)',
                "$tag_component",
            )
        ],
        Size(14, 9),
        KG_UNIT,
        every=base,
        step=True,
    )
    words = ("activity_unit", "factor_id", "factor_version", "factor_age_years", "instrument", "method", "gwp", "config")
    factors = listing(
        facts,
        "Factors in force",
        "Of the newest figure of each component in the range: factor, version, instrument, configuration.",
        [
            Ask(
                f'SELECT {_columns(words, "last")} FROM "{FIGURES}" WHERE {OF} AND $timeFilter GROUP BY "component", "basis"',
                shape="table",
            )
        ],
        Size(24, 6),
    )
    factors.override_by_name("Time", [prop("custom.hidden", True)])
    return [activity, implied, factors]


def _figures(facts: Facts) -> list[Panel]:
    base = f"{facts.base.total_seconds():.0f}s"
    kg = curve(
        facts,
        "Figures",
        "kgCO2e by component. A click leads to the console's trace of that instant.",
        [
            Ask(
                f'SELECT sum("co2e_kg") AS "kg" FROM "{FIGURES}" WHERE {OF} AND {SCOPED} AND $timeFilter '
                'GROUP BY time($__interval), "component" fill(none)',
                "$tag_component",
            )
        ],
        Size(14, 9),
        KG,
        stacked=True,
        bars=True,
        every=base,
    )
    kg.data_links([_trace(facts, "${__value.time}")])
    shares = curve(
        facts,
        "Coverage and estimated share",
        "Of each interval: share of its time that readings span, and share of the amount that was estimated.",
        [
            Ask(
                f'SELECT min("coverage") AS "coverage" FROM "{FIGURES}" WHERE {OF} AND $timeFilter '
                "GROUP BY time($__interval) fill(none)",
                "coverage",
            ),
            Ask(
                f'SELECT max("estimated_share") AS "estimated" FROM "{FIGURES}" WHERE {OF} AND $timeFilter '
                "GROUP BY time($__interval) fill(none)",
                "estimated, at most",
            ),
        ],
        Size(6, 9),
        SHARE,
        every=base,
    )
    shares.min(0).max(1)
    about = "A figure after this instant may still change, whatever status its row below shows."
    final = clock(facts, "Provisional after", about, Size(4, 9), "dateTimeAsIso", facts.lateness)
    columns = ("activity", "activity_unit", "co2e_kg", "co2_kg", "ch4_kg", "n2o_kg", "coverage", "status", "factor_id")
    rows = listing(
        facts,
        "Base figures",
        "The newest 200 of the range, as stored: status is the one that holds once the site's clock has passed.",
        [
            Ask(
                f'SELECT {_columns(columns)} FROM "{FIGURES}" '
                f'WHERE {OF} AND $timeFilter GROUP BY "component", "basis" ORDER BY time DESC LIMIT 200',
                shape="table",
            )
        ],
        Size(24, 10),
    )
    leads = [{"title": "Trace", "url": _url(facts, "${__data.fields.Time.numeric}"), "targetBlank": True}]
    rows.override_by_name("co2e_kg", [prop("links", leads)])
    return [kg, shares, final, rows]


def _columns(names: Iterable[str], call: str = "") -> str:
    return ", ".join(f'{call}("{name}") AS "{name}"' if call else f'"{name}"' for name in names)


def _trace(facts: Facts, at: str) -> DashboardLink:
    return link("Trace in the console", _url(facts, at), new_tab=True)


def _url(facts: Facts, at: str) -> str:
    """The console's Figures page, which opens the trace of that instant (milliseconds)."""
    return f"{facts.console}/figures?trace=${{source:percentencode}}&at={at}&basis=${{basis:percentencode}}"
