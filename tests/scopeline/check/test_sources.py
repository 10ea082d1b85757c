"""`check` of sources: every rule is broken once."""

from datetime import date

import pytest

SOURCE_CASES = [
    ('measured_by: "works/main:energy"', 'measured_by: "works/main:enregy"', "error", "measured_by", "did you mean energy?"),
    ('measured_by: "works/main:energy"', 'measured_by: "nowhere/main:energy"', "error", "measured_by", "no site nowhere"),
    ('measured_by: "works/main:energy"', 'measured_by: "works"', "error", "measured_by", "site"),
    ('measured_by: "works/main:energy"', 'measured_by: "[works/main:energy] -"', "error", "measured_by", "write like"),
    (
        'measured_by: "works/main:energy"',
        'measured_by: "[works/main:energy] + [works/a:gas]"',
        "error",
        "measured_by",
        "different things",
    ),
    ('measured_by: "works/main:energy"', 'measured_by: "[works/main:power] + 0.5 * [works/b:energy]"', None, "", ""),
    ('measured_by: "works/main:energy"', 'measured_by: "sum([works/press/*:energy])"', None, "", ""),
    ('measured_by: "works/main:energy"', 'measured_by: "works/press/*:energy"', "error", "measured_by", "sum(["),
    ('measured_by: "works/main:energy"', 'measured_by: "works/main:temperature"', "error", "measured_by", "kind"),
    ('measured_by: "works/main:energy"', 'measured_by: "works/main:apparent"', "error", "measured_by", "power factor"),
    ('measured_by: "works/main:energy"', 'measured_by: "works/main:gas"', "error", "measured_by", "different things"),
    ('measured_by: "works/main:energy"', 'measured_by: "works/press/p1:today"', "warning", "measured_by", "add it to channels:"),
    ('measured_by: "works/main:energy"', 'measured_by: "depot/main:energy"', "warning", "measured_by", "partition"),
    ('measured_by: "works/main:energy"', 'measured_by: "{meter}"', "error", "measured_by", "for_each"),
    ("source: grid\n    site: works", "source: grid\n    site: wroks", "error", "site", "did you mean works?"),
    ("source: grid\n    site: works", "source: grid\n    site: ref", "error", "site", "plant.yaml"),
    ("source: grid", "source: boiler", "error", "source", "another id"),
    ("source: grid", "source: Grid_1", "error", "source", "lower-case"),
    ("scope: 2", "scope: 1", "error", "category", "scope: 2"),
    ("category: purchased_electricity", "category: purchased_heat", "error", "factor", "add factor:"),
    (
        "category: purchased_electricity",
        "category: purchased_electrcity",
        "error",
        "category",
        "did you mean purchased_electricity",
    ),
    ("tags: {line: heat}", "tags: {lien: heat}", "error", "tags.lien", "did you mean line?"),
    ("tags: {line: heat}", "valid_from: 2026-02-01\n    valid_to: 2026-01-01", "error", "valid_to", "exchange"),
    ('item: "Natural gas", per_unit: m3', 'item: "Natural gas"', "error", "factor", "say table, activity, item, per_unit"),
    (
        'item: "Natural gas", per_unit: m3',
        'item: "Natrual gas", per_unit: m3',
        "error",
        "factor",
        "desnz/fuels/gaseous-fuels/natural-gas/m3",
    ),
    ('item: "Natural gas", per_unit: m3', 'item: "Natural gas", per_unit: ton', "error", "factor", "short_ton"),
    (
        'item: "Natural gas", per_unit: m3',
        'item: "Natural gas", per_unit: kWh, basis: gross',
        "error",
        "factor",
        "calorific value",
    ),
    ('    factor: {set: desnz, table: Fuels, item: "Natural gas", per_unit: m3}\n', "", "error", "factor", "add factor:"),
    (
        'factor: {set: desnz, table: Fuels, item: "Natural gas", per_unit: m3}',
        "factor: {id: own/gas}",
        "error",
        "factor",
        "factors/*.csv",
    ),
    (
        'factor: {set: desnz, table: Fuels, item: "Natural gas", per_unit: m3}',
        "factor: {set: epa_hub, item: x}",
        "error",
        "factor",
        "epa_hub",
    ),
    (
        'factor: {set: desnz, table: Fuels, item: "Natural gas", per_unit: m3}',
        "factor: {refrigerant: R-410A}",
        "error",
        "factor",
        "density",
    ),
    (
        "category: stationary_combustion",
        "category: stationary_combustion\n    method: mass_balance",
        "note",
        "method",
        "not computed yet",
    ),
    ("category: stationary_combustion", "category: stationary_combustion\n    over: 1d", "note", "over", "not computed yet"),
    (
        'measured_by: "works/boiler:gas"',
        'measured_by: "[works/boiler:gas] * [works/a:temperature]"',
        "error",
        "measured_by",
        "add up",
    ),
]


@pytest.mark.parametrize(("old", "new", "severity", "key", "text"), SOURCE_CASES)
def test_sources(works, old, new, severity, key, text):
    found = works.problems({"sources/sources.yaml": works.swapped(works.SOURCES, old, new)})
    if severity is None:
        assert found == []
        return
    assert [problem.severity for problem in found] == [severity], "\n".join(map(str, found))
    assert found[0].key.split(".", 1)[-1] == key and found[0].line
    assert text in f"{found[0].message} {found[0].remedy}", found[0]


def test_a_fuel_meter_in_plain_kwh_under_a_fuel_factor(works):
    text = works.swapped(works.SOURCES, "per_unit: m3}", "per_unit: kWh, basis: gross}").replace(
        "works/boiler:gas", "works/boiler:energy"
    )
    problem = works.one({"sources/sources.yaml": text}, "sources[1].factor")
    assert "kWh_gross" in problem.message and "as the bill has it" in problem.remedy
    good = text.replace("works/boiler:energy", "works/boiler:heat")
    assert works.problems({"sources/sources.yaml": good}) == []


def test_one_source_for_each_meter_of_a_pattern(works):
    text = 'source: "press-{n}"\nsite: works\nscope: none\ncategory: energy_only\n'
    text += 'for_each: "works/press/*:energy"\nmeasured_by: "{meter}"\n'
    assert works.problems({"sources/press.yaml": text}) == []
    assert works.one({"sources/press.yaml": text.replace("press-{n}", "press")}, "source").severity == "error"
    assert "{n}" in works.one({"sources/press.yaml": text.replace("press-{n}", "press")}, "source").remedy
    assert works.one({"sources/press.yaml": text.replace("works/press/*", "works/presses/*/x")}, "for_each").severity == "error"
    assert "no emissions" in works.one({"sources/press.yaml": text + "factor: {id: own/x}\n"}, "factor").message


def test_spend(works):
    text = "source: tools\nsite: works\nscope: 3\ncategory: cat_1\nmethod: spend\nmeasured_by: works/main:gas\n"
    text += 'factor: {naics: "331110", currency: EUR, margins: with}\n'
    assert "not computed yet" in works.one({"sources/spend.yaml": text}, "method").message
    found = works.problems({"sources/spend.yaml": text.replace("EUR", "EURO")})
    assert ("factor.currency", "did you mean EUR?") in {(problem.key, problem.remedy) for problem in found}


def test_two_sources_that_count_the_same_meter(works):
    text = "source: again\nsite: works\nscope: 2\ncategory: purchased_electricity\nmeasured_by: works/main:energy\n"
    found = works.problems({"sources/again.yaml": text})
    assert [(problem.severity, problem.key.split(".")[-1]) for problem in found] == [("warning", "measured_by")]


def test_a_grid_region_without_a_factor(works):
    problem = works.one({"plant.yaml": works.swapped(works.PLANT, "grid_region: GB", "grid_region: KR")}, "sources[0].site")
    assert "KR" in problem.message and "factor_sets" in problem.remedy
    without = works.one({"plant.yaml": works.swapped(works.PLANT, ", grid_region: GB", "")}, "sources[0].factor")
    assert "grid_region" in without.remedy


def test_a_live_intensity_prices_without_an_annual_factor(works):
    plant = (
        works.PLANT.replace("grid_region: GB", "grid_region: KR", 1) + 'grid_regions: [{region: KR, intensity: "ref/kr:gco2"}]\n'
    )
    feed = 'feed: kr\ntopic: kr\ndecoder: json\nmeter: ref/kr\nchannels: [{channel: gco2, value: "$.v", unit: g/kWh}]\n'
    problem = works.one({"plant.yaml": plant, "feeds/kr.yaml": feed}, "sources[0].site")
    assert problem.severity == "warning" and "stay unpriced" in problem.message


def test_a_factor_whose_gas_the_gwp_set_lacks(works):
    sources = works.swapped(
        works.SOURCES, 'factor: {set: desnz, table: Fuels, item: "Natural gas", per_unit: m3}', "factor: {id: own/etch}"
    )
    files = {"sources/sources.yaml": sources, "factors/own.csv": works.OWN + "etch,Etching,,1,NF3,1,kg,m3,,,,,,,,c\n"}
    assert works.problems(files) == []
    problem = works.one(files | {"plant.yaml": works.PLANT + "reporting: {gwp: SAR}\n"}, "sources[1].factor")
    assert "NF3" in problem.message and "reporting.gwp" in problem.remedy


def test_a_grid_factor_with_losses_says_how_large_they_are(works):
    row = "grid,Grid,GB,2,CO2e,0.2,kg,kWh,,with_losses,,,,,,c\n"
    sources = works.swapped(
        works.SOURCES, 'measured_by: "works/main:energy"', 'measured_by: "works/main:energy"\n    factor: {id: own/grid}'
    )
    problem = works.one({"sources/sources.yaml": sources, "factors/own.csv": works.OWN + row}, "sources[0].factor")
    assert "losses" in problem.message
    with_share = row + "grid,Grid,GB,2,losses,4,%,kWh,,with_losses,,,,,,c\n"
    assert works.problems({"sources/sources.yaml": sources, "factors/own.csv": works.OWN + with_share}) == []


def test_factors_older_than_the_activity_are_said_once_for_each_pin(works):
    bare = works.PLANT.replace('{2025: "2025", 2026: "2026"}', '"2025"')
    problem = works.one({"plant.yaml": bare}, "factor_sets.desnz")
    assert problem.severity == "warning" and "2025" in problem.message and problem.file == "plant.yaml"
    assert works.problems({"plant.yaml": bare}, today=date(2025, 6, 1)) == []
    later = works.PLANT.replace('2026: "2026"', '2026: "2025"')
    assert works.one({"plant.yaml": later}, "factor_sets.desnz[2026]", today=date(2025, 6, 1)).severity == "warning"
