"""Market basis: order, never beyond consumption, whole parts, hours, validity, evidence."""

from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.price import price
from processors.scope2 import CONTRACTS, allocate
from schemas.frames import ACTIVITY, AMOUNTS, READINGS, TIME, empty

START = datetime(2026, 1, 5, tzinfo=UTC)
N = 10**9
GRID = {"source": "a", "site": "leeds", "scope": 2, "category": "purchased_electricity", "measured_by": "leeds/a:energy"}
OWN = [{"factor_id": f, "gas": "CO2e", "value": v} for f, v in (("wind", "0"), ("tariff", "0.3"), ("mix", "0.5"))]


def deal(name, kind="ppa", factor="own/wind", **facts):
    term = {"valid_from": "2026-01-01", "valid_to": "2026-12-31", "evidence": {"registry": "HKNR"}}
    return {"contract": name, "site": "leeds", "kind": kind, "factor": {"id": factor}} | term | facts


def market(activity, plan, amounts=None):
    shown = empty(AMOUNTS) if amounts is None else amounts
    return price(activity, shown, empty(READINGS), plan).filter(basis="market")


def parts(figures):
    found = figures.group_by("component").agg(pl.col("activity_n").sum()).sort("component")
    return {name: amount / N for name, amount in found.rows()}


def test_order_is_certificates_ppa_supplier_residual_mix(plan_of, active):
    contracts = [
        deal("a-supplier", "supplier", "own/tariff", covers={"share": "100%"}),
        deal("b-ppa", "ppa", covers={"share": "30%"}),
        deal("c-certificate", "certificate", covers={"share": "50%"}),
    ]
    plan = plan_of([GRID], own_factors=OWN, contracts=contracts)
    figures = market(active("a", [100]), plan)
    assert parts(figures) == {"c-certificate": 50, "b-ppa": 30, "a-supplier": 20}
    assert dict(figures.select("component", "instrument").rows()) == {
        "c-certificate": "certificate",
        "b-ppa": "ppa",
        "a-supplier": "supplier",
    }
    region = [{"region": "GB", "residual_mix": "own/mix"}]
    some = market(active("a", [100]), plan_of([GRID], own_factors=OWN, contracts=contracts[1:], grid_regions=region))
    assert parts(some) == {"c-certificate": 50, "b-ppa": 30, "residual_mix": 20}
    rest = some.filter(component="residual_mix").row(0, named=True)
    assert (rest["instrument"], rest["estimated_n"], rest["co2e_n"]) == ("residual_mix", 0, 10 * N)


def test_within_a_kind_by_id_and_never_beyond_consumption(plan_of, active):
    contracts = [deal("b", covers={"share": "80%"}), deal("a", covers={"share": "70%"})]
    assert parts(market(active("a", [100]), plan_of([GRID], own_factors=OWN, contracts=contracts))) == {"a": 70, "b": 30}


def test_hours_do_not_help_each_other(plan_of, active, shown):
    """A meter that shows 30 kWh in each hour covers at most what the hour bought."""
    plan = plan_of([GRID], own_factors=OWN, contracts=[deal("w", covers={"meter": "leeds/w:energy"})])
    activity = active("a", [5, 5, 5, 5, 20, 20, 20, 20])
    figures = market(activity, plan, shown("leeds/w:energy", [30, 0, 0, 0, 10, 10, 10, 0]))
    hours = figures.group_by("component", pl.col("interval_start").dt.truncate("1h")).agg(pl.col("activity_n").sum() // N)
    assert sorted(hours.rows()) == [
        ("grid_average", START + timedelta(hours=1), 50),
        ("w", START, 20),
        ("w", START + timedelta(hours=1), 30),
    ]
    assert figures.filter(component="w")["activity_n"].to_list() == [5 * N] * 4 + [15 * N // 2] * 4  # pro rata to activity


def test_sources_of_a_site_share(plan_of, active):
    plan = plan_of([GRID, GRID | {"source": "b"}], own_factors=OWN, contracts=[deal("w", covers={"share": "50%"})])
    figures = market(pl.concat([active("a", [30]), active("b", [10])]), plan)
    assert figures.filter(component="w").select("source", "activity_n").rows() == [("a", 15 * N), ("b", 5 * N)]


def test_volume_is_even_over_the_contracts_hours(plan_of, active):
    """8760 kWh over the 8760 hours of 2026 is 1 kWh an hour."""
    plan = plan_of([GRID], own_factors=OWN, contracts=[deal("w", covers={"volume": "8760 kWh"})])
    assert parts(market(active("a", [10] * 8), plan)) == {"w": 2, "grid_average": 78}


def test_valid_days_are_local_and_both_in(plan_of, active):
    sites = [{"site": "leeds", "timezone": "Asia/Kathmandu", "grid_region": "GB"}]
    term = {"valid_from": "2026-01-06", "valid_to": "2026-01-06"}
    plan = plan_of([GRID], sites=sites, own_factors=OWN, contracts=[deal("w", covers={"share": "100%"}, **term)])
    figures = market(active("a", [1] * 240, at=START), plan).filter(component="w")
    # the local day begins at 18:15 UTC, within an hour
    assert figures["interval_start"].min() == datetime(2026, 1, 5, 18, 15, tzinfo=UTC) and len(figures) == 96


def test_without_evidence_it_is_priced_and_flagged(plan_of, active):
    plan = plan_of([GRID], own_factors=OWN, contracts=[deal("w", covers={"share": "50%"}, evidence=None)])
    found = market(active("a", [100]), plan).filter(component="w").row(0, named=True)
    assert found["priced"] and found["co2e_n"] == 0 and found["instrument"] == "ppa" and found["factor_version"] == "unproven"


def test_heat_is_covered_by_contracts_of_heat_only(plan_of, active):
    rule = {"set": "desnz", "table": "Heat and steam", "item": "Onsite heat and steam", "per_unit": "kWh"}
    heat = GRID | {"source": "h", "category": "purchased_heat", "factor": rule}
    contracts = [deal("w", covers={"share": "50%"}), deal("warm", energy="heat", covers={"share": "20%"})]
    figures = market(
        pl.concat([active("a", [100]), active("h", [100])]), plan_of([GRID, heat], own_factors=OWN, contracts=contracts)
    )
    assert parts(figures.filter(source="h")) == {"warm": 20, "grid_average": 80}
    assert parts(figures.filter(source="a")) == {"w": 50, "grid_average": 50}


def test_late_reading_restates_what_it_shares_contracts_with(plan_of, active):
    plan = plan_of([GRID, GRID | {"source": "b"}], own_factors=OWN, contracts=[deal("w", covers={"share": "50%"})])
    figures = market(pl.concat([active("a", [30]), active("b", [10], lag_us=99)]), plan)
    assert set(figures["lag_us"]) == {99}


amount = st.integers(0, 10**15)


@settings(max_examples=60)
@given(
    bought=st.lists(st.tuples(amount, amount), min_size=1, max_size=12),
    shares=st.lists(st.integers(0, 10**18), min_size=1, max_size=3),
    volume=st.integers(0, 10**20),
)
def test_parts_are_whole_and_add_up(bought, shares, volume):
    """For any purchases and contracts: no part is negative, each row keeps its total, no hour covers more than claimed."""
    rows = [
        {
            "source": s,
            "interval_start": START + n * timedelta(minutes=15),
            "quantity_n": q,
            "estimated_n": q // 3,
            "covered_us": 1,
        }
        | {"suspect": False, "lag_us": 0, "site": "s", "energy": "electricity"}
        for n, pair in enumerate(bought)
        for s, q in zip("ab", pair, strict=True)
    ]
    activity = pl.DataFrame(rows, schema_overrides=ACTIVITY)
    term = {
        "site": "s",
        "energy": "electricity",
        "from": START - timedelta(days=1),
        "until": START + timedelta(hours=2, minutes=30),
    }
    claims = [{"share_n": share} for share in shares] + [{"volume_n": volume}]
    deals = [{"contract": f"c{n}", "rank": n} | term | claim for n, claim in enumerate(claims)]
    empty_ = dict.fromkeys(CONTRACTS)
    contracts = pl.DataFrame([empty_ | deal for deal in deals], schema=CONTRACTS)
    no_meters = pl.DataFrame(schema={"meter": pl.String, "interval_start": TIME, "amount_n": pl.Int128})
    found = allocate(activity, no_meters, contracts)
    assert found["quantity_n"].min() >= 0 and found["estimated_n"].min() >= 0
    again = (
        found.group_by("source", "interval_start").agg(pl.col("quantity_n", "estimated_n").sum()).sort("interval_start", "source")
    )
    assert again.equals(activity.select(again.columns).sort("interval_start", "source"))
    for n, share in enumerate(shares):
        hour = pl.col("interval_start").dt.truncate("1h")
        taken = found.filter(part=f"c{n}").group_by(hour).agg(pl.col("quantity_n").sum())
        total = dict(
            activity.filter(pl.col("interval_start") < term["until"]).group_by(hour).agg(pl.col("quantity_n").sum()).rows()
        )
        assert all(amount <= total[at] * share // 10**18 for at, amount in taken.rows())
