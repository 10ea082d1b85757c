"""`scopeline factors`: what people and programs get."""

import json

import pytest
from typer.testing import CliRunner

from scopeline.cli import app

GAS = "desnz/fuels/gaseous-fuels/natural-gas/kwh-gross"


def factors(*arguments):
    return CliRunner().invoke(app, ["factors", *arguments])


def test_search_lists_best_first_with_unit_and_co2e():
    found = factors("search", "natural gas", "--set", "desnz", "--limit", "3")
    assert found.exit_code == 0
    heading, first, *others = found.stdout.splitlines()
    assert heading.split("\t") == ["id", "version", "table", "item", "region", "per", "co2e_kg"]
    assert first.split("\t") == [GAS, "2026", "Fuels", "Natural gas", "GB", "kWh_gross", "0.182303"] and len(others) == 2


def test_search_as_json_holds_gases_apart():
    found = json.loads(factors("search", "natural gas", "--json", "--limit", "1").stdout)
    assert [f["id"] for f in found] == [GAS]
    assert found[0]["kg_per_unit"] == {"CO2": 0.18194, "CH4": 0.00001, "N2O": pytest.approx(0.00009 / 265)}
    assert found[0]["co2e_kg"]["AR5"] == 0.18231 and found[0]["licence"] == "OGL-UK-3.0"


def test_show_has_every_version_gas_citation_and_row_id():
    shown = factors("show", GAS).stdout
    for part in (
        "desnz 2026",
        "desnz 2025",
        "desnz 2024",
        "0.18259 kg CO2",
        "CO2e AR6",
        "OGL-UK-3.0",
        "1_100_1004_6_2",
        "wtt: desnz/wtt-fuels",
    ):
        assert part in shown
    assert [f["version"] for f in json.loads(factors("show", "desnz/1_100_1004_6", "--json").stdout)] == ["2026", "2025", "2024"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("refrigerant/R-410A", "CO2e AR6   2255.5 kg"),
        ("refrigerant/R-22", "outside the scopes 1960 kg"),
        ("refrigerant/NF3", "SAR has no GWP for NF3"),
        ("epa_hub/electricity/us-prms/total-output/kwh", "t_and_d: missing in this version"),
        ("owid_world/KR", "CO2e at a GWP set that is not stated"),
    ],
)
def test_show_says_what_a_number_is(name, says):
    shown = factors("show", name)
    assert shown.exit_code == 0 and says in shown.stdout


def test_own_factors_come_from_the_plant_folder(tmp_path):
    (tmp_path / "plant.yaml").write_text("organisation: A\nsites:\n  - {site: a, timezone: UTC}\n")
    (tmp_path / "factors").mkdir()
    head = (
        "factor_id,activity,region,scope,gas,value,unit,per_unit,basis,boundary,"
        "valid_from,valid_to,published,gwp_set,uncertainty_pct,citation"
    )
    row = "works-grid,Grid electricity,KR,2,CO2e,0.4585,kg,kWh,,generation,2018-01-01,,2018-01-01,,5,as in the data set"
    (tmp_path / "factors" / "own.csv").write_text(f"{head}\n{row}\n")
    shown = factors("show", "own/works-grid", "--plant", str(tmp_path))
    assert shown.exit_code == 0 and "0.4585 kg CO2e" in shown.stdout and "as in the data set" in shown.stdout
    assert "own/works-grid" in factors("search", "grid electricity", "--plant", str(tmp_path)).stdout


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("search", "xyzzy"), 1, "Try fewer words"),
        (("search", "gas", "--set", "defra"), 2, "desnz"),
        (("show", "desnz/nothing"), 1, "scopeline factors search"),
    ],
)
def test_findings_and_misuse(arguments, code, says):
    found = factors(*arguments)
    assert found.exit_code == code and says in found.stderr
