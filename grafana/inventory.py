"""*Inventory*: scopes and categories by month, location beside market, what is estimated or unpriced, the year and its budgets.

Everything is read from the daily roll-up, so that a year is a few hundred points a series.
"""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from grafana_foundation_sdk.builders import common
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as model

from grafana import frame
from grafana.facts import Facts, common_calendar
from grafana.influxql import any_of, one_basis
from grafana.panels import GREEN, KG, RED, SHARE, YELLOW, Ask, Panel, Size, curve, limits, months, number
from schemas.influx import ROLLUPS
from schemas.tables import Budget
from schemas.units import convert

DAY = ROLLUPS["1d"]


def build(facts: Facts) -> model.Dashboard:
    """The dashboard of a plant."""
    rows = [("The range", _whole(facts)), ("By month", _monthly(facts)), ("How sure", _sure(facts))]
    if facts.budgets:
        rows.append(("Budgets", [panel for budget in facts.budgets for panel in _budget(facts, budget)]))
    variables = [frame.site(facts, of_zone=False), frame.source(facts), *frame.tags(facts), frame.basis()]
    about = (
        f"{facts.organisation}: the inventory by month. Days are those of each site. Scope 2 in the chosen basis, never in both."
    )
    return frame.framed(facts, "inventory", about, variables, rows, "now/y", "5m", facts.zone)


def _days(facts: Facts, values: str, where: str, by: str) -> str:
    return f"SELECT {values} FROM \"{DAY}\" WHERE {where} AND $timeFilter GROUP BY time(1d), {by} fill(none) tz('{facts.zone}')"


def _whole(facts: Facts) -> list[Panel]:
    def kg(title: str, about: str, field: str, width: int, by: str = "", alias: str = "") -> Panel:
        query = f'SELECT sum("{field}") AS "kg" FROM "{DAY}" WHERE {frame.chosen(facts)} AND $timeFilter{by}'
        return number(facts, title, about, [Ask(query, alias)], Size(width, 5), KG)

    total = "kgCO2e of the range, all chosen scopes, scope 2 in the chosen basis. At least, where something is unpriced."
    return [
        kg("Total", total, "co2e_kg", 6),
        kg("By scope", "kgCO2e of the range.", "co2e_kg", 12, ' GROUP BY "scope"', "Scope $tag_scope"),
        kg("Biogenic CO2", "kg of the range, outside the scopes and in no total.", "biogenic_co2_kg", 6),
    ]


def _monthly(facts: Facts) -> list[Panel]:
    def by(column: str, title: str, about: str, where: str, stacked: bool = True) -> Panel:
        query = _days(facts, 'sum("co2e_kg") AS "kg"', where, f'"{column}"')
        return months(facts, title, about, Ask(query, shape="table"), Size(12, 10), KG, column, "kg", stacked=stacked)

    where, bases = frame.chosen(facts), f"{frame.chosen(facts, basis=False)} AND \"scope\" = '2'"
    two = "kgCO2e a month in each basis. They are two answers to one question: compare them, never add them."
    return [
        by("scope", "Scopes", "kgCO2e a month; scope 2 in the chosen basis.", where),
        by("category", "Categories", "kgCO2e a month by category of the GHG Protocol; scope 2 in the chosen basis.", where),
        by("basis", "Scope 2: location beside market", two, bases, stacked=False),
        by("source", "Sources", "kgCO2e a month by source; scope 2 in the chosen basis.", where),
    ]


def _sure(facts: Facts) -> list[Panel]:
    of_range = f'FROM "{DAY}" WHERE {frame.chosen(facts)} AND $timeFilter'
    spans = (
        f'SELECT max("covered_s") AS "covered", max("expected_s") AS "expected" FROM "{DAY}" WHERE {frame.chosen(facts)} '
        'AND "expected_s" > 0 AND $timeFilter GROUP BY time(1d), "site", "source" fill(none) '
        f"tz('{facts.zone}')"
    )

    def share(title: str, about: str, query: str, alias: str = "Scope $tag_scope") -> Panel:
        return number(facts, title, about, [Ask(query, alias)], Size(8, 6), SHARE, decimals=1)

    estimated = share(
        "Estimated share",
        "Share of the kgCO2e of a scope that was spread over a gap, filled, or priced by a fallback.",
        f'SELECT sum("estimated_kg") / sum("co2e_kg") AS "share" {of_range} GROUP BY "scope"',
    )
    unpriced = share(
        "Unpriced share",
        "Share of the known intervals that have no factor: above 0 a total is an `at least`.",
        f'SELECT sum("unpriced") / sum("known") AS "share" {of_range} GROUP BY "scope"',
    )
    coverage = share(
        "Coverage",
        "Share of the expected time that readings span, of days on which a source was heard.",
        f'SELECT sum("covered") / sum("expected") AS "share" FROM ({spans}) GROUP BY "site"',
        "$tag_site",
    )
    return [
        estimated.thresholds(limits((None, GREEN), (0.05, YELLOW), (0.2, RED))),
        unpriced.thresholds(limits((None, GREEN), (0.000001, RED))),
        coverage.thresholds(limits((None, RED), (0.9, YELLOW), (0.99, GREEN))),
    ]


def _budget(facts: Facts, budget: Budget) -> list[Panel]:
    amount = limit_kg(budget)
    owner = f" Owner: {budget.owner}." if budget.owner else ""
    about = f"{budget.amount.value} {budget.amount.unit} from {budget.from_} to {budget.to}, {budget.basis}-based.{owner}"
    total = number(
        facts,
        f"Budget {budget.budget}: used",
        f"Share of {about} Not of the chosen range: of the budget's own.",
        [Ask(f'SELECT sum("co2e_kg") / {amount!r} AS "used" {of_budget(facts, budget)}')],
        Size(6, 8),
        SHARE,
        decimals=1,
    )
    total.thresholds(limits((None, GREEN), (0.9, YELLOW), (1, RED)))
    running = curve(
        facts,
        f"Budget {budget.budget}: running total",
        f"kgCO2e since the budget's first day, against its amount (line). {about}",
        [
            Ask(
                f'SELECT cumulative_sum(sum("co2e_kg")) AS "kg" {of_budget(facts, budget)} GROUP BY time(1d) fill(none) '
                f"tz('{_zone(facts, budget)}')",
                "so far",
            )
        ],
        Size(18, 8),
        KG,
    )
    running.thresholds(limits((None, GREEN), (amount, RED)))
    running.thresholds_style(common.GraphThresholdsStyleConfig().mode(kinds.GraphTresholdsStyleMode.LINE))
    return [total, running.min(0)]


def limit_kg(budget: Budget) -> float:
    """A budget's amount in kg."""
    return float(convert(budget.amount.value, budget.amount.unit, "kg"))


def of_budget(facts: Facts, budget: Budget) -> str:
    """FROM and WHERE of all figures that a budget limits: its sites, scopes, basis and days."""
    zone = ZoneInfo(_zone(facts, budget))
    start, end = _midnight(budget.from_, zone), _midnight(budget.to + timedelta(days=1), zone)
    scopes = "".join(str(scope) for scope in budget.scope or (1, 2, 3))
    site = f'"site" =~ {any_of([budget.site])} AND ' if budget.site else ""
    return (
        f'FROM "{DAY}" WHERE {site}"scope" =~ /^[{scopes}]$/ AND {one_basis(budget.basis)} '
        f"AND time >= '{start}' AND time < '{end}'"
    )


def _zone(facts: Facts, budget: Budget) -> str:
    return common_calendar(site.timezone for site in facts.sites if budget.site in (None, site.site))


def _midnight(day: date, zone: ZoneInfo) -> str:
    return datetime.combine(day, time(), zone).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
