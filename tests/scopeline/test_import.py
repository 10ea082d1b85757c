"""import and replay from the command line, on a plant where nothing runs."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from schemas.feed import Feed
from scopeline.cli import app
from scopeline.cli.import_ import payloads_of
from scopeline.log import Log, Store

PLANT = {
    "plant.yaml": """\
organisation: Works
sites: [{site: works, timezone: Europe/Berlin, grid_region: GB}]
factor_sets: {desnz: "2026"}
""",
    "feeds/bills.yaml": """\
feeds:
  - feed: bills
    topic: works/bills
    decoder: csv
    csv: {delimiter: ";", decimal: ",", columns: [day, kwh, number]}
    site: works
    meter: works/bill
    observed_at: {columns: [day], format: "%d.%m.%Y"}
    channels: [{channel: energy, value: kwh, unit: kWh, kind: amount, event: number}]
  - feed: hand
    topic: "works/hand/{device}"
    decoder: json
    site: works
    observed_at: {path: "$.at", format: iso8601}
    channels: [{channel: energy, value: "$.kwh", unit: kWh, kind: counter}]
""",
    "sources/all.yaml": """\
source: bought
site: works
scope: 2
category: purchased_electricity
measured_by: "works/bill:energy"
""",
}
TODAY = datetime.now(UTC)
DAYS = [TODAY - timedelta(days=60), TODAY - timedelta(days=30)]
BILLS = f"day;kwh;number\n{DAYS[0]:%d.%m.%Y};1000,5;R1\n{DAYS[1]:%d.%m.%Y};900;R2\n"
HAND = "at,kwh\n" + "".join(f"{day.isoformat()},{n}\n" for n, day in enumerate(DAYS))


@pytest.fixture
def plant(tmp_path: Path) -> Path:
    for name, text in PLANT.items():
        (tmp_path / "plant" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "plant" / name).write_text(text)
    (tmp_path / "bills.csv").write_text(BILLS)
    (tmp_path / "hand.csv").write_text(HAND)
    return tmp_path


def run(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == code, done.output
    return done.output


def stored(plant: Path) -> tuple[int, int, pl.DataFrame]:
    log = Log(plant / "plant/.scopeline/scopeline.duckdb")
    try:
        store = Store(log)
        figures = list(store.figures())
        return store.position(), store.readings().height, pl.concat(figures) if figures else pl.DataFrame()
    finally:
        log.close()


def test_rows_go_through_the_normal_way_and_twice_counts_once(plant: Path) -> None:
    bills = ("import", str(plant / "bills.csv"), "--feed", "bills", "--plant", str(plant / "plant"))
    assert "2 messages" in run(*bills)
    position, readings, figures = stored(plant)
    assert (position, readings) == (2, 2)
    once = figures.filter(pl.col("basis") == "location")["activity_n"].sum()
    assert once == 1_900_500_000_000
    run(*bills)
    position, _, figures = stored(plant)
    assert position == 4 and figures.filter(pl.col("basis") == "location")["activity_n"].sum() == once
    assert "0 readings and 0 figures changed" in run(
        "replay", "--from", "2026-01", "--to", "2027-01", "--plant", str(plant / "plant")
    )


def test_dry_run_publishes_nothing(plant: Path) -> None:
    said = run("import", str(plant / "bills.csv"), "--feed", "bills", "--plant", str(plant / "plant"), "--dry-run")
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert [(line["meter"], line["value"]) for line in lines] == [("works/bill:energy", 1000.5), ("works/bill:energy", 900)]
    assert not (plant / "plant/.scopeline/scopeline.duckdb").exists()


def test_csv_rows_become_objects_for_a_json_feed(plant: Path) -> None:
    run("import", str(plant / "hand.csv"), "--feed", "hand", "--topic", "works/hand/m1", "--plant", str(plant / "plant"))
    assert stored(plant)[:2] == (2, 2)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--feed", "hand"), "say which one with --topic"),
        (("--feed", "hand", "--topic", "else/where"), "is not read by feed hand"),
        (("--feed", "hand", "--topic", "works/hand/+"), "cannot hold"),
        (("--feed", "nobody"), "Feeds are: bills, hand"),
    ],
)
def test_misuse_names_the_remedy(plant: Path, more: tuple[str, ...], said: str) -> None:
    assert said in run("import", str(plant / "hand.csv"), *more, "--plant", str(plant / "plant"), code=2)


def test_replay_of_an_empty_range_is_misuse(plant: Path) -> None:
    assert "is not before" in run("replay", "--from", "2026-02", "--to", "2026-01", "--plant", str(plant / "plant"), code=2)


def test_quoted_cells_stay_whole(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('a,b\n"x\ny","1,5"\n')
    feed = Feed.model_validate({"feed": "f", "topic": "t", "decoder": "csv"})
    assert list(payloads_of(tmp_path / "a.csv", feed)) == [b'a,b\n"x\ny","1,5"']
    (tmp_path / "a.ndjson").write_text('{"a": 1}\n\n{"a": 2}\n')
    assert list(payloads_of(tmp_path / "a.ndjson", feed)) == [b'{"a": 1}', b'{"a": 2}']


def test_the_cluster_needs_its_servers_named(plant: Path) -> None:
    assert "lacks kafka:" in run("run", "--profile", "cluster", "--plant", str(plant / "plant"), code=1)
    assert "cluster profile" in run("run", "--role", "ingest", "--plant", str(plant / "plant"), code=2)
