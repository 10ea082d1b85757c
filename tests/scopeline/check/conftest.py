"""A small plant that passes `check`, to be broken in one place at a time."""

from datetime import date
from pathlib import Path

import pytest

from schemas.problem import Problem
from scopeline.check import check

TODAY = date(2026, 11, 1)

PLANT = """\
organisation: Works
tags: [line]
sites:
  - {site: works, timezone: Europe/London, grid_region: GB}
  - {site: depot, timezone: UTC, grid_region: GB}
factor_sets: {desnz: {2025: "2025", 2026: "2026"}}
"""
FEEDS = """\
feeds:
  - feed: main
    topic: "a/{site}/{device}/energy"
    decoder: json
    observed_at: {path: "$.t"}
    channels:
      - {channel: energy, value: "$.kwh", unit: kWh, kind: counter}
      - {channel: power, value: "$.w", unit: W, kind: rate}
      - {channel: temperature, value: "$.c", unit: degC}
      - {channel: gas, value: "$.m3", unit: m3, kind: counter}
      - {channel: heat, value: "$.h", unit: kWh_gross, kind: counter}
      - {channel: apparent, value: "$.vah", unit: kVAh, kind: counter}
  - feed: plugs
    topic: "tele/{device}/SENSOR"
    decoder: tasmota
    site: works
    meter: "works/press/{device}"
    channels:
      - {channel: energy, value: "ENERGY.Total", unit: kWh, kind: counter}
"""
SOURCES = """\
sources:
  - source: grid
    site: works
    scope: 2
    category: purchased_electricity
    measured_by: "works/main:energy"
  - source: boiler
    site: works
    scope: 1
    category: stationary_combustion
    measured_by: "works/boiler:gas"
    factor: {set: desnz, table: Fuels, item: "Natural gas", per_unit: m3}
    tags: {line: heat}
"""
OWN = "factor_id,activity,region,scope,gas,value,unit,per_unit,basis,boundary,valid_from,valid_to,"
OWN += "published,gwp_set,uncertainty_pct,citation\n"


class Works:
    """The plant's files, and what `check` says of them with some changed."""

    PLANT, FEEDS, SOURCES, OWN = PLANT, FEEDS, SOURCES, OWN

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def problems(self, files: dict[str, str], today: date = TODAY) -> list[Problem]:
        """Every problem with these files in place of the good ones."""
        for name, text in ({"plant.yaml": PLANT, "feeds/feeds.yaml": FEEDS, "sources/sources.yaml": SOURCES} | files).items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(text, encoding="utf-8")
        plant, found = check(self.folder, today=today)
        assert (plant is None) == any(problem.severity == "error" for problem in found)
        return found

    def one(self, files: dict[str, str], key: str, today: date = TODAY) -> Problem:
        """The only problem, which stands at this key, with a line and a remedy (a note needs none)."""
        found = self.problems(files, today)
        assert [problem.key for problem in found] == [key], "\n".join(map(str, found))
        assert found[0].line and (found[0].remedy or found[0].severity == "note")
        return found[0]

    @staticmethod
    def swapped(text: str, old: str, new: str) -> str:
        """A file's text with one thing changed that really stands in it."""
        assert old in text
        return text.replace(old, new, 1)


@pytest.fixture
def works(tmp_path: Path) -> Works:
    return Works(tmp_path)
