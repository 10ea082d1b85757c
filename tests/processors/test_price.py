"""Prices: published worked examples, both bases, live intensities, what is apart, what is unpriced, windows."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.price import price
from schemas.frames import ACTIVITY, AMOUNTS, FIGURES, READINGS, empty

START = datetime(2026, 1, 5, tzinfo=UTC)
BOILER = {
    "source": "boiler",
    "site": "leeds",
    "scope": 1,
    "category": "stationary_combustion",
    "measured_by": "leeds/b:gas",
    "factor": {"set": "desnz", "table": "Fuels", "item": "Natural gas", "per_unit": "kWh", "basis": "gross"},
}
GRID = {"source": "grid", "site": "leeds", "scope": 2, "category": "purchased_electricity", "measured_by": "leeds/m:energy"}
LIVE = {"region": "GB", "intensity": "ref/gb:intensity", "gas": "CO2e", "max_age": "2h"}


def priced(activity, plan, levels=None, amounts=None):
    return price(activity, empty(AMOUNTS) if amounts is None else amounts, empty(READINGS) if levels is None else levels, plan)


def row(figures, component="main", basis=None):
    found = figures.filter((pl.col("component") == component) & (pl.lit(basis is None) | (pl.col("basis") == (basis or ""))))
    assert len(found) == 1, found
    return found.row(0, named=True)


def kg(value):
    return None if value is None else Decimal(value).scaleb(-9)


def test_natural_gas_as_desnz_publishes_it(plan_of, active):
    """2025, Fuels, natural gas, kWh (Gross CV): 0.18259 kg CO2 in 0.18296 kg CO2e (AR5), 0.0302 kg CO2e/kWh well to tank."""
    plan = plan_of([BOILER], reporting={"gwp": "AR5"})
    figures = priced(active("boiler", [1000], at=datetime(2025, 6, 1, tzinfo=UTC)), plan)
    main = row(figures)
    assert kg(main["co2_n"]) == Decimal("182.59")
    assert kg(main["co2e_n"]) == Decimal("182.96")  # the gases times their GWP are the published sum
    assert main["ch4_n"] * 28 == 10**9 * Decimal("0.28") and main["unsplit_n"] is None and main["hfc_n"] is None
    assert (main["activity_unit"], main["factor_version"], main["gwp"], main["scope"]) == ("kWh_gross", "2025", "AR5", 1)
    upstream = row(figures, "wtt")
    assert (upstream["scope"], upstream["category"], upstream["basis"]) == (3, "cat_3", "")
    assert kg(upstream["unsplit_n"]) == kg(upstream["co2e_n"]) == Decimal("30.21")


def test_plants_gwp_set_joins_the_gases(plan_of, active):
    at = datetime(2025, 6, 1, tzinfo=UTC)
    five = row(priced(active("boiler", [1000], at=at), plan_of([BOILER], reporting={"gwp": "AR5"})))
    six = row(priced(active("boiler", [1000], at=at), plan_of([BOILER])))
    assert [five[g] for g in ("co2_n", "ch4_n", "n2o_n")] == [six[g] for g in ("co2_n", "ch4_n", "n2o_n")]
    n2o = Decimal("0.09") / 265  # published as kg CO2e at AR5
    exact = Decimal("182.59") + Decimal("0.01") * 27 + n2o * 273
    assert abs(kg(six["co2e_n"]) - exact) < Decimal("1e-9") and six["gwp"] == "AR6"


def test_fossil_methane_has_its_own_value_where_it_escapes(plan_of, active):
    own = [{"factor_id": "vent", "gas": "CH4", "value": "1", "per_unit": "kg"}]
    for category, worth in (
        ("fugitive", Decimal("29.8")),
        ("process", Decimal("29.8")),
        ("stationary_combustion", Decimal("27")),
    ):
        source = {"source": "vent", "site": "leeds", "scope": 1, "category": category, "measured_by": "leeds/v:filled"}
        plan = plan_of([source | {"factor": {"id": "own/vent"}}], own_factors=own)
        assert kg(row(priced(active("vent", [1]), plan))["co2e_n"]) == worth


def test_refrigerant_is_mass_times_composition_times_gwp(plan_of, active):
    """R-410A is half HFC-32, half HFC-125; AR6: 771 and 3740."""
    source = {"source": "chiller", "site": "leeds", "scope": 1, "category": "fugitive", "measured_by": "leeds/c:filled"}
    found = row(priced(active("chiller", [2], covered_us=None), plan_of([source | {"factor": {"refrigerant": "R-410A"}}])))
    assert kg(found["hfc_n"]) == kg(found["co2e_n"]) == Decimal(771 + 3740)
    assert found["pfc_n"] is None and found["covered_us"] is None
    ozone = plan_of([source | {"factor": {"refrigerant": "R-22"}}])
    apart = row(priced(active("chiller", [1]), ozone))
    assert kg(apart["non_kyoto_n"]) == 1960 and apart["co2e_n"] is None  # HCFC-22, outside the scopes


def test_biogenic_carbon_stays_outside(plan_of, active):
    own = [{"factor_id": "chips", "gas": g, "value": v, "per_unit": "kg"} for g, v in (("CO2_biogenic", "1.5"), ("CH4", "0.001"))]
    chips = BOILER | {"source": "chips", "measured_by": "leeds/w:filled", "factor": {"id": "own/chips"}}
    found = row(priced(active("chips", [100]), plan_of([chips], own_factors=own)))
    assert (kg(found["biogenic_co2_n"]), kg(found["co2e_n"])) == (150, Decimal("2.7")) and found["co2_n"] is None
    half = row(priced(active("boiler", [1000]), plan_of([BOILER | {"biogenic_share": "25%"}])))
    all_ = row(priced(active("boiler", [1000]), plan_of([BOILER])))
    assert half["biogenic_co2_n"] * 4 == all_["co2_n"] and half["co2_n"] + half["biogenic_co2_n"] == all_["co2_n"]
    assert half["co2e_n"] == all_["co2e_n"] - half["biogenic_co2_n"]


def test_scope_2_has_both_bases_and_category_3(plan_of, active):
    """DESNZ 2025: 0.177 kg CO2e/kWh generated, 0.01853 lost on the way, 0.0459 well to tank (all AR5)."""
    figures = priced(active("grid", [1000], at=datetime(2025, 6, 1, tzinfo=UTC)), plan_of([GRID], reporting={"gwp": "AR5"}))
    place, market = row(figures, basis="location"), row(figures, "grid_average")
    assert kg(place["co2e_n"]) == kg(market["co2e_n"]) == Decimal("177.01")  # the sum of the gases as published; 177 when rounded
    assert (place["instrument"], market["instrument"], market["basis"]) == (None, "grid_average", "market")
    assert (place["estimated_n"], market["estimated_n"]) == (0, 1000 * 10**9)  # the market's last resort is an estimate
    assert kg(row(figures, "t_and_d")["co2e_n"]) == Decimal("18.53") and kg(row(figures, "wtt")["co2e_n"]) == Decimal("45.9")
    assert len(figures) == 5 and {"wtt_t_and_d"} < set(figures["component"])


def test_own_factor_takes_the_place_of_the_grid_average(plan_of, active):
    own = [{"factor_id": "works-grid", "gas": "CO2e", "value": "0.4585"}]
    figures = priced(active("grid", ["3.17"]), plan_of([GRID | {"factor": {"id": "own/works-grid"}}], own_factors=own))
    assert {(f["component"], f["basis"], f["co2e_n"]) for f in figures.rows(named=True)} == {
        ("main", "location", 1_453_445_000),
        ("grid_average", "market", 1_453_445_000),
    }  # and own factors derive nothing


def test_without_a_factor_it_is_unpriced_and_never_zero(plan_of, active):
    later = datetime(2027, 1, 1, tzinfo=UTC)  # no pin for 2027
    found = row(priced(active("boiler", [5], at=later), plan_of([BOILER])))
    assert not found["priced"] and found["co2e_n"] is None and found["co2_n"] is None
    assert (kg(found["activity_n"]), found["activity_unit"], found["factor_id"]) == (5, "kWh_gross", None)
    kilos = BOILER | {"measured_by": "leeds/b:filled"}  # kg under a factor per kWh
    assert not row(priced(active("boiler", [5]), plan_of([kilos])))["priced"]
    metered = {"source": "sub", "site": "leeds", "scope": "none", "category": "energy_only", "measured_by": "leeds/s:energy"}
    only = row(priced(active("sub", [5]), plan_of([metered])))
    assert only["priced"] and only["co2e_n"] is None and only["scope"] is None


def test_pin_changes_at_local_midnight_and_age_is_counted(plan_of, active):
    sites = [{"site": "leeds", "timezone": "America/New_York", "grid_region": "GB"}]
    plan = plan_of([BOILER], sites=sites)
    figures = priced(active("boiler", [1, 1], at=datetime(2026, 1, 1, 4, 45, tzinfo=UTC)), plan).filter(component="main")
    assert figures["factor_version"].to_list() == ["2025", "2026"]
    old = plan_of([BOILER], factor_sets={"desnz": "2024"}, sites=sites)
    figures = priced(active("boiler", [1, 1], at=datetime(2026, 1, 1, 4, 45, tzinfo=UTC)), old).filter(component="main")
    assert figures["factor_age_years"].to_list() == [1, 2]


def test_own_factors_hold_strictly_within_their_days(plan_of, active):
    own = [{"factor_id": "f", "gas": "CO2", "value": "2", "valid_from": "2026-01-05", "valid_to": "2026-01-05"}]
    source = GRID | {"scope": 1, "category": "process", "factor": {"id": "own/f"}}
    figures = priced(active("grid", [1] * 98, at=START - timedelta(minutes=15)), plan_of([source], own_factors=own))
    assert figures["priced"].to_list() == [False] + [True] * 96 + [False]


def test_source_is_active_from_its_first_to_its_last_day(plan_of, active):
    plan = plan_of([BOILER | {"valid_from": "2026-01-05", "valid_to": "2026-01-05"}])
    figures = priced(active("boiler", [1] * 98, at=START - timedelta(minutes=15)), plan).filter(component="main")
    assert len(figures) == 96 and figures["interval_start"].min() == START


def test_live_intensity_holds_until_the_next_and_at_most_max_age(plan_of, active, levels):
    plan = plan_of([GRID], grid_regions=[LIVE | {"max_age": "30m"}])
    said = levels("ref/gb:intensity", (START, "0.1"), (START + timedelta(minutes=20), "0.2"))
    figures = priced(active("grid", [10] * 6), plan, said).filter(basis="location")
    # at 0 and 15: 0.1; at 30 and 45: 0.2, observed at 20; at 60 it is 40 minutes old
    assert [kg(n) for n in figures["co2e_n"][:4]] == [1, 1, 2, 2]
    assert figures["factor_version"].to_list() == ["live"] * 4 + ["2026"] * 2
    assert figures["estimated_n"].to_list() == [0] * 4 + [10 * 10**9] * 2
    assert figures["unsplit_n"].null_count() == 2 and figures["factor_id"][0] == "ref/gb:intensity"


def test_live_intensity_of_co2_takes_the_rest_of_the_annual_factor(plan_of, active, levels):
    annual = row(priced(active("grid", [1000]), plan_of([GRID])), basis="location")
    plan = plan_of([GRID], grid_regions=[LIVE | {"gas": "CO2"}])
    live = row(priced(active("grid", [1000]), plan, levels("ref/gb:intensity", (START, "0.1"))), basis="location")
    assert kg(live["co2_n"]) == 100 and [live["ch4_n"], live["n2o_n"]] == [annual["ch4_n"], annual["n2o_n"]]
    assert abs((live["co2e_n"] - live["co2_n"]) - (annual["co2e_n"] - annual["co2_n"])) <= 1


def test_late_intensity_restates_like_a_reading(plan_of, active, levels):
    late = START + timedelta(days=1)
    plan = plan_of([GRID], grid_regions=[LIVE])
    found = row(priced(active("grid", [1]), plan, levels("ref/gb:intensity", (START, "0.1", late))), basis="location")
    assert found["lag_us"] == (late - START - timedelta(minutes=15)) // timedelta(microseconds=1)


def test_live_intensity_with_losses_is_split(plan_of, active, levels):
    plan = plan_of([GRID], grid_regions=[LIVE | {"boundary": "with_losses"}])
    figures = priced(active("grid", [1000]), plan, levels("ref/gb:intensity", (START, "0.2")))
    used, lost = row(figures, basis="location"), row(figures, "t_and_d")
    assert kg(used["co2e_n"] + lost["co2e_n"]) == 200 and lost["factor_version"] == "live" and lost["scope"] == 3
    annual = priced(active("grid", [1000]), plan)  # none holds: the annual factor, and its own losses
    assert row(annual, "t_and_d")["factor_version"] == "2026" and row(annual, basis="location")["estimated_n"] == 10**12
    share = Decimal(lost["co2e_n"]) / 200 / 10**9
    of = {c: sum(row(annual, c, b)[g] for g in ("co2_n",)) for c, b in (("main", "location"), ("t_and_d", None))}
    assert abs(share - Decimal(of["t_and_d"]) / (of["main"] + of["t_and_d"])) < Decimal("1e-9")


def test_us_losses_are_a_share_of_generation(plan_of, active):
    """EPA hub 2025, table 6, ERCT: grid gross loss 4.2 % of generation: losses = use x g / (1 - g)."""
    sites = [{"site": "leeds", "timezone": "America/Chicago", "grid_region": "US-ERCT"}]
    figures = priced(active("grid", [1000]), plan_of([GRID], sites=sites, factor_sets={"epa_hub": "2025"}))
    used, lost = row(figures, basis="location"), row(figures, "t_and_d")
    assert abs(Decimal(lost["co2_n"]) / used["co2_n"] - Decimal("0.042") / (1 - Decimal("0.042"))) < Decimal("1e-9")


@pytest.mark.parametrize("derive", [{"reporting": {"derive": []}}, {"source": {"derive": []}}])
def test_derive_can_be_switched_off(plan_of, active, derive):
    plan = plan_of([BOILER | derive.get("source", {})], reporting=derive.get("reporting", {}))
    assert priced(active("boiler", [1]), plan)["component"].to_list() == ["main"]


def test_upstream_of_one_basis_only(plan_of, active):
    parts = {"own_factors": [{"factor_id": "wind", "gas": "CO2e", "value": "0"}]}
    deal = {"contract": "wind", "site": "leeds", "kind": "ppa", "covers": {"share": "40%"}, "factor": {"id": "own/wind"}}
    parts["contracts"] = [deal | {"valid_from": "2026-01-01", "valid_to": "2026-12-31"}]
    place = priced(active("grid", [1000]), plan_of([GRID], **parts))
    market = priced(active("grid", [1000]), plan_of([GRID], reporting={"cat_3_basis": "market"}, **parts))
    assert row(market, "t_and_d")["activity_n"] == 600 * 10**9  # own factors derive nothing
    assert abs(row(market, "t_and_d")["co2e_n"] * 10 - row(place, "t_and_d")["co2e_n"] * 6) <= 10  # rounded to 1e-9 kg


def test_market_parts_that_derive_the_same_component_are_one_row(plan_of, active):
    rule = {"set": "desnz", "table": "UK electricity", "item": "Electricity: UK", "per_unit": "kWh"}
    deal = {"contract": "s", "site": "leeds", "kind": "supplier", "covers": {"share": "40%"}, "factor": rule}
    contracts = [deal | {"valid_from": "2026-01-01", "valid_to": "2026-12-31"}]
    figures = priced(active("grid", [1000]), plan_of([GRID], reporting={"cat_3_basis": "market"}, contracts=contracts))
    lost = row(figures, "t_and_d")
    assert lost["activity_n"] == 1000 * 10**9 and figures.select(pl.struct("component", "basis").is_unique().all()).item()


def test_figures_have_their_shape_and_no_activity_gives_none(plan_of):
    none = priced(empty(ACTIVITY), plan_of([BOILER, GRID]))
    assert none.schema == pl.Schema(FIGURES) and not len(none)


amounts = st.lists(st.integers(0, 10**6), min_size=8, max_size=8)


@settings(max_examples=25)
@given(gas=amounts, power=amounts)
def test_windows_give_the_same_rows(plan_of, active, levels, gas, power):
    """Whole hours, one by one or at once: the same figures; and kg is linear in activity."""
    wind = {"contract": "w", "site": "leeds", "kind": "ppa", "covers": {"volume": "8 MWh"}, "factor": {"id": "own/wind"}}
    plan = plan_of(
        [BOILER, GRID, GRID | {"source": "grid-2"}],
        grid_regions=[LIVE],
        own_factors=[{"factor_id": "wind", "gas": "CO2e", "value": "0.01"}],
        contracts=[wind | {"valid_from": "2026-01-01", "valid_to": "2026-12-31"}],
    )
    activity = pl.concat([active("boiler", gas), active("grid", power), active("grid-2", gas)])
    said = levels("ref/gb:intensity", (START, "0.1"), (START + timedelta(minutes=50), "0.3"))
    whole = priced(activity, plan, said)
    hour = pl.col("interval_start") < START + timedelta(hours=1)
    split = pl.concat([priced(activity.filter(part), plan, said) for part in (hour, ~hour)])
    assert whole.equals(split)
    mixed = priced(activity.sample(fraction=1, shuffle=True, seed=7), plan, said)
    assert whole.equals(mixed)
    double = priced(activity.with_columns(pl.col("quantity_n") * 2), plan, said)
    main = [f.filter(component="main", source="boiler")["co2e_n"] for f in (whole, double)]
    assert ((main[0] * pl.Series([2], dtype=pl.Int128) - main[1]).abs() <= 1).all()


def test_huge_activity_is_exact_too(plan_of, active):
    own = [{"factor_id": "f", "gas": "CO2", "value": "0.123456789123456789"}]
    plan = plan_of([GRID | {"scope": 1, "category": "process", "factor": {"id": "own/f"}}], own_factors=own)
    found = row(priced(active("grid", [10**14]), plan))
    assert found["co2_n"] == 123456789123456789 * 10**5


def test_reading_in_another_unit_is_no_intensity(plan_of, active, levels):
    said = levels("ref/gb:intensity", (START, "0.1")).with_columns(unit=pl.lit("degC"))
    found = row(priced(active("grid", [1]), plan_of([GRID], grid_regions=[LIVE]), said), basis="location")
    assert found["factor_version"] == "2026" and found["estimated_n"] == 10**9
    grams = said.with_columns(unit=pl.lit("gCO2e/kWh"))
    assert row(priced(active("grid", [1]), plan_of([GRID], grid_regions=[LIVE]), grams), basis="location")["co2e_n"] == 10**8


def test_biogenic_share_by_a_meter_is_unpriced_not_fossil(plan_of, active):
    found = row(priced(active("boiler", [1]), plan_of([BOILER | {"biogenic_share": "leeds/b:share"}])))
    assert not found["priced"] and found["co2e_n"] is None
