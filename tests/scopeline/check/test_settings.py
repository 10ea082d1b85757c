"""`check` of plant.yaml: every rule is broken once."""

from datetime import timedelta

import pytest

from scopeline.check.settings import offsets

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
        'tags: [line]\nprofile: cluster\nkafka: {bootstrap_servers: ["k:9092"]}\nbrokers: {a: {host: h}}\narchive: {path: a}',
        "influxdb",
        "embedded",
    ),
    (
        "tags: [line]",
        'tags: [line]\nprofile: cluster\nkafka: {bootstrap_servers: ["k:9092"]}\nbrokers: {a: {host: h}}\n'
        'influxdb: {url: "http://h", org: o, bucket: b}',
        "archive",
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
def test_plant_yaml(works, old, new, key, remedy):
    found = works.problems({"plant.yaml": works.swapped(works.PLANT, old, new)})
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
def test_the_base_interval_divides_every_offset_since_1970(works, zone, good, bad):
    text = works.swapped(works.PLANT, "timezone: UTC", f"timezone: {zone}")
    assert works.problems({"plant.yaml": text + f"reporting: {{base_interval: {good}}}\n"}) == []
    if bad:
        problem = works.one({"plant.yaml": text + f"reporting: {{base_interval: {bad}}}\n"}, "reporting.base_interval")
        assert zone in problem.message and f"write {good}" in problem.remedy


def test_offsets_of_a_zone():
    quarter = timedelta(minutes=15)
    assert offsets("Asia/Kathmandu") == {timedelta(hours=5, minutes=30), timedelta(hours=5, minutes=45)}
    assert {offset // quarter for offset in offsets("America/New_York")} == {-20, -16}


def test_a_live_intensity(works):
    plant = works.PLANT + 'grid_regions: [{region: GB, intensity: "ref/gb:intensity"}]\n'
    feed = 'feed: gb\ntopic: gb\ndecoder: json\nmeter: ref/gb\nchannels: [{channel: intensity, value: "$.v", unit: g/kWh}]\n'
    assert works.problems({"plant.yaml": plant, "feeds/gb.yaml": feed}) == []
    wrong = feed.replace("g/kWh", "kWh, kind: counter")
    found = works.one({"plant.yaml": plant, "feeds/gb.yaml": wrong}, "grid_regions[0].intensity")
    assert "kind: level" in found.remedy


def test_a_missing_secret_is_a_warning(works):
    text = works.PLANT + "brokers: {a: {host: h, username: u, password_file: secrets/mqtt}}\n"
    problem = works.one({"plant.yaml": text}, "brokers.a.password_file")
    assert problem.severity == "warning" and "secrets/mqtt" in problem.message
    (works.folder / "secrets").mkdir()
    (works.folder / "secrets/mqtt").write_text("canary")
    assert works.problems({"plant.yaml": text}) == []
