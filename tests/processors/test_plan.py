"""The plan: who depends on which meter, what a configuration hash reads, time segments, tags."""

from datetime import UTC, datetime

import polars as pl
import pytest

from processors import plan as plans
from processors.sources import expand

BOILER = {
    "source": "boiler",
    "site": "leeds",
    "scope": 1,
    "category": "stationary_combustion",
    "measured_by": "leeds/b:gas",
    "factor": {"set": "desnz", "table": "Fuels", "item": "Natural gas", "per_unit": "kWh", "basis": "gross"},
}
GRID = {"source": "grid", "site": "leeds", "scope": 2, "category": "purchased_electricity", "measured_by": "leeds/m:energy"}
DEAL = {"contract": "w", "site": "leeds", "kind": "ppa", "covers": {"share": "40%"}, "factor": {"id": "own/wind"}}
DEAL |= {"valid_from": "2026-01-01", "valid_to": "2026-12-31"}
WIND = [{"factor_id": "wind", "gas": "CO2e", "value": "0"}]
LIVE = {"region": "GB", "intensity": "ref/gb:intensity"}


def hashes(plan, source):
    rows = plan.segments.filter(source=source).join(plan.spans.drop("span"), on="segment")
    return set(rows.select("start", "part", "component", "basis", "config").rows())


def test_dependents_of_meters(plan_of):
    virtual = [{"meter": "leeds/net:energy", "unit": "kWh", "is": "[leeds/m:energy] - [leeds/t:energy]"}]
    sources = [BOILER, GRID, GRID | {"source": "net", "scope": 3, "category": "cat_8", "measured_by": "leeds/net:energy"}]
    sources.append(GRID | {"source": "all", "scope": "none", "category": "energy_only", "measured_by": "sum([leeds/p/*:energy])"})
    plan = plan_of(sources, virtual_meters=virtual, grid_regions=[LIVE])
    assert plan.dependents("leeds/b:gas") == {"boiler"}
    assert plan.dependents("leeds/m:energy") == {"grid", "net"}
    assert plan.dependents("leeds/t:energy") == {"net"}
    assert plan.dependents("leeds/p/9:energy") == {"all"}
    assert plan.dependents("ref/gb:intensity") == {"grid"}
    assert plan.dependents("leeds/unknown:x") == frozenset()


def test_contracts_couple_the_purchases_of_a_site(plan_of):
    sites = [{"site": s, "timezone": "Europe/London", "grid_region": "GB"} for s in ("leeds", "york")]
    sources = [BOILER, GRID, GRID | {"source": "grid-2", "measured_by": "leeds/n:energy"}]
    sources += [GRID | {"source": "far", "site": "york", "measured_by": "york/m:energy"}]
    plan = plan_of(sources, sites=sites, own_factors=WIND, contracts=[DEAL | {"covers": {"meter": "leeds/w:energy"}}])
    both = {"grid", "grid-2"}
    assert plan.dependents("leeds/m:energy") == plan.dependents("leeds/n:energy") == plan.dependents("leeds/w:energy") == both
    assert plan.dependents("york/m:energy") == {"far"} and plan.dependents("leeds/b:gas") == {"boiler"}


def test_hash_is_stable_and_differs_by_figure(plan_of):
    one, two = plan_of([BOILER, GRID]), plan_of([GRID, BOILER])
    assert hashes(one, "boiler") == hashes(two, "boiler") and hashes(one, "grid") == hashes(two, "grid")
    assert not {h[-1] for h in hashes(one, "boiler")} & {h[-1] for h in hashes(one, "grid")}


OTHER_FEED = {"feed": "g", "topic": "u/{device}", "site": "york", "decoder": "json", "channels": []}
CHANNEL = {"channel": "gas", "value": "$.g", "unit": "kWh_gross", "kind": "counter"}
FEED = {"feed": "f", "topic": "t/{site}/{device}", "decoder": "json", "channels": [CHANNEL]}
ROW = {"feed": "f", "device": "d1", "meter": "leeds/b", "scale": "10"}

UNTOUCHED = {
    "another source": {"sources": [BOILER, GRID | {"valid_from": "2026-02-01"}]},
    "another feed": {"feeds": [FEED, OTHER_FEED]},
    "another channel of its feed": {"feeds": [FEED | {"channels": [CHANNEL, CHANNEL | {"channel": "t", "scale": "3"}]}]},
    "another meter's row": {"meters": [ROW | {"meter": "leeds/x"}]},
    "a contract": {"contracts": [DEAL], "own_factors": WIND},
    "another region": {"grid_regions": [{"region": "FR", "max_age": "1h"}]},
    "a name": {"sources": [BOILER | {"name": "The boiler"}, GRID]},
    "tags": {"tags": ["line"], "sources": [BOILER | {"tags": {"line": "L1"}}, GRID]},
    "lateness": {"reporting": {"lateness": "1h"}},
    "another set's pin": {"factor_sets": {"desnz": {2025: "2025", 2026: "2026"}, "epa_hub": "2025"}},
}
TOUCHED = {
    "its expression": {"sources": [BOILER | {"measured_by": "2 * [leeds/b:gas]"}, GRID]},
    "its channel": {"feeds": [FEED | {"channels": [CHANNEL | {"scale": "10"}]}]},
    "its row": {"meters": [ROW]},
    "its feed's time": {"feeds": [FEED | {"observed_at": "received_at"}]},
    "the GWP set": {"reporting": {"gwp": "AR5"}},
    "its zone": {"sites": [{"site": "leeds", "timezone": "Europe/Paris", "grid_region": "GB"}]},
    "its pin": {"factor_sets": {"desnz": {2025: "2024", 2026: "2025"}}},
}


@pytest.mark.parametrize("changed", UNTOUCHED)
def test_what_a_figure_does_not_read_leaves_its_hash(changed, plan_of):
    parts = {"feeds": [FEED], "sources": [BOILER, GRID]}
    assert hashes(plan_of(**parts | UNTOUCHED[changed]), "boiler") == hashes(plan_of(**parts), "boiler")


@pytest.mark.parametrize("changed", TOUCHED)
def test_what_a_figure_reads_changes_its_hash(changed, plan_of):
    parts = {"feeds": [FEED], "sources": [BOILER, GRID]}
    before, after = ({h[-1] for h in hashes(plan_of(**p), "boiler") if h[2] == "main"} for p in (parts, parts | TOUCHED[changed]))
    newest = max(h for h in hashes(plan_of(**parts), "boiler") if h[2] == "main" and h[0].year == 2026)
    assert before and newest[-1] not in after


def test_values_of_an_own_factor_change_the_hash_of_who_uses_it(plan_of):
    source = BOILER | {"factor": {"id": "own/gas"}}
    plans_ = [
        plan_of([source, GRID], own_factors=[{"factor_id": "gas", "gas": "CO2", "value": v, "per_unit": "kWh_gross"}])
        for v in "12"
    ]
    assert not hashes(plans_[0], "boiler") & hashes(plans_[1], "boiler")
    assert hashes(plans_[0], "grid") == hashes(plans_[1], "grid")


def test_market_reads_contracts_and_who_shares_them(plan_of):
    parts = {"own_factors": WIND, "contracts": [DEAL]}
    other = GRID | {"source": "grid-2", "measured_by": "leeds/n:energy"}
    alone, shared = plan_of([GRID], **parts), plan_of([GRID, other], **parts)
    of = {basis: [{h for h in hashes(p, "grid") if h[3] == basis} for p in (alone, shared)] for basis in ("location", "market")}
    assert of["location"][0] == of["location"][1] and not of["market"][0] & of["market"][1]


def test_segments_follow_pins_and_days_of_the_site(plan_of):
    plan = plan_of([BOILER | {"valid_from": "2025-07-01", "valid_to": "2026-06-30"}])
    days = [datetime(2025, 6, 30, 23, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 6, 30, 23, tzinfo=UTC)]
    assert plan.segments["start"].to_list() == days
    assert plan.table.select("active_from", "active_to").row(0) == (days[0], days[2])
    assert plan.segments.join(plan.spans, on="segment", how="anti")["start"].to_list() == [days[2]]  # and nothing after


def test_source_tags_win_over_the_meters(plan_of):
    rows = [{"feed": "f", "device": "d", "meter": "leeds/b", "tags": {"line": "L9", "product": "slab"}}]
    plan = plan_of([BOILER | {"tags": {"line": "L1"}}, GRID], tags=["line", "product"], meters=rows)
    assert plan.tagged.rows() == [("boiler", "L1", "slab"), ("grid", None, None)]


def test_thousand_alike_sources_compile_quickly(plant_of, catalogue):
    each = GRID | {"source": "p-{n}", "for_each": "leeds/p/*:energy", "measured_by": "{meter}"}
    plant = plant_of([each])
    sources = expand(plant, [f"leeds/p/{n}:energy" for n in range(1000)])
    plan = plans.compile(plant, catalogue, sources)
    assert len(plan.table) == 1000 and plan.lines.filter(pl.col("basis") == "market").height == 1000
