"""Alert rules: which there are, what they ask, when they fire, and where they send the reader."""

import re
from datetime import timedelta
from pathlib import Path

import grafana
from grafana import plain
from grafana.alerts import alerts, rule, uid
from grafana.datasources import datasources, with_token
from grafana.influxql import checked

ANCHORS = {"silent-feed", "low-coverage", "lag", "budget", "rule"}
OF_METRICS = {"broker-drops-messages", "broker-was-restarted", "broker-forgot-the-session", "archive-stands-still"}
DOCS = Path(__file__).parents[2] / "docs"


def by_key(facts):
    return {alert.key: alert for alert in alerts(facts)}


def test_every_kind_of_alert_is_there(facts):
    found = by_key(facts)
    assert {alert.anchor for alert in found.values()} == ANCHORS
    assert {"low-coverage", "lag", "budget/year/warning", "budget/year/critical", "rule/hot", "rule/band"} <= set(found)
    assert all(checked(alert.query, facts.tags) for alert in found.values())


def test_feeds_that_measure_all_the_time_must_not_be_silent(facts, small):
    silent = {key.partition("/")[2]: alert for key, alert in by_key(facts).items() if key.startswith("silent-feed/")}
    assert {"mill-main", "presses", "gas", "steel-works", "grid-gb"} == set(silent), (
        "deliveries, trips and skips come when they come"
    )
    assert silent["mill-main"].span == timedelta(hours=1) and silent["mill-main"].silence == "Alerting"
    slow = {"feed": "slow", "topic": "a/b", "decoder": "json", "site": "works", "meter": "works/slow"}
    slow["channels"] = [{"channel": "e", "value": "$.e", "unit": "kWh", "kind": "amount", "period": "6h"}]
    assert by_key(small(feeds=[slow]))["silent-feed/slow"].span == timedelta(hours=24)


def test_budgets_are_of_their_own_days_scopes_sites_and_basis(facts):
    found = by_key(facts)
    year = found["budget/year/critical"]
    assert '"scope" =~ /^[12]$/' in year.query and '"basis" =~ /^(market)?$/' in year.query and '"site"' not in year.query
    # the calendar of all sites: Seoul's midnight
    assert "time >= '2025-12-31T15:00:00Z' AND time < '2026-12-31T15:00:00Z'" in year.query
    assert 'sum("co2e_kg") / 12000000.0' in year.query and year.limits == (1.0,)
    mill = found["budget/mill/warning"]
    assert "time >= '2026-01-01T00:00:00Z' AND time < '2026-06-30T23:00:00Z'" in mill.query, "London's midnights"
    assert '"site" =~ /^(sheffield)$/' in mill.query and mill.limits == (0.9,) and "Ann" in mill.summary


def test_rules_of_the_plant_are_in_the_base_unit_of_the_readings(facts):
    found = by_key(facts)
    hot, band = found["rule/hot"], found["rule/band"]
    assert (hot.way, hot.limits, hot.severity, hot.lasting) == ("gt", (1000.0,), "critical", timedelta(minutes=5))
    assert (band.way, band.limits, band.severity) == ("outside_range", (10.0, 900.0), "warning")
    assert "\"meter\" = 'sheffield/main:power'" in hot.query and "above 1 MW" in hot.summary


def test_what_brokers_lost_and_the_archive_misses_is_asked_of_prometheus_where_there_is_one(facts, small):
    assert not OF_METRICS & set(by_key(facts))
    there = small(grafana={"url": "http://grafana:3000", "prometheus": "http://prometheus:9090"})
    found = by_key(there)
    assert set(found) >= OF_METRICS
    known = set(re.findall(r"^\| `(\w+)` \|", (DOCS / "metrics.md").read_text(), re.M))
    for key in OF_METRICS:
        asked = set(re.findall(r"scopeline_\w+", found[key].query))
        assert asked and asked <= known, "no metric of ours"
        made = plain(rule(there, found[key]).build())
        assert made["data"][0]["datasourceUid"] == "scopeline-metrics"
        assert made["data"][0]["model"]["expr"] == found[key].query and made["data"][0]["model"]["instant"]
        assert (made["noDataState"], made["data"][2]["model"]["conditions"][0]["evaluator"]) == (
            "OK",
            {"params": [3600.0 if key == "archive-stands-still" else 0.0], "type": "gt"},
        )
    source = datasources(there)[-1]
    assert (source["uid"], source["type"], source["url"]) == ("scopeline-metrics", "prometheus", "http://prometheus:9090")
    assert with_token(source, "canary") == source, "InfluxDB's token is not Prometheus's"
    assert all("canary" in str(with_token(one, "canary")) for one in datasources(there)[:-1])


def test_what_to_do_is_described():
    headings = {
        re.sub(r"[^a-z0-9-]", "", line[4:].lower().replace(" ", "-"))
        for line in (DOCS / "operate.md").read_text().splitlines()
        if line.startswith("### ")
    }
    assert {*ANCHORS, *OF_METRICS} <= headings


def test_rules_are_what_grafana_takes(facts):
    uids = set()
    for alert in alerts(facts):
        made = plain(rule(facts, alert).build())
        uids.add(made["uid"])
        assert len(made["uid"]) <= 40 and made["folderUID"] == facts.prefix and made["condition"] == "C"
        a, b, c = made["data"]
        assert a["datasourceUid"].startswith("scopeline-") and a["relativeTimeRange"]["from"] > a["relativeTimeRange"]["to"] >= 0
        assert b["datasourceUid"] == c["datasourceUid"] == "__expr__"
        assert (b["model"]["type"], b["model"]["expression"], c["model"]["type"], c["model"]["expression"]) == (
            "reduce",
            "A",
            "threshold",
            "B",
        )
        assert c["model"]["conditions"][0]["evaluator"]["type"] == alert.way
        assert made["labels"]["severity"] in ("info", "warning", "critical")
        assert made["annotations"]["summary"] and made["annotations"]["runbook_url"] == f"docs/operate.md#{alert.anchor}"
        assert "${" not in a["model"]["query"], "an alert has no dashboard variables"
    assert len(uids) == len(alerts(facts))


def test_uids_stay_and_differ_between_folders(facts, small):
    other = small(grafana={"url": "http://x", "folder": "Elsewhere"})
    lag = by_key(facts)["lag"]
    assert uid(facts, lag) == uid(facts, lag) != uid(other, lag)


def test_addresses_of_documents_and_console_can_be_given(demo):
    facts = grafana.facts(demo, console="https://c.example/", docs="https://d.example/docs/")
    made = plain(rule(facts, alerts(facts)[0]).build())
    assert made["annotations"]["runbook_url"].startswith("https://d.example/docs/operate.md#")
    assert grafana.dashboards(facts)["live"]["links"][1]["url"] == "https://c.example"
