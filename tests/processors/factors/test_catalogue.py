"""Factor rules: one factor for each span of days, chosen by the pin, or an error that lists candidates."""

from datetime import date
from fractions import Fraction

import pytest

from schemas.source import FactorRule
from scopeline.catalogue import catalogue

PINS = {"desnz": {2025: "2025", 2026: "2026"}, "epa_hub": "2025", "owid_eu": "2020"}
GAS = {"set": "desnz", "table": "Fuels", "item": "Natural gas", "per_unit": "kWh", "basis": "gross"}


@pytest.fixture(scope="module")
def known():
    return catalogue()


def resolve(rule, pins=PINS, **more):
    return catalogue().resolve(rule, pins=pins, **more)


def only(rule, pins=PINS, **more):
    found = resolve(rule, pins, **more)
    assert found.problem is None and len(found.spans) == 1, found.problem
    return found.spans[0].factor


def test_the_rule_of_the_manual_resolves_by_the_activity_year():
    found = resolve(FactorRule(**GAS))
    assert [(s.start, s.end, s.factor.version) for s in found.spans] == [
        (date(2025, 1, 1), date(2025, 12, 31), "2025"),
        (date(2026, 1, 1), date(2026, 12, 31), "2026"),
    ]
    assert found.at(date(2025, 7, 1)).gases == {
        "CO2": Fraction("0.18259"),
        "CH4": Fraction("0.00028") / 28,
        "N2O": Fraction("0.00009") / 265,
    }
    assert found.at(date(2024, 12, 31)) is None and found.at(date(2027, 1, 1)) is None  # unpinned years are unpriced


def test_a_bare_pin_serves_every_year_and_shows_its_age():
    found = resolve(GAS, {"desnz": "2024"})
    assert [(s.start, s.end) for s in found.spans] == [(None, None)]
    factor = found.at(date(2026, 5, 1))
    assert (factor.version, factor.age_years(2026), factor.age_years(2024), factor.age_years(2020)) == ("2024", 2, 0, 0)


def test_neighbouring_years_of_one_version_are_one_span():
    found = resolve(GAS, {"desnz": {2024: "2025", 2025: "2025", 2027: "2026"}})
    assert [(s.start, s.end, s.factor.version) for s in found.spans] == [
        (date(2024, 1, 1), date(2025, 12, 31), "2025"),
        (date(2027, 1, 1), date(2027, 12, 31), "2026"),
    ]


@pytest.mark.parametrize(
    "rule",
    [
        {**GAS, "table": "fuels", "item": "NATURAL GAS"},
        {**GAS, "table": "Scope 1 | Fuels", "activity": "Gaseous fuels"},
        {**GAS, "per_unit": "kWh_gross", "basis": None},
        {**GAS, "per_unit": "MWh_gross", "basis": None},
        {"id": "desnz/fuels/gaseous-fuels/natural-gas/kwh-gross"},
        {"id": "desnz/1_100_1004_6"},
        {"id": "desnz/1_100_1004_6_2"},
    ],
)
def test_ways_to_say_the_same_factor(rule):
    found = resolve(rule)
    assert [s.factor.id for s in found.spans] == ["desnz/fuels/gaseous-fuels/natural-gas/kwh-gross"] * 2


def test_gross_and_net_are_never_mixed():
    assert only({**GAS, "basis": "net"}, {"desnz": "2025"}).per_unit == "kWh_net"
    found = resolve({k: v for k, v in GAS.items() if k != "basis"})
    assert not found.spans and {f.per_unit for f in found.candidates} == {"kWh_gross", "kWh_net"}
    assert "basis" in found.problem and "kwh-gross" in found.problem and "kwh-net" in found.problem
    assert "contradicts" in resolve({**GAS, "per_unit": "kWh_gross", "basis": "net"}).problem


def test_ambiguity_lists_the_candidates():
    found = resolve({"set": "desnz", "item": "Natural gas", "table": "Fuels"}, {"desnz": "2025"})
    assert {f.per_unit for f in found.candidates} == {"t", "m3", "kWh_gross", "kWh_net"} and "4 factors match" in found.problem


def test_no_match_names_what_came_near():
    found = resolve({**GAS, "item": "Natural gass"})
    assert not found.spans and any("natural-gas" in f.id for f in found.candidates) and "candidates" in found.problem


def test_no_set_no_pin_no_version_no_unit_each_with_remedy():
    assert "desnz" in resolve({"set": "defra", "item": "x"}).problem
    assert 'factor_sets: {desnz: "2026"}' in resolve(GAS, {}).problem
    assert "2024, 2025, 2026" in resolve(GAS, {"desnz": "2023"}).problem
    assert "gallon" in resolve({**GAS, "per_unit": "gallon", "basis": None}).problem
    assert "naics" in resolve({"naics": "331110", "currency": "EUR"}).problem


def test_a_year_in_which_nothing_matches_is_a_warning_and_unpriced():
    rule = {"set": "desnz", "table": "Waste disposal", "item": "Glass | Combustion", "per_unit": "t"}  # renamed in 2025
    found = resolve(rule, {"desnz": {2024: "2024", 2025: "2025"}})
    assert [s.factor.version for s in found.spans] == ["2024"] and "desnz 2025" in found.warning and found.problem is None


def test_a_unit_of_the_same_dimension_will_do_where_only_one_is_published():
    waste = {"set": "desnz", "table": "Waste disposal", "item": "Household residual waste | Landfill"}
    assert only({**waste, "per_unit": "kg"}, {"desnz": "2025"}).per_unit == "t"
    assert resolve({**waste, "per_unit": "m3"}, {"desnz": "2025"}).problem


def test_epa_heat_is_gross_and_units_are_named():
    gas = only({"set": "epa_hub", "table": "Stationary Combustion", "item": "Natural Gas", "per_unit": "mmBtu"})
    kwh = Fraction("1055.05585262") / 3600 * 1000
    assert gas.per_unit == "kWh_gross" and gas.gases["CO2"] == Fraction("53.06") / kwh
    assert only({"set": "epa_hub", "table": "Table 2", "item": "Diesel Fuel"}).per_unit == "us_gallon"
    car = only({"set": "epa_hub", "table": "Table 10", "item": "Passenger Car", "per_unit": "vehicle_mile"})
    assert car.gases == {"CO2": Fraction("0.297"), "CH4": Fraction("0.0000059"), "N2O": Fraction("0.0000053")}
    freight = {"set": "epa_hub", "item": "Rail", "per_unit": "short_ton_mile"}
    assert [only(freight, {"epa_hub": version}).per_unit for version in ("2024", "2025")] == ["short_ton_mile"] * 2


def test_every_published_factor_is_found_by_its_own_words(known):
    """Set, table, activity, item and unit of a factor lead back to it and to nothing else."""
    looked = 0
    for of_set, version in (("desnz", "2025"), ("desnz", "2026"), ("epa_hub", "2025")):
        for factor in known.edition(of_set, version).factors:
            words = {"set": of_set, "table": factor.table, "activity": factor.activity, "item": factor.item}
            region = {"region": factor.region} if factor.table == "Electricity" else {}
            found = known.resolve(words | region | {"per_unit": factor.per_unit}, pins={of_set: version})
            assert [s.factor.id for s in found.spans] == [factor.id], (factor.id, found.problem)
            looked += 1
    assert looked > 5000


def test_same_answer_whatever_was_asked_before(known):
    first = resolve(GAS)
    resolve({"id": "epa_hub/table-2/diesel-fuel/us-gallon"})
    assert resolve(dict(reversed(GAS.items()))) == first


def test_live_and_published_ids_show_every_version(known):
    shown = known.show("desnz/1_100_1004_6")
    assert [f.version for f in shown] == ["2026", "2025", "2024"]
    assert shown[1].row_ids == ("1_100_1004_6_2", "1_100_1004_6_3", "1_100_1004_6_4") and shown[0].row_ids == ()
    assert all(f.citation and f.licence == "OGL-UK-3.0" and f.url.startswith("https://www.gov.uk/") for f in shown)
    assert known.show("desnz/nothing") == [] and known.show("nothing/at-all") == []
