"""What an edit changes, and from when on."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from schemas.plant import Plant
from scopeline.catalogue import catalogue
from scopeline.cluster.differences import EVER, Difference, before, differences
from scopeline.plant import load

PLANT = """
organisation: A
sites: [{site: works, timezone: UTC, grid_region: DE}]
factor_sets: {desnz: {2025: "2025", 2026: "2025"}, owid_eu: "2020"}
"""
FEED = """
feed: plugs
topic: plugs/{device}
decoder: json
site: works
meters: table
channels: [{channel: e, value: "$.e", unit: kWh, kind: counter}]
"""
GAS = """
feed: gas
topic: gas
decoder: json
meter: works/gas
channels: [{channel: v, value: "$.v", unit: kWh_gross, kind: counter}]
"""
ROWS = "feed,device,channel,meter,valid_from,valid_to\nplugs,a,,works/p1,2024-01-01,\n"
SOURCES = """
sources:
  - {source: "plug-{n}", site: works, scope: 2, category: purchased_electricity, for_each: "works/*:e", measured_by: "{meter}"}
  - {source: boiler, site: works, scope: 1, category: stationary_combustion, measured_by: "works/gas:v",
     factor: {set: desnz, table: Fuels, item: "Natural gas", per_unit: kWh, basis: gross}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("feeds", "meters", "sources"):
        (tmp_path / name).mkdir()
    for name, text in {
        "plant.yaml": PLANT,
        "feeds/a.yaml": FEED,
        "feeds/b.yaml": GAS,
        "meters/m.csv": ROWS,
        "sources/s.yaml": SOURCES,
    }.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def read(folder: Path) -> Plant:
    plant, problems = load(folder)
    assert plant, problems
    return plant


def edited(folder: Path, file: str, old: str, new: str) -> dict[str, Difference]:
    before, path = read(folder), folder / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    return {f"{one.what} {one.name}".strip(): one for one in differences(before, read(folder), catalogue())}


def test_nothing_changes_nothing(folder: Path):
    assert differences(read(folder), read(folder), catalogue()) == []
    assert edited(folder, "plant.yaml", "organisation: A", "organisation: A # the same") == {}


def test_the_first_version_is_all_new(folder: Path):
    found = differences(None, read(folder), catalogue())
    assert {one.change for one in found if one.what in ("feed", "source")} == {"new"}
    assert {one.name for one in found if one.what == "source"} == {"plug-p1", "boiler"}


def test_a_pin_of_one_year_changes_from_that_year_on(folder: Path):
    found = edited(folder, "plant.yaml", '2026: "2025"', '2026: "2026"')
    assert found["source boiler"].since == datetime(2026, 1, 1, tzinfo=UTC) and "source plug-p1" not in found


def test_a_replacement_changes_from_its_day_on(folder: Path):
    new = "plugs,a,,works/p1,2024-01-01,2026-03-01\nplugs,b,,works/p1,2026-03-01,\n"
    found = edited(folder, "meters/m.csv", "plugs,a,,works/p1,2024-01-01,\n", new)
    day = datetime(2026, 3, 1, tzinfo=UTC)
    assert found["feed plugs"].since == found["source plug-p1"].since == day
    assert not before(found.values(), day) and len(before(found.values(), datetime(2026, 4, 1, tzinfo=UTC))) == 2
    assert found["rows of meters/*.csv"].detail == "2 new, 1 gone"


def test_an_undated_edit_changes_all_times(folder: Path):
    found = edited(folder, "feeds/b.yaml", "$.v", "$.volume")
    assert found["feed gas"].since == EVER == found["source boiler"].since and "feed plugs" not in found
    found = edited(folder, "sources/s.yaml", '"works/gas:v"', '"2 * [works/gas:v]"')
    assert found["source boiler"].since == EVER


def test_sources_come_and_go(folder: Path):
    found = edited(folder, "sources/s.yaml", "source: boiler", "source: furnace")
    assert found["source boiler"].change == "gone" and found["source furnace"].change == "new"
