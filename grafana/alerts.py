"""Alert rules as code: silent feeds, low coverage, lag, budgets, the plant's own rules, and what MQTT brokers lost.

One rule is one question to InfluxDB, or to a Prometheus that has our metrics (A), its newest value (B) and a limit (C). Missing
data is an alert where silence is the trouble, and no alert where it only means that nothing was measured.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from grafana_foundation_sdk.builders import alerting, expr, prometheus
from grafana_foundation_sdk.models import alerting as model

from grafana import influxql
from grafana.datasources import METRICS
from grafana.facts import Facts
from grafana.inventory import limit_kg, of_budget
from grafana.query import Influx
from schemas.influx import FEEDS, LAG, READINGS
from schemas.tables import Rule
from schemas.units import convert, unit

LEAST_COVERAGE = 0.9
LAG_LIMIT = timedelta(minutes=1)
ARCHIVE_LIMIT = timedelta(hours=1)
EVERY = timedelta(minutes=1)
"""How often Grafana evaluates a group: its default for rules that come over the API."""
DAY = timedelta(days=1)
Way = Literal["gt", "lt", "outside_range"]


@dataclass(frozen=True)
class Alert:
    """One rule: what it asks of which time before now, when it alerts, for how long, how loud, and what to read."""

    key: str
    group: str
    title: str
    query: str
    way: Way
    limits: tuple[float, ...]
    severity: str
    summary: str
    anchor: str
    span: timedelta
    until: timedelta = timedelta()
    lasting: timedelta = timedelta(minutes=5)
    silence: Literal["Alerting", "NoData", "OK"] = "OK"
    asks: Literal["InfluxDB", "Prometheus"] = "InfluxDB"


def alerts(facts: Facts) -> list[Alert]:
    """All rules of a plant, in a fixed order; their queries checked."""
    found = [*_silent(facts), _coverage(facts), _lag(), *_budgets(facts), *(_own(rule) for rule in facts.rules)]
    for alert in found:
        influxql.checked(alert.query, facts.tags)
    return [*found, *((*_brokers(), _archive()) if facts.prometheus else ())]


def _silent(facts: Facts) -> Iterator[Alert]:
    for feed, after in facts.silence.items():
        query = f'SELECT sum("messages") AS "messages" FROM "{FEEDS}" WHERE "feed" = {influxql.text(feed)}'
        yield Alert(
            key=f"silent-feed/{feed}",
            group="Feeds",
            title=f"Feed {feed} is silent",
            query=f"{query} AND \"outcome\" = 'decoded' AND $timeFilter",
            way="lt",
            limits=(1,),
            severity="warning",
            summary=f"Nothing could be decoded of feed {feed} for {duration(after)}.",
            anchor="silent-feed",
            span=after,
            silence="Alerting",
        )


def _coverage(facts: Facts) -> Alert:
    parts, seconds = facts.finest()
    inner = (
        f'SELECT max("covered_s") AS "covered", max("expected_s") AS "expected" FROM "{parts}" '
        f'WHERE {influxql.one_basis("location")} AND "expected_s" > 0 AND $timeFilter '
        f'GROUP BY time({seconds}s), "site", "source" fill(none)'
    )
    return Alert(
        key="low-coverage",
        group="Figures",
        title="Low coverage",
        query=f'SELECT sum("covered") / sum("expected") AS "coverage" FROM ({inner}) GROUP BY "site", "source"',
        way="lt",
        limits=(LEAST_COVERAGE,),
        severity="warning",
        summary=f"Readings of {{{{ $labels.source }}}} span less than {LEAST_COVERAGE:.0%} of the last day: figures are missing.",
        anchor="low-coverage",
        span=DAY + timedelta(hours=1),
        until=timedelta(hours=1),
        lasting=timedelta(minutes=30),
    )


def _lag() -> Alert:
    return Alert(
        key="lag",
        group="Figures",
        title="Figures lag behind",
        query=f'SELECT max("seconds") AS "seconds" FROM "{LAG}" WHERE $timeFilter GROUP BY "partition"',
        way="gt",
        limits=(LAG_LIMIT.total_seconds(),),
        severity="critical",
        summary="Messages of partition {{ $labels.partition }} wait for their figures for more than "
        f"{duration(LAG_LIMIT)}, or no worker says how long.",
        anchor="lag",
        span=timedelta(minutes=5),
        silence="Alerting",
    )


def _budgets(facts: Facts) -> Iterator[Alert]:
    for budget in facts.budgets:
        owner = f" Owner: {budget.owner}." if budget.owner else ""
        for severity, share in (("warning", 0.9), ("critical", 1.0)):
            yield Alert(
                key=f"budget/{budget.budget}/{severity}",
                group="Budgets",
                title=f"Budget {budget.budget} {'is used up' if share == 1 else 'is nearly used up'}",
                query=f'SELECT sum("co2e_kg") / {limit_kg(budget)!r} AS "used" {of_budget(facts, budget)}',
                way="gt",
                limits=(share,),
                severity=severity,
                summary=f"More than {share:.0%} of {budget.amount.value} {budget.amount.unit} CO2e from {budget.from_} to "
                f"{budget.to} ({budget.basis}-based) is emitted.{owner}",
                anchor="budget",
                span=2 * 366 * DAY,
            )


def _own(rule: Rule) -> Alert:
    """A rule of targets.yaml, in the base unit of its meter, as readings are stored."""
    base = unit(rule.unit).base
    values = [float(convert(value, rule.unit, base)) for value in (rule.below, rule.above) if value is not None]
    way: Way = "outside_range" if len(values) == 2 else "gt" if rule.above is not None else "lt"
    said = " or ".join(
        f"{word} {value} {rule.unit}" for word, value in (("above", rule.above), ("below", rule.below)) if value is not None
    )
    return Alert(
        key=f"rule/{rule.rule}",
        group="Rules",
        title=f"Rule {rule.rule}",
        query=f'SELECT last("value") AS "value" FROM "{READINGS}" WHERE "meter" = {influxql.text(rule.meter)} AND $timeFilter',
        way=way,
        limits=tuple(values),
        severity=rule.severity,
        summary=f"{rule.meter} is {said}.",
        anchor="rule",
        span=max(timedelta(minutes=10), 2 * (rule.for_ or timedelta())),
        lasting=rule.for_ or timedelta(),
        silence="NoData",
    )


def _brokers() -> Iterator[Alert]:
    """What an MQTT broker says of itself, and what ingest saw of it. A count that was not there an hour ago counts whole."""
    dropped = "scopeline_ingest_broker_dropped_total"
    for anchor, title, severity, grew, summary in (
        (
            "broker-drops-messages",
            "A broker drops messages",
            "critical",
            f"increase({dropped}[1h]) > 0 or ({dropped} > 0 unless {dropped} offset 1h)",
            "says that it dropped messages: a queue was full while a client was away. They are lost.",
        ),
        (
            "broker-was-restarted",
            "A broker was restarted",
            "warning",
            "increase(scopeline_ingest_broker_restarts_total[1h]) > 0",
            "was started again. After a crash its last acknowledged messages may be lost.",
        ),
        (
            "broker-forgot-the-session",
            "A broker forgot the session",
            "critical",
            "increase(scopeline_ingest_sessions_lost_total[1h]) > 0",
            "has forgotten ingest's session: what it held for ingest is lost.",
        ),
    ):
        yield Alert(
            key=anchor,
            group="Brokers",
            title=title,
            query=f"max by (broker) ({grew})",
            way="gt",
            limits=(0,),
            severity=severity,
            summary=f"Broker {{{{ $labels.broker }}}} {summary}",
            anchor=anchor,
            span=timedelta(minutes=10),
            lasting=timedelta(),
            asks="Prometheus",
        )


def _archive() -> Alert:
    """An archiver that ran today writes no more: it ended, or its group leaves it without a partition."""
    wrote = "scopeline_archive_last_write_timestamp_seconds"
    return Alert(
        key="archive-stands-still",
        group="Archive",
        title="The archive stands still",
        query=f"time() - max(max_over_time({wrote}[1d]))",
        way="gt",
        limits=(ARCHIVE_LIMIT.total_seconds(),),
        severity="critical",
        summary=f"Nothing was written for {duration(ARCHIVE_LIMIT)}. What Kafka deletes before it goes on will be in no archive.",
        anchor="archive-stands-still",
        span=timedelta(minutes=10),
        lasting=timedelta(minutes=10),
        asks="Prometheus",
    )


def uid(facts: Facts, alert: Alert) -> str:
    """The rule's name for Grafana: the same each time, at most 40 characters."""
    return f"{facts.prefix[:15]}-{hashlib.sha256(f'{facts.prefix}/{alert.key}'.encode()).hexdigest()[:24]}"


def rule(facts: Facts, alert: Alert) -> alerting.Rule:
    """An alert as a rule of Grafana's provisioning."""
    metrics = alert.asks == "Prometheus"
    source = facts.datasource(METRICS if metrics else influxql.datasource(alert.query))
    seconds = (round(alert.span.total_seconds()), round(alert.until.total_seconds()))
    question = (
        prometheus.Dataquery().expr(alert.query).instant().ref_id("A") if metrics else Influx(alert.query, source, "A", alias="")
    )
    asked = alerting.Query("A").datasource_uid(source).model(question)
    asked.relative_time_range(model.RelativeTimeRange(from_val=seconds[0], to=seconds[1]))
    newest = alerting.Query("B").datasource_uid("__expr__").model(expr.TypeReduce().ref_id("B").expression("A").reducer("last"))
    limit = expr.ExprTypeThresholdConditions().evaluator(
        expr.ExprTypeThresholdConditionsEvaluator().type(alert.way).params([float(value) for value in alert.limits])
    )
    decided = (
        alerting.Query("C").datasource_uid("__expr__").model(expr.TypeThreshold().ref_id("C").expression("B").conditions([limit]))
    )
    return (
        alerting.Rule(alert.title)
        .uid(uid(facts, alert))
        .folder_uid(facts.prefix)
        .rule_group(f"{facts.folder}: {alert.group}")
        .condition("C")
        .queries([asked, newest, decided])
        .for_val(duration(alert.lasting))
        .no_data_state(alert.silence)
        .exec_err_state("Error")
        .labels({"severity": alert.severity, "product": "scopeline", "kind": alert.anchor})
        .annotations({"summary": alert.summary, "runbook_url": f"{facts.docs}/operate.md#{alert.anchor}"})
    )


def duration(value: timedelta) -> str:
    """A length as Grafana writes it.

    >>> duration(timedelta(minutes=90)), duration(timedelta()), duration(timedelta(seconds=61))
    ('1h30m', '0s', '1m1s')
    """
    rest = round(value.total_seconds())
    found = ""
    for size, letter in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")):
        count, rest = divmod(rest, size)
        found += f"{count}{letter}" if count else ""
    return found or "0s"


def grouped(rules: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Group -> its rules, in order."""
    found: dict[str, list[dict[str, Any]]] = {}
    for one in rules:
        found.setdefault(one["ruleGroup"], []).append(one)
    return found
