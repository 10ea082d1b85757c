"""Every query of every panel, variable, annotation and alert, on a real InfluxDB that the real writers filled with the demo's
figures; several panels against sums that this test makes by itself from the figures."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import httpx
import polars as pl
import pytest
from pydantic import SecretStr

import grafana
from grafana.alerts import alerts
from grafana.influxql import datasource
from processors.output import finish_base
from schemas.connections import InfluxDB
from schemas.frames import MESSAGES, TIME
from schemas.influx import buckets
from schemas.tables import Budget, Rule
from scopeline import offline, pipeline
from scopeline.catalogue import catalogue
from scopeline.cluster.replica import Replica
from scopeline.cluster.tell import Teller, events_since, readings_since, traffic_since
from scopeline.demo.messages import messages, steel_works, utc
from scopeline.plant import load
from sinks.influx import Influx, setup

pytestmark = pytest.mark.live

DEMO = Path(__file__).parents[2] / "scopeline" / "demo" / "plant"
NOW = datetime.now(UTC).replace(microsecond=0)
START = NOW - timedelta(hours=30)
EARLIER = (START.replace(day=1) - timedelta(days=9)).replace(hour=0, minute=0, second=0)
"""A day of the month before, of the site whose meter states quarter-hours: nothing is spread over what lies between."""
SITES = {"sheffield": "Europe/London", "gwangyang": "Asia/Seoul"}
MAY_BE_EMPTY = {"Levels", "Factor changes", "Meter changes", "Flows", "Quarantined"}
"""What the demo need not have: no levels of its own, no swap of a meter, nothing that cannot be read."""


class Filled(NamedTuple):
    """The store with the demo's figures: ask(kind, query) -> rows as dicts (tags, columns, time in ms); OUTPUT of all figures."""

    ask: Callable[[str, str], list[dict[str, Any]]]
    figures: pl.DataFrame
    facts: grafana.Facts
    dashboards: dict[str, dict[str, Any]]


def told() -> list[Any]:
    """The demo's messages in the order of their receipt; one of the mill comes two hours late, so that something is restated."""
    earlier = steel_works(EARLIER, EARLIER + timedelta(days=1), timedelta(minutes=1))
    said = [*earlier, *messages(START, NOW, timedelta(minutes=1))]
    late = next(n for n, one in enumerate(said) if one.topic.endswith("sheffield/main") and one.at > NOW - timedelta(hours=5))
    said[late] = said[late]._replace(at=said[late].at + timedelta(hours=2))
    return sorted(said)


def influx_of(influxdb: Any, bucket: str) -> Influx:
    settings = InfluxDB(url=influxdb.url, org=influxdb.org, bucket=bucket)
    return Influx(settings, SecretStr(influxdb.token))


@pytest.fixture(scope="module")
def filled(influxdb, tmp_path_factory) -> Filled:
    plant, problems = load(DEMO)
    assert plant, problems
    days = {"from": NOW.date() - timedelta(days=60), "to": NOW.date() + timedelta(days=1)}
    plant = plant.model_copy(
        update={
            "budgets": (Budget.model_validate({"budget": "year", "basis": "market", "amount": "10 t", "scope": [1, 2], **days}),),
            "rules": (Rule.model_validate({"rule": "hot", "meter": "sheffield/main:power", "above": 1, "unit": "MW"}),),
        }
    )
    folder = tmp_path_factory.mktemp("grafana")
    bucket = f"grafana{folder.name[-1]}{NOW:%H%M%S}"
    influx = influx_of(influxdb, bucket)
    setup(influx)
    said = told()
    rows = [(n, one.topic, one.payload.encode(), one.at, False, None) for n, one in enumerate(said, 1)]
    frame = pl.DataFrame(rows, schema=MESSAGES, orient="row")
    replica = Replica(folder / "state.duckdb", pipeline.configure(plant, catalogue()))
    replica.apply(frame, {"raw": len(said)})
    teller = Teller(influx, influx.settings)
    clocks = {site: newest for site, newest in replica.store.clocks().iter_rows() if site in SITES}
    changed = replica.log.changes(0)
    teller.figures(replica, changed)
    teller.sums(replica, changed, {site: (START, at) for site, at in clocks.items()})
    teller.readings(readings_since(replica, 0))
    teller.events(events_since(replica, 0))
    teller.clocks(clocks)
    teller.traffic(traffic_since(replica, START, 0))
    teller.lag(pl.DataFrame({"at": [NOW], "partition": ["0"], "records": [3.0], "seconds": [1.5]}, schema_overrides={"at": TIME}))
    assert not teller.refusals
    replica.close()
    file = folder / "messages.ndjson"
    lines = ({"topic": one.topic, "payload": one.payload, "received_at": utc(one.at)} for one in said)
    file.write_text("\n".join(map(json.dumps, lines)) + "\n")
    computed = offline.load(file, plant, catalogue())
    figures = pl.concat(finish_base(part, computed.configuration.plan, {}) for part in computed.figures())
    http = httpx.Client(base_url=influxdb.url, headers={"Authorization": f"Token {influxdb.token}"}, timeout=90)
    names = buckets(bucket)

    def ask(kind: str, query: str) -> list[dict[str, Any]]:
        answer = http.post("/query", params={"db": names[kind], "epoch": "ms"}, data={"q": query})
        result = answer.json()
        assert answer.status_code == 200 and "error" not in result["results"][0], f"{query}: {answer.text}"
        found = []
        for series in result["results"][0].get("series", []):
            tags = series.get("tags", {})
            found += [tags | dict(zip(series["columns"], row, strict=True)) for row in series["values"]]
        return found

    facts = grafana.facts(plant)
    yield Filled(ask, figures, facts, grafana.dashboards(facts))
    http.close()
    influx.close()


def written(query: str, start: datetime = START, end: datetime = NOW, **chosen: str) -> str:
    """The query as Grafana sends it: macros and variables filled in; without a choice, everything."""
    values = {"basis": "location", "zone": "sheffield", **chosen}
    span = f"time >= {start.timestamp() * 1000:.0f}ms and time <= {end.timestamp() * 1000:.0f}ms"
    query = query.replace("$timeFilter", span).replace("$__range_s", f"{(end - start).total_seconds():.0f}")
    query = query.replace("$__interval_ms", "900000").replace("$__interval", "15m")
    query = query.replace("${zone:text}", SITES.get(values["zone"], "UTC"))
    query = re.sub(r"\$\{(\w+):(?:regex|raw)\}", lambda found: values.get(found[1], ".*"), query)
    assert "$" not in query.replace("$/", "/"), f"not filled in: {query}"
    return query


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def panel(filled: Filled, name: str, title: str) -> dict[str, Any]:
    return next(one for one in panels(filled.dashboards[name]) if one["title"] == title)


def rows_of(filled: Filled, name: str, title: str, **how: Any) -> list[dict[str, Any]]:
    query = panel(filled, name, title)["targets"][0]["query"]
    return filled.ask(datasource(query), written(query, **how))


def priced(filled: Filled, basis: str) -> pl.DataFrame:
    """Figures of one basis and those without, in the scopes, with their local day."""
    days = pl.coalesce(
        pl.when(pl.col("site") == site).then(pl.col("interval_start").dt.convert_time_zone(zone).dt.date())
        for site, zone in SITES.items()
    )
    return filled.figures.filter(pl.col("basis").is_in(["", basis]), pl.col("scope").is_not_null()).with_columns(day=days)


def test_every_panel_has_rows(filled):
    asked = 0
    for name, dashboard in filled.dashboards.items():
        for one in panels(dashboard):
            for target in one["targets"]:
                source = {"source": "mill-electricity", "site": "sheffield"} if name == "source" else {}
                found = filled.ask(datasource(target["query"]), written(target["query"], **source))
                assert found or one["title"] in MAY_BE_EMPTY, f"{name}: {one['title']}: {target['query']}"
                asked += 1
    assert asked >= 30


def test_every_variable_and_annotation_is_answered(filled):
    asked = 0
    for dashboard in filled.dashboards.values():
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                assert filled.ask(datasource(variable["query"]), written(variable["query"])), variable["name"]
                asked += 1
        for annotation in dashboard["annotations"]["list"]:
            query = annotation["target"]["query"]
            found = filled.ask(datasource(query), written(query))
            assert found or annotation["name"] in MAY_BE_EMPTY
            asked += 1
    assert asked > 20


def test_every_alert_is_answered(filled):
    found = {}
    for alert in alerts(filled.facts):
        query = written(alert.query, NOW - alert.span, NOW - alert.until)
        found[alert.key] = filled.ask(datasource(alert.query), query)
    assert found["silent-feed/mill-main"][0]["messages"] > 50
    assert found["lag"] and found["lag"][0]["seconds"] == 1.5 and found["rule/hot"]
    coverage = {row["source"]: row["coverage"] for row in found["low-coverage"]}
    assert 0.9 < coverage["mill-electricity"] <= 1 and "fork-lifts" not in coverage
    spent = priced(filled, "market").filter(pl.col("scope").is_in([1, 2]))["co2e_kg"].sum()
    assert found["budget/year/critical"][0]["used"] == pytest.approx(spent / 10_000)


@pytest.mark.parametrize("basis", ["location", "market"])
@pytest.mark.parametrize("site", SITES)
def test_today_by_scope_is_the_sum_since_local_midnight(filled, site, basis):
    today = NOW.astimezone(ZoneInfo(SITES[site])).date()
    figures = priced(filled, basis).filter(site=site, day=today)
    expected = dict(figures.group_by(pl.col("scope").cast(pl.String)).agg(pl.col("co2e_kg").sum()).iter_rows())
    found: dict[str, float] = {}
    for row in rows_of(filled, "live", "Today by scope", site=site, zone=site, basis=basis):
        found[row["scope"]] = row["kg"]  # the last bucket is today's
    assert {scope: kg for scope, kg in found.items() if kg is not None} == pytest.approx(expected)
    assert "2" in expected or figures.is_empty()


def test_sources_today_add_up_to_the_scopes(filled):
    last = {}
    for row in rows_of(filled, "live", "Sources today", site="sheffield"):
        last[row["source"]] = row["kg"]
    today = priced(filled, "location").filter(site="sheffield", day=NOW.astimezone(ZoneInfo("Europe/London")).date())
    assert sum(kg for kg in last.values() if kg) == pytest.approx(today["co2e_kg"].sum())


def months(filled: Filled, title: str, by: str, **how: Any) -> dict[tuple[str, str], float]:
    """What the panel's transformations make of its rows: time as month in their zone, sums by month and column."""
    one = panel(filled, "inventory", title)
    form, group, matrix = (change["options"] for change in one["transformations"])
    assert form["outputFormat"] == "YYYY-MM" and matrix["columnField"] == by and group["fields"][by]["operation"] == "groupby"
    total: dict[tuple[str, str], float] = {}
    for row in rows_of(filled, "inventory", title, start=EARLIER - timedelta(days=1), **how):
        month = datetime.fromtimestamp(row["time"] / 1000, ZoneInfo(form["timezone"])).strftime("%Y-%m")
        if row["kg"] is not None:
            total[(month, row[by])] = total.get((month, row[by]), 0) + row["kg"]
    return total


@pytest.mark.parametrize("basis", ["location", "market"])
@pytest.mark.parametrize("by", ["category", "scope", "source"])
def test_months_are_sums_of_local_days(filled, by, basis):
    title = {"category": "Categories", "scope": "Scopes", "source": "Sources"}[by]
    figures = priced(filled, basis).filter(pl.col("co2e_kg").is_not_null())
    groups = figures.group_by(month=pl.col("day").dt.strftime("%Y-%m"), by=pl.col(by).cast(pl.String))
    expected = {(month, key): kg for month, key, kg in groups.agg(pl.col("co2e_kg").sum()).iter_rows()}
    assert len({month for month, _ in expected}) >= 2
    assert months(filled, title, by, basis=basis) == pytest.approx(expected)


def test_location_stands_beside_market_and_is_never_added(filled):
    found = months(filled, "Scope 2: location beside market", "basis")
    sums = {}
    for basis in ("location", "market"):
        sums[basis] = filled.figures.filter(basis=basis, scope=2)["co2e_kg"].sum()
        assert sum(kg for (_, b), kg in found.items() if b == basis) == pytest.approx(sums[basis])
    assert sums["market"] < sums["location"], "the demo's contract covers a part: the bases must differ"
    for basis in sums:
        total = rows_of(filled, "inventory", "Total", start=EARLIER - timedelta(days=1), basis=basis)
        assert total[0]["kg"] == pytest.approx(priced(filled, basis)["co2e_kg"].sum())


def test_activity_is_not_counted_again_with_derived_components(filled):
    found = rows_of(filled, "source", "Activity", source="boiler-house", site="sheffield")
    boiler = filled.figures.filter(pl.col("source") == "boiler-house", pl.col("interval_start") >= START)
    assert sum(row["activity"] for row in found) == pytest.approx(boiler.filter(component="main")["activity"].sum())
    assert boiler["component"].n_unique() > 1, "a derived component must be there to be counted twice"


def test_emitting_now_is_the_rate_of_the_newest_whole_intervals(filled):
    now = rows_of(filled, "live", "Emitting now", site="sheffield")[0]["now"]
    recent = priced(filled, "location").filter(
        pl.col("site") == "sheffield", pl.col("coverage") >= 0.999, pl.col("interval_start") >= NOW - timedelta(minutes=58)
    )
    newest = recent.sort("interval_start").group_by("source", "component", "scope", "category").agg(pl.col("co2e_kg").last())
    assert now == pytest.approx(newest["co2e_kg"].sum() * 60)


def test_coverage_of_a_range_is_what_its_figures_span(filled):
    start = (NOW - timedelta(hours=12)).replace(minute=0, second=0)
    end = NOW.replace(minute=0, second=0)
    found = {}
    for row in rows_of(filled, "live", "Coverage of the range", start=start, end=end - timedelta(seconds=1), site="sheffield"):
        found[row["source"]] = row["coverage"]
    mill = filled.figures.filter(
        pl.col("source") == "mill-electricity",
        pl.col("basis") == "location",
        pl.col("interval_start").is_between(start, end, closed="left"),
    )
    spans = mill.group_by("interval_start").agg(pl.col("coverage").max())["coverage"].sum() * 60
    assert found["mill-electricity"] == pytest.approx(spans / (end - start).total_seconds(), abs=1e-3)


def test_newest_reading_of_a_meter(filled):
    found = {row["meter"]: row for row in rows_of(filled, "live", "Newest readings", site="sheffield")}
    assert found["sheffield/main:power"]["unit"] == "kW" and found["sheffield/main:power"]["quality"] == "good"
    assert abs(found["sheffield/main:power"]["time"] / 1000 - NOW.timestamp()) < 120
