"""The archive on a real Kafka: equal to what was produced, killed anywhere, merged, shared by several, and as a service."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from live_gauge import STOPS_WITHIN

from scopeline.cluster.archive import Archiver
from scopeline.cluster.archive_index import Index
from scopeline.cluster.history import History
from scopeline.cluster.vault import Folder, VaultProblem

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

DAY = datetime(2026, 3, 1, tzinfo=UTC)
LATER = DAY + timedelta(days=40)


def test_archive_is_equal_to_what_was_produced(log: Any):
    log.some_days(3)
    log._out.send(f"{log.kafka.prefix}.raw", key=b"../../x", value=b"no record of ours", partition=0).get(timeout=90)
    log._out.send(f"{log.kafka.prefix}.ref", key=b"ref", value=b"7", headers=[("topic", b"ref/grid")], partition=0).get(
        timeout=90
    )
    done = log.archived()
    rows = pl.concat([pl.read_parquet(file, hive_partitioning=False) for file in log.files]).sort("partition", "offset", "row")
    assert done.messages == rows.height and set(rows["row"]) >= {0, 19}
    mine = rows.filter(pl.col("topic").str.starts_with("acme/"))
    for partition in (0, 1):
        found = mine.filter(pl.col("partition") == partition).select("topic", "payload", "received_at").rows()
        assert found == log.of(partition) and len(found) > 50
        assert log.before(partition, log.end(partition)) == found
    assert rows.filter(pl.col("topic").is_null())["payload"].to_list() == [b"no record of ours"]
    assert rows.filter(pl.col("topic") == "ref/grid")["payload"].to_list() == [b"7"]
    assert {file.relative_to(log.folder / "archive").parts[0] for file in log.files} == {
        "site=duisburg",
        "site=essen",
        "site=..%2F..%2Fx",
        "site=ref",
    }
    assert set(log.lag.values()) == {0}
    again = log.archived()
    assert again.messages == 0 and again.files == 0


def test_days_that_are_over_become_one_file_by_site_and_partition(log: Any):
    for seed in range(4):
        log.some_days(3, seed)
        log.archived(now=DAY)
    small = len(log.files)
    everything = {partition: log.before(partition, log.end(partition)) for partition in (0, 1)}
    log.archived(now=LATER)
    names = [(file.parent, file.name.split("-")[1]) for file in log.files]
    assert len(set(names)) == len(names) < small
    for partition in (0, 1):
        assert log.before(partition, log.end(partition)) == everything[partition] == log.of(partition)
        assert len(Index(Folder(log.folder / "archive"), f"{log.kafka.prefix}.raw", partition).keys()) < 6
    before = log.files
    log.archived(now=LATER)
    assert log.files == before


POINTS = [
    "after_files",
    "after_files@2",
    "after_index",
    "after_commit",
    "merge_files",
    "merge_index",
    "merge_forgotten",
]


def test_killed_anywhere_nothing_is_lost_and_nothing_twice(log: Any, tmp_path: Path):
    """One archive, killed at every point in turn, with new messages each time; then read, and merged."""
    for number, point in enumerate(POINTS):
        log.some_days(2, number, first=2 * number)
        died = archive_in_a_process(log, point)
        assert died == -signal.SIGKILL, f"{point}: passed nowhere ({died})"
        for partition in (0, 1):  # also right after the kill, with the log's help
            assert log.before(partition, log.end(partition)) == log.of(partition), point
    assert archive_in_a_process(log, None) == 0
    for partition in (0, 1):
        end = log.end(partition)
        log.forget(partition, end)
        assert log.before(partition, end) == log.of(partition)
    names = [(file.parent, file.name.split("-")[1]) for file in log.files]
    assert len(set(names)) == len(names), "small files are left, or files that nobody reads"
    named: set[str] = set()
    for partition in (0, 1):
        index = Index(Folder(log.folder / "archive"), f"{log.kafka.prefix}.raw", partition)
        named |= {piece.name for key in list(index.keys()) for piece in index.load(key).pieces}
    assert {file.relative_to(log.folder / "archive").as_posix() for file in log.files} == named


def archive_in_a_process(log: Any, point: str | None) -> int:
    script = f"""
from datetime import UTC, datetime
from pathlib import Path
from schemas.connections import Archive, Kafka
from scopeline.cluster.archive import Archiver
kafka = Kafka(bootstrap_servers={log.kafka.bootstrap_servers!r}, prefix={log.kafka.prefix!r}, partitions=2)
archive, folder = Archive(path={log.archive.path!r}), Path({str(log.folder)!r})
one = Archiver(kafka, archive, folder, member="one", now=lambda: datetime(2026, 4, 10, tzinfo=UTC))
one.once()
one.close()
"""
    environment = os.environ | ({"SCOPELINE_FAILPOINT": f"archive:{point}"} if point else {})
    done = subprocess.run([sys.executable, "-c", script], env=environment, cwd=Path(__file__).parents[2], timeout=300)
    return done.returncode


def test_merging_stops_at_a_damaged_file_and_leaves_everything(log: Any):
    for seed in range(2):
        log.some_days(1, seed)
        log.archived(now=DAY)
    before = log.files
    places = [(file.parent, file.name.split("-")[1]) for file in before]
    victim = next(file for file, place in zip(before, places, strict=True) if places.count(place) > 1)
    log.spoil(victim)
    with pytest.raises(VaultProblem, match=f"{victim.name} is damaged"):
        log.archived(now=LATER)
    mine = {file for file in before if file.name.split("-")[1] == victim.name.split("-")[1]}
    assert mine <= set(log.files), "nothing of its partition goes"


def test_several_archivers_share_the_partitions(log: Any, until: Any):
    makers = [Archiver(log.kafka, log.archive, log.folder, every=0.5, now=lambda: DAY) for _ in range(2)]
    stop = threading.Event()
    threads = [threading.Thread(target=one.run, args=(stop,)) for one in makers]
    for thread in threads:
        thread.start()
    for seed in range(3):
        log.some_days(1, seed)
        stop.wait(1.5)
    late = Archiver(log.kafka, log.archive, log.folder, every=0.5, now=lambda: DAY)  # joins amid the work
    threads.append(threading.Thread(target=late.run, args=(stop,)))
    threads[-1].start()
    log.some_days(1, 7)
    ends = {partition: log.end(partition) for partition in (0, 1)}
    history = History(log.kafka, log.archive, log.folder)
    assert until(lambda: all(history.archived(partition) == end for partition, end in ends.items()), every=0.5)
    stop.set()
    for thread in threads:
        thread.join(90)
    for one in (*makers, late):
        one.close()
    for partition, end in ends.items():
        assert history.archived(partition) == end
        log.forget(partition, end)
        assert log.before(partition, end) == log.of(partition)
    rows = pl.concat([pl.read_parquet(file, hive_partitioning=False) for file in log.files])
    unique = rows.filter(pl.col("topic").str.starts_with("acme/")).unique(["partition", "offset", "row"])
    assert unique.height == len(log.sent)


def test_who_has_no_partition_does_not_say_that_it_wrote(log: Any):
    log.some_days(1)
    done = Archiver(log.kafka, log.archive, log.folder, now=lambda: DAY)
    try:
        wrote = "scopeline_archive_last_write_timestamp_seconds"
        done.flush()
        assert done.metrics[wrote] == [({}, 0.0)] and done.problems
        done.once()
        assert done.metrics[wrote] == [({}, DAY.timestamp())] and not done.problems
    finally:
        done.close()


def test_the_service_stops_cleanly_and_tells_its_lag(log: Any, unique: str, until: Any):
    (log.folder / "plant.yaml").write_text(
        f"organisation: A\nsites: [{{site: duisburg, timezone: UTC}}]\n"
        f"kafka: {{bootstrap_servers: ['{log.kafka.bootstrap_servers[0]}'], prefix: {unique}, partitions: 2}}\n"
        f"archive: {{path: archive}}\n"
    )
    log.send("duisburg", DAY, 20)
    log.flush()
    words = [
        sys.executable,
        "-c",
        "from scopeline.cli import main; main()",
        "archive",
        "--follow",
        "--plant",
        str(log.folder),
        "--every",
        "600",
    ]
    with subprocess.Popen(
        [*words, "--metrics-port", "0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        lines: list[str] = []
        reader = threading.Thread(target=lambda: lines.extend(process.stdout or ()), daemon=True)
        reader.start()
        found: list[str] = []
        assert until(lambda: found.extend(re.findall(r"http://127\.0\.0\.1:\d+", "".join(lines))) or found), lines
        lag = f'scopeline_archive_lag_records{{topic="{unique}.raw",partition="0"}} 1\n'
        assert until(lambda: lag in httpx.get(f"{found[0]}/metrics", timeout=30).text)
        time.sleep(5)  # it holds the record by now, and would write it in ten minutes
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOPS_WITHIN) == 0
        reader.join(60)
    assert "20 messages archived in 1 file" in lines[-1]
    assert log.before(0, 1) == log.of(0) and date(2026, 3, 1).isoformat() in str(log.files[0])
