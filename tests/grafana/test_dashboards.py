"""The dashboards as JSON: valid for Grafana, complete for people, and built only from names that the schema has."""

import json
import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

import grafana
from grafana.influxql import checked, datasource, measurement
from schemas.influx import FIGURES, ROLLUPS

ROOT = Path(__file__).parents[2]
PANELS = {"timeseries", "stat", "bargauge", "table", "barchart"}
"""Panel types of today's Grafana; graph, singlestat and table-old are gone."""
OF_FIGURES = {FIGURES, *ROLLUPS.values()}


@pytest.fixture(scope="module")
def made(facts):
    return grafana.dashboards(facts)


def panels(made):
    found = [(name, panel) for name, one in made.items() for panel in one["panels"] if panel["type"] != "row"]
    assert len(found) > 25
    return found


def queries(made):
    return [(name, panel, target["query"]) for name, panel in panels(made) for target in panel["targets"]]


def test_four_dashboards_with_their_names(made):
    assert {one["title"] for one in made.values()} == {"Live plant", "Feeds", "Inventory", "Source"}
    assert {one["uid"] for one in made.values()} == {f"scopeline-{name}" for name in made}
    assert all(len(one["uid"]) <= 40 for one in made.values())


def test_ids_are_unique_and_panels_do_not_overlap(made):
    for name, one in made.items():
        ids = [panel["id"] for panel in one["panels"]]
        assert len(ids) == len(set(ids)) and min(ids) > 0, name
        places = [(panel["title"], panel["gridPos"]) for panel in one["panels"]]
        for (a, p), (b, q) in combinations(places, 2):
            apart = (
                p["x"] + p["w"] <= q["x"] or q["x"] + q["w"] <= p["x"] or p["y"] + p["h"] <= q["y"] or q["y"] + q["h"] <= p["y"]
            )
            assert apart, f"{name}: {a} lies over {b}"
        assert all(p["x"] >= 0 and p["x"] + p["w"] <= 24 and p["h"] >= 1 for _, p in places), name


def test_lines_of_panels_are_full(made):
    for name, one in made.items():
        widths: dict[int, int] = {}
        for panel in one["panels"]:
            widths[panel["gridPos"]["y"]] = widths.get(panel["gridPos"]["y"], 0) + panel["gridPos"]["w"]
        assert set(widths.values()) == {24}, f"{name}: {widths}"


def test_every_panel_says_what_it_shows(made):
    for name, panel in panels(made):
        assert panel["type"] in PANELS, f"{name}: {panel['title']}"
        assert panel["title"] and len(panel["description"]) > 15, f"{name}: {panel['title']}"
        assert panel["type"] == "table" or panel["fieldConfig"]["defaults"]["unit"], f"{name}: {panel['title']} has no unit"
        assert panel["fieldConfig"]["defaults"]["noValue"] == "–", "missing is not zero"


def test_every_query_goes_to_the_data_source_that_holds_its_measurement(made, facts):
    known = {facts.datasource(kind) for kind in ("figures", "readings", "health")}
    for name, panel, query in queries(made):
        target = next(one for one in panel["targets"] if one["query"] == query)
        assert target["datasource"] == {"type": "influxdb", "uid": facts.datasource(datasource(query))}, f"{name}: {query}"
        assert target["rawQuery"] and target["resultFormat"] in ("time_series", "table")
        assert panel["datasource"]["uid"] in known
    for one in made.values():
        for annotation in one["annotations"]["list"]:
            assert annotation["datasource"]["uid"] in known and annotation["target"]["textColumn"] == "detail"


def test_every_name_in_a_query_is_in_the_schema(made, facts):
    for _, _, query in queries(made):
        assert checked(query, facts.tags) == query
        assert "SELECT *" not in query


def test_variables_that_queries_use_are_declared(made):
    for name, one in made.items():
        declared = {variable["name"] for variable in one["templating"]["list"]}
        used = set(re.findall(r"\$\{(\w+):", json.dumps(one))) - {"__data", "__value", "__field"}
        assert used <= declared, f"{name}: {used - declared}"
        assert declared <= used | {"zone"}, f"{name}: nothing uses {declared - used}"


def test_each_plant_tag_is_a_variable_and_a_condition(made, facts):
    assert facts.tags == ("tag_line", "tag_cost_centre")
    for name in ("live", "inventory"):
        declared = {variable["name"] for variable in made[name]["templating"]["list"]}
        assert declared >= {"site", "source", "basis", *facts.tags}
        of_figures = [query for where, _, query in queries(made) if where == name and measurement(query) in OF_FIGURES]
        for query in of_figures:
            if "time >= '" not in query:  # a budget is the plant's, whatever is chosen
                assert all(f'"{tag}" =~' in query for tag in facts.tags), query


def test_years_are_read_from_the_days_and_live_days_from_quarters(made):
    read = {name: {measurement(query) for where, _, query in queries(made) if where == name} for name in made}
    assert read["inventory"] == {"figures_1d"}
    assert "figures_15m" in read["live"] and "figures_1d" not in read["live"]
    for _, panel, query in queries(made):
        assert len(re.findall(r'FROM "', query)) == 1, f"{panel['title']} adds measurements of different lengths"


def test_bases_are_chosen_or_stand_apart(made):
    looked = 0
    for name, panel, query in queries(made):
        if measurement(query) not in OF_FIGURES:
            continue
        looked += 1
        chosen = '"basis" =~ /^(${basis:regex})?$/' in query or re.search(r'"basis" =~ /\^\((location|market)\)\?\$/', query)
        assert chosen or 'GROUP BY time(1d), "basis"' in query, f"{name}: {panel['title']}"
        if not chosen:
            assert panel["options"]["stacking"] == "none", f"{panel['title']} stacks bases on each other"
    assert looked > 15
    for one in made.values():
        for variable in one["templating"]["list"]:
            if variable["name"] == "basis":
                assert not variable["multi"] and not variable["includeAll"]
                assert [option["value"] for option in variable["options"]] == ["location", "market"]


def test_every_dashboard_leads_to_the_others_and_to_the_console(made, facts):
    for one in made.values():
        kinds = {link["type"]: link for link in one["links"]}
        assert set(kinds["dashboards"]["tags"]) <= set(one["tags"]) and kinds["link"]["url"] == facts.console
    trace = f"{facts.console}/figures?trace=${{source:percentencode}}&at="
    assert json.dumps(made["source"]).count(json.dumps(trace)[1:-1]) == 2
    assert f"/d/{facts.dashboard('source')}?var-source=" in json.dumps(made["live"])


def test_annotations_mark_restatements_and_changes(made):
    names = {annotation["name"] for annotation in made["live"]["annotations"]["list"]}
    assert names == {"Restatements", "Factor changes", "Meter changes"}


def test_time_zone_is_the_sites(small, made, facts):
    alone = grafana.dashboards(small())
    assert {one["timezone"] for one in alone.values()} == {"Europe/Berlin"}
    zone = alone["live"]["templating"]["list"][0]
    assert (zone["name"], zone["hide"], zone["current"]["text"]) == ("zone", 2, "Europe/Berlin")
    assert made["inventory"]["timezone"] == facts.zone == "Etc/GMT-9", "days of Seoul and London add up in Seoul's calendar"
    choices = {option["text"]: option["value"] for option in made["live"]["templating"]["list"][0]["options"]}
    assert choices == {"Asia/Seoul": "gwangyang", "Europe/London": "sheffield"}


def test_all_sites_of_a_live_day_are_those_of_one_time_zone(made):
    found = {(name, one["name"]): one for name in made for one in made[name]["templating"]["list"]}
    assert "allValue" not in found[("live", "site")] and "${zone:raw}" in found[("live", "site")]["query"]
    assert found[("inventory", "site")]["allValue"] == found[("live", "tag_line")]["allValue"] == ".*"
    order = [one["name"] for one in made["source"]["templating"]["list"]]
    assert order[:2] == ["source", "site"] and not found[("source", "source")]["multi"], "the site follows the source"


@pytest.mark.parametrize(("base", "today"), [("1m", "figures_15m"), ("15m", "figures"), ("1h", "figures")])
def test_a_plant_without_quarters_reads_what_is_there(small, base, today):
    live = grafana.dashboards(small(reporting={"base_interval": base}))["live"]
    found = {panel["title"]: panel["targets"][0]["query"] for panel in live["panels"] if panel.get("targets")}
    assert measurement(found["Today by scope"]) == today
    assert measurement(found["Coverage"]) == {"1m": "figures_15m", "15m": "figures_1h", "1h": "figures_1d"}[base]


def test_the_sdk_reads_back_what_it_wrote(made):
    for one in made.values():
        bare = {**one, "panels": [{**panel, "targets": []} if "targets" in panel else panel for panel in one["panels"]]}
        again = json.loads(json.dumps(Dashboard.from_json(bare), cls=JSONEncoder))
        for key in ("title", "uid", "timezone", "templating", "links", "time"):
            assert again[key] == one[key]
        assert [panel["title"] for panel in again["panels"]] == [panel["title"] for panel in one["panels"]]


def test_names_of_a_plant_are_inert(small):
    facts = small(organisation="<img src=x onerror=alert(1)>", grafana={"url": "http://x", "folder": "A/B: ../c"})
    made = grafana.dashboards(facts)
    assert all(re.fullmatch(r"[a-z0-9-]{1,40}", one["uid"]) for one in made.values())
    assert not [panel for one in made.values() for panel in one["panels"] if panel["type"] == "text"], "text panels take HTML"


@pytest.mark.parametrize("column", ["co2e_kg", "coverage", "factor_id", "activity_unit", "component"])
def test_a_renamed_column_breaks_the_build(column):
    """The columns of a figure are renamed in one place, before anything else is loaded: building must fail."""
    code = f"""
import schemas.frames as frames
frames.OUTPUT = {{("renamed" if name == {column!r} else name): kind for name, kind in frames.OUTPUT.items()}}
if {column!r} == "component":
    import schemas.influx as influx
    influx.FIGURE_TAGS = tuple("renamed" if tag == "component" else tag for tag in influx.FIGURE_TAGS)
    influx.TAGS |= {{name: influx.FIGURE_TAGS for name in (influx.FIGURES, *influx.ROLLUPS.values())}}
from pathlib import Path
import grafana
from schemas.plant import Plant
plant = Plant.model_validate({{"settings": {{"organisation": "W", "sites": [{{"site": "w", "timezone": "UTC"}}]}}}})
grafana.dashboards(grafana.facts(plant))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    said = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and said.startswith(("grafana.influxql.Refused", "KeyError")) and column in said, done.stderr
