"""`check`: every rule of the plant folder is broken once, and the problem names file, line, key and remedy."""

import json
from datetime import date, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from schemas.problem import Problem
from scopeline.check import check
from scopeline.check.meters import meet
from scopeline.check.settings import offsets
from scopeline.cli import app

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
GOOD = {"plant.yaml": PLANT, "feeds/feeds.yaml": FEEDS, "sources/sources.yaml": SOURCES}


def problems(place: Path, files: dict[str, str], today: date = TODAY) -> list[Problem]:
    for name, text in (GOOD | files).items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text, encoding="utf-8")
    plant, found = check(place, today=today)
    assert (plant is None) == any(problem.severity == "error" for problem in found)
    return found


def one(place: Path, files: dict[str, str], key: str, today: date = TODAY) -> Problem:
    """The only problem, which stands at this key, with a line and a remedy (a note needs none)."""
    found = problems(place, files, today)
    assert [problem.key for problem in found] == [key], "\n".join(map(str, found))
    assert found[0].line and (found[0].remedy or found[0].severity == "note")
    return found[0]


def test_a_good_plant_has_no_problems(tmp_path):
    assert problems(tmp_path, {}) == []


def swapped(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


PLANT_CASES = [
    ("timezone: UTC", "timezone: Europe/Berlni", "sites[1].timezone", "did you mean Europe/Berlin?"),
    ("site: depot", "site: works", "sites[1].site", "another id"),
    ("site: depot", "site: ref", "sites[1].site", "another id"),
    (
        "timezone: UTC",
        "timezone: UTC, share: [{share: 50%, valid_from: 2026-01-01, valid_to: 2025-01-01}]",
        "sites[1].share[0]",
        "two days",
    ),
    ("desnz: {", "dezns: {", None, "did you mean desnz?"),
    ('2025: "2025"', '2025: "2023"', None, "versions: 2024, 2025, 2026"),
    ("tags: [line]", "tags: [line]\nreporting: {base_interval: 7m}", "reporting.base_interval", "write 1m"),
    ("tags: [line]", "tags: [line]\nreporting: {base_interval: 2h}", "reporting.base_interval", "write 1m"),
    (
        "tags: [line]",
        'tags: [line]\nprofile: cluster\nkafka: {bootstrap_servers: ["k:9092"]}\nbrokers: {a: {host: h}}',
        "influxdb",
        "embedded",
    ),
    ("tags: [line]", "tags: [line]\nbrokers: {a: {host: mqtt://h}}", "brokers.a.host", "bare host name"),
    ("tags: [line]", 'tags: [line]\ninfluxdb: {url: "http://u:canary@h", org: o, bucket: b}', "influxdb.url", "token_file"),
    ("tags: [line]", "tags: [line]\ngrid_regions: [{region: GB}, {region: UK}]", "grid_regions[1].region", "keep one"),
    (
        "tags: [line]",
        'tags: [line]\ngrid_regions: [{region: GB, intensity: "works/main:energy"}]',
        "grid_regions[0].intensity",
        "start with ref/",
    ),
    (
        "tags: [line]",
        'tags: [line]\ngrid_regions: [{region: GB, intensity: "ref/gb:x"}]',
        "grid_regions[0].intensity",
        "channels of",
    ),
    (
        "tags: [line]",
        "tags: [line]\ngrid_regions: [{region: GB, residual_mix: own/mix}]",
        "grid_regions[0].residual_mix",
        "factors/*.csv",
    ),
]


@pytest.mark.parametrize(("old", "new", "key", "remedy"), PLANT_CASES)
def test_plant_yaml(tmp_path, old, new, key, remedy):
    found = problems(tmp_path, {"plant.yaml": swapped(PLANT, old, new)})
    first = [problem for problem in found if problem.file == "plant.yaml"]
    assert first and first[0].severity == "error" and first[0].line
    assert key is None or [problem.key for problem in found] == [key], "\n".join(map(str, found))
    assert any(remedy in f"{problem.message} {problem.remedy}" for problem in first), "\n".join(map(str, found))
    assert "canary" not in "".join(map(str, found))


@pytest.mark.parametrize(
    ("zone", "good", "bad"),
    [
        ("Asia/Kathmandu", "15m", "30m"),
        ("Australia/Lord_Howe", "30m", "1h"),
        ("Asia/Kolkata", "30m", "1h"),
        ("Europe/Berlin", "1h", None),
        ("Africa/Monrovia", "30s", "1m"),
    ],
)
def test_the_base_interval_divides_every_offset_since_1970(tmp_path, zone, good, bad):
    text = swapped(PLANT, "timezone: UTC", f"timezone: {zone}")
    assert problems(tmp_path, {"plant.yaml": text + f"reporting: {{base_interval: {good}}}\n"}) == []
    if bad:
        problem = one(tmp_path, {"plant.yaml": text + f"reporting: {{base_interval: {bad}}}\n"}, "reporting.base_interval")
        assert zone in problem.message and f"write {good}" in problem.remedy


def test_offsets_of_a_zone():
    quarter = timedelta(minutes=15)
    assert offsets("Asia/Kathmandu") == {timedelta(hours=5, minutes=30), timedelta(hours=5, minutes=45)}
    assert {offset // quarter for offset in offsets("America/New_York")} == {-20, -16}


FEED_CASES = [
    ("unit: W, kind: rate", "unit: Wat, kind: rate", "feeds[0].channels[1].unit", "did you mean"),
    ("unit: W, kind: rate", "unit: kWh, kind: rate", "feeds[0].channels[1].unit", "kind: counter"),
    ("unit: W, kind: rate", "unit: W, kind: counter", "feeds[0].channels[1].unit", "kind: rate"),
    ("unit: W, kind: rate", "kind: rate", "feeds[0].channels[1].unit", "add unit:"),
    ("unit: W, kind: rate", "unit: ton/h, kind: rate", "feeds[0].channels[1].unit", "short_ton"),
    ("unit: W, kind: rate", "unit: W, kind: rate, max: 2 kWh", "feeds[0].channels[1].max", "correct `unit:`"),
    ("unit: W, kind: rate", "unit: W, kind: rate, min: 9, max: 2", "feeds[0].channels[1].min", "exchange"),
    ("unit: W, kind: rate", "unit: W, kind: rate, max_rate: 9 kW", "feeds[0].channels[1].max_rate", "write max:"),
    ("unit: W, kind: rate", "unit: W, kind: rate, jitter: 2", "feeds[0].channels[1].jitter", "kind: counter"),
    ("unit: kWh, kind: counter}", "unit: kWh, kind: counter, max_rate: 5 m3/h}", "feeds[0].channels[0].max_rate", "3 kW"),
    (
        "unit: kWh, kind: counter}",
        "unit: {path: $.u, allow: [kWh, m3]}, kind: counter}",
        "feeds[0].channels[0].unit.allow[1]",
        "two channels",
    ),
    (
        "unit: kWh, kind: counter}",
        "unit: {path: $.u, allow: [kWh, ton]}, kind: counter}",
        "feeds[0].channels[0].unit.allow[1]",
        "short_ton",
    ),
    ("channel: power", "channel: energy", "feeds[0].channels[1].channel", "where:"),
    ('value: "$.w", ', "", "feeds[0].channels[1].value", "path of the value"),
    ('value: "$.w"', 'value: "w"', "feeds[0].channels[1].value", "start it with $"),
    ('value: "$.w"', 'value: "@.w"', "feeds[0].channels[1].value", "add each:"),
    ("a/{site}/{device}/energy", "a/{site}/#/energy", "feeds[0].topic", "'a/{site}/#'"),
    ("decoder: json", "decoder: jsno", "feeds[0].decoder", "did you mean json?"),
    ("decoder: json", "decoder: [json, gzip]", "feeds[0].decoder", "[gzip, json]"),
    ("decoder: json", "decoder: json\n    broker: hall", "feeds[0].broker", "brokers"),
    ('{path: "$.t"}', '{path: "$.t", format: "%H:%M"}', "feeds[0].observed_at", "iso8601"),
    ('{path: "$.t"}', '{path: "$.t", timezone: Mars}', "feeds[0].observed_at", "Europe/Berlin"),
    ("a/{site}/{device}/energy", "a/{plant}/{device}/energy", "feeds[0].meter", "site:"),
    ("site: works", "site: wroks", "feeds[1].site", "plant.yaml's sites"),
    ("site: works", "site: depot", "feeds[1].site", "correct one"),
    ("feed: plugs", "feed: main", "feeds[1].feed", "another id"),
]


@pytest.mark.parametrize(("old", "new", "key", "remedy"), FEED_CASES)
def test_feeds(tmp_path, old, new, key, remedy):
    found = problems(tmp_path, {"feeds/feeds.yaml": swapped(FEEDS, old, new)})
    here = [problem for problem in found if problem.key == key]
    assert len(here) == 1 and here[0].file == "feeds/feeds.yaml" and here[0].line, "\n".join(map(str, found))
    assert remedy in here[0].remedy, here[0]


@pytest.mark.parametrize("old", [case[0] for case in FEED_CASES if "unit" in case[2]][:1])
def test_a_broken_feed_gives_no_false_alarm_about_its_meters(tmp_path, old):
    """A feed that cannot be read at all may give the meter that nobody else gives."""
    found = problems(tmp_path, {"feeds/feeds.yaml": FEEDS.replace("decoder: json", "decodr: json")})
    assert {problem.file for problem in found} == {"feeds/feeds.yaml"}


B, KWH = "{feed: b, site: works, meter: works/x, topic: ", 'channels: [{channel: e, value: "$.kwh", unit: kWh}]}'


@pytest.mark.parametrize(
    ("feed", "severity"),
    [
        (B + '"a/works/#", decoder: json, ' + KWH, "error"),
        (B + '"a/works/#", decoder: json, ' + KWH.replace("kwh", "z"), None),
        (B + '"a/+/x", decoder: json, ' + KWH, None),
        ('{feed: b, topic: "a/+/+/energy", decoder: senml, site: works, meter: works/x}', "warning"),
        ('{feed: b, topic: "tele/#", decoder: tasmota, site: works, meter: works/x}', "error"),
        ('{feed: b, topic: "tele/#", skip: ["tele/+/SENSOR"], decoder: tasmota, site: works, meter: works/x}', None),
    ],
)
def test_overlapping_topics_that_would_count_twice(tmp_path, feed, severity):
    found = problems(tmp_path, {"feeds/b.yaml": f"feeds:\n  - {feed}\n"})
    assert [problem.severity for problem in found] == ([severity] if severity else []), "\n".join(map(str, found))
    if severity:
        assert found[0].key.endswith("topic") and "skip:" in found[0].remedy and "read by" in found[0].message


def test_feeds_of_different_brokers_do_not_overlap(tmp_path):
    brokers = PLANT + "brokers: {one: {host: a}, two: {host: b}}\n"
    feed = B + '"a/#", broker: two, decoder: json, ' + KWH
    assert problems(tmp_path, {"plant.yaml": brokers, "feeds/b.yaml": f"feeds: [{feed}]"}) == []


@pytest.mark.parametrize(
    ("more", "warned"),
    [
        ("", True),
        ("observed_at: received_at", True),
        ('observed_at: {path: "$.t"}', False),
        ('x: "$.ticket"', False),
    ],
)
def test_amounts_without_time_or_event_id(tmp_path, more, warned):
    event = ', event: "$.ticket"' if more.startswith("x:") else ""
    line = "" if more.startswith("x:") else f"    {more}\n"
    text = f'feeds:\n  - feed: b\n    topic: "b/{{device}}"\n    decoder: json\n    site: works\n{line}    channels:\n'
    text += f'      - {{channel: waste, value: "$.kg", unit: kg, kind: amount{event}}}\n'
    found = problems(tmp_path, {"feeds/b.yaml": text})
    assert [(problem.severity, problem.key) for problem in found] == (
        [("warning", "feeds[0].channels[0].event")] if warned else []
    )


SOURCE_CASES = [
    ('measured_by: "works/main:energy"', 'measured_by: "works/main:enregy"', "error", "measured_by", "did you mean energy?"),
    ('measured_by: "works/main:energy"', 'measured_by: "nowhere/main:energy"', "error", "measured_by", "no site nowhere"),
    ('measured_by: "works/main:energy"', 'measured_by: "works"', "error", "measured_by", "site"),
    ('measured_by: "works/main:energy"', 'measured_by: "[works/main:energy] -"', "error", "measured_by", "write like"),
    (
        'measured_by: "works/main:energy"',
        'measured_by: "[works/main:energy] + [works/a:gas]"',
        "error",
        "measured_by",
        "different things",
    ),
    ('measured_by: "works/main:energy"', 'measured_by: "[works/main:power] + 0.5 * [works/b:energy]"', None, "", ""),
    ('measured_by: "works/main:energy"', 'measured_by: "sum([works/press/*:energy])"', None, "", ""),
    ('measured_by: "works/main:energy"', 'measured_by: "works/press/*:energy"', "error", "measured_by", "sum(["),
    ('measured_by: "works/main:energy"', 'measured_by: "works/main:temperature"', "error", "measured_by", "kind"),
    ('measured_by: "works/main:energy"', 'measured_by: "works/main:apparent"', "error", "measured_by", "power factor"),
    ('measured_by: "works/main:energy"', 'measured_by: "works/main:gas"', "error", "measured_by", "different things"),
    ('measured_by: "works/main:energy"', 'measured_by: "works/press/p1:today"', "warning", "measured_by", "add it to channels:"),
    ('measured_by: "works/main:energy"', 'measured_by: "depot/main:energy"', "warning", "measured_by", "partition"),
    ('measured_by: "works/main:energy"', 'measured_by: "{meter}"', "error", "measured_by", "for_each"),
    ("source: grid\n    site: works", "source: grid\n    site: wroks", "error", "site", "did you mean works?"),
    ("source: grid\n    site: works", "source: grid\n    site: ref", "error", "site", "plant.yaml"),
    ("source: grid", "source: boiler", "error", "source", "another id"),
    ("source: grid", "source: Grid_1", "error", "source", "lower-case"),
    ("scope: 2", "scope: 1", "error", "category", "scope: 2"),
    ("category: purchased_electricity", "category: purchased_heat", "error", "factor", "add factor:"),
    (
        "category: purchased_electricity",
        "category: purchased_electrcity",
        "error",
        "category",
        "did you mean purchased_electricity",
    ),
    ("tags: {line: heat}", "tags: {lien: heat}", "error", "tags.lien", "did you mean line?"),
    ("tags: {line: heat}", "valid_from: 2026-02-01\n    valid_to: 2026-01-01", "error", "valid_to", "exchange"),
    ('item: "Natural gas", per_unit: m3', 'item: "Natural gas"', "error", "factor", "say table, activity, item, per_unit"),
    (
        'item: "Natural gas", per_unit: m3',
        'item: "Natrual gas", per_unit: m3',
        "error",
        "factor",
        "desnz/fuels/gaseous-fuels/natural-gas/m3",
    ),
    ('item: "Natural gas", per_unit: m3', 'item: "Natural gas", per_unit: ton', "error", "factor", "short_ton"),
    (
        'item: "Natural gas", per_unit: m3',
        'item: "Natural gas", per_unit: kWh, basis: gross',
        "error",
        "factor",
        "calorific value",
    ),
    ('    factor: {set: desnz, table: Fuels, item: "Natural gas", per_unit: m3}\n', "", "error", "factor", "add factor:"),
    (
        'factor: {set: desnz, table: Fuels, item: "Natural gas", per_unit: m3}',
        "factor: {id: own/gas}",
        "error",
        "factor",
        "factors/*.csv",
    ),
    (
        'factor: {set: desnz, table: Fuels, item: "Natural gas", per_unit: m3}',
        "factor: {set: epa_hub, item: x}",
        "error",
        "factor",
        "epa_hub",
    ),
    (
        'factor: {set: desnz, table: Fuels, item: "Natural gas", per_unit: m3}',
        "factor: {refrigerant: R-410A}",
        "error",
        "factor",
        "density",
    ),
    (
        "category: stationary_combustion",
        "category: stationary_combustion\n    method: mass_balance",
        "note",
        "method",
        "not computed yet",
    ),
    ("category: stationary_combustion", "category: stationary_combustion\n    over: 1d", "note", "over", "not computed yet"),
    (
        'measured_by: "works/boiler:gas"',
        'measured_by: "[works/boiler:gas] * [works/a:temperature]"',
        "error",
        "measured_by",
        "add up",
    ),
]


@pytest.mark.parametrize(("old", "new", "severity", "key", "text"), SOURCE_CASES)
def test_sources(tmp_path, old, new, severity, key, text):
    found = problems(tmp_path, {"sources/sources.yaml": swapped(SOURCES, old, new)})
    if severity is None:
        assert found == []
        return
    assert [problem.severity for problem in found] == [severity], "\n".join(map(str, found))
    assert found[0].key.split(".", 1)[-1] == key and found[0].line
    assert text in f"{found[0].message} {found[0].remedy}", found[0]


def test_a_fuel_meter_in_plain_kwh_under_a_fuel_factor(tmp_path):
    text = swapped(SOURCES, "per_unit: m3}", "per_unit: kWh, basis: gross}").replace("works/boiler:gas", "works/boiler:energy")
    problem = one(tmp_path, {"sources/sources.yaml": text}, "sources[1].factor")
    assert "kWh_gross" in problem.message and "as the bill has it" in problem.remedy
    good = text.replace("works/boiler:energy", "works/boiler:heat")
    assert problems(tmp_path, {"sources/sources.yaml": good}) == []


def test_one_source_for_each_meter_of_a_pattern(tmp_path):
    text = 'source: "press-{n}"\nsite: works\nscope: none\ncategory: energy_only\n'
    text += 'for_each: "works/press/*:energy"\nmeasured_by: "{meter}"\n'
    assert problems(tmp_path, {"sources/press.yaml": text}) == []
    assert one(tmp_path, {"sources/press.yaml": text.replace("press-{n}", "press")}, "source").severity == "error"
    assert "{n}" in one(tmp_path, {"sources/press.yaml": text.replace("press-{n}", "press")}, "source").remedy
    assert (
        one(tmp_path, {"sources/press.yaml": text.replace("works/press/*", "works/presses/*/x")}, "for_each").severity == "error"
    )
    assert "no emissions" in one(tmp_path, {"sources/press.yaml": text + "factor: {id: own/x}\n"}, "factor").message


def test_two_sources_that_count_the_same_meter(tmp_path):
    text = "source: again\nsite: works\nscope: 2\ncategory: purchased_electricity\nmeasured_by: works/main:energy\n"
    found = problems(tmp_path, {"sources/again.yaml": text})
    assert [(problem.severity, problem.key.split(".")[-1]) for problem in found] == [("warning", "measured_by")]


def test_a_grid_region_without_a_factor(tmp_path):
    problem = one(tmp_path, {"plant.yaml": swapped(PLANT, "grid_region: GB", "grid_region: KR")}, "sources[0].site")
    assert "KR" in problem.message and "factor_sets" in problem.remedy
    without = one(tmp_path, {"plant.yaml": swapped(PLANT, ", grid_region: GB", "")}, "sources[0].factor")
    assert "grid_region" in without.remedy


def test_a_live_intensity_prices_without_an_annual_factor(tmp_path):
    plant = PLANT.replace("grid_region: GB", "grid_region: KR", 1) + 'grid_regions: [{region: KR, intensity: "ref/kr:gco2"}]\n'
    feed = 'feed: kr\ntopic: kr\ndecoder: json\nmeter: ref/kr\nchannels: [{channel: gco2, value: "$.v", unit: g/kWh}]\n'
    problem = one(tmp_path, {"plant.yaml": plant, "feeds/kr.yaml": feed}, "sources[0].site")
    assert problem.severity == "warning" and "stay unpriced" in problem.message


def test_a_factor_whose_gas_the_gwp_set_lacks(tmp_path):
    sources = swapped(SOURCES, 'factor: {set: desnz, table: Fuels, item: "Natural gas", per_unit: m3}', "factor: {id: own/etch}")
    files = {"sources/sources.yaml": sources, "factors/own.csv": OWN + "etch,Etching,,1,NF3,1,kg,m3,,,,,,,,c\n"}
    assert problems(tmp_path, files) == []
    problem = one(tmp_path, files | {"plant.yaml": PLANT + "reporting: {gwp: SAR}\n"}, "sources[1].factor")
    assert "NF3" in problem.message and "reporting.gwp" in problem.remedy


def test_a_grid_factor_with_losses_says_how_large_they_are(tmp_path):
    row = "grid,Grid,GB,2,CO2e,0.2,kg,kWh,,with_losses,,,,,,c\n"
    sources = swapped(SOURCES, 'measured_by: "works/main:energy"', 'measured_by: "works/main:energy"\n    factor: {id: own/grid}')
    problem = one(tmp_path, {"sources/sources.yaml": sources, "factors/own.csv": OWN + row}, "sources[0].factor")
    assert "losses" in problem.message
    with_share = row + "grid,Grid,GB,2,losses,4,%,kWh,,with_losses,,,,,,c\n"
    assert problems(tmp_path, {"sources/sources.yaml": sources, "factors/own.csv": OWN + with_share}) == []


def test_factors_older_than_the_activity_are_said_once_for_each_pin(tmp_path):
    bare = PLANT.replace('{2025: "2025", 2026: "2026"}', '"2025"')
    problem = one(tmp_path, {"plant.yaml": bare}, "factor_sets.desnz")
    assert problem.severity == "warning" and "2025" in problem.message and problem.file == "plant.yaml"
    assert problems(tmp_path, {"plant.yaml": bare}, today=date(2025, 6, 1)) == []
    later = PLANT.replace('2026: "2026"', '2026: "2025"')
    assert one(tmp_path, {"plant.yaml": later}, "factor_sets.desnz[2026]", today=date(2025, 6, 1)).severity == "warning"


CONTRACT = """\
contract: wind
site: works
kind: ppa
covers: {share: 40%}
matching: hourly
factor: {id: own/wind}
valid_from: 2026-01-01
valid_to: 2026-12-31
evidence: {registry: R}
"""
WIND = {"factors/own.csv": OWN + "wind,Wind,GB,2,CO2e,0,kg,kWh,,generation,,,,,,none\n"}


@pytest.mark.parametrize(
    ("old", "new", "severity", "key", "text"),
    [
        ("", "", None, "", ""),
        ("{share: 40%}", "{share: 40%, volume: 1 GWh}", "error", "covers", "one of"),
        ("{share: 40%}", "{}", "error", "covers", "one of"),
        ("{share: 40%}", "{volume: 12 t}", "error", "covers.volume", "12 GWh"),
        ("{share: 40%}", '{meter: "works/ppa:gas"}', "error", "covers.meter", "different things"),
        ("{share: 40%}", '{meter: "works/ppa:power"}', None, "", ""),
        ("{share: 40%}", '{meter: "works/ppa:none"}', "error", "covers.meter", "channels of"),
        ("own/wind", "own/wnd", "error", "factor", "own/wind"),
        ("site: works", "site: work", "error", "site", "did you mean works?"),
        ("valid_to: 2026-12-31", "valid_to: 2025-12-31", "error", "valid_to", "exchange"),
        ("evidence: {registry: R}", "", "warning", "evidence", "unproven"),
        ("matching: hourly", "matching: annual", "note", "matching", "not computed yet"),
    ],
)
def test_contracts(tmp_path, old, new, severity, key, text):
    found = problems(tmp_path, WIND | {"contracts.yaml": CONTRACT.replace(old, new, 1) if old else CONTRACT})
    assert [problem.severity for problem in found] == ([severity] if severity else []), "\n".join(map(str, found))
    if severity:
        assert found[0].key == key and text in f"{found[0].message} {found[0].remedy}"


ROW = "feed,device,channel,meter,site,name,unit,scale,valid_from,valid_to,first_reading,last_reading,line\n"


@pytest.mark.parametrize(
    ("rows", "key", "text"),
    [
        (
            "plugs,d1,,works/press/a,works,,,,2026-01-01,2026-02-01,,9,L1\nplugs,d2,,works/press/a,works,,,,2026-02-01,,0,,L1\n",
            None,
            "",
        ),
        ("plgus,d1,,works/press/a,works,,,,,,,,\n", "feed", "did you mean plugs?"),
        ("plugs,d1,,works/press/a,depot,,,,,,,,\n", "site", "correct one"),
        ("plugs,d1,,wroks/press/a,,,,,,,,,\n", "meter", "did you mean works?"),
        ("plugs,d1,,works/press/a:energy,,,,,,,,,\n", "meter", "site/path"),
        ("plugs,d1,,works/press/a,,,ton,,,,,,\n", "unit", "short_ton"),
        ("plugs,d1,,works/press/a,,,,,2026-01-01,2025-01-01,,,\n", "valid_to", "exchange"),
        ("plugs,d1,,works/press/a,,,,,soon,,,,\n", "valid_from", "2026-03-01"),
        ("plugs,d1,,works/press/a,,,,,,,,,\nplugs,d2,,works/press/a,,,,,2026-01-01,,,,\n", "valid_from", "end line 2"),
        ("main,d1,,works/x,,,,,2026-01-01,,5,,\n", "channel", "fill channel"),
        ("main,d1,nope,works/x,,,,,,,,,\n", "channel", "channels"),
    ],
)
def test_the_meters_table(tmp_path, rows, key, text):
    found = problems(tmp_path, {"meters/m.csv": ROW + rows})
    errors = [problem for problem in found if problem.file == "meters/m.csv"]
    assert ([problem.key for problem in errors] == [key]) if key else found == [], "\n".join(map(str, found))
    assert not key or (text in errors[0].remedy and errors[0].line)


def test_a_column_that_is_no_tag(tmp_path):
    problem = one(tmp_path, {"meters/m.csv": ROW.replace(",line", ",lines") + "plugs,d1,,works/press/a,,,,,,,,,L1\n"}, "lines")
    assert problem.remedy == "did you mean line?"


def test_a_feed_that_reads_an_empty_table(tmp_path):
    feed = 'feed: t\ntopic: "t/{device}"\ndecoder: tasmota\nmeters: table\nsite: works\n'
    assert "add rows" in one(tmp_path, {"feeds/t.yaml": feed}, "meters").remedy


def test_virtual_meters_are_meters(tmp_path):
    virtual = 'virtual_meters: [{meter: "works/net:energy", unit: kWh, is: "[works/main:energy] - [works/b:energy]"}]\n'
    sources = SOURCES.replace("works/main:energy", "works/net:energy")
    assert problems(tmp_path, {"meters/v.yaml": virtual, "sources/sources.yaml": sources}) == []
    wrong = virtual.replace("[works/b:energy]", "[works/b:enrgy]")
    assert "did you mean energy?" in one(tmp_path, {"meters/v.yaml": wrong}, "virtual_meters[0].is").remedy
    circle = virtual.replace("[works/b:energy]", "[works/net:energy]")
    assert "itself" in one(tmp_path, {"meters/v.yaml": circle}, "virtual_meters[0].is").message


@pytest.mark.parametrize(
    ("row", "key", "text"),
    [
        ("f,A,,1,CO2e,1,kg,kWh,gross,,,,,,,c", None, ""),
        ("f,A,,1,CO3,1,kg,kWh,,,,,,,,c", "factor_id", "write CO2"),
        ("f,A,,1,CO2e,1,l,kWh,,,,,,,,c", "factor_id", "no mass"),
        ("f,A,,1,CO2e,1,kg,kW,,,,,,,,c", "per_unit", "kWh"),
        ("f,A,,1,CO2e,1,kg,gallon,,,,,,,,c", None, "us_gallon"),
        ("f,A,,1,CO2e,1,kg,kWh,,,2026-02-01,2026-01-01,,,,c", "valid_to", "exchange"),
        ("f,A,,1,CO2e,1,kg,kWh,,,,,,AR7,,c", "gwp_set", "AR6"),
        ("f,A,,1,CO2,1,kg,kWh,,,,,,,,c\nf,A,,1,CO2,2,kg,kWh,,,,,,,,c", "factor_id", "twice"),
    ],
)
def test_own_factors(tmp_path, row, key, text):
    found = problems(tmp_path, {"factors/own.csv": OWN + row + "\n"})
    if not text:
        assert found == []
        return
    assert key is None or key in {problem.key for problem in found}, "\n".join(map(str, found))
    assert any(text in f"{problem.message} {problem.remedy}" for problem in found), "\n".join(map(str, found))


def test_what_later_versions_compute_is_checked_now(tmp_path):
    head = "site,substance,quantity,value,unit,valid_from,valid_to,citation\n"
    files = {
        "conversions.csv": head + "works,Natural gas,gross_cv,11.31,kWh/m3,,,bill\n",
        "prices.csv": "currency,year,per_usd,us_price_index,citation\nEUR,2024,0.9,121,ECB\n",
        "targets.yaml": "budgets: [{budget: b, amount: 10 t, from: 2026-01-01, to: 2026-12-31}]\n"
        'rules: [{rule: r, meter: "works/main:power", above: 5, unit: kW}]\n',
    }
    found = problems(tmp_path, files)
    assert len(found) == 4 and all(problem.severity == "note" and "not computed yet" in problem.message for problem in found)
    wrong = {
        "conversions.csv": head + "wroks,Natural gas,gross_cv,ref/x:cv,kg,,,bill\n",
        "prices.csv": "currency,year,per_usd,us_price_index,citation\nEUX,2024,0,121,ECB\nEUR,2024,1,1,c\nEUR,2024,1,1,c\n",
        "targets.yaml": "budgets: [{budget: b, site: x, amount: 10 kWh, from: 2026-02-01, to: 2026-01-01}]\n"
        'rules: [{rule: r, meter: "works/main:power", unit: kWh}]\n',
    }
    keys = {(problem.file, problem.key) for problem in problems(tmp_path, wrong) if problem.severity == "error"}
    assert keys == {
        ("conversions.csv", "site"),
        ("conversions.csv", "value"),
        ("conversions.csv", "unit"),
        ("prices.csv", "currency"),
        ("prices.csv", "per_usd"),
        ("prices.csv", "year"),
        ("targets.yaml", "budgets[0].site"),
        ("targets.yaml", "budgets[0].amount"),
        ("targets.yaml", "budgets[0].to"),
        ("targets.yaml", "rules[0].rule"),
        ("targets.yaml", "rules[0].unit"),
    }


def test_a_live_intensity(tmp_path):
    plant = PLANT + 'grid_regions: [{region: GB, intensity: "ref/gb:intensity"}]\n'
    feed = 'feed: gb\ntopic: gb\ndecoder: json\nmeter: ref/gb\nchannels: [{channel: intensity, value: "$.v", unit: g/kWh}]\n'
    assert problems(tmp_path, {"plant.yaml": plant, "feeds/gb.yaml": feed}) == []
    wrong = one(
        tmp_path, {"plant.yaml": plant, "feeds/gb.yaml": feed.replace("g/kWh", "kWh, kind: counter")}, "grid_regions[0].intensity"
    )
    assert "level" in wrong.remedy or "g/kWh" in wrong.remedy


@pytest.mark.parametrize(
    ("one_text", "other", "met"),
    [
        ("a/*", "a/b/c", False),
        ("a/\0", "a/b/c", True),
        ("*b", "a*", True),
        ("a*c", "*b*", True),
        ("a*", "b*", False),
        ("*", "", True),
        ("a", "a", True),
        ("a*b", "ac", False),
        ("a/*", "a/b/c*", False),
        ("a/\0", "a/b/c*", True),
    ],
)
def test_patterns_that_meet(one_text, other, met):
    assert meet(one_text, other) is met and meet(other, one_text) is met


def test_the_command(tmp_path):
    runner = CliRunner()
    problems(tmp_path, {})
    good = runner.invoke(app, ["check", "--plant", str(tmp_path)])
    assert good.exit_code == 0 and good.stdout.strip().endswith("2 feeds, 2 sources.")
    problems(tmp_path, {"sources/sources.yaml": swapped(SOURCES, "scope: 2", "scope: 1"), "feed.yaml": ""})
    bad = runner.invoke(app, ["check", "--plant", str(tmp_path)])
    assert bad.exit_code == 1 and "1 error, 1 warning." in bad.stdout
    lines = bad.stdout.splitlines()
    assert lines[0] == "feed.yaml" and "sources/sources.yaml" in lines and "\x1b" not in bad.stdout
    assert any(line.strip().startswith("5: error: sources[0].category:") for line in lines)
    listed = json.loads(runner.invoke(app, ["check", "--plant", str(tmp_path), "--json"]).stdout)
    assert listed[1]["line"] == 5 and set(listed[1]) == {"severity", "file", "line", "key", "message", "remedy"}
    assert runner.invoke(app, ["check", "--plant", str(tmp_path / "none")]).exit_code == 2


def test_file_names_cannot_write_to_the_terminal(tmp_path):
    problems(tmp_path, {"\x1b[2Jx.csv": "a"})
    said = CliRunner().invoke(app, ["check", "--plant", str(tmp_path)]).stdout
    assert "\x1b" not in said and "not read" in said


def test_a_missing_secret_is_a_warning(tmp_path):
    text = PLANT + "brokers: {a: {host: h, username: u, password_file: secrets/mqtt}}\n"
    problem = one(tmp_path, {"plant.yaml": text}, "brokers.a.password_file")
    assert problem.severity == "warning" and "secrets/mqtt" in problem.message
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/mqtt").write_text("canary")
    assert problems(tmp_path, {"plant.yaml": text}) == []
