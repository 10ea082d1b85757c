"""The benchmarks measure what they say: real work, in processes of its own, and failures are not speed."""

import json
from pathlib import Path

import polars as pl
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from scopeline import pipeline
from scopeline.bench import cluster_servers
from scopeline.bench.cluster_plant import messages as cluster_messages
from scopeline.bench.cluster_plant import write_plant as write_cluster_plant
from scopeline.bench.cluster_servers import Servers
from scopeline.bench.decode import decode
from scopeline.bench.generate import METERS, messages, write_messages, write_plant
from scopeline.bench.influx import output
from scopeline.bench.measure import Failed, run
from scopeline.bench.stored import fill
from scopeline.catalogue import catalogue
from scopeline.check import check
from scopeline.cli import app
from sinks import line_protocol


def test_plant_of_the_bench_is_sound(tmp_path: Path):
    found, problems = check(write_plant(tmp_path))
    assert found and not [p for p in problems if p.severity == "error"]


def test_messages_do_not_depend_on_chunks():
    whole = [row for frame in messages(2500) for row in frame.iter_rows()]
    assert whole == [row for frame in messages(2500, chunk=700) for row in frame.iter_rows()]
    assert len(whole) == len(set(whole)) == 2500
    assert len({topic for topic, _, _ in whole}) == METERS


def test_message_file_holds_what_was_asked(tmp_path: Path):
    lines = write_messages(1234, tmp_path / "m.ndjson").read_text().splitlines()
    assert len(lines) == 1234
    assert set(json.loads(lines[-1])) == {"topic", "payload", "received_at"}
    assert json.loads(json.loads(lines[-1])["payload"])["kwh"] > 0


def test_decode_reads_every_message(tmp_path: Path):
    assert decode(write_plant(tmp_path), 3000) > 0


def test_stored_figures_are_exported(tmp_path: Path):
    assert fill(tmp_path / "plant", 100, sources=3) == 600, "two bases an interval and source"
    asked = ["--from", "2026-01-01", "--to", "2026-01-03", "--interval", "15m", "--out", str(tmp_path / "f.csv")]
    done = CliRunner().invoke(app, ["export", "--plant", str(tmp_path / "plant"), *asked])
    assert done.exit_code == 0, done.output
    table = pl.read_csv(tmp_path / "f.csv")
    assert table.height == 2 * 96 * 2 * 3, "two days, two bases, three sources: a row also where nothing is stored"
    known = table.drop_nulls("co2e_kg")
    assert known.height == 600 and known["activity"].n_unique() == 300
    assert known["co2e_kg"].sum() == pytest.approx(known["activity"].sum() * 0.25)


def test_a_failed_process_is_no_measurement():
    with pytest.raises(Failed, match="out of order"):
        run(["-c", "raise SystemExit('out of order')"])
    cost, printed = run(["-c", "print(sum(range(10**6)))"])
    assert printed.strip() == "499999500000" and cost.cpu_s > 0 and cost.peak_mb > 1


def test_a_measured_process_takes_defaults_where_the_environment_says_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OURS", "kept")
    show = "import os; print(os.environ['OURS'], os.environ['FURTHER'])"
    assert run(["-c", show], {"OURS": "overridden", "FURTHER": "given"})[1].split() == ["kept", "given"]


def test_table_has_a_row_a_part():
    done = CliRunner().invoke(app, ["bench", "--readings", "2000", "--part", "compute", "--json"])
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.stdout)
    assert row["part"] == "compute" and row["readings"] == 2000 and row["per processor-second"] > 0 and row["peak MB"] > 10


def test_peak_memory_is_the_process_own_and_not_that_of_its_parent():
    ballast = bytearray(400 * 1024**2)
    small, _ = run(["-c", "pass"])
    large, _ = run(["-c", "x = bytearray(300 * 1024**2)"])
    assert len(ballast) and small.peak_mb < 100
    assert 300 < large.peak_mb < 400


def test_messages_of_the_cluster_are_read_whole(tmp_path: Path):
    servers = Servers(("localhost", 1883), ("localhost:9092",), "http://localhost:8086", "o", SecretStr("t"))
    folder = write_cluster_plant(tmp_path / "plant", servers, "bench-a")
    plant, problems = check(folder)
    assert plant and not [p for p in problems if p.severity == "error"]
    frame = cluster_messages(500, 20, 1.0, "bench-a")
    assert frame["received_at"].is_sorted() and frame["topic"].n_unique() == 20
    read = pipeline.read(frame.with_row_index("message").cast({"message": pl.Int64}), pipeline.configure(plant, catalogue()))
    assert read.readings.height == 500 and read.rejects.is_empty()
    assert read.readings["meter"].n_unique() == 20


def test_lines_of_the_bench_are_figures():
    lines = line_protocol.figures(output(300))
    assert len(lines) == len(lines.unique()) == 300
    assert lines[0].startswith("figures,basis=location,category=purchased_electricity,") and "co2e_kg=" in lines[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--part", "compute"], "not of --profile cluster"),
        (["--kafka", "localhost:9092"], "Name all servers"),
        (["--plant", "nowhere"], "no plant.yaml"),
        (["--mqtt", "a", "--kafka", "b", "--influxdb", "c", "--token-file", "nowhere"], "no such file"),
    ],
)
def test_misuse_of_the_cluster_bench(arguments: list[str], said: str):
    done = CliRunner().invoke(app, ["bench", "--profile", "cluster", *arguments])
    assert done.exit_code == 2 and said in done.stderr


def test_without_servers_it_says_how_to_name_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(cluster_servers, "NATIVE", tmp_path)
    done = CliRunner().invoke(app, ["bench", "--profile", "cluster"])
    assert done.exit_code == 1 and "--mqtt" in done.stderr and "install.sh" in done.stderr
