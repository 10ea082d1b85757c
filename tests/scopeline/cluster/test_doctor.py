"""doctor of the cluster: each look alone, bounded in time, and what it says of groups, retention, archives and versions."""

import time
import tomllib
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from kafka import TopicPartition

from schemas.connections import Archive, Kafka
from scopeline.cluster import doctor, doctor_broker, doctor_kafka, doctor_stores
from scopeline.cluster.archive_index import Entry, Index, Key
from scopeline.cluster.vault import vault
from scopeline.doctor import Finding
from scopeline.logs import hide

ROOT = Path(__file__).parents[3]
NOW = datetime(2026, 5, 4, 10, tzinfo=UTC)
KAFKA = Kafka(bootstrap_servers=("127.0.0.1:1",), prefix="p", partitions=2)
A, B = TopicPartition("p.raw", 0), TopicPartition("p.raw", 1)


def test_a_look_that_hangs_or_fails_stops_no_other():
    hide("canary-look-1")

    def hangs():
        yield Finding("ok", "influxdb", "before", "")
        time.sleep(300)

    def fails():
        yield Finding("ok", "kafka", "canary-look-1 works", "")
        raise OSError("canary-look-1 is refused -> correct it")

    begun = time.monotonic()
    found = doctor.gathered({"influxdb": hangs, "kafka x": fails, "archive": lambda: [Finding("ok", "archive", "there", "")]}, 3)
    assert time.monotonic() - begun < 60
    assert [(one.severity, one.about, one.what) for one in found] == [
        ("ok", "influxdb", "before"),
        ("error", "influxdb", "no answer within 3 s"),
        ("ok", "kafka", "*** works"),
        ("error", "kafka", "*** is refused"),
        ("ok", "archive", "there"),
    ]
    assert found[3].remedy == "Correct it"


def lag(holders, offsets, since, about="process", begins=0):
    group = doctor_kafka.Group("p.process", holders, offsets, {})
    return [
        (one.severity, one.what)
        for one in doctor_kafka._lag(group, about, [A, B], {A: begins, B: begins}, {A: 10, B: 10}, since, NOW)
    ]


def test_who_holds_what_and_how_far_it_is():
    held = {A: "w1 at 10.0.0.1", B: "w2 at 10.0.0.2"}
    assert lag(held, {A: 10, B: 9}, {B: NOW - timedelta(seconds=5)}) == [
        ("ok", "p.raw partition 0: 0 records behind; held by w1 at 10.0.0.1"),
        ("ok", "p.raw partition 1: 1 record behind, the oldest from 5 s ago; held by w2 at 10.0.0.2"),
    ]
    late = lag(held, {A: 10, B: 2}, {B: NOW - timedelta(hours=3)})
    assert late[1] == ("warning", "p.raw partition 1: 8 records behind, the oldest from 3 h ago; held by w2 at 10.0.0.2")


def test_a_partition_without_a_member_and_a_group_without_any():
    assert lag({A: "w"}, {A: 10, B: 10}, {})[1][0] == "error"
    nobody = lag({}, {A: 10, B: 3}, {})
    assert nobody[0] == ("error", "nobody reads the log: group p.process has no member")
    assert [severity for severity, _ in nobody[1:]] == ["ok", "warning"]
    assert lag({}, {A: 10, B: 3}, {}, "archive")[0][0] == "warning", "an archive may be written once a night"


def test_what_kafka_deleted_before_it_was_read():
    (first, *_) = lag({A: "w", B: "w"}, {A: 3, B: 9}, {}, "archive", begins=5)
    assert first[0] == "error" and "offsets 3 to 5 were deleted" in first[1]


def test_retention_against_the_horizon_and_against_the_archives_lag():
    def said(oldest, **settings):
        kafka = KAFKA.model_copy(update=settings)
        return [(one.severity, one.what) for one in doctor_kafka._retention({A: NOW - oldest}, kafka, NOW)]

    assert said(timedelta(hours=1)) == [("ok", "retention 7 d, horizon 2 d, the oldest record not archived is 60 min old")]
    assert said(timedelta(days=5))[0][0] == "error"
    assert said(timedelta(0), retention=timedelta(hours=24))[0][0] == "error"


def test_clocks():
    assert [one.severity for one in doctor_kafka._clock(NOW + timedelta(minutes=1), NOW)] == ["warning"]
    assert [one.severity for one in doctor_kafka._clock(NOW - timedelta(days=1), NOW)] == ["ok"]


def test_an_archive_with_a_gap_and_one_that_is_not_there(tmp_path):
    settings = Archive(path="archive")
    (missing,) = doctor_stores.archive(settings, KAFKA, tmp_path)
    assert missing.severity == "error" and "scopeline setup" in missing.remedy
    place = vault(settings, tmp_path)
    place.prepare()
    assert [one.severity for one in doctor_stores.archive(settings, KAFKA, tmp_path)] == ["note"]
    index = Index(place, "p.raw", 1)
    for start, end in ((0, 5), (8, 9)):
        index.save(Entry(Key(start, end, date(2026, 5, 1), date(2026, 5, 3), False), ()))
    (gap,) = doctor_stores.archive(settings, KAFKA, tmp_path)
    assert gap.severity == "error" and "p.raw partition 1 offsets 5 to 8" in gap.what
    index.save(Entry(Key(5, 8, date(2026, 5, 1), date(2026, 5, 3), False), ()))
    (whole,) = doctor_stores.archive(settings, KAFKA, tmp_path)
    assert whole.severity == "ok" and "2026-05-03" in whole.what


@pytest.mark.parametrize(("name", "tested"), [("KAFKA", doctor_kafka.TESTED), ("INFLUXDB", doctor_stores.TESTED)])
def test_the_tested_servers_are_those_of_the_live_tests(name, tested):
    lines = dict(line.split("=") for line in (ROOT / "deploy/native/versions.env").read_text().splitlines() if line[:1].isupper())
    assert lines[f"{name}_VERSION"].startswith(f"{tested}.") and doctor_broker.TESTED == "2.0"


def test_the_tested_libraries_are_those_that_are_required():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = " ".join([*project["dependencies"], *project["optional-dependencies"]["cluster"]])
    for name, tested in doctor.LIBRARIES.items():
        assert name in wanted, name
        assert not tested or f"{name}>={tested}" in wanted.replace("[crc32c,lz4]", "").replace("==", ">="), (name, tested)
    assert all(one.severity == "ok" for one in doctor._libraries())
