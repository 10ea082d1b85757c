"""A whole recorded year of a steel works through `compute`, against a calculation of its own in plain Python.

The expected sums are made here from the published csv alone with Decimal, without any code of the rooms.
"""

import csv
import gzip
import json
import random
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scopeline.cli import app

TELEMETRY = Path(__file__).parents[1] / "scopeline" / "demo" / "telemetry"
KOREA = timezone(timedelta(hours=9))
QUARTER = timedelta(minutes=15)
BEGIN = datetime(2018, 1, 1, tzinfo=KOREA)
STATED = Decimal("0.4585")

Compute = Callable[[str], list[dict[str, str]]]
"""The rows of figures of an interval."""

PLANT = {
    "plant.yaml": """
organisation: Steel year
sites:
  - {site: gwangyang, timezone: Asia/Seoul, grid_region: KR}
reporting: {base_interval: 15m}
grid_regions:
  - {region: KR, intensity: "ref/grid:intensity", gas: CO2e, max_age: 2h, factor: {id: own/works-grid}}
""",
    "feeds/feeds.yaml": """
feeds:
  - feed: main
    topic: steel/main
    decoder: json
    meter: gwangyang/main
    observed_at: {path: "$.end", format: iso8601}
    channels: [{channel: quarter, value: "$.kwh", unit: kWh, kind: amount, period: 15m}]
  - feed: grid
    topic: steel/grid
    decoder: json
    meter: ref/grid
    observed_at: {path: "$.from", format: iso8601}
    channels: [{channel: intensity, value: "$.g", unit: g/kWh, kind: level}]
""",
    "sources/sources.yaml": """
sources:
  - {source: hourly, site: gwangyang, scope: 2, category: purchased_electricity, measured_by: "gwangyang/main:quarter"}
  - source: stated
    site: gwangyang
    scope: 2
    category: purchased_electricity
    measured_by: "gwangyang/main:quarter"
    factor: {id: own/works-grid}
""",
    "factors/own.csv": (
        "factor_id,activity,region,scope,gas,value,unit,per_unit,basis,boundary,valid_from,valid_to,published,gwp_set,uncertainty_pct,citation\n"
        "works-grid,Grid electricity,KR,2,CO2e,0.4585,kg,kWh,,generation,2017-01-01,,2018-01-01,,5,as in the data set\n"
    ),
}


def published(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(gzip.decompress((TELEMETRY / name).read_bytes()).decode().splitlines()))


@pytest.fixture(scope="module")
def kwh() -> list[Decimal]:
    """Energy of the year's quarter-hours: row n covers the 15 minutes from BEGIN + n x 15 minutes, whatever its stamp says."""
    rows = published("steel_2018_quarter_hours.csv.gz")
    assert len(rows) == 35_040 and rows[0]["date"] == "1/1/2018 0:15" and rows[95]["date"] == "1/1/2018 0:00"
    return [Decimal(row["Usage_kWh"]) for row in rows]


@pytest.fixture(scope="module")
def grams() -> list[Decimal]:
    """An hourly grid intensity for the year: Great Britain's of 2024, from BEGIN on, as a stand-in."""
    return [Decimal(row["gb_carbon_intensity_gco2_per_kwh"]) for row in published("gb_intensity_2024_hours.csv.gz")][:8760]


def line(topic: str, at: datetime, payload: str) -> str:
    received = (at + timedelta(seconds=3)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return json.dumps({"topic": topic, "payload": payload, "received_at": received})


@pytest.fixture(scope="module")
def year(
    kwh: list[Decimal], grams: list[Decimal], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], list[dict[str, str]]]:
    """Runs `compute` on the year's messages, shuffled, and returns the figures of an interval."""
    home = tmp_path_factory.mktemp("steel-year")
    for name, text in PLANT.items():
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_text(text)
    lines = []
    for n, energy in enumerate(kwh):
        end = BEGIN + (n + 1) * QUARTER
        lines.append(line("steel/main", end, f'{{"end":"{end.isoformat()}","kwh":{energy}}}'))
    for n, value in enumerate(grams):
        start = BEGIN + timedelta(hours=n)
        lines.append(line("steel/grid", start, f'{{"from":"{start.isoformat()}","g":{value}}}'))
    random.Random(2018).shuffle(lines)
    (home / "messages.ndjson").write_text("\n".join(lines) + "\n")

    def compute(interval: str) -> list[dict[str, str]]:
        out = home / f"{interval}.csv"
        given = ["--plant", str(home), "--messages", str(home / "messages.ndjson"), "--out", str(out), "--interval", interval]
        done = CliRunner().invoke(app, ["compute", *given, "--basis", "location", "--strict"])
        assert done.exit_code == 0, done.output
        with out.open(newline="") as lines_out:
            return list(csv.DictReader(lines_out))

    return compute


PERIODS: dict[str, Callable[[datetime], str]] = {
    "1h": lambda start: start.strftime("%Y-%m-%dT%H"),
    "1d": lambda start: start.date().isoformat(),
    "1mo": lambda start: start.strftime("%Y-%m"),
    "1y": lambda start: start.strftime("%Y"),
}


@pytest.mark.parametrize("interval", PERIODS)
def test_year(interval: str, year: Compute, kwh: list[Decimal], grams: list[Decimal]):
    energy: dict[str, Decimal] = defaultdict(Decimal)
    kilos: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for n, amount in enumerate(kwh):
        period = PERIODS[interval](BEGIN + n * QUARTER)
        energy[period] += amount
        kilos[period, "stated"] += amount * STATED
        kilos[period, "hourly"] += amount * grams[n // 4] / 1000
    rows = year(interval)
    assert len(rows) == 2 * len(energy)
    for row in rows:
        key = row["period"][: len(next(iter(energy)))]
        # a Float64 output shows the exact sum's nearest double
        assert float(row["activity"]) == float(energy[key]), row
        assert float(row["co2e_kg"]) == float(kilos[key, row["source"]]), row
        assert (row["activity_unit"], row["coverage"], row["estimated_share"]) == ("kWh", "1", "0"), row
    assert {(row["period"][: len(next(iter(energy)))], row["source"]) for row in rows} == set(kilos)


def test_total_is_that_of_the_data_set(year: Compute, kwh: list[Decimal]):
    assert sum(kwh) == Decimal("959636.71")
    rows = {row["source"]: row for row in year("all")}
    assert rows["stated"]["activity"] == rows["hourly"]["activity"] == "959636.71"
    assert Decimal(rows["stated"]["co2e_kg"]) == Decimal("959636.71") * STATED == Decimal("439993.431535")


def test_quarter_hours_are_the_published_rows(year: Compute, kwh: list[Decimal]):
    rows = [row for row in year("15m") if row["source"] == "stated"]
    assert [Decimal(row["activity"]) for row in rows] == kwh
    assert rows[0]["interval_start"] == "2017-12-31T15:00:00Z"
    assert date.fromisoformat(rows[-1]["interval_end"][:10]) == date(2018, 12, 31)
