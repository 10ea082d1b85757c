"""The plant folder on disk: what is read, every problem with file, line and key, nothing secret shown."""

import os
import time
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from schemas.scalars import Quantity
from scopeline.plant import fingerprint, load, read, secret
from scopeline.plant.documents import parse

PLANT = """\
organisation: Acme Steel
tags: [line, cost_centre, product]
sites:
  - {site: duisburg, name: Duisburg works, timezone: Europe/Berlin, grid_region: DE, share: 100%, partition: duisburg}
reporting:
  {consolidation: operational_control, gwp: AR6, base_interval: 1m, lateness: 10m, derive: [cat_3], cat_3_basis: location}
grid_regions:
  - {region: DE, intensity: "ref/grid-de:intensity", gas: CO2e, boundary: generation, max_age: 2h, residual_mix: own/de-residual}
factor_sets: {desnz: {2025: "2025", 2026: "2026"}, epa_hub: "2025", owid_eu: "2020"}
profile: embedded
brokers:
  local: {host: localhost, port: 1883, username: scopeline, password_file: secrets/mqtt,
    tls: {ca_file: a, cert_file: b, key_file: c}}
kafka: {bootstrap_servers: ["localhost:9092"]}
influxdb: {url: "http://localhost:8086", org: acme, bucket: scopeline, token_file: secrets/influxdb}
"""

FEED = """\
feed: press-shop
broker: local
topic: "acme/{site}/press/{device}/SENSOR"
decoder: json
site: duisburg
observed_at: {path: "$.Time", format: iso8601, timezone: Europe/Berlin}
device: "{device}"
meter: "{site}/press/{device}"
accept: {behind: 400d, ahead: 10m}
skip: ["acme/+/press/+/LWT"]
channels:
  - {channel: energy, value: "$.ENERGY.Total", unit: kWh, kind: counter, rollover_at: 100000, jitter: 0.2,
     max_rate: 3 MW, accuracy: 1%}
  - {channel: power,  value: "$.ENERGY.Power", unit: W,   kind: rate, between: linear, max_gap: 15m,
     direction: import, min: 0, max: 2 MW}
  - {channel: skip,   value: "$.weight",       unit: kg,  kind: amount, event: "$.ticket"}
  - {channel: quarter, value: "$.kwh",         unit: kWh, kind: amount, period: 15m}
  - {channel: bill,   value: "$.kwh",          unit: kWh_gross, kind: amount, period: {from: "$.from", to: "$.to"}}
  - {channel: gas,    value: "$.v",            unit: {path: "$.u", allow: [m3, Nm3]}, kind: counter, scale: 10,
     where: {"$.status": ok}}
"""

METERS = """\
feed,device,channel,meter,site,name,unit,scale,valid_from,valid_to,first_reading,last_reading,line,cost_centre,product
plugs,DVES_5F3A21,,duisburg/press/p7,duisburg,Press 7,,,2024-05-01,2026-03-01T09:00:00+01:00,0,81234.5,L1,"4711",
plugs,DVES_77A0C1,,duisburg/press/p7,duisburg,Press 7,,,2026-03-01T09:00:00+01:00,,0,,L1,"4711",
"""

OTHERS = {
    "feeds/scales.yaml": """\
feeds:
  - {feed: scales, topic: "acme/weighbridge", decoder: json, site: duisburg, each: "$[*]", device: "@.scale",
     observed_at: {path: "@.t", format: iso8601},
     channels: [{channel: net, value: "@.net", unit: kg, kind: amount, event: "@.ticket"}]}
""",
    "meters/plugs.csv": METERS,
    "meters/virtual.yaml": """\
virtual_meters:
  - {meter: "duisburg/net-press:energy", unit: kWh, is: "[duisburg/main:energy] - 0.5 * [duisburg/tenant:energy]"}
""",
    "sources/boiler.yaml": """\
source: boiler-1
site: duisburg
scope: 1
category: stationary_combustion
measured_by: "duisburg/boiler-1:gas"
factor: {set: desnz, table: Fuels, item: "Natural gas", per_unit: kWh, basis: gross}
method: activity
valid_from: 2024-01-01
tags: {line: L1, cost_centre: "4711"}
biogenic_share: 0%
expect: 1mo
""",
    "conversions.csv": "site,substance,quantity,value,unit,valid_from,valid_to,citation\n"
    "duisburg,Natural gas,gross_cv,11.31,kWh/m3,2026-01-01,2026-01-31,supplier bill\n",
    "factors/own.csv": "factor_id,activity,region,scope,gas,value,unit,per_unit,basis,boundary,valid_from,valid_to,published,"
    "gwp_set,uncertainty_pct,citation\n"
    "works-grid,Grid electricity,KR,2,CO2e,0.4585,kg,kWh,,generation,2018-01-01,,2018-01-01,,5,as in the data set\n",
    "contracts.yaml": """\
contracts:
  - {contract: wind-ppa, site: duisburg, kind: ppa, energy: electricity, covers: {share: 40%}, matching: annual,
     factor: {id: own/wind}, valid_from: 2026-01-01, valid_to: 2026-12-31,
     evidence: {registry: HKNR, cancellation: "...", technology: wind, region: DE}}
""",
    "prices.csv": "currency,year,per_usd,us_price_index,citation\nEUR,2024,0.924,121.5,ECB\n",
    "targets.yaml": """\
budgets: [{budget: b1, site: duisburg, scope: [1, 2], basis: market, amount: 12000 t,
           from: 2026-01-01, to: 2026-12-31, owner: works manager}]
rules:   [{rule: ch4-high, meter: "mine/vam:ch4", above: 1.0, unit: "%", for: 5m, severity: critical}]
""",
}


def folder(place: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text, encoding="utf-8")
    return place


def test_every_example_of_the_reference_is_read(tmp_path):
    plant, problems = load(folder(tmp_path, {"plant.yaml": PLANT, "feeds/press.yaml": FEED, **OTHERS}))
    assert problems == []
    assert plant is not None
    assert {feed.feed for feed in plant.feeds} == {"press-shop", "scales"}
    energy = plant.feeds[0].channels[0]
    assert (energy.rollover_at, energy.max_rate, energy.accuracy) == (
        Decimal(100000),
        Quantity(Decimal(3), "MW"),
        Decimal("0.01"),
    )
    assert plant.feeds[0].channels[3].period == timedelta(minutes=15)
    assert plant.meters[1].tags == {"line": "L1", "cost_centre": "4711"} and plant.meters[0].last_reading == Decimal("81234.5")
    assert plant.virtual_meters[0].is_.startswith("[duisburg/main:energy]")
    assert plant.sources[0].valid_from == date(2024, 1, 1) and plant.sources[0].biogenic_share == 0
    assert plant.settings.factor_sets == {"desnz": {2025: "2025", 2026: "2026"}, "epa_hub": "2025", "owid_eu": "2020"}
    assert plant.contracts[0].covers.share == Decimal("0.4") and plant.own_factors[0].value == Decimal("0.4585")
    assert plant.prices[0].year == 2024 and plant.conversions[0].value == "11.31"
    assert plant.budgets[0].amount == Quantity(Decimal(12000), "t") and plant.rules[0].for_ == timedelta(minutes=5)


def test_yaml_is_1_2():
    document = parse("a: NO\nb: 24:10\nc: 00112233\nd: 2026-01-01\ne: 0x1F\nf: on\ng: 1e3\nh: 0.1\ni: ~\n")
    assert document.data == {
        "a": "NO",
        "b": "24:10",
        "c": 112233,
        "d": "2026-01-01",
        "e": 31,
        "f": "on",
        "g": 1000.0,
        "h": 0.1,
        "i": None,
    }
    assert document.written[("c",)] == "00112233"
    assert parse("a: 0.30000000000000000001").data["a"] == Decimal("0.30000000000000000001")


def test_norway_is_a_region(tmp_path):
    plant, problems = load(
        folder(tmp_path, {"plant.yaml": "organisation: NO\nsites: [{site: a, timezone: UTC, grid_region: NO}]\n"})
    )
    assert problems == [] and plant is not None and plant.settings.sites[0].grid_region == "NO"


def test_csv_comments_blank_cells_and_byte_order_marks(tmp_path):
    text = '\ufeff# from the bank\ncurrency,year,per_usd,us_price_index,citation\n\nEUR,2024,0.9,,"a, b",\n'
    plant, problems = load(
        folder(tmp_path, {"plant.yaml": "organisation: A\nsites: [{site: a, timezone: UTC}]\n", "prices.csv": text})
    )
    assert problems == [] and plant is not None
    assert plant.prices[0].us_price_index is None and plant.prices[0].citation == "a, b"


def test_secrets_come_from_file_or_environment(tmp_path, monkeypatch):
    (tmp_path / "pw").write_text("s3cret\nnote\n")
    from_file = secret(tmp_path, "pw", "SCOPELINE_TEST_PASSWORD")
    assert from_file is not None and from_file.get_secret_value() == "s3cret" and "s3cret" not in repr(from_file)
    monkeypatch.setenv("SCOPELINE_TEST_PASSWORD", "other")
    from_environment = secret(tmp_path, "pw", "SCOPELINE_TEST_PASSWORD")
    assert from_environment is not None and from_environment.get_secret_value() == "other"
    monkeypatch.delenv("SCOPELINE_TEST_PASSWORD")
    assert secret(tmp_path, None, "SCOPELINE_TEST_PASSWORD") is None
    with pytest.raises(OSError):
        secret(tmp_path, "absent", "SCOPELINE_TEST_PASSWORD")


def test_a_broken_folder_is_read_as_far_as_it_goes(tmp_path):
    files = {
        "plant.yaml": PLANT,
        "feeds/press.yaml": FEED,
        "feeds/x.yaml": "feed: x\n",
        "sources/boiler.yaml": OTHERS["sources/boiler.yaml"],
    }
    result = read(folder(tmp_path, files))
    assert result.plant is None and result.readable is not None
    assert [feed.feed for feed in result.readable.feeds] == ["press-shop"] and result.broken == {"feeds"}
    assert result.places["sources", 0].problem("error", "measured_by", "m", "r")[:4] == (
        "error",
        "sources/boiler.yaml",
        5,
        "measured_by",
    )


def test_the_fingerprint_follows_every_edit(tmp_path):
    folder(tmp_path, {"plant.yaml": PLANT, "feeds/a.yaml": FEED})
    seen = [fingerprint(tmp_path)]
    (tmp_path / "feeds/a.yaml").write_text(FEED.replace("15m", "16m"))
    seen.append(fingerprint(tmp_path))
    (tmp_path / "feeds/a.yaml").rename(tmp_path / "feeds/b.yaml")
    seen.append(fingerprint(tmp_path))
    (tmp_path / "prices.csv").write_text("")
    seen.append(fingerprint(tmp_path))
    assert len(set(seen)) == 4
    (tmp_path / "notes.txt").write_text("x")
    os.utime(tmp_path / "plant.yaml", (0, 0))
    assert fingerprint(tmp_path) == seen[-1]


def test_a_hundred_files_load_quickly(tmp_path):
    files = {f"feeds/f{n}.yaml": FEED.replace("press-shop", f"feed-{n}") for n in range(60)}
    files |= {f"sources/s{n}.yaml": OTHERS["sources/boiler.yaml"].replace("boiler-1", f"boiler-{n}") for n in range(40)}
    folder(tmp_path, {"plant.yaml": PLANT, **files})
    times = []
    for _ in range(2):
        started = time.process_time()
        plant, problems = load(tmp_path)
        times.append(time.process_time() - started)
    assert plant is not None and len(plant.feeds) == 60 and problems == []
    assert times[0] < 2.5, "first reading, with room for a slow machine"
    assert times[1] < 0.5, "what did not change is not parsed again"
    print(times)
