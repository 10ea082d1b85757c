"""What every dashboard has: name, time zone, variables, links to the others, annotations."""

from collections.abc import Iterable

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model

from grafana import influxql
from grafana.facts import Facts
from grafana.influxql import BASIS, SCOPED, SITE, any_of
from grafana.panels import Panel
from grafana.query import EventsTarget, ref
from schemas.influx import EVENTS, FACTOR_CHANGED, FIGURES, READINGS, RESTATED

TITLES = {"live": "Live plant", "feeds": "Feeds", "inventory": "Inventory", "source": "Source"}
TAG = "scopeline"
Variable = Builder[model.VariableModel]
Row = tuple[str, list[Panel]]
"""A heading and the panels under it; their widths fill lines of 24 columns."""


def framed(
    facts: Facts,
    name: str,
    about: str,
    variables: Iterable[Variable],
    rows: Iterable[Row],
    span: str,
    refresh: str,
    zone: str,
    events: bool = True,
) -> model.Dashboard:
    """A dashboard of rows of panels, with panel ids from 1 on. span: the range it opens with, up to now."""
    made = (
        dashboard.Dashboard(TITLES[name])
        .uid(facts.dashboard(name))
        .description(about)
        .tags([TAG, facts.prefix])
        .timezone(zone)
        .time(span, "now")
        .refresh(refresh)
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .editable()
    )
    for variable in variables:
        made.with_variable(variable)
    made.link(
        dashboard.DashboardLink("Scopeline")
        .type(model.DashboardLinkType.DASHBOARDS)
        .tags([TAG, facts.prefix])
        .keep_time(False)
        .include_vars(True)
    )
    made.link(dashboard.DashboardLink("Console").url(facts.console).target_blank(True))
    if events:
        for annotation in annotations(facts):
            made.annotation(annotation)
    number = 0
    for title, panels in rows:
        number += 1
        made.with_row(dashboard.Row(title).id(number))
        for panel in panels:
            number += 1
            made.with_panel(panel.id(number))
    return made.build()


def annotations(facts: Facts) -> list[dashboard.AnnotationQuery]:
    """Restatements, and changes of factors and meters, as marks on every curve."""
    found = []
    for name, kinds, colour in (
        ("Restatements", (RESTATED,), "orange"),
        ("Factor changes", (FACTOR_CHANGED,), "purple"),
        ("Meter changes", ("swap", "reset", "rollover"), "blue"),
    ):
        query = f'SELECT "detail", "event", "meter" FROM "{EVENTS}" WHERE {SITE} AND "event" =~ {any_of(kinds)} AND $timeFilter'
        made = dashboard.AnnotationQuery().name(name).datasource(ref(facts.datasource("health"))).enable(True).icon_color(colour)
        built = made.build()
        built.target = EventsTarget(influxql.checked(query), "detail", "event,meter")
        found.append(made)
    return found


def zone(facts: Facts) -> dashboard.CustomVariable:
    """Time zone -> its sites: days of sites of one zone add up. Hidden where all sites share one."""
    options = [
        model.VariableOption(selected=number == 0, text=name, value=any_of(sites)[3:-3])
        for number, (name, sites) in enumerate(facts.zones().items())
    ]
    written = ", ".join(f"{option.text} : {str(option.value).replace(',', chr(92) + ',')}" for option in options)
    made = dashboard.CustomVariable("zone").label("Time zone").description("Of days; chooses its sites.").values(written)
    made.options(options).current(options[0])
    return made.hide(model.VariableHide.HIDE_VARIABLE) if len(options) == 1 else made


def site(facts: Facts, of_zone: bool = True) -> dashboard.QueryVariable:
    """The sites, where days matter only those of the chosen zone: all of them is then a list, not everything."""
    where = ' WHERE "site" =~ /^(${zone:raw})$/' if of_zone else ""
    query = f'SHOW TAG VALUES FROM "{FIGURES}" WITH KEY = "site"{where}'
    return _query(facts, "site", "Site", query, "figures", everything=None if of_zone else ".*")


def source(facts: Facts) -> dashboard.QueryVariable:
    """The sources of the chosen sites."""
    query = f'SHOW TAG VALUES FROM "{FIGURES}" WITH KEY = "source" WHERE {SITE}'
    return _query(facts, "source", "Source", query, "figures")


def one_source(facts: Facts) -> list[dashboard.QueryVariable]:
    """One source of the plant, and the site that it belongs to."""
    of = f'SHOW TAG VALUES FROM "{FIGURES}" WITH KEY = '
    chosen = _query(facts, "source", "Source", f'{of}"source"', "figures", several=False)
    place = _query(facts, "site", "Site", f'{of}"site" WHERE "source" =~ /^${{source:regex}}$/', "figures", several=False)
    return [chosen, place.hide(model.VariableHide.HIDE_VARIABLE)]


def meter(facts: Facts) -> dashboard.QueryVariable:
    """The meters of the chosen sites."""
    query = f'SHOW TAG VALUES FROM "{READINGS}" WITH KEY = "meter" WHERE {SITE}'
    return _query(facts, "meter", "Meter", query, "readings")


def tags(facts: Facts) -> list[dashboard.QueryVariable]:
    """The plant's own tags; all of them includes sources without the tag."""
    return [
        _query(
            facts,
            tag,
            tag.removeprefix("tag_").replace("_", " ").capitalize(),
            f'SHOW TAG VALUES FROM "{FIGURES}" WITH KEY = "{tag}" WHERE {SITE}',
            "figures",
        )
        for tag in facts.tags
    ]


def chosen(facts: Facts, basis: bool = True) -> str:
    """The condition of the variables on figures in the scopes. basis=False: of every basis, for who shows them apart."""
    tagged = "".join(f' AND "{tag}" =~ /^${{{tag}:regex}}$/' for tag in facts.tags)
    of = f'{SITE} AND "source" =~ /^${{source:regex}}$/{tagged} AND {SCOPED}'
    return f"{of} AND {BASIS}" if basis else of


def basis() -> dashboard.CustomVariable:
    """Location or market: one at a time, for the two are never added."""
    options = [model.VariableOption(selected=word == "location", text=word, value=word) for word in ("location", "market")]
    made = dashboard.CustomVariable("basis").label("Basis of scope 2").values("location,market").options(options)
    return made.current(options[0]).multi(False).include_all(False)


def _query(
    facts: Facts, name: str, label: str, query: str, kind: str, several: bool = True, everything: str | None = ".*"
) -> dashboard.QueryVariable:
    """several: more than one can be chosen, or all; everything: what all means, None: those in the list."""
    made = (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(ref(facts.datasource(kind)))
        .query(influxql.checked(query, facts.tags))
        .refresh(model.VariableRefresh.ON_DASHBOARD_LOAD)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(several)
        .include_all(several)
    )
    if several:
        made.current(model.VariableOption(selected=True, text=["All"], value=["$__all"]))
        if everything:
            made.all_value(everything)
    return made
