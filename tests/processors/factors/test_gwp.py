"""GWP sets, methane by origin, parts of a figure; refrigerants by composition."""

from decimal import Decimal
from fractions import Fraction

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.factors import Factor, MissingGwp
from processors.factors.gwp import SETS, part_of
from schemas.frames import GASES
from scopeline.catalogue import DATA, catalogue, read


def gas(name: str, kg="1") -> Factor:
    return Factor("s/a", "s", "1", "a", "kg", {name: Fraction(kg)})


def refrigerant(name: str) -> Factor:
    found = catalogue().resolve({"refrigerant": name}, pins={})
    assert found.problem is None, found.problem
    return found.spans[0].factor


def test_gwps_are_those_of_the_published_table():
    published = read(DATA / "published" / "gwp.csv.gz")
    looked = 0
    for report in SETS:
        known = catalogue().gwp(report)
        for name, value in published.filter(pl.col("table") == f"{report}GWP100").select("fuel_or_item", "value").iter_rows():
            if (report, name) != ("AR6", "CH4"):
                assert known[name] == Fraction(value), (report, name)
                looked += 1
        assert known["CO2"] == 1
    assert looked == 36 + 90 + 58 + 86 + 85


@pytest.mark.parametrize(
    ("report", "category", "biogenic", "worth"),
    [
        ("AR6", "fugitive", False, "29.8"),
        ("AR6", "process", False, "29.8"),
        ("AR6", "process", True, "27.0"),
        ("AR6", "stationary_combustion", False, "27.0"),
        ("AR6", None, False, "27.0"),
        ("AR5", "fugitive", False, "28"),
        ("AR4", "stationary_combustion", False, "25"),
        ("SAR", None, False, "21"),
    ],
)
def test_methane_by_set_category_and_origin(report, category, biogenic, worth):
    parts = catalogue().parts(gas("CH4", "2"), report, category, biogenic)
    assert parts == {"ch4": 2, "co2e": 2 * Fraction(worth)}


def test_biogenic_and_non_kyoto_stay_outside_co2e():
    factor = Factor("s/a", "s", "1", "a", "t", {"CO2_biogenic": Fraction(1500), "unsplit": Fraction(50), "HCFC22": Fraction(1)})
    assert catalogue().parts(factor, "AR6") == {"biogenic_co2": 1500, "unsplit": 50, "non_kyoto": 1960, "co2e": 50}


def test_only_outside_the_scopes_states_no_co2e():
    assert catalogue().parts(gas("HCFC22"), "AR5") == {"non_kyoto": 1760}
    assert "co2e" not in catalogue().parts(gas("CO2_biogenic"), "AR6")


def test_a_gas_without_gwp_in_the_set_is_refused_by_name():
    with pytest.raises(MissingGwp, match="SAR has no GWP for NF3"):
        catalogue().parts(gas("NF3"), "SAR")


def test_parts_are_the_columns_of_figures():
    every = {part_of(name) for report in SETS for name in catalogue().gwp(report) if name != "CH4_fossil"}
    assert every | {"unsplit", "co2e", "biogenic_co2"} == set(GASES)
    assert [part_of(g) for g in ("cC3F6", "CF4", "C10F18", "SF5CF3", "HFE125", "Halon1301", "CFC13", "CF3I")] == ["pfc"] * 3 + [
        "non_kyoto"
    ] * 5


@given(
    st.dictionaries(st.sampled_from(["CO2", "CH4", "N2O", "HFC32", "CF4", "SF6"]), st.decimals(0, 1000, places=6)),
    st.integers(0, 10**6),
)
def test_parts_are_linear(gases: dict[str, Decimal], times: int):
    one = Factor("s/a", "s", "1", "a", "kg", {g: Fraction(kg) for g, kg in gases.items()})
    many = one.scaled(Fraction(times), "x", "")
    parts = catalogue().parts(one, "AR6")
    assert catalogue().parts(many, "AR6") == {part: kg * times for part, kg in parts.items()}


def test_a_blend_is_composition_times_the_gwp_of_the_plant():
    """R-410A, 50 % HFC-32 and 50 % HFC-125: (677 + 3170) / 2 in AR5, (771 + 3740) / 2 in AR6."""
    factor = refrigerant("R-410A")
    assert catalogue().parts(factor, "AR5") == {"hfc": Fraction("1923.5"), "co2e": Fraction("1923.5")}
    assert catalogue().parts(factor, "AR6")["co2e"] == Fraction("2255.5")
    assert "table 12" in factor.citation and factor.per_unit == "kg"
    assert refrigerant("r410a") == refrigerant("410A") == factor


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("R-134a", {"hfc": 1530, "co2e": 1530}),
        ("HFC-134a", {"hfc": 1530, "co2e": 1530}),
        ("SF6", {"sf6": 1, "co2e": 25200}),
        ("R-744", {"co2": 1, "co2e": 1}),
        ("R-14", {"pfc": 7380, "co2e": 7380}),
        ("R-22", {"non_kyoto": 1960}),
        ("R-508B", {"hfc": Fraction("6716"), "pfc": Fraction("6696"), "co2e": Fraction("13412")}),
        ("R-401A", {"non_kyoto": Fraction("1241.78"), "hfc": Fraction("21.32"), "co2e": Fraction("21.32")}),
    ],
)
def test_refrigerants_by_class_of_gas(name, parts):
    assert catalogue().parts(refrigerant(name), "AR6") == parts


def test_blends_agree_with_the_co2e_that_epa_and_desnz_publish():
    """Their tables (Kyoto gases only, AR5) against composition times GWP; R-424A is wrong in EPA's (3104, DESNZ has 2212)."""
    hub = read(DATA / "published" / "epa_ghg_hub_2025.csv.gz").filter(pl.col("activity") == "GWP blends")
    stated = {row["fuel_or_item"].split(" | ")[0]: row["value"] for row in hub.iter_rows(named=True)} | {"R-424A": "2212"}
    desnz = read(DATA / "published" / "desnz_2025.csv.gz").filter(pl.col("fuel_or_item").str.contains(r"^R\d.*only Kyoto"))
    uk = {f"R-{row['fuel_or_item'].split(' | ')[0][1:]}": row["value"] for row in desnz.iter_rows(named=True)}
    looked = 0
    for name, factor in ((f.item, f) for f in catalogue().refrigerants.values()):
        for table in (stated, uk):
            if name in table:
                assert abs(catalogue().parts(factor, "AR5").get("co2e", 0) - Fraction(table[name])) <= 1, name
                looked += 1
    assert looked > 80


def test_compositions_are_whole_and_cited():
    blends = read(DATA / "blends.csv")
    totals = blends.with_columns(share=pl.col("mass_pct").cast(pl.Float64)).group_by("refrigerant").agg(pl.col("share").sum())
    assert totals.filter((pl.col("share") - 100).abs() > 0.2).is_empty() and totals.height > 110
    assert blends["citation"].null_count() == 0
    contradicted = {"R-500", "R-405A"}  # the transcription writes HFC-152 where DESNZ's CO2e says otherwise
    assert not contradicted & set(blends["refrigerant"])


def test_constituents_without_any_gwp_are_named_not_priced():
    factor = refrigerant("R-513A")
    assert factor.gases == {"HFC134a": Fraction("0.44")} and "HFO1234yf 56 %" in factor.note


def test_unknown_refrigerant_and_gas_say_what_to_do():
    found = catalogue().resolve({"refrigerant": "R-499Z"}, pins={})
    assert not found.spans and "own factor" in found.problem
    assert "R-410A" in catalogue().resolve({"refrigerant": "R-410Z"}, pins={}).problem
    assert "no set" in catalogue().resolve({"gas": "CH5"}, pins={}).problem


def test_a_gas_itself_for_direct_measurement():
    factor = catalogue().resolve({"gas": "CH4"}, pins={}).spans[0].factor
    assert (factor.id, factor.per_unit, factor.gases) == ("gas/CH4", "kg", {"CH4": 1})
