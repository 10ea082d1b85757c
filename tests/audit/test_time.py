"""What holds when: pins by the activity's year, own factors by the site's days, age of factors, the config hash."""

from fractions import Fraction as F

import pytest

GAS = {  # desnz_2024, _2025, _2026: natural gas, kWh (Gross CV), kg CO2e of CO2, CH4, N2O at AR5
    2024: (F("0.18253"), F("0.00028"), F("0.00009")),
    2025: (F("0.18259"), F("0.00028"), F("0.00009")),
    2026: (F("0.18194"), F("0.00028"), F("0.00009")),
}
RULE = {"set": "desnz", "table": "Fuels", "item": "Natural gas", "per_unit": "kWh", "basis": "gross"}


def boiler(desk, site="works", name="boiler", rule=RULE, **facts):
    meter = desk.meter(f"{site}/{name}", "kWh_gross")
    return {"source": name, "site": site, "scope": 1, "category": "stationary_combustion", "measured_by": meter,
            "factor": rule, "derive": []} | facts  # fmt: skip


def plant(zone="UTC", pins=None, **more):
    return {
        "sites": [{"site": "works", "timezone": zone}],
        "reporting": {"base_interval": "15m"},
        "factor_sets": pins or {},
        **more,
    }


def gases(audit, year, amount):
    co2, ch4, n2o = GAS[year]
    return audit.parts({"CO2": co2 * amount, "CH4": ch4 / 28 * amount, "N2O": n2o / 265 * amount}, 27)


def test_the_literals_are_the_tables(audit):
    for year, want in GAS.items():
        found = {row["gas"]: F(row["value"]) for row in audit.published(f"desnz_{year}") if row["table"] == "Scope 1 | Fuels"
                 and (row["fuel_or_item"], row["unit_denominator"]) == ("Natural gas", "kWh (Gross CV)")}  # fmt: skip
        assert (found["CO2"], found["CH4"], found["N2O"]) == want


@pytest.mark.parametrize(
    ("zone", "turn"), [("America/New_York", "T05:00"), ("Asia/Tokyo", "T15:00"), ("Pacific/Auckland", "T11:00")]
)
def test_pins_by_the_activitys_year_at_the_site(desk, audit, zone, turn):
    """New Year is the site's own; a year without a pin is unpriced; the age counts from the publication's last year."""
    source = boiler(desk)
    day = {"T05:00": "01-01"}.get(turn, "12-31")
    want = {}
    for year in (2023, 2024, 2025, 2026, 2027):
        first = year if day == "01-01" else year - 1
        before, after = f"{first}-{day}T{int(turn[1:3]) - 1:02d}:45:00Z", f"{first}-{day}{turn}:00Z"
        desk.says("works/boiler", before, "100")
        desk.says("works/boiler", after, "100")
        want[before], want[after] = year - 1, year
    pins = {"desnz": {2024: "2024", 2025: "2025", 2026: "2025", 2027: "2026"}}
    rows = audit.by(desk.compute(plant(zone, pins), [source]), "interval_start")
    assert set(rows) == set(want)
    for at, year in want.items():
        pin = {2024: 2024, 2025: 2025, 2026: 2025, 2027: 2026}.get(year)
        expected = gases(audit, pin, 100) if pin else {"status": "unpriced", "factor_id": ""}
        age = str(year - pin) if pin else ""
        wrong = audit.agree(rows[at], expected | {"factor_age_years": age, "factor_version": str(pin or "")})
        assert not wrong, (at, wrong)


def test_a_bare_pin_serves_every_year(desk, audit):
    source = boiler(desk)
    for year in (2020, 2025, 2026, 2028):
        desk.says("works/boiler", f"{year}-06-01T00:00:00Z", "10")
    for row in desk.compute(plant(pins={"desnz": "2026"}), [source]):
        age = max(0, int(row["interval_start"][:4]) - 2026)
        assert not audit.agree(row, gases(audit, 2026, 10) | {"factor_age_years": str(age)})


def test_own_factors_hold_on_their_days_at_the_site_only(desk, audit):
    """2 March to 4 March in Auckland (UTC+13), then another value from 6 March on."""
    own = [{"factor_id": "gas", "gas": "CO2", "value": value, "per_unit": "kWh", "basis": "gross", "valid_from": start,
            "valid_to": end} for value, start, end in ((2, "2026-03-02", "2026-03-04"), (3, "2026-03-06", ""))]  # fmt: skip
    own.append({"factor_id": "gas", "gas": "CH4", "value": 100, "unit": "g", "per_unit": "kWh", "basis": "gross",
                "valid_from": "2026-03-06"})  # fmt: skip
    source = boiler(desk, rule={"id": "own/gas"})
    moments = {"2026-03-01T10:45:00Z": None, "2026-03-01T11:00:00Z": 2, "2026-03-04T10:45:00Z": 2, "2026-03-04T11:00:00Z": None,
               "2026-03-05T10:45:00Z": None, "2026-03-05T11:00:00Z": 3, "2030-01-01T00:00:00Z": 3}  # fmt: skip
    for at in moments:
        desk.says("works/boiler", at, "10")
    rows = audit.by(desk.compute(plant("Pacific/Auckland"), [source], own=own), "interval_start")
    for at, value in moments.items():
        kg = {"CO2": F(value * 10)} | ({"CH4": F(1)} if value == 3 else {}) if value else {}
        wrong = audit.agree(rows[at], audit.parts(kg, 27))
        assert not wrong, (at, wrong)
        assert (rows[at]["status"] == "unpriced", rows[at]["unpriced_share"]) == ((True, "1") if not value else (False, "0"))
        assert rows[at]["activity_unit"] == "kWh_gross" and rows[at]["activity"] == "10"


def test_sources_live_on_their_days(desk):
    source = boiler(desk, rule=RULE, valid_from="2026-03-02", valid_to="2026-03-03")
    for at in ("2026-03-02T07:45:00Z", "2026-03-02T08:00:00Z", "2026-03-04T07:45:00Z", "2026-03-04T08:00:00Z"):
        desk.says("works/boiler", at, "10")
    rows = desk.compute(plant("America/Los_Angeles", {"desnz": "2026"}), [source])
    assert [row["interval_start"] for row in rows] == ["2026-03-02T08:00:00Z", "2026-03-04T07:45:00Z"]


def test_config_changes_only_with_what_a_figure_reads(desk, audit):
    own = [{"factor_id": name, "value": 1, "valid_from": "2020-01-01"} for name in ("wind", "grid", "idle")]
    gas = boiler(desk, rule=RULE | {"activity": "Fuels > Gaseous fuels"})
    del gas["derive"]
    power = {"source": "power", "site": "works", "scope": 2, "category": "purchased_electricity", "factor": {"id": "own/grid"},
             "measured_by": desk.meter("works/power")}  # fmt: skip
    for name in ("boiler", "power"):
        desk.says(f"works/{name}", "2026-06-01T00:00:00Z", "10")
    deal = {"contract": "ppa", "site": "works", "kind": "ppa", "covers": {"share": "10%"}, "factor": {"id": "own/wind"},
            "valid_from": "2026-01-01", "valid_to": "2026-12-31"}  # fmt: skip
    pins = {"desnz": {2025: "2025", 2026: "2026"}}
    keys = {"boiler main": ("boiler", "main", ""), "boiler wtt": ("boiler", "wtt", ""), "location": ("power", "main", "location"),
            "ppa": ("power", "ppa", "market"), "rest": ("power", "grid_average", "market")}  # fmt: skip

    def hashes(settings=None, sources=(gas, power), rows=own, contracts=(deal,)):
        found = desk.compute(settings or plant(pins=pins), sources, own=rows, contracts=list(contracts))
        found = audit.by(found, "source", "component", "basis")
        return {name: found[key]["config"] for name, key in keys.items() if key in found}

    before = hashes()
    assert set(before) == set(keys) and all(before.values())
    all_of_it = set(keys)
    cases = {
        "another source": (hashes(sources=(gas, power, gas | {"source": "other"})), set()),
        "an own factor that nobody uses": (
            hashes(rows=[r | {"value": 2} if r["factor_id"] == "idle" else r for r in own]),
            set(),
        ),
        "names and tags": (hashes(sources=(gas | {"name": "The boiler"}, power)), set()),
        "the pin of another year": (hashes(plant(pins={"desnz": {2025: "2024", 2026: "2026"}})), set()),
        "the pin": (hashes(plant(pins={"desnz": "2025"})), {"boiler main", "boiler wtt"}),
        "the contract's share": (hashes(contracts=(deal | {"covers": {"share": "11%"}},)), {"ppa", "rest"}),
        "the contract's factor": (hashes(rows=[r | {"value": 2} if r["factor_id"] == "wind" else r for r in own]), {"ppa"}),
        "the grid's factor": (
            hashes(rows=[r | {"value": 2} if r["factor_id"] == "grid" else r for r in own]),
            {"location", "rest"},
        ),
        "another GWP set": (hashes({**plant(pins=pins), "reporting": {"base_interval": "15m", "gwp": "AR5"}}), all_of_it),
        "lateness": (hashes({**plant(pins=pins), "reporting": {"base_interval": "15m", "lateness": "3h"}}), set()),
        "the site's zone": (hashes(plant("Asia/Tokyo", pins)), all_of_it),
    }
    for what, (after, want) in cases.items():
        changed = {name for name in before if after.get(name) != before[name]}
        assert changed == want, what
