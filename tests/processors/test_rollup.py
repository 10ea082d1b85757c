"""Roll-ups: totals, silent rows, coverage, shares, statuses, zones, consolidation; parts in any order, chunks of any size."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors import rollup
from processors.price import price
from schemas.frames import AMOUNTS, FIGURES, READINGS, TIME, empty

DAY = datetime(2026, 1, 5, tzinfo=UTC)
NEXT = DAY + timedelta(days=1)
LONG_AGO = DAY - timedelta(days=9)
OWN = [{"factor_id": "one", "gas": "CO2", "value": "1", "per_unit": "kWh"}, {"factor_id": "two", "gas": "CO2e", "value": "2"}]
SUB = {
    "source": "a",
    "site": "leeds",
    "scope": 1,
    "category": "process",
    "measured_by": "leeds/a:energy",
    "factor": {"id": "own/one"},
}
GRID = SUB | {
    "source": "g",
    "scope": 2,
    "category": "purchased_electricity",
    "factor": {"id": "own/two"},
    "measured_by": "leeds/g:energy",
}
LATER = DAY + timedelta(days=9)


def figures_of(plan, *activity):
    return price(pl.concat(activity), empty(AMOUNTS), empty(READINGS), plan)


def first_of(**meters):
    rows = [(meter.replace("__", "/") + ":energy", at) for meter, at in meters.items()]
    return pl.DataFrame(rows, schema={"meter": pl.String, "first_observed_at": TIME}, orient="row")


def rolled(plan, figures, interval="1d", group=("source",), start=DAY, end=NEXT, first=None, chunk=None, newest=LATER, **request):
    sites = plan.table["site"].unique()
    asked = rollup.Request(interval, dict.fromkeys(sites, (start, end)), group, **request)
    chunks = [figures[n : n + chunk] for n in range(0, len(figures), chunk)] if chunk else [figures]
    frames = rollup.stream(
        chunks, plan, rollup.layout(plan, asked), dict.fromkeys(sites, newest), first_of() if first is None else first
    )
    return pl.concat(list(frames))


def one(frame, **where):
    found = frame.filter(**where)
    assert len(found) == 1, found
    return found.row(0, named=True)


def test_kg_activity_and_coverage_add_up(plan_of, active):
    plan = plan_of([SUB], own_factors=OWN)
    found = one(rolled(plan, figures_of(plan, active("a", [1, 2, 3, None, 4]))))
    assert (found["activity"], found["activity_unit"], found["co2_kg"], found["co2e_kg"]) == (10.0, "kWh", 10.0, 10.0)
    assert found["coverage"] == 4 / 96 and found["ch4_kg"] is None and found["unpriced_share"] == 0
    assert (found["period"], found["interval_start"], found["interval_end"]) == ("2026-01-05", DAY, NEXT)
    assert (found["factor_id"], found["gwp"], found["method"], found["status"]) == ("own/one", "AR6", "activity", "final")


def test_silent_sources_have_rows(plan_of, active):
    plan = plan_of([SUB, GRID, SUB | {"source": "never"}], own_factors=OWN)
    found = rolled(plan, figures_of(plan, active("a", [1])), interval="1h", end=DAY + timedelta(hours=2))
    assert len(found) == 2 * 4  # two bases of g
    silent = found.filter((pl.col("source") != "a") | (pl.col("interval_start") > DAY))
    assert set(silent["status"]) == {"missing"} and set(silent["coverage"]) == {0.0}
    assert silent["co2e_kg"].null_count() == silent["activity"].null_count() == len(silent) == 7
    nothing = rolled(plan, empty(FIGURES))
    assert nothing["status"].to_list() == ["missing"] * 4


def test_source_counts_from_valid_from_or_first_reading_to_valid_to(plan_of, active):
    plan = plan_of([SUB, SUB | {"source": "b", "valid_from": "2026-01-05", "valid_to": "2026-01-05"}], own_factors=OWN)
    first = first_of(leeds__a=DAY + timedelta(hours=12))
    amounts = [active(s, [1] * 48, at=DAY + timedelta(hours=12)) for s in "ab"]
    found = rolled(plan, figures_of(plan, *amounts), start=DAY - timedelta(days=1), end=NEXT + timedelta(days=1), first=first)
    assert one(found, source="a", period="2026-01-05")["coverage"] == 1  # active since its first reading, at noon
    assert one(found, source="b", period="2026-01-05")["coverage"] == 0.5
    assert sorted(found.select("source", "period").rows()) == [("a", "2026-01-05"), ("a", "2026-01-06"), ("b", "2026-01-05")]


def test_each_row_with_scope_2_is_a_total_of_one_basis(plan_of, active):
    plan = plan_of([SUB, GRID, GRID | {"source": "h", "measured_by": "leeds/h:energy"}], own_factors=OWN)
    deal = {"contract": "w", "site": "leeds", "kind": "ppa", "covers": {"share": "50%"}, "factor": {"id": "own/one"}}
    deal |= {"valid_from": "2026-01-01", "valid_to": "2026-12-31", "evidence": {"registry": "R"}}
    plan = plan_of([SUB, GRID], own_factors=OWN, contracts=[deal])
    figures = figures_of(plan, active("a", [100]), active("g", [10]))
    total = rolled(plan, figures, group=("site",))
    assert total["basis"].to_list() == ["location", "market"]
    assert total["co2e_kg"].to_list() == [100 + 20, 100 + 5 + 10] and total["activity"].to_list() == [110, 110]
    market = one(total, basis="market")
    assert market["instrument"] == "grid_average;ppa" and market["factor_id"] == "own/one;own/two"
    scopes = rolled(plan, figures, group=("scope",))
    assert scopes.select("scope", "basis", "co2e_kg").rows() == [(1, "", 100.0), (2, "location", 20.0), (2, "market", 15.0)]
    assert rolled(plan, figures, group=("scope",), basis="market")["basis"].to_list() == ["", "market"]
    parts = rolled(plan, figures, group=("component",))
    assert parts.select("component", "basis", "co2e_kg").rows() == [
        ("grid_average", "market", 10.0),
        ("main", "location", 120.0),
        ("w", "market", 5.0),
    ]


def test_where_narrows(plan_of, active):
    plan = plan_of(
        [SUB | {"tags": {"line": "L1"}}, SUB | {"source": "b", "tags": {"line": "L2"}}, GRID], own_factors=OWN, tags=["line"]
    )
    figures = figures_of(plan, active("a", [1]), active("b", [2]), active("g", [4]))
    assert rolled(plan, figures, where={"tag_line": ["L2"]})["co2e_kg"].to_list() == [2]
    assert rolled(plan, figures, group=(), where={"scope": ["1"]})["co2e_kg"].to_list() == [3]
    assert (
        rolled(plan, figures, group=(), where={"scope": ["1", "2"], "source": ["b", "g"]}, basis="location")["co2e_kg"].item()
        == 10
    )
    assert rolled(plan, figures, group=("tag_line",), basis="location").select("tag_line", "co2e_kg").rows() == [
        ("L1", 1),
        ("L2", 2),
        (None, 8),
    ]
    assert not len(rolled(plan, figures, where={"site": ["york"]}))


def test_unpriced_parts_show_in_the_total(plan_of, active):
    own = [OWN[0] | {"valid_to": "2026-01-05"}]
    plan = plan_of([SUB], own_factors=own)
    figures = figures_of(plan, active("a", [3] * 96), active("a", [1] * 96, at=NEXT))
    found = one(rolled(plan, figures, interval="1mo", end=NEXT + timedelta(days=1)))
    assert (found["status"], found["co2e_kg"], found["unpriced_share"], found["activity"]) == ("unpriced", 288.0, 0.25, 384.0)
    gone = one(rolled(plan, figures, start=NEXT, end=NEXT + timedelta(days=1)))
    assert (gone["co2e_kg"], gone["unpriced_share"], gone["status"], gone["coverage"]) == (None, 1.0, "unpriced", 1.0)


def test_estimates_weigh_by_kg_else_by_activity(plan_of, active):
    plan = plan_of(
        [SUB, SUB | {"source": "b", "factor": {"id": "own/two"}}, SUB | {"source": "c", "factor": None}], own_factors=OWN
    )
    figures = figures_of(plan, active("a", [10], estimated_n=10**10), active("b", [10]), active("c", [10], estimated_n=5 * 10**9))
    assert one(rolled(plan, figures, group=(), where={"source": ["a", "b"]}))["estimated_share"] == 1 / 3  # 10 of 30 kg
    assert one(rolled(plan, figures, where={"source": ["c"]}))["estimated_share"] == 0.5


def test_units_that_mix_leave_activity_empty_and_upstream_adds_none(plan_of, active):
    fuel = {"factor": {"set": "desnz", "table": "Fuels", "item": "Natural gas", "per_unit": "kWh", "basis": "gross"}}
    boiler = SUB | fuel | {"source": "boiler", "category": "stationary_combustion", "measured_by": "leeds/b:gas"}
    plan = plan_of([SUB, boiler], own_factors=OWN)
    figures = figures_of(plan, active("a", [1]), active("boiler", [100]))
    total = one(rolled(plan, figures, group=()))
    assert total["activity"] is None and total["activity_unit"] is None and total["co2e_kg"] > 1
    assert one(rolled(plan, figures), source="boiler")["activity"] == 100  # once, though well to tank repeats it
    assert one(rolled(plan, figures, group=("scope",)), scope=3)["activity"] is None


def test_what_is_outside_the_scopes_stays_apart(plan_of, active):
    own = [*OWN, {"factor_id": "bio", "gas": "CO2_biogenic", "value": "3"}]
    sources = [SUB, SUB | {"source": "m", "scope": "none", "category": "energy_only", "factor": None}]
    sources += [SUB | {"source": "o", "scope": "none", "category": "outside_scopes", "factor": {"id": "own/bio"}}]
    plan = plan_of(sources, own_factors=own)
    figures = figures_of(plan, active("a", [1]), active("m", [50]), active("o", [10]))
    total = one(rolled(plan, figures, group=("site",)))
    assert (total["co2e_kg"], total["activity"], total["biogenic_co2_kg"], total["status"]) == (1, 1, 30, "final")
    scopes = rolled(plan, figures, group=("scope",))
    assert scopes.select("scope", "activity").rows() == [(1, 1), (None, 60)]


@pytest.mark.parametrize(
    ("lag", "newest", "status"),
    [(0, LATER, "final"), (10**12, LATER, "restated"), (10**12, DAY + timedelta(minutes=50), "provisional"), (0, NEXT, "final")],
)
def test_status_is_the_first_that_occurs(plan_of, active, lag, newest, status):
    plan = plan_of([SUB], own_factors=OWN)
    figures = figures_of(plan, active("a", [1, 1]), active("a", [1], at=DAY + timedelta(minutes=30), lag_us=lag))
    assert one(rolled(plan, figures, newest=newest))["status"] == status


def test_events_have_no_time_to_cover_unless_they_are_expected(plan_of, active):
    event = SUB | {"source": "e", "measured_by": "leeds/e:filled", "factor": {"refrigerant": "R-134a"}}
    plan = plan_of([SUB, event, event | {"source": "x", "expect": "1mo"}], own_factors=OWN)
    start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 4, 30, 23, tzinfo=UTC)  # four months of London
    events = [active(s, [1], at=datetime(2026, m, 9, tzinfo=UTC), covered_us=None) for m in (1, 3) for s in "ex"]
    figures = figures_of(plan, active("a", [1] * 96), *events)
    months = rolled(plan, figures, interval="1mo", start=start, end=end)
    assert months.filter(source="x").sort("period")["coverage"].to_list() == [1, 0, 1, 0]
    assert months.filter(source="e").sort("period")["coverage"].to_list() == [None, 0, None, 0]
    whole = one(rolled(plan, figures, interval="all", start=start, end=end), source="x")
    assert whole["coverage"] == (31 * 24 + 31 * 24 - 1) / (120 * 24 - 1)  # January, and March with its short day
    total = one(rolled(plan, figures, interval="1d", group=("site",)))
    assert total["coverage"] == 1  # only a has time to cover on that day


def test_groups_of_several_zones_have_one_row_a_period(plan_of, active):
    zones = {"leeds": "Europe/London", "tokyo": "Asia/Tokyo"}
    sites = [{"site": s, "timezone": z, "grid_region": "GB"} for s, z in zones.items()]
    plan = plan_of([SUB, SUB | {"source": "t", "site": "tokyo", "measured_by": "tokyo/a:energy"}], sites=sites, own_factors=OWN)
    amounts = [active("a", [1] * 96), active("t", [10] * 96, at=DAY - timedelta(hours=9))]
    figures = figures_of(plan, *amounts)
    windows = {"leeds": (DAY, NEXT), "tokyo": (DAY - timedelta(hours=9), NEXT - timedelta(hours=9))}
    for chunk in (7, 10**6):
        asked = rollup.Request("1d", windows, ("scope",))
        chunks = [figures[n : n + chunk] for n in range(0, len(figures), chunk)]
        frames = rollup.stream(chunks, plan, rollup.layout(plan, asked), {}, first_of())
        found = one(pl.concat(list(frames)))
        assert (found["period"], found["co2e_kg"], found["coverage"]) == ("2026-01-05", 1056.0, 1.0)
        assert found["interval_start"] is None and found["interval_end"] is None
    hours = rolled(plan, figures, interval="1h", group=("scope",))
    assert hours["period"][0] == "2026-01-05T00:00:00+00:00" and hours["co2e_kg"][0] == 4 * 11  # one instant for both
    apart = rolled(plan, figures, group=("site",), start=DAY - timedelta(hours=9))
    assert apart["interval_start"].null_count() == 0


def test_consolidated_applies_the_share_of_the_day(plan_of, active):
    share = [{"share": "50%", "valid_from": "2026-01-05"}, {"share": "80%", "valid_from": "2026-01-06"}]
    plan = plan_of([SUB], own_factors=OWN, sites=[{"site": "leeds", "timezone": "Europe/London", "share": share}])
    figures = figures_of(plan, active("a", [10], at=DAY), active("a", [10], at=NEXT))
    whole = rolled(plan, figures, interval="all", end=NEXT + timedelta(days=1))
    part = rolled(plan, figures, interval="all", end=NEXT + timedelta(days=1), consolidated=True)
    assert (one(whole)["co2e_kg"], one(part)["co2e_kg"], one(part)["activity"]) == (20, 13, 13)


def test_an_interval_that_is_not_known_is_refused(plan_of):
    with pytest.raises(ValueError, match="use one of 15m"):
        rollup.layout(plan_of([SUB]), rollup.Request("1w", {"leeds": (DAY, NEXT)}))


quantities = st.lists(st.one_of(st.none(), st.integers(0, 10**6)), min_size=24, max_size=24)


@settings(max_examples=12)
@given(
    a=quantities,
    b=quantities,
    cuts=st.sampled_from([1, 3, 17, 1000]),
    interval=st.sampled_from(["15m", "1h", "1d", "1mo", "all"]),
)
def test_parts_add_up_in_any_order_and_cut(plan_of, active, a, b, cuts, interval):
    plan = plan_of([SUB, GRID], own_factors=OWN)
    start = DAY + timedelta(hours=21)
    figures = figures_of(plan, active("a", a, at=start), active("g", b, at=start))
    for group in (("site", "source", "scope", "category"), ("scope",), ()):
        asked = {"group": group, "interval": interval, "end": NEXT + timedelta(days=1)}
        whole = rolled(plan, figures, **asked)
        assert whole.equals(rolled(plan, figures, chunk=cuts, **asked))
        rows = rollup.layout(plan, rollup.Request(interval, {"leeds": (DAY, NEXT + timedelta(days=1))}, group))
        by_time = figures.partition_by("interval_start")
        parts = [rollup.partial(f, plan, rows) for f in reversed(by_time)] or [rollup.partial(figures, plan, rows)]
        merged = rollup.merge([rollup.merge(parts[:5]), *parts[5:]] if len(parts) > 5 else parts)
        assert whole.equals(rollup.finish(merged, plan, {"leeds": LATER}, first_of(), rows))
    exact = figures.filter(source="a")["co2e_n"].sum() / 10**9
    days = rolled(plan, figures, interval=interval, end=NEXT + timedelta(days=1)).filter(source="a")
    assert days["co2e_kg"].sum() == pytest.approx(exact, rel=1e-12)
