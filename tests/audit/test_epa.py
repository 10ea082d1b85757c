"""EPA's Emission Factors Hub by `compute`: heat, mass, volume, miles; grams and kilograms; eGRID and its losses."""

import re
from fractions import Fraction as F

import pytest

LB, MILE = F("0.45359237"), F("1.609344")
BTU = F("1055.05585262") / 3_600_000  # kWh
GALLON = 231 * F("0.0254") ** 3  # m3
SCF = F("0.3048") ** 3 * (F("14.696") * LB * F("9.80665") / F("0.0254") ** 2 / 101325) * F("273.15") / (F("519.67") * 5 / 9)
UNITS = {
    "mmBtu HHV": ("mmBtu_gross", BTU * 10**6),
    "mmBtu ": ("mmBtu", BTU * 10**6),
    "short ton": ("short_ton", LB * 2000),
    "scf": ("scf", SCF),
    "gallon": ("us_gallon", GALLON),
    "vehicle-mile": ("vehicle_mile", MILE),
    "passenger-mile": ("passenger_mile", MILE),
    "ton-mile": ("short_ton_mile", LB * 2 * MILE),
    "short ton-mile": ("short_ton_mile", LB * 2 * MILE),
    "short ton material": ("short_ton", LB * 2000),
}
"""Unit of the tables -> ours, and its size in the base unit (kWh, kg, Nm3, m3, km, tonne_km)."""
MASS = {"kg": F(1), "g": F(1, 1000), "lb": LB, "metric tons": F(1000)}
AMOUNT = F("1234.5")


def base(size):
    """The activity as figures hold it: whole 1e-9 of the base unit."""
    return F(round(AMOUNT * size * 10**9), 10**9)


def table(published, year, number):
    """{(activity, item, unit): {gas: kg for one unit}}; CO2 of biomass fuels is biogenic, CO2e is not split into gases."""
    found = {}
    for row in published(f"epa_ghg_hub_{year}"):
        unit = row["unit_denominator"]
        if not row["table"].startswith(f"Table {number} ") or row["gas"] in ("heat content", "loss fraction"):
            continue
        unit = f"{unit} {row['heating_value_basis']}" if unit == "mmBtu" else unit
        mass = row["unit_numerator"].removesuffix(f" {row['gas']}")
        bio = "Biomass" in row["activity"] or row["fuel_or_item"] in ("Biodiesel (100%)", "Ethanol (100%)")
        gas = {"CO2e": "unsplit", "CO2": "CO2_biogenic" if bio else "CO2"}.get(row["gas"], row["gas"])
        item = re.sub(r"(?<=[a-z)]) ?[A-E]$", "", row["fuel_or_item"])  # marks of footnotes
        gases = found.setdefault((row["activity"], item, unit), {})
        assert gas not in gases
        gases[gas] = F(row["value"]) * MASS[mass]
    return found


CASES = {1: (1, "stationary_combustion"), 2: (1, "mobile_combustion"), 3: (1, "mobile_combustion"), 4: (1, "mobile_combustion"),
         5: (1, "mobile_combustion"), 8: (3, "cat_4"), 9: (3, "cat_5"), 10: (3, "cat_6")}  # fmt: skip


@pytest.mark.parametrize("year", ["2024", "2025"])
def test_every_factor(desk, audit, year):
    sources, want = [], {}
    for number, (scope, category) in CASES.items():
        for (activity, item, unit), gases in table(audit.published, year, number).items():
            name, (ours, size) = f"t{number}-{len(sources):03d}", UNITS[unit]
            meter = desk.meter(f"ohio/{name}", ours)
            desk.says(f"ohio/{name}", "2026-02-01T10:00:00Z", "1234.5")
            rule = {
                "set": "epa_hub",
                "table": f"Table {number}",
                "activity": activity,
                "item": item,
                "per_unit": ours.removesuffix("_gross"),
            }
            rule |= {"basis": "gross"} if ours.endswith("_gross") else {}
            sources.append({"source": name, "site": "ohio", "scope": scope, "category": category, "measured_by": meter,
                            "factor": rule})  # fmt: skip
            kg = {gas: value / size * base(size) for gas, value in gases.items()}
            want[name] = ((number, activity, item, unit), audit.parts(kg, "27.0", 273))
    assert len(want) > 400
    settings = {"sites": [{"site": "ohio", "timezone": "America/New_York"}], "factor_sets": {"epa_hub": year}}
    rows = audit.by(desk.compute(settings | {"reporting": {"base_interval": "15m"}}, sources), "source")
    assert set(rows) == set(want)
    wrong = [f"{want[name][0]}: {text}" for name, row in rows.items() for text in audit.agree(row, want[name][1])]
    assert not wrong, "\n".join(wrong[:40]) + f"\n{len(wrong)}"


def test_egrid_and_losses(desk, audit):
    """Scope 2 by the subregion's total output rate; what is lost on the way is g / (1 - g) of it, in category 3."""
    rates, losses = {}, {}
    for row in audit.published("epa_ghg_hub_2025"):
        if row["table"] == "Table 6 Electricity":
            region = row["region"].replace("US-US Average", "US")
            if row["gas"] == "loss fraction":
                losses[region] = F(row["value"])
            elif row["fuel_or_item"].endswith("total output"):
                rates.setdefault(region, {})[row["gas"]] = F(row["value"]) * LB / 1000  # lb/MWh -> kg/kWh
    assert len(rates) >= 27 and len(losses) >= 26
    sites, sources = [], []
    for region in rates:
        site = region.lower()
        sites.append({"site": site, "timezone": "America/Chicago", "grid_region": region})
        meter = desk.meter(f"{site}/main", "MWh")
        desk.says(f"{site}/main", "2026-02-01T10:00:00Z", "1.2345")
        sources.append({"source": f"grid-{site}", "site": site, "scope": 2, "category": "purchased_electricity",
                        "measured_by": meter})  # fmt: skip
    settings = {"sites": sites, "factor_sets": {"epa_hub": "2025"}, "reporting": {"base_interval": "15m"}}
    rows = desk.compute(settings, sources)
    wrong = []
    for row in rows:
        region = row["site"].upper()
        share = F(1) if row["scope"] == "2" else losses.get(region)
        share = share / (1 - share) if row["scope"] == "3" and share else share
        want = audit.parts({gas: kg * F("1234.5") * share for gas, kg in rates[region].items()}, 27) if share else {}
        wrong += audit.agree(row, want | {"category": "purchased_electricity" if row["scope"] == "2" else "cat_3"})
        shape = (row["scope"], row["component"], row["basis"], row["instrument"], row["estimated_share"])
        if shape not in {("2", "main", "location", "", "0"), ("2", "grid_average", "market", "grid_average", "1"),
                         ("3", "t_and_d", "", "", "0")}:  # fmt: skip
            wrong.append(f"{row['site']}: {shape}")
    assert not wrong, "\n".join(wrong)
    per_site = {site["site"]: sum(row["site"] == site["site"] for row in rows) for site in sites}
    assert set(per_site.values()) == {3}, per_site
