"""InfluxQL of panels, variables and alerts: written as text, checked against the schema when it is built.

A name that the schema does not have, or a sum over figures that could add bases to each other, is refused: the build breaks, not
the number on the screen.
"""

import re
from collections.abc import Iterable

from schemas.influx import FIELDS, FIGURES, KG, ROLLUPS, TAGS, bucket_of

BASIS = '"basis" =~ /^(${basis:regex})?$/'
"""The chosen basis, and figures that have none: one total."""
SCOPED = '"scope" =~ /^[123]$/'
"""Only what is in a scope: what lies outside them is never part of a total."""
OWN = '"component" !~ /^(wtt|t_and_d|wtt_t_and_d)$/'
"""Without components that repeat the activity of what they derive from."""
SITE = '"site" =~ /^${site:regex}$/'
ONE_BASIS = re.compile(r'"basis" =~ /\^\((?:\$\{basis:regex\}|location|market)\)\?\$/|"basis" = \'(?:location|market)\'')
_IN_SCOPES = re.compile(r'"scope" =~ /\^\[[123]+\]\$/|"scope" = \'[123]\'')
_OF_FIGURES = (FIGURES, *ROLLUPS.values())
_GROUP = re.compile(r'GROUP BY ((?:time\([^)]*\)|"\w+"|\*|,|\s)+)')
_CALL = re.compile(r'\b(?:sum|mean|last|first|max|min|count|cumulative_sum)\("(\w+)"\)')


class Refused(ValueError):
    """A query that must not be shown, and why."""


def one_basis(basis: str) -> str:
    """Figures of one basis and those without.

    >>> one_basis("market")
    '"basis" =~ /^(market)?$/'
    """
    return f'"basis" =~ /^({basis})?$/'


def text(value: str) -> str:
    """A text as a literal of InfluxQL.

    >>> text("O'Hare"), text("a\\\\b")
    ("'O\\\\'Hare'", "'a\\\\\\\\b'")
    """
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def any_of(values: Iterable[str]) -> str:
    """A regular expression that matches exactly these.

    >>> any_of(["a", "b.c"])
    '/^(a|b\\\\.c)$/'
    """
    return "/^(" + "|".join(re.escape(value).replace("/", "\\/") for value in values) + ")$/"


def measurement(query: str) -> str:
    """What a query reads: the measurement of its innermost FROM. Raises Refused where the schema has none of that name."""
    found = re.findall(r'\bFROM "(\w+)"', query)
    if len(found) != 1 or found[0] not in FIELDS:
        raise Refused(f"{query}: names {found or 'no measurement'}, which the schema does not have")
    return found[0]


def checked(query: str, tags: Iterable[str] = ()) -> str:
    """The query, if every name in it is in the schema and it adds no basis to another. tags: the plant's own.

    >>> checked('SELECT sum("co2e") FROM "figures" WHERE $timeFilter')
    Traceback (most recent call last):
    grafana.influxql.Refused: SELECT sum("co2e") FROM "figures" WHERE $timeFilter: figures has no co2e
    """
    of = measurement(query)
    known = {of, *FIELDS[of], *TAGS[of], "time"} | ({*tags} if of in _OF_FIGURES else set())
    made = set(re.findall(r'\bAS "([^"]+)"', query))
    named = set(re.findall(r'"([^"]+)"', re.sub(r'\bAS "[^"]+"', "", _without_literals(query))))
    if strange := sorted(named - known - made):
        raise Refused(f"{query}: {of} has no {', '.join(strange)}")
    if of in _OF_FIGURES:
        _adds_rightly(query, of)
    return query


def _adds_rightly(query: str, of: str) -> None:
    """Sums of kg over figures are of one basis, or a row a basis, and only of scopes; activity is not counted twice."""
    if query.startswith("SHOW"):
        return
    groups = _GROUP.findall(query)
    apart = groups and all('"basis"' in group or "*" in group for group in groups) and len(groups) == query.count("SELECT")
    if not ONE_BASIS.search(query) and not apart:
        raise Refused(f"{query}: choose a basis, or group by it: bases are never added to each other")
    called = set(_CALL.findall(query))
    if called & {*KG, "estimated_kg"} and not _IN_SCOPES.search(query):
        raise Refused(f"{query}: adds what is outside the scopes: say {SCOPED}")
    if re.search(r'\bsum\("activity"\)', query) and OWN not in query and '"component"' not in "".join(groups):
        raise Refused(f"{query}: counts an activity again with each derived component: say {OWN}, or group by component")


def _without_literals(query: str) -> str:
    return re.sub(r"'(?:[^'\\]|\\.)*'", "''", query)


def datasource(query: str) -> str:
    """Which data source answers: figures, readings or health."""
    return bucket_of(measurement(query))
