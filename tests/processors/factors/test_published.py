"""Every normalised row comes from the published form kept beside it, by arithmetic that this file states again."""

import gzip
import re
from fractions import Fraction

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.factors.importing import PUBLICATIONS
from processors.factors.importing.shapes import VALUES, exact_text
from schemas.units import unit
from scopeline.catalogue import DATA, read
from scopeline.factor_import import derive, take

DESNZ = ("2024", "2025", "2026")
AR5 = {"CO2": 1, "CH4": 28, "N2O": 265}
LB, SHORT_TON = Fraction("0.45359237"), Fraction("907.18474")
KWH_OF_MMBTU = Fraction("1055.05585262") / 3600 * 1000


def values(name: str) -> pl.DataFrame:
    return read(DATA / "values" / f"{name}.csv")


def test_every_data_file_is_what_the_published_form_gives():
    files = derive()
    assert set(files) == {p.relative_to(DATA).as_posix() for p in DATA.rglob("*.csv")} - {"regions.csv"}
    for name, frame in files.items():
        assert (DATA / name).read_text() == frame.write_csv(), f"{name}: run python -m scopeline.factor_import"
    assert sum(frame.height for name, frame in files.items() if name.startswith("values/")) > 17_000


def test_data_are_small():
    assert sum(f.stat().st_size for f in DATA.rglob("*") if f.is_file()) < 8_000_000


def test_publications_have_citation_licence_and_file():
    sources = read(DATA / "sources.csv")
    assert sources.height == len(PUBLICATIONS) == 9
    for column in ("title", "publisher", "url", "licence", "file", "read_in"):
        assert sources[column].null_count() == 0, column
    assert sources.filter(pl.col("set") == "desnz")["gwp_set"].to_list() == ["AR5"] * 3


@pytest.mark.parametrize("year", DESNZ)
def test_desnz_gases_times_their_gwp_are_the_published_co2e(year):
    """Row by row: kg x GWP is the published number of the gas; together they are the published CO2e within its rounding."""
    published = read(DATA / "published" / f"desnz_{year}.csv.gz").filter(~pl.col("table").str.contains("Refrigerant"))
    total = published.filter(pl.col("gas") == "CO2e").with_columns(key=_key(year))
    co2e = dict(total.select("key", "value").iter_rows())
    looked = 0
    for (key, per), rows in values(f"desnz_{year}").with_columns(key=_key_of_value()).group_by("key", "per_unit"):
        rows = rows.filter(~pl.col("gas").is_in(["CO2_biogenic"]))
        energy = unit("GJ_net").factor if f"{key}|GJ" in co2e and per == "kWh_net" else Fraction(1)
        stated = _stated(co2e, str(key), str(per))
        for row in rows.iter_rows(named=True):
            own = Fraction(row["kg"]) * AR5.get(row["gas"], 1) * energy
            assert own == Fraction(row["published"]), row
        if not rows.is_empty():
            together = sum(Fraction(row["kg"]) * AR5.get(row["gas"], 1) for row in rows.iter_rows(named=True)) * energy
            assert abs(together - Fraction(stated)) <= Fraction("0.000015"), (key, per)
            looked += 1
    assert looked == total.height


def _key(year: str) -> pl.Expr:
    item = pl.coalesce(pl.col("fuel_or_item"), pl.col("activity").str.split(" > ").list.last())
    item = item.str.strip_suffix(" | kWh").str.strip_suffix(f" | {year}")
    return pl.concat_str("table", "activity", item, "unit_denominator", separator="|")


def _key_of_value() -> pl.Expr:
    scope = pl.when(pl.col("scope").str.starts_with("Outside")).then(pl.col("scope")).otherwise("Scope " + pl.col("scope"))
    return pl.concat_str(
        pl.concat_str(scope, "table", separator=" | "), pl.concat_str("table", "activity", separator=" > "), "item", separator="|"
    )


def _stated(co2e: dict[str, str], key: str, per: str) -> str:
    spellings = {"t": ["tonnes"], "l": ["litres"], "m3": ["cubic metres"], "Ml": ["million litres"], "mile": ["miles"]}
    spellings |= {"kWh_gross": ["kWh (Gross CV)"], "kWh_net": ["kWh (Net CV)", "kWh", "GJ"], "fte_hour": ["per FTE Working Hour"]}
    spellings |= {"tonne_km": ["tonne.km"], "passenger_km": ["passenger.km"], "room_night": ["Room per night"]}
    return next(co2e[f"{key}|{name}"] for name in spellings.get(per, [per]) if f"{key}|{name}" in co2e)


@pytest.mark.parametrize("year", DESNZ)
def test_desnz_leaves_out_only_what_is_no_factor(year):
    """Every published row is a value (by number and unit), a parameter, a CO2e total of split gases, or a refrigerant."""
    published = read(DATA / "published" / f"desnz_{year}.csv.gz")
    kept = values(f"desnz_{year}")
    parameters = read(DATA / "parameters.csv").filter((pl.col("set") == "desnz") & (pl.col("version") == year))
    refrigerants = published.filter(pl.col("table") == "Scope 1 | Refrigerant & other").height
    split = kept.filter(pl.col("gas") == "CH4").height  # each has a CO2e total that its gases replace
    assert kept.height + parameters.height + refrigerants + split == published.height
    assert parameters.height == published.filter(pl.col("unit_numerator").str.starts_with("kWh")).height > 400


@pytest.mark.parametrize("year", ("2024", "2025"))
def test_desnz_keeps_the_row_ids_of_the_publisher(year):
    published = read(DATA / "published" / f"desnz_{year}.csv.gz")
    stated = dict(zip(published["notes"].str.extract(r"ID ([\d_]+)"), published["value"], strict=True))
    kept = values(f"desnz_{year}")
    assert kept["row_id"].null_count() == 0 and kept["row_id"].is_unique().all()
    assert all(stated[row] == value for row, value in kept.select("row_id", "published").iter_rows())


def test_ids_are_stable_over_the_years_and_readable():
    years = [set(values(f"desnz_{year}")["factor_id"]) for year in DESNZ]
    assert len(years[1] & years[2]) > 1500 and len(years[0] & years[1]) > 2000
    assert "desnz/fuels/gaseous-fuels/natural-gas/kwh-gross" in years[0] & years[1] & years[2]
    every = pl.concat(values(f.stem) for f in (DATA / "values").glob("*.csv"))
    assert every.filter(~pl.col("factor_id").str.contains(r"^[a-z_]+/[A-Za-z0-9./-]+$")).is_empty()
    assert every.select(pl.struct("factor_id", "version", "gas").is_unique().all()).item()


@pytest.mark.parametrize("year", ("2024", "2025"))
def test_epa_grams_pounds_and_heat_become_kg_by_kwh_gross(year):
    """Every row again from the published number, by factors written here: g, lb, metric ton; mmBtu, MWh."""
    mass = {"kg": Fraction(1), "g": Fraction(1, 1000), "lb": LB, "metric": Fraction(1000)}
    rows = values(f"epa_hub_{year}")
    for row in rows.iter_rows(named=True):
        upper, lower = row["published_unit"].split("/", 1)
        size = {"mmBtu": KWH_OF_MMBTU, "MWh": Fraction(1000)}.get(lower, Fraction(1))
        assert Fraction(row["kg"]) == Fraction(row["published"]) * mass[upper.split()[0]] / size, row
        assert (
            row["gas"] == "CO2_biogenic"
            or {"CO2": "CO2", "CH4": "CH4", "N2O": "N2O", "CO2e": "unsplit"}[upper.split()[-1]] == row["gas"]
        )
    published = read(DATA / "published" / f"epa_ghg_hub_{year}.csv.gz")
    numbers = published.filter(~pl.col("gas").is_in(["GWP100", "heat content", "loss fraction"]))
    assert sorted(rows["published"]) == sorted(numbers["value"])


@pytest.mark.parametrize("year", ("2024", "2025"))
def test_epa_biomass_co2_is_biogenic_and_nothing_else_is(year):
    rows = values(f"epa_hub_{year}")
    biogenic = rows.filter(pl.col("gas") == "CO2_biogenic")
    assert set(biogenic["item"]) >= {"Wood and Wood Residuals", "Landfill Gas", "Ethanol (100%)", "Biodiesel (100%)", "Bagasse"}
    assert not biogenic.filter(pl.col("item").str.contains("Coal|Natural Gas|Motor Gasoline|Municipal")).height
    fossil = rows.filter((pl.col("gas") == "CO2") & pl.col("activity").str.contains("Biomass"))
    assert fossil.is_empty() and biogenic.height == 27


def test_outside_of_scopes_is_bound_by_item_and_unit():
    """The fuel's own row carries it: item and unit of the published row, the fuel's own CO2e beside it."""
    for year in DESNZ:
        kept = values(f"desnz_{year}").filter(pl.col("gas") == "CO2_biogenic")
        published = read(DATA / "published" / f"desnz_{year}.csv.gz").filter(pl.col("table").str.starts_with("Outside"))
        assert kept.height == published.height == 56
        assert set(kept["table"]) == {"Fuels", "Bioenergy", "UK electricity"}
    rows = values("desnz_2025").filter(
        pl.col("item") == "Wood pellets", pl.col("table") == "Bioenergy", pl.col("per_unit") == "t"
    )
    assert dict(rows.select("gas", "kg").iter_rows()) == {"unsplit": "55.19389", "CO2_biogenic": "1677.18"}


def test_bioenergy_is_by_net_calorific_value():
    """kg per tonne over kg per kWh is the publication's net calorific value of wood logs: 14.71 GJ/t (gross: 16.26)."""
    rows = values("desnz_2025").filter(pl.col("item") == "Wood logs", pl.col("table") == "Bioenergy", pl.col("gas") == "unsplit")
    kg = {per: Fraction(number) for per, number in rows.select("per_unit", "kg").iter_rows()}
    assert set(kg) == {"t", "kWh_net"} and abs(float(kg["t"] / kg["kWh_net"]) * 3.6 / 1000 - 14.71) < 0.02


def test_parameters_are_no_factors():
    every = pl.concat(values(f.stem) for f in (DATA / "values").glob("*.csv"))
    assert set(every["gas"]) == {"CO2", "CH4", "N2O", "unsplit", "CO2_biogenic"}
    parameters = read(DATA / "parameters.csv")
    assert set(parameters["parameter"]) == {"heat_content", "loss_fraction", "vehicle_energy"}
    heat = parameters.filter(pl.col("item") == "Anthracite", pl.col("version") == "2025").row(0, named=True)
    assert Fraction(heat["value"]) == Fraction("25.09") * KWH_OF_MMBTU and heat["unit"] == "kWh_gross/short_ton"


def test_grid_sets_keep_number_region_year_and_boundary():
    for name, number in (
        ("owid_eu_2020", 630),
        ("owid_world_2023", 213),
        ("green_algorithms_3.0", 131),
        ("egrid_states_2016", 52),
    ):
        rows = values(name)
        assert rows.height == number and list(rows.columns) == list(VALUES)
        size = LB / 1000 if name.startswith("egrid") else Fraction(1, 1000)
        assert all(Fraction(kg) == Fraction(stated) * size for kg, stated in rows.select("kg", "published").iter_rows())
        regions = rows["region"].drop_nulls()
        assert regions.str.contains(r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$").all() and not {"UK", "CA-MT"} & set(regions)
    assert set(values("owid_world_2023")["boundary"]) == {"life_cycle"}
    boundary = dict(values("green_algorithms_3.0").select("factor_id", "boundary").iter_rows())
    assert boundary["green_algorithms/GB"] == boundary["green_algorithms/TH"] == "with_losses"
    assert boundary["green_algorithms/DE"] == "generation" and boundary["green_algorithms/US-CA"] == "not_stated"


def test_units_are_canonical_names():
    every = pl.concat(values(f.stem) for f in (DATA / "values").glob("*.csv"))
    assert all(unit(name).name == name for name in every["per_unit"].unique())
    assert not every.filter(pl.col("per_unit").str.contains("^(GJ|MWh|mmBtu)")).height


def test_taking_a_published_folder_is_repeatable(tmp_path, monkeypatch):
    (tmp_path / "new").mkdir()
    (tmp_path / "data" / "published").mkdir(parents=True)
    monkeypatch.setattr("scopeline.factor_import.DATA", tmp_path / "data")
    text = gzip.decompress((DATA / "published" / "gwp.csv.gz").read_bytes())
    (tmp_path / "new" / "gwp.csv").write_bytes(text)
    assert take(tmp_path / "new") == ["gwp.csv.gz"]
    first = (tmp_path / "data" / "published" / "gwp.csv.gz").read_bytes()
    assert take(tmp_path / "new") and (tmp_path / "data" / "published" / "gwp.csv.gz").read_bytes() == first
    assert gzip.decompress(first) == text and re.search(rb"AR6GWP100", text)


@given(st.fractions())
def test_exact_text_reads_back_exactly(number):
    text = exact_text(number)
    assert Fraction(text) == number and "e" not in text
    assert ("/" in text) == (_rest(number.denominator) != 1)


def _rest(denominator: int) -> int:
    for prime in (2, 5):
        while denominator % prime == 0:
            denominator //= prime
    return denominator
