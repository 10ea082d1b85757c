"""Every fuel of DESNZ 2024 to 2026 in every unit, by `compute`: gases apart, joined by GWP, biogenic apart, well to tank."""

from fractions import Fraction as F

import pytest

UNITS = {
    "tonnes": "t",
    "cubic metres": "m3",
    "litres": "l",
    "kWh (Gross CV)": "kWh_gross",
    "kWh (Net CV)": "kWh_net",
    "kWh": "kWh_net",
    "GJ": "GJ_net",
    "kg": "kg",
}
"""Units of the tables, in ours; bioenergy without a basis is by net calorific value (14.71 GJ/t of wood logs)."""
AMOUNT = F("1234.5")
SHOWN = {"GJ_net": ("kWh_net", F(2500, 9)), "l": ("m3", F(1, 1000)), "t": ("kg", 1000)}
"""Where a unit is not shown as it is: energy is shown in kWh; unpriced activity in the base unit."""
GWP = {"AR4": (25, 298), "AR5": (28, 265), "AR6": ("27.0", 273)}
"""CH4 (of combustion) and N2O in gwp.csv."""


def factors(published, year, table):
    """{(group, item, unit): {gas: kg of gas for one unit}}; the publication states kg CO2e at AR5: CH4 / 28, N2O / 265."""
    found = {}
    for row in published(f"desnz_{year}"):
        if row["table"] == table:
            assert "CH4=28,N2O=265" in row["gwp_set"]
            group = row["activity"].rpartition("> ")[2].removeprefix("WTT- ").casefold()
            gases = found.setdefault((group, row["fuel_or_item"].casefold(), UNITS[row["unit_denominator"]]), {})
            gases[row["gas"]] = F(row["value"]) / {"CH4": 28, "N2O": 265}.get(row["gas"], 1)
    return {key: {"unsplit": gas["CO2e"]} if set(gas) == {"CO2e"} else without(gas) for key, gas in found.items()}


def without(gases):
    return {gas: kg for gas, kg in gases.items() if gas != "CO2e"}


def rules(published, year, table):
    """One factor rule an item and unit, in the publication's words."""
    for row in published(f"desnz_{year}"):
        if row["table"] == table:
            unit, _, basis = UNITS[row["unit_denominator"]].partition("_")
            words = {"set": "desnz", "table": table.partition(" | ")[2], "activity": row["activity"]}
            rule = words | {"item": row["fuel_or_item"], "per_unit": unit} | ({"basis": basis} if basis else {})
            group = row["activity"].rpartition("> ")[2].casefold()
            yield (group, row["fuel_or_item"].casefold(), UNITS[row["unit_denominator"]]), rule


@pytest.mark.parametrize(("year", "gwp"), [("2024", "AR5"), ("2025", "AR4"), ("2026", "AR6")])
def test_every_fuel(desk, audit, year, gwp):
    chosen = {}
    for table in ("Scope 1 | Fuels", "Scope 1 | Bioenergy"):
        chosen |= dict(rules(audit.published, year, table))
    direct = factors(audit.published, year, "Scope 1 | Fuels") | factors(audit.published, year, "Scope 1 | Bioenergy")
    upstream = factors(audit.published, year, "Scope 3 | WTT- fuels") | factors(audit.published, year, "Scope 3 | WTT- bioenergy")
    outside = {
        key[1:]: gases["CO2"]
        for key, gas in factors(audit.published, year, "Outside of Scopes | Outside of scopes").items()
        for gases in [gas]
        if "CO2" in gas
    }
    assert len(direct) == len(chosen) > 150 and len(upstream) > 150 and len(outside) > 40
    sources, want = [], {}
    for number, (key, rule) in enumerate(chosen.items()):
        name = f"s{number:03d}"
        meter = desk.meter(f"leeds/{name}", key[2])
        desk.says(f"leeds/{name}", f"{year}-06-01T10:00:00Z", "1234.5")
        sources.append(
            {
                "source": name,
                "site": "leeds",
                "scope": 1,
                "category": "stationary_combustion",
                "measured_by": meter,
                "factor": rule,
            }
        )
        kg = {gas: value * AMOUNT for gas, value in direct[key].items()}
        if key[1:] in outside:
            kg["CO2_biogenic"] = outside[key[1:]] * AMOUNT
        want[name, "main"] = (key, audit.parts(kg, *GWP[gwp]))
        if key in upstream:
            assert set(upstream[key]) == {"unsplit"}
            want[name, "wtt"] = (key, audit.parts({"unsplit": upstream[key]["unsplit"] * AMOUNT}, *GWP[gwp]))
        else:
            want[name, "wtt"] = (key, {})
    settings = {
        "sites": [{"site": "leeds", "timezone": "Europe/London"}],
        "factor_sets": {"desnz": year},
        "reporting": {"gwp": gwp, "base_interval": "15m"},
    }
    rows = audit.by(desk.compute(settings, sources), "source", "component")
    assert set(rows) <= set(want), sorted(set(rows) - set(want))
    wrong = [f"no row {key}: {want[key][0]}" for key in set(want) - set(rows)]
    for key, row in rows.items():
        of, parts = want[key]
        wrong += [f"{of}: {text}" for text in audit.agree(row, parts)]
        shown, size = SHOWN.get(of[2], (of[2], 1)) if of[2] == "GJ_net" or not parts else (of[2], 1)
        if row["activity_unit"] != shown or abs(F(row["activity"]) - AMOUNT * size) > F(1, 10**8):
            wrong.append(f"{of}: activity {row['activity']} {row['activity_unit']}")
        if row["status"] != ("unpriced" if not parts else "provisional"):
            wrong.append(f"{of}: status {row['status']}")
        if (row["scope"], row["category"]) != {"main": ("1", "stationary_combustion"), "wtt": ("3", "cat_3")}[key[1]]:
            wrong.append(f"{of}: {row['scope']} {row['category']}")
    assert not wrong, "\n".join(sorted(wrong)[:40]) + f"\n{len(wrong)}"
