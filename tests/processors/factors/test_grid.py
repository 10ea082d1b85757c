"""Grid averages, boundaries and what is derived for category 3."""

from datetime import date
from fractions import Fraction

import pytest

from schemas.tables import OwnFactor
from scopeline.catalogue import catalogue

PINS = {"desnz": {2025: "2025", 2026: "2026"}, "epa_hub": "2025", "owid_eu": "2020"}


def grid(region, pins=PINS, **more):
    return catalogue().grid(region, pins=pins, **more)


def test_yearly_rows_take_the_latest_year_not_after_the_activity():
    found = grid("DE")
    assert found.problem is None
    assert found.at(date(2018, 12, 31)).id == "owid_eu/DE-2018" and found.at(date(2019, 1, 1)).id == "owid_eu/DE-2019"
    last = found.at(date(2026, 6, 1))
    assert (last.id, last.version, last.gases, last.age_years(2026)) == ("owid_eu/DE-2020", "2020", {"CO2": Fraction("0.301")}, 6)
    assert found.at(date(1999, 12, 31)) is None


def test_a_pin_by_year_limits_yearly_rows():
    found = grid("DE", {"owid_eu": {2019: "2020", 2026: "2020"}})
    assert [(s.start, s.end, s.factor.id) for s in found.spans] == [
        (date(2019, 1, 1), date(2019, 12, 31), "owid_eu/DE-2019"),
        (date(2026, 1, 1), date(2026, 12, 31), "owid_eu/DE-2020"),
    ]


def test_one_year_of_a_yearly_set_by_id():
    resolve = catalogue().resolve
    assert resolve({"id": "owid_eu/DE-2018"}, pins=PINS).at(date(2026, 1, 1)).gases == {"CO2": Fraction("0.406")}
    assert resolve({"id": "owid_eu/DE"}, pins=PINS).at(date(2018, 1, 1)).id == "owid_eu/DE-2018"


def test_regions_are_iso_codes():
    assert grid("UK", {"desnz": "2025"}).spans == grid("GB", {"desnz": "2025"}).spans == grid("GBR", {"desnz": "2025"}).spans
    assert grid("US-CAMX").at(date(2025, 6, 1)).boundary == "generation"
    assert grid("US", {"epa_hub": "2025"}).at(date(2025, 6, 1)).item == "US Average | total output"


def test_more_than_one_set_for_a_region_must_be_chosen():
    both = grid("GB")
    assert not both.spans and "{set: desnz}" in both.problem and "{set: owid_eu}" in both.problem
    one = grid("GB", rule={"set": "desnz"})
    assert [s.factor.item for s in one.spans] == ["Electricity: UK"] * 2 and one.problem is None
    assert grid("GB", rule={"set": "owid_eu"}).at(date(2025, 1, 1)).id == "owid_eu/GB-2020"


def test_two_factors_of_one_set_are_chosen_by_id():
    found = grid("HK", {"green_algorithms": "3.0"})
    assert "green_algorithms/china-hong-kong-clp-group" in found.problem and len(found.candidates) == 2


def test_life_cycle_and_unstated_boundaries_only_by_id():
    pins = {"owid_world": "2023", "green_algorithms": "3.0"}
    assert not grid("KR", {"owid_world": "2023"}).spans and not grid("US-CA", {"green_algorithms": "3.0"}).spans
    refused = catalogue().resolve({"set": "owid_world", "region": "KR"}, pins=pins)
    assert not refused.spans and "by id only" in refused.problem
    chosen = catalogue().resolve({"id": "owid_world/KR"}, pins=pins).at(date(2026, 1, 1))
    assert chosen.boundary == "life_cycle" and catalogue().derived(chosen) == []


def test_nothing_for_a_region_says_what_to_do():
    found = grid("KR")
    assert not found.spans and "own/..." in found.problem
    assert "2024, 2025, 2026" in grid("GB", {"desnz": "2019"}).problem


def test_desnz_electricity_derives_three_parts():
    factor = grid("GB", {"desnz": "2025"}).at(date(2025, 1, 1))
    parts = dict(catalogue().derived(factor))
    assert parts["wtt"].gases == {"unsplit": Fraction("0.0459")} and parts["wtt"].gwp_set == "AR5"
    assert parts["wtt_t_and_d"].gases == {"unsplit": Fraction("0.00397")}
    ours = {"CO2": Fraction("0.01834"), "CH4": Fraction("0.00008") / 28, "N2O": Fraction("0.00011") / 265}
    assert parts["t_and_d"].gases == ours and parts["t_and_d"].row_ids[0].startswith("13_402_4000_5")
    assert factor.gases["CO2_biogenic"] == Fraction("0.11507")


@pytest.mark.parametrize(
    ("item", "table", "wtt"),
    [
        ("Natural gas", "Fuels", "desnz/wtt-fuels/gaseous-fuels/natural-gas/kwh-gross"),
        ("Diesel (average biofuel blend)", "Fuels", "desnz/wtt-fuels/liquid-fuels/diesel-average-biofuel-blend/kwh-gross"),
    ],
)
def test_fuels_derive_well_to_tank_by_item_and_unit(item, table, wtt):
    for version in ("2024", "2025", "2026"):
        rule = {"set": "desnz", "table": table, "item": item, "per_unit": "kWh", "basis": "gross"}
        factor = catalogue().resolve(rule, pins={"desnz": version}).spans[0].factor
        assert [(part, f.id, f.version, f.per_unit) for part, f in catalogue().derived(factor)] == [
            ("wtt", wtt, version, "kWh_gross")
        ]


def test_every_scope_1_fuel_of_desnz_has_its_wtt_or_says_it_is_missing():
    missing = {}
    for version in ("2024", "2025", "2026"):
        of = catalogue().edition("desnz", version)
        for factor in of.factors:
            if factor.table in ("Fuels", "Bioenergy"):
                ((part, found),) = catalogue().derived(factor)
                assert part == "wtt"
                if found is None:
                    missing.setdefault(version, []).append(factor.id)
                else:
                    assert (found.item.casefold(), found.per_unit) == (factor.item.casefold(), factor.per_unit)
    litres = [f"desnz/fuels/liquid-fuels/{fuel}/l" for fuel in ("lubricants", "naphtha", "waste-oils")]
    gone = [f"desnz/bioenergy/biogas/landfill-gas/{unit}" for unit in ("t", "kwh-net")]
    assert {version: sorted(ids) for version, ids in missing.items()} == {
        "2024": litres,
        "2025": litres,
        "2026": sorted(litres + gone),  # published as 0, which was wrong, and so left out
    }


def test_heat_made_on_site_passes_no_network():
    resolve = catalogue().resolve
    heat = {"set": "desnz", "table": "Heat and steam", "per_unit": "kWh"}
    on_site = resolve(heat | {"item": "Onsite heat and steam"}, pins={"desnz": "2025"}).spans[0].factor
    district = resolve(heat | {"item": "District heat and steam"}, pins={"desnz": "2025"}).spans[0].factor
    assert [part for part, _ in catalogue().derived(on_site)] == ["wtt"]
    parts = catalogue().derived(district)
    assert [part for part, f in parts if f] == ["wtt", "t_and_d", "wtt_t_and_d"]


def test_us_losses_are_g_over_one_minus_g_of_use():
    """eGRID's grid gross loss is a share of generation: 100 kWh used of g = 4.1 % means 100 x 0.041 / 0.959 kWh lost."""
    factor = grid("US-CAMX").at(date(2025, 6, 1))
    ((part, lost),) = catalogue().derived(factor)
    g = Fraction("0.041")
    assert part == "t_and_d" and lost.gases["CO2"] == factor.gases["CO2"] * g / (1 - g)
    assert catalogue().show(lost.id) == [lost]
    assert catalogue().derived(grid("US-PRMS").at(date(2025, 6, 1))) == [("t_and_d", None)]  # the hub has no loss for Puerto Rico
    assert catalogue().derived(grid("US-CAMX", {"epa_hub": "2024"}).at(date(2024, 6, 1))) == []  # an edition without losses


def test_a_factor_with_losses_is_split_by_them():
    rows = [("CO2e", "0.5", "kg"), ("losses", "4", "%")]
    own = [
        OwnFactor(
            factor_id="hk",
            activity="Grid",
            gas=gas,
            value=value,
            unit=unit,
            per_unit="kWh",
            boundary="with_losses",
            citation="bill",
        )
        for gas, value, unit in rows
    ]
    factor = catalogue().resolve({"id": "own/hk"}, pins={}, own=own).spans[0].factor
    whole, kept = factor.gases["unsplit"], catalogue().scope2(factor)
    ((part, lost),) = catalogue().derived(factor)
    assert (
        kept.gases["unsplit"] == whole * Fraction("0.96")
        and lost.gases["unsplit"] == whole * Fraction("0.04")
        and part == "t_and_d"
    )


def test_a_factor_with_losses_that_nobody_states_is_not_priced():
    factor = grid("TH", {"green_algorithms": "3.0"}).spans[0].factor
    assert factor.boundary == "with_losses"
    assert catalogue().scope2(factor) is None and catalogue().derived(factor) == [("t_and_d", None)]
