"""The benchmarks measure what they say: real work, in processes of its own, and failures are not speed."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scopeline.bench.decode import decode
from scopeline.bench.generate import METERS, messages, write_messages, write_plant
from scopeline.bench.measure import Failed, run
from scopeline.check import check
from scopeline.cli import app


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


def test_a_failed_process_is_no_measurement():
    with pytest.raises(Failed, match="out of order"):
        run(["-c", "raise SystemExit('out of order')"])
    cost, printed = run(["-c", "print(sum(range(10**6)))"])
    assert printed.strip() == "499999500000" and cost.cpu_s > 0 and cost.peak_mb > 1


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
