"""Units: every factor of the table against pint and the publications, and every refusal with its remedy."""

import subprocess
import sys
from decimal import Decimal
from fractions import Fraction

import pint
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.unit_table import ALIASES, CURRENCIES, REFUSED, REFUSED_SPELLINGS, TABLE, TEMPERATURES
from schemas.units import UnitProblem, amount_of, convert, is_additive, is_rate, names, unit

PINT = {
    "kWh": "kilowatt_hour",
    "mWh": "milliwatt_hour",
    "Wh": "watt_hour",
    "MWh": "megawatt_hour",
    "GWh": "gigawatt_hour",
    "TWh": "terawatt_hour",
    "Wmin": "watt * minute",
    "Ws": "watt * second",
    "Btu": "Btu_it",
    "kBtu": "1000 * Btu_it",
    "mmBtu": "1000000 * Btu_it",
    "therm": "100000 * Btu_it",
    "kW": "kilowatt",
    "mW": "milliwatt",
    "W": "watt",
    "MW": "megawatt",
    "GW": "gigawatt",
    "l": "litre",
    "ml": "millilitre",
    "cl": "centilitre",
    "hl": "hectolitre",
    "Ml": "megalitre",
    "ft3": "foot ** 3",
    "ccf": "100 * foot ** 3",
    "m3": "meter ** 3",
    "us_gallon": "US_liquid_gallon",
    "klb": "1000 * pound",
    "ug": "microgram",
    "t": "tonne",
    "kt": "kilotonne",
    "Mt": "megatonne",
    "Ah": "ampere_hour",
    "mAh": "milliampere_hour",
    "deg": "degree",
    "mbar": "millibar",
    "lx": "lux",
    "S": "siemens",
    "mS": "millisiemens",
    "uS": "microsiemens",
    "Ohm": "ohm",
    "kOhm": "kiloohm",
    "rpm": "revolutions_per_minute",
    "byte": "byte",
    "kB": "kilobyte",
    "KiB": "kibibyte",
    "MB": "megabyte",
    "GB": "gigabyte",
    "us": "microsecond",
    "ft2": "foot ** 2",
    "ha": "hectare",
    "m2": "meter ** 2",
}
"""Ours -> pint's, where the names differ."""

RATIOS = {"%": Fraction(1, 100), "permille": Fraction(1, 1000), "ppm": Fraction(1, 10**6), "ppb": Fraction(1, 10**9)}

OWN = {"lodging", "work", "count", "acidity", "sound_level", "signal_level", "turbidity", "normal_volume", "vehicle_distance"}
OWN |= {"passenger_distance", "freight", "energy_gross", "energy_net", "energy_gross_rate", "energy_net_rate"}
OWN |= {"reactive_energy", "reactive_energy_rate", "apparent_energy", "apparent_energy_rate"}
"""Dimensions that no units library has; proven by the tests below."""


@pytest.fixture(scope="module")
def registry():
    return pint.UnitRegistry()


def test_every_physical_factor_is_pints(registry):
    looked = 0
    for dimension, rows in TABLE.items():
        base = next(iter(rows))
        for name, (factor, _) in rows.items():
            if dimension in OWN or name == "":
                continue
            if name in RATIOS:
                assert factor == RATIOS[name]
                continue
            there = registry.parse_expression(PINT.get(name, name))
            to = "dimensionless" if base == "" else PINT.get(base, base)
            assert float(factor) == pytest.approx(there.to(to).magnitude, rel=1e-14), name
            looked += 1
    assert looked > 80


@pytest.mark.parametrize(
    ("kind", "plain"), [("energy_gross", "energy"), ("energy_net", "energy"), ("energy_gross_rate", "energy_rate")]
)
def test_fuel_energies_have_the_factors_of_energy(kind, plain):
    suffix = kind.removeprefix("energy").removesuffix("_rate")
    assert TABLE[kind]
    for name, (factor, _) in TABLE[kind].items():
        assert factor == TABLE[plain][name.removesuffix(suffix)][0]


@pytest.mark.parametrize("name", ["reactive_energy", "apparent_energy"])
def test_reactive_and_apparent_energy_scale_like_energy(name):
    letters = {"reactive_energy": ("varh", "Wh"), "apparent_energy": ("VAh", "Wh")}[name]
    for of, (factor, _) in TABLE[name].items():
        plain = {"vars": "Ws", "VAs": "Ws"}.get(of, of.replace(*letters))
        assert factor == TABLE["energy"][plain][0]


def test_distances_of_vehicles_passengers_and_freight():
    mile = Fraction("1.609344")
    assert convert(1, "vehicle_mile", "vehicle_km") == convert(1, "passenger_mile", "passenger_km") == mile
    assert convert(1, "short_ton_mile", "tonne_km") == Fraction("0.90718474") * mile
    assert convert(1, "long_ton_mile", "tonne_km") == Fraction("1.0160469088") * mile
    assert convert(1, "tonne_nautical_mile", "tonne_km") == Fraction("1.852")


def test_normal_volumes_follow_the_ideal_gas_law():
    """pV = nRT: the same gas at 0 C, 15 C (both 101.325 kPa) and 60 F (14.696 psi)."""
    assert convert("1", "Sm3", "Nm3") == Fraction("273.15") / Fraction("288.15")
    assert float(convert(1, "Nm3", "Sm3")) == pytest.approx(1.0549148, rel=1e-7)
    kelvin_60f = 288.70555555555555
    expected = 0.3048**3 * (14.696 * 6894.757293168361 / 101325) * 273.15 / kelvin_60f
    assert float(convert(1, "scf", "Nm3")) == pytest.approx(expected, rel=1e-14)
    assert float(convert(1000, "scf", "Nm3")) == pytest.approx(26.79, abs=0.01)
    assert convert(1, "Nl", "Nm3") == Fraction(1, 1000)


@pytest.mark.parametrize(
    ("value", "of", "celsius"), [("32", "degF", 0), ("212", "degF", 100), ("0", "K", "-273.15"), ("20", "C", 20)]
)
def test_temperatures(value, of, celsius):
    assert convert(value, of, "degC") == Fraction(celsius)


@pytest.mark.parametrize(
    ("text", "name", "base"),
    [
        ("m³", "m3", "m3"),
        ("°C", "degC", "degC"),
        ("℃", "degC", "degC"),
        ("W-min", "Wmin", "kWh"),
        ("kVArh", "kvarh", "kvarh"),
        ("gCO2/kWh", "g/kWh", "kg/kWh"),
        ("gCO2eq/kWh", "g/kWh", "kg/kWh"),
        ("kg CO2e per kWh", "kg/kWh", "kg/kWh"),
        ("tCO2", "t", "kg"),
        ("kWh/Nm3", "kWh/Nm3", "kWh/Nm3"),
        ("kWh_gross/m³", "kWh_gross/m3", "kWh_gross/m3"),
        ("l/min", "l/min", "m3/h"),
        ("Nm3/h", "Nm3/h", "Nm3/h"),
        ("kWh/h", "kWh/h", "kW"),
        ("MW_gross", "MW_gross", "kW_gross"),
        ("mg/m3", "mg/m3", "kg/m3"),
        ("EUR/MWh", "EUR/MWh", "EUR/kWh"),
        ("USD_2022", "USD_2022", "USD_2022"),
        ("tonne.km", "tonne_km", "tonne_km"),
        ("short ton", "short_ton", "kg"),
        ("", "", ""),
        ("%", "%", ""),
        ("cfm", "ft3/min", "m3/h"),
    ],
)
def test_usual_spellings(text, name, base):
    found = unit(text)
    assert (found.name, found.base) == (name, base)


def test_a_rate_and_what_it_adds_up_to():
    for rate, amount in (
        ("MW", "kWh"),
        ("l/min", "m3"),
        ("Nm3/h", "Nm3"),
        ("kvar", "kvarh"),
        ("EUR/h", "EUR"),
        ("kW_net", "kWh_net"),
    ):
        assert amount_of(rate).name == amount
    assert convert(1, "m3/h", "l/min") == Fraction(1000, 60)
    for level in ("degC", "A", "kg/kWh", "rpm", "kWh"):
        assert not is_rate(unit(level))
        with pytest.raises(UnitProblem, match="is no rate"):
            amount_of(level)


def test_every_spelling_means_one_unit():
    meant: dict[str, set[str]] = {}
    for rows in [*TABLE.values(), TEMPERATURES]:
        for name, row in rows.items():
            for spelling in (name, *row[-1].split()):
                meant.setdefault(spelling, set()).add(name)
    assert len(meant) > 300
    assert {spelling for spelling, of in meant.items() if len(of) > 1} == set()
    assert not meant.keys() & (CURRENCIES | ALIASES.keys() | REFUSED.keys() | REFUSED_SPELLINGS.keys())
    for spelling, of in meant.items():
        assert unit(spelling).name in of


def test_additive_dimensions():
    for text in (
        "kWh",
        "kWh_net",
        "m3",
        "scf",
        "kg",
        "tonne_km",
        "room_night",
        "fte_hour",
        "piece",
        "JPY",
        "USD_2022",
        "kvarh",
        "h",
    ):
        assert is_additive(unit(text)), text
    for text in ("kW", "degC", "bar", "%", "kg/kWh", "V", "", "W/m2"):
        assert not is_additive(unit(text)), text


@given(
    st.sampled_from(sorted(names())), st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12)
)
def test_units_round_trip(name, value):
    found = unit(name)
    assert convert(convert(value, name, found.base), found.base, name) == Fraction(value)


def test_numbers_of_every_kind_convert():
    assert {convert(value, "MWh", "kWh") for value in (Decimal("1.5"), "1.5", Fraction(3, 2))} == {1500}


def test_import_is_fast_and_needs_no_units_library():
    code = (
        "import time; a = time.process_time(); import schemas.units, sys; print(time.process_time() - a, 'pint' in sys.modules)"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() for _ in range(3)
    ]
    assert {loaded for _, loaded in runs} == {"False"}
    assert min(float(seconds) for seconds, _ in runs) < 0.1, "10 to 30 ms on an idle machine"
