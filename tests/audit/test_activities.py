"""DESNZ's other activities in every table and unit, refrigerants and single gases; categories of scope 1 and 3 by activity."""

from fractions import Fraction as F

import pytest

UNITS = {
    "km": "km",
    "miles": "mile",
    "passenger.km": "passenger_km",
    "tonne.km": "tonne_km",
    "Room per night": "room_night",
    "per FTE Working Hour": "fte_hour",
    "tonnes": "t",
    "kg": "kg",
    "cubic metres": "m3",
    "million litres": "Ml",
}
TABLES = {
    "Scope 1 | Passenger vehicles": "mobile_combustion",
    "Scope 1 | Delivery vehicles": "mobile_combustion",
    "Scope 3 | Material use": "cat_1",
    "Scope 3 | Water supply": "cat_1",
    "Scope 3 | Freighting goods": "cat_4",
    "Scope 3 | Waste disposal": "cat_5",
    "Scope 3 | Water treatment": "cat_5",
    "Scope 3 | Business travel- air": "cat_6",
    "Scope 3 | Business travel- sea": "cat_6",
    "Scope 3 | Hotel stay": "cat_6",
    "Scope 3 | Business travel- land": "cat_7",
    "Scope 3 | Homeworking": "cat_7",
}
GWP = {"AR5": (28, 265), "AR6": ("27.0", 273)}


@pytest.mark.parametrize(("year", "gwp"), [("2024", "AR6"), ("2025", "AR5"), ("2026", "AR6")])
def test_every_activity(desk, audit, year, gwp):
    found, sources, want = {}, [], {}
    for row in audit.published(f"desnz_{year}"):
        if row["table"] in TABLES:
            gases = found.setdefault((row["table"], row["activity"], row["fuel_or_item"], row["unit_denominator"]), {})
            gases[row["gas"]] = F(row["value"]) / {"CH4": 28, "N2O": 265}.get(row["gas"], 1)
    assert len(found) > 800
    for number, ((table, activity, item, per), gases) in enumerate(found.items()):
        name, scope = f"a{number:04d}", int(table[6])
        unit = UNITS[per]
        meter = desk.meter(f"leeds/{name}", unit)
        desk.says(f"leeds/{name}", f"{year}-06-01T10:00:00Z", "12.5")
        rule = {"set": "desnz", "table": table, "activity": activity, "per_unit": unit}
        rule |= {"item": item} if item else {}
        sources.append({"source": name, "site": "leeds", "scope": scope, "category": TABLES[table], "measured_by": meter,
                        "factor": rule, "derive": []})  # fmt: skip
        kg = {"unsplit": gases["CO2e"]} if set(gases) == {"CO2e"} else {g: kg for g, kg in gases.items() if g != "CO2e"}
        want[name] = ((table, activity, item, per), audit.parts({g: v * F("12.5") for g, v in kg.items()}, *GWP[gwp]))
    settings = {"sites": [{"site": "leeds", "timezone": "Europe/London"}], "factor_sets": {"desnz": year},
                "reporting": {"gwp": gwp, "base_interval": "15m"}}  # fmt: skip
    rows = audit.by(desk.compute(settings, sources), "source")
    assert set(rows) == set(want)
    wrong = [f"{want[name][0]}: {text}" for name, row in rows.items() for text in audit.agree(row, want[name][1])]
    wrong += [f"{want[n][0]}: {row['activity']} {row['activity_unit']}" for n, row in rows.items() if row["activity"] != "12.5"]
    assert not wrong, "\n".join(wrong[:40]) + f"\n{len(wrong)}"


BLENDS = {
    "R-410A": {"HFC32": 50, "HFC125": 50},
    "R-404A": {"HFC125": 44, "HFC143a": 52, "HFC134a": 4},
    "R-134a": {"HFC134a": 100},
    "R-22": {"HCFC22": 100},
    "SF6": {"SF6": 100},
    "NF3": {"NF3": 100},
    "R-14": {"CF4": 100},
}
"""Per cent of mass: EPA hub, table 12; R-number to gas: ASHRAE 34."""


@pytest.mark.parametrize("gwp", ["SAR", "AR4", "AR5", "AR6"])
def test_refrigerants(desk, audit, gwp):
    """Mass x composition x GWP of gwp.csv; HCFC-22 stays outside the scopes."""
    worth = {}
    for row in audit.published("gwp"):
        if row["gas"] == "GWP100" and row["gwp_set"] == gwp:
            worth[row["fuel_or_item"]] = F(row["value"])
    part = {"HFC32": "hfc", "HFC125": "hfc", "HFC143a": "hfc", "HFC134a": "hfc", "HCFC22": "non_kyoto", "CF4": "pfc"}
    sources, want = [], {}
    for name, contents in BLENDS.items():
        at = name.lower()
        if any(gas not in worth for gas in contents):
            assert (name, gwp) == ("NF3", "SAR")
            continue
        sources.append({"source": at, "site": "leeds", "scope": 1, "category": "fugitive", "measured_by":
                        desk.meter(f"leeds/{at}", "g"), "factor": {"refrigerant": name}})  # fmt: skip
        desk.says(f"leeds/{at}", "2026-06-01T10:00:00Z", "2500")
        mass = {gas: F(5, 2) * share / 100 for gas, share in contents.items()}
        co2e = sum(kg * worth[gas] for gas, kg in mass.items())
        kind = part.get(next(iter(contents)), "")
        if kind:
            want[at] = {f"{kind}_co2e": co2e} | ({} if kind == "non_kyoto" else {"co2e": co2e})
        else:
            want[at] = {at: F(5, 2), "co2e": co2e}
    settings = {"sites": [{"site": "leeds", "timezone": "UTC"}], "reporting": {"gwp": gwp, "base_interval": "15m"}}
    rows = audit.by(desk.compute(settings, sources), "source")
    assert set(rows) == set(want)  # nothing is derived
    wrong = [text for name, row in rows.items() for text in audit.agree(row, want[name])]
    assert not wrong, wrong


def test_methane_by_category(desk, audit):
    """AR6: 29.8 where fossil methane escapes (fugitive, process), 27.0 elsewhere; AR5 knows one value."""
    own = [{"factor_id": "leak", "gas": "CH4", "value": 1, "per_unit": "kg", "valid_from": "2020-01-01"}]
    categories = {"fugitive": 1, "process": 1, "stationary_combustion": 1, "mobile_combustion": 1, "cat_1": 3}
    sources = []
    for category, scope in categories.items():
        for bio in ("0%", "100%"):
            name = f"{category}-{bio[:-1]}".replace("_", "-")
            meter = desk.meter(f"leeds/{name}", "kg")
            desk.says(f"leeds/{name}", "2026-06-01T10:00:00Z", "10")
            sources.append({"source": name, "site": "leeds", "scope": scope, "category": category, "measured_by": meter,
                            "factor": {"id": "own/leak"}, "biogenic_share": bio})  # fmt: skip
    for gwp, fossil, other in (("AR6", "29.8", "27.0"), ("AR5", 28, 28), ("AR4", 25, 25)):
        settings = {"sites": [{"site": "leeds", "timezone": "UTC"}], "reporting": {"gwp": gwp, "base_interval": "15m"}}
        for row in desk.compute(settings, sources, own=own):
            escapes = row["category"] in ("fugitive", "process") and row["source"].endswith("-0")
            assert not audit.agree(row, audit.parts({"CH4": F(10)}, fossil if escapes else other) | {"gwp": gwp})
