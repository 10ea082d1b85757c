"""Grids: which set and year, boundaries, live intensity; by the published table and the messages alone."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction as F

START = datetime(2026, 3, 2, tzinfo=UTC)
GRID_2026 = {"CO2": F("0.12943"), "CH4": F("0.00067") / 28, "N2O": F("0.00086") / 265, "CO2_biogenic": F("0.11507")}
"""desnz_2026, Electricity: UK, per kWh; biogenic CO2 by "Outside of scopes"."""
LOST_2026 = {"CO2": F("0.01284"), "CH4": F("0.00007") / 28, "N2O": F("0.00009") / 265}  # T&D- UK electricity
UPSTREAM_2026 = {"wtt": F("0.03682"), "wtt_t_and_d": F("0.00359")}  # WTT- UK electricity: generation, T&D


def at(hours, base=START):
    return (base + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")


def times(gases, amount):
    return {gas: kg * amount for gas, kg in gases.items()}


def bought(desk, site="works", name="main", **facts):
    meter = desk.meter(f"{site}/{name}", **facts)
    return {"source": name, "site": site, "scope": 2, "category": "purchased_electricity", "measured_by": meter}


def plant(region="GB", zone="UTC", pins=None, base="1h", **more):
    reporting = {"base_interval": base} | more.pop("reporting", {})
    site = {"site": "works", "timezone": zone} | ({"grid_region": region} if region else {})
    return {"sites": [site], "reporting": reporting, "factor_sets": pins or {"desnz": "2026"}} | more


def test_uk_electricity_in_five_figures(desk, audit):
    source = bought(desk, period="1h")
    desk.says("works/main", at(1), "1000")
    rows = audit.by(desk.compute(plant(), [source]), "component", "basis")
    want = {("main", "location"): GRID_2026, ("grid_average", "market"): GRID_2026, ("t_and_d", ""): LOST_2026}
    want |= {(name, ""): {"unsplit": kg} for name, kg in UPSTREAM_2026.items()}
    assert set(rows) == set(want)
    wrong = [w for key, row in rows.items() for w in audit.agree(row, audit.parts(times(want[key], 1000), 27))]
    assert not wrong, wrong
    assert {row["status"] for row in rows.values()} == {"provisional"}
    assert {row["uncertainty_pct"] for row in rows.values()} == {""}


def test_the_year_of_a_yearly_set_is_the_latest_not_after_the_activity(desk, audit):
    """owid_eu has rows of 2000 to 2020, CO2 alone."""
    table = {}
    for row in audit.published("electricity_grid"):
        if row["region"] == "DEU" and row["table"].startswith("eu-carbon"):
            table[int(row["valid_from"][:4])] = F(row["value"]) / 1000
    assert len(table) == 21
    source = bought(desk)
    days = {
        "1999-06-01": None,
        "2000-01-01": 2000,
        "2010-07-01": 2010,
        "2019-12-31": 2019,
        "2020-06-01": 2020,
        "2026-03-02": 2020,
    }
    for day in days:
        desk.says("works/main", f"{day}T12:00:00Z", "100")
    settings = plant("DE", "Europe/Berlin", {"owid_eu": "2020"})
    rows = [row for row in desk.compute(settings, [source]) if row["basis"] == "location"]
    found = {row["interval_start"][:10]: row for row in rows}
    assert set(found) == set(days)
    for day, year in days.items():
        want = audit.parts({"CO2": table[year] * 100} if year else {}, 27)
        age = str(max(0, int(day[:4]) - year)) if year else ""
        assert not audit.agree(found[day], want | {"factor_age_years": age}), day
        assert (found[day]["status"] == "unpriced") == (year is None)


def test_regions_by_any_code_and_sets_by_rule(desk, audit):
    """UK and GBR mean GB; where two sets have the region, the grid region's factor decides; life cycle only by id."""
    source = bought(desk)
    desk.says("works/main", at(0), "100")
    both = {"desnz": "2026", "owid_eu": "2020"}
    clash = desk.compute(plant("GB", pins=both), [source], fails=True)[0]["output"]
    assert "GB" in clash and "set: desnz" in clash and "set: owid_eu" in clash
    settings = plant("GB", pins=both, grid_regions=[{"region": "GB", "factor": {"set": "owid_eu"}}])
    row = audit.by(desk.compute(settings, [source]), "component", "basis")["main", "location"]
    assert not audit.agree(row, audit.parts({"CO2": F(209, 1000) * 100}, 27) | {"factor_age_years": "6"})
    cycle = {"epa_hub": "2025", "owid_world": "2023"}
    assert "no pinned factor set" in desk.compute(plant("DE", pins=cycle), [source], fails=True)[0]["output"]
    value = next(F(r["value"]) for r in audit.published("electricity_grid") if r["region"] == "AFG" and "global" in r["table"])
    year = next(
        r["valid_from"][:4] for r in audit.published("electricity_grid") if r["region"] == "AFG" and "global" in r["table"]
    )
    region = {"region": "AF", "factor": {"id": f"owid_world/AF-{year}"}}
    rows = desk.compute(plant("AF", pins={"owid_world": "2023"}, grid_regions=[region]), [source])
    assert {row["scope"] for row in rows} == {"2"}  # nothing is derived
    for row in rows:
        assert not audit.agree(row, audit.parts({"unsplit": value / 10}, 27)) and "life_cycle" in row["factor_version"]


def test_with_losses_splits_between_scope_2_and_category_3(desk, audit):
    own = [
        {"factor_id": "grid", "value": "0.5", "boundary": "with_losses", "valid_from": "2026-01-01"},
        {"factor_id": "grid", "value": "4", "gas": "losses", "unit": "%", "boundary": "with_losses", "valid_from": "2026-01-01"},
    ]
    source = bought(desk) | {"factor": {"id": "own/grid"}}
    desk.says("works/main", at(0), "1000")
    rows = audit.by(desk.compute(plant(None), [source], own=own), "component", "basis")
    assert not audit.agree(rows["main", "location"], audit.parts({"unsplit": F(480)}, 27))
    assert not audit.agree(rows["grid_average", "market"], audit.parts({"unsplit": F(480)}, 27))
    assert not audit.agree(rows["t_and_d", ""], audit.parts({"unsplit": F(20)}, 27))


def live(desk, source, gas="CO2e", **facts):
    meter = desk.meter("ref/grid", "g/kWh", "level")
    region = {"region": "GB", "intensity": meter, "gas": gas, "max_age": "2h"} | facts
    return plant(grid_regions=[region])


def test_live_intensity_holds_then_the_annual_factor_is_estimated(desk, audit):
    source = bought(desk, period="1h")
    settings = live(desk, source)
    for hour in range(1, 8):
        desk.says("works/main", at(hour), "100")
    said = {0.5: 200, 1: 150, 1.25: 90, 5: 300}
    for hour, value in said.items():
        desk.says("ref/grid", at(hour), str(value))
    rows = audit.by(desk.compute(settings, [source]), "interval_start", "component", "basis")
    for hour in range(7):  # the value at the interval's start, younger than two hours
        held = [value for when, value in sorted(said.items()) if when <= hour < when + 2]
        for key in (("main", "location"), ("grid_average", "market")):
            row = rows[at(hour), *key]
            want = {"unsplit": F(held[-1], 1000) * 100} if held else times(GRID_2026, 100)
            share = "1" if key[1] == "market" or not held else "0"
            assert not audit.agree(row, audit.parts(want, 27) | {"estimated_share": share}), (hour, key)
        assert not audit.agree(rows[at(hour), "t_and_d", ""], audit.parts(times(LOST_2026, 100), 27))


def test_a_feed_of_co2_alone_takes_the_other_gases_of_the_annual_factor(desk, audit):
    source = bought(desk, period="1h")
    settings = live(desk, source, "CO2")
    desk.says("works/main", at(1), "100")
    desk.says("ref/grid", at(0), "55.5")
    rows = audit.by(desk.compute(settings, [source]), "component", "basis")
    want = times({"CO2": F("0.0555"), "CH4": GRID_2026["CH4"], "N2O": GRID_2026["N2O"]}, 100)
    row = rows["main", "location"]
    assert not audit.agree(row, audit.parts(want, 27) | {"estimated_share": "0", "factor_version": "2026;live"})
    assert {"ref/grid:x"} < set(row["factor_id"].split(";"))
    assert row["factor_id"].startswith("desnz/")


def test_a_live_intensity_with_losses(desk, audit):
    """The share lost is that of the annual factors: T&D / (generation + T&D), by CO2."""
    source = bought(desk, period="1h")
    settings = live(desk, source, boundary="with_losses")
    desk.says("works/main", at(1), "100")
    desk.says("ref/grid", at(0), "200")
    rows = audit.by(desk.compute(settings, [source]), "component", "basis")
    lost = LOST_2026["CO2"] / (GRID_2026["CO2"] + LOST_2026["CO2"])
    assert not audit.agree(rows["main", "location"], audit.parts({"unsplit": 20 * (1 - lost)}, 27))
    assert not audit.agree(rows["t_and_d", ""], audit.parts({"unsplit": 20 * lost}, 27))
    assert not audit.agree(rows["wtt", ""], audit.parts({"unsplit": UPSTREAM_2026["wtt"] * 100}, 27))


def test_a_late_or_revised_intensity_restates(desk, audit):
    source = bought(desk, period="1h")
    settings = live(desk, source)
    for hour in range(1, 5):
        desk.says("works/main", at(hour), "100")
    desk.says("ref/grid", at(0), "100")
    desk.says("ref/grid", at(1), "100", received=at(9))  # late
    desk.says("ref/grid", at(2), "100")
    desk.says("ref/grid", at(2), "400", received=at(9.5))  # revised
    desk.says("ref/grid", at(3), "100")
    desk.says("works/main", at(20), "1")  # so that the clock of the site has passed
    rows = audit.by(desk.compute(settings, [source]), "interval_start", "component", "basis")
    found = {h: (rows[at(h), "main", "location"]["status"], rows[at(h), "main", "location"]["co2e_kg"]) for h in range(4)}
    assert found == {0: ("final", "10"), 1: ("restated", "10"), 2: ("restated", "40"), 3: ("final", "10")}
    assert {rows[at(h), "t_and_d", ""]["status"] for h in range(4)} == {"final"}  # it reads no intensity
