"""The check of query texts: unknown names, sums over bases, sums of what is outside the scopes, activity counted twice."""

import pytest

from grafana.influxql import BASIS, OWN, SCOPED, Refused, any_of, checked, datasource, one_basis, text
from processors.rollup import DERIVED as ROLLED
from schemas.influx import DERIVED, EVENTS, FIELDS, FIGURE_TAGS, FIGURES, ROLLUPS, TAGS

GOOD = f'SELECT sum("co2e_kg") AS "kg" FROM "figures" WHERE {SCOPED} AND {BASIS} AND $timeFilter'


def test_good_queries_pass():
    assert checked(GOOD) == GOOD
    assert checked(GOOD.replace(BASIS, one_basis("market")))
    assert checked(f'SELECT sum("co2e_kg") AS "kg" FROM "figures_1d" WHERE {SCOPED} AND $timeFilter GROUP BY time(1d), "basis"')
    assert checked(f'SELECT sum("kg") FROM ({GOOD} GROUP BY *)')
    assert datasource(GOOD) == "figures" and datasource('SELECT "detail" FROM "events"') == "health"


@pytest.mark.parametrize(
    ("query", "says"),
    [
        (GOOD.replace('"figures"', '"figure"'), "does not have"),
        (GOOD.replace("co2e_kg", "co2_equivalent_kg"), "figures has no co2_equivalent_kg"),
        (GOOD.replace('"scope"', '"scopes"'), "figures has no scopes"),
        (GOOD.replace(f" AND {BASIS}", ""), "never added"),
        (GOOD.replace(BASIS, '"basis" =~ /.*/'), "never added"),
        (GOOD.replace(BASIS, '"basis" =~ /^(location|market)$/'), "never added"),
        (GOOD.replace(f" AND {BASIS}", "") + ' GROUP BY "scope"', "never added"),
        # grouped by basis inside, added up outside
        (f'SELECT sum("kg") FROM ({GOOD.replace(f" AND {BASIS}", "")} GROUP BY "basis")', "never added"),
        (f'SELECT sum("kg") FROM ({GOOD.replace(f" AND {BASIS}", "")} GROUP BY "basis") GROUP BY "site"', "never added"),
        (GOOD.replace(f"{SCOPED} AND ", ""), "outside the scopes"),
        (f'SELECT sum("activity") FROM "figures" WHERE {BASIS} AND $timeFilter', "counts an activity again"),
        ('SELECT "detail" FROM "events", "feeds"', "has no feeds"),
        (f'SELECT last("tag_line") FROM "figures" WHERE {BASIS}', "figures has no tag_line"),
    ],
)
def test_bad_queries_are_refused(query, says):
    with pytest.raises(Refused, match=says):
        checked(query)


def test_the_plants_own_tags_are_known_to_figures_only():
    assert checked(GOOD.replace(SCOPED, f"\"tag_line\" = 'L1' AND {SCOPED}"), ["tag_line"])
    with pytest.raises(Refused, match="tag_line"):
        checked('SELECT "detail" FROM "events" WHERE "tag_line" = \'L1\'', ["tag_line"])


def test_literals_are_not_names():
    assert checked('SELECT last("value") FROM "readings" WHERE "meter" = ' + text('a "quoted\\" \'name'))


def test_activity_may_be_added_without_derived_components_or_by_component():
    assert checked(f'SELECT sum("activity") FROM "figures" WHERE {BASIS} AND {OWN}')
    assert checked(f'SELECT sum("activity") FROM "figures" WHERE {BASIS} GROUP BY "component"')
    assert DERIVED == ROLLED and all(name in OWN for name in DERIVED)


def test_patterns_match_just_the_names():
    assert any_of(["a.b", "c/d"]) == "/^(a\\.b|c\\/d)$/"


def test_measurements_have_tags_and_fields():
    assert TAGS.keys() == FIELDS.keys() >= {FIGURES, *ROLLUPS.values(), EVENTS}
    assert not [name for name, fields in FIELDS.items() if set(fields) & set(TAGS[name])]
    assert FIGURE_TAGS == ("site", "source", "component", "scope", "category", "basis")
