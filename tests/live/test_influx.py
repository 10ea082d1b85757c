"""The InfluxDB sink on a real InfluxDB: stored, refused, deleted, and read back to the byte."""

import json
import struct
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from typer.testing import CliRunner

import scopeline.demo
from processors.output import finish_base
from schemas.connections import InfluxDB
from schemas.influx import FIGURE_TAGS, buckets
from scopeline import offline
from scopeline.catalogue import catalogue
from scopeline.check import check
from scopeline.cli import app
from scopeline.demo.messages import messages
from sinks import line_protocol as lp
from sinks.csv import csv_text
from sinks.influx import Influx, InfluxProblem, Reader, provisional, setup
from sinks.influx.quoting import literal

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]
AT = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
DEMO = Path(scopeline.demo.__file__).parent / "plant"


def micros(instant):
    return (instant - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)


def client(server, bucket, **how):
    settings = InfluxDB(url=server.url, org=server.org, bucket=bucket, timeout=timedelta(minutes=1), **how)
    return Influx(settings, SecretStr(server.token))


def asked(influx, text, bucket=None):
    """Rows of the first series of an answer."""
    parameters = {"db": bucket or influx.settings.bucket, "q": text, "epoch": "u"}
    (result,) = influx.ask("POST", "/query", data=parameters).json()["results"]
    assert "error" not in result, result
    return result["series"][0]["values"] if "series" in result else []


@pytest.fixture
def influx(influxdb, unique):
    made = client(influxdb, unique)
    setup(made)
    yield made
    org = made.ask("GET", "/api/v2/orgs", params={"org": influxdb.org}).json()["orgs"][0]["id"]
    for name in buckets(unique).values():
        for bucket in made.ask("GET", "/api/v2/buckets", params={"orgID": org, "name": name}).json()["buckets"]:
            made.ask("DELETE", f"/api/v2/buckets/{bucket['id']}")
        for mapping in made.ask("GET", "/api/v2/dbrps", params={"orgID": org, "db": name}).json()["content"]:
            made.ask("DELETE", f"/api/v2/dbrps/{mapping['id']}", params={"orgID": org})
    made.close()


@pytest.fixture
def bucket(influx):
    return influx.settings.bucket


def test_setup_makes_what_is_missing_and_nothing_twice(influxdb, unique, influx):
    assert setup(influx) == []
    shorter = client(influxdb, unique, retention=timedelta(days=900), health_retention=timedelta(days=7))
    for dry_run in (True, False):
        assert setup(shorter, dry_run) == [
            f"bucket {unique} now kept 900 d, before for ever",
            f"bucket {unique}_health now kept 7 d, before 90 d",
        ]
    assert setup(influx) == [
        f"bucket {unique} now kept for ever, before 900 d",
        f"bucket {unique}_health now kept 90 d, before 7 d",
    ]
    assert setup(influx) == []
    (made,) = influx.ask("GET", "/api/v2/buckets", params={"name": unique}).json()["buckets"]
    assert made["retentionRules"][0]["shardGroupDurationSeconds"] == 28 * 86400
    influx.ping()
    assert influx.version().lstrip("v").startswith("2.")


def test_setup_maps_a_bucket_that_was_made_anew(unique, influx, bucket):
    """The mapping of before names the bucket that is gone."""
    influx.call(influx.client.buckets_api().delete_bucket, influx.client.buckets_api().find_bucket_by_name(bucket))
    for dry_run in (True, False):
        assert setup(influx, dry_run) == [f"bucket {unique} made, kept for ever", f"InfluxQL database {unique} made"]
    assert setup(influx) == []
    influx.write(bucket, [f"m v=1.0 {micros(AT)}"])
    assert asked(influx, "SELECT v FROM m") == [[micros(AT), 1.0]]


def test_a_write_starts_no_thread(influx, bucket):
    before = threading.active_count()
    assert influx.write(bucket, [f"m v={k}.0 {micros(AT) + k}" for k in range(20_000)]).accepted == 20_000
    assert threading.active_count() == before


def test_setup_without_permission_says_so(influx, influxdb, bucket):
    org = influx.ask("GET", "/api/v2/orgs", params={"org": influxdb.org}).json()["orgs"][0]["id"]
    found = influx.ask("GET", "/api/v2/buckets", params={"orgID": org, "name": bucket}).json()["buckets"][0]["id"]
    read = [{"action": "read", "resource": {"type": "buckets", "id": found, "orgID": org}}]
    read.append({"action": "read", "resource": {"type": "orgs", "id": org}})
    made = influx.ask("POST", "/api/v2/authorizations", json={"orgID": org, "permissions": read}).json()
    try:
        weak = Influx(influx.settings, SecretStr(made["token"]))
        with pytest.raises(InfluxProblem, match=r"answers (401|403).* -> the token"):
            setup(weak)
        with pytest.raises(InfluxProblem, match=r"403.* -> the token may not"):
            weak.write(bucket, ["m v=1.0 1"])
        influx.write(bucket, [f"m,a=x v=1.0 {micros(AT)}"])
        with pytest.raises(InfluxProblem, match="insufficient permissions"):
            weak.delete(bucket, "m", pl.DataFrame({"time": [AT], "a": ["x"]}))
        assert len(asked(influx, "SELECT v FROM m")) == 1
    finally:
        influx.ask("DELETE", f"/api/v2/authorizations/{made['id']}")


def test_a_type_conflict_and_an_old_point_are_refused_and_the_rest_is_stored(influx, bucket):
    assert influx.write(bucket, [f"m,k=first v=1.0 {micros(AT)}"]).accepted == 1
    lines = [f"m,k={k} v={k}.5 {micros(AT) + k}" for k in range(2000)]
    wrong = [f'm,k={k} v="text" {micros(AT)}' for k in range(0, 300, 3)]
    broken = ["m,k=1 v=1.0x 1", "no fields"]
    written = influx.write(bucket, [*lines[:700], broken[0], *wrong, *lines[700:], broken[1]])
    reasons = {refused.line: refused.reason for refused in written.refused}
    assert set(reasons) == {*wrong, *broken} and written.accepted == 2000
    assert all("type string, already exists as type float" in reasons[line] for line in wrong)
    assert "invalid number" in reasons[broken[0]] and "unable to parse" in reasons[broken[1]]
    assert len(asked(influx, "SELECT v FROM m")) == 2001

    old = [f"readings,meter=m{k} value={k}.0 {micros(AT - timedelta(days=500))}" for k in range(1, 400, 2)]
    new = [f"readings,meter=m{k} value={k}.0 {micros(AT)}" for k in range(0, 400, 2)]
    mixed = [line for pair in zip(new, old, strict=True) for line in pair]
    written = influx.write(f"{bucket}_readings", mixed)
    assert {refused.line for refused in written.refused} == set(old)
    assert {refused.reason for refused in written.refused} == {"outside retention policy of duration 9600h0m0s"}
    assert len(asked(influx, "SELECT value FROM readings", f"{bucket}_readings")) == 200


def test_the_same_points_twice_count_once(influx, bucket):
    lines = pl.Series([f"m,k={k % 7} v={k}.5 {micros(AT) + k}" for k in range(1000)])
    before = [influx.write(bucket, lines) and asked(influx, "SELECT count(v), sum(v) FROM m") for _ in range(2)]
    assert before[0] == before[1] and before[0][0][1:] == [1000, sum(k + 0.5 for k in range(1000))]


def test_a_field_that_is_gone_goes_by_delete_then_write(influx, bucket):
    """Only the named series at the named instant: not its neighbours in time, not the series with a tag more."""
    minute = timedelta(minutes=1)
    rows = pl.DataFrame(
        [
            (AT + k * minute, "s", basis, line, 1.0 + k, 2.0)
            for k in range(4)
            for basis in (None, "market")
            for line in ("a", "b")
        ],
        ["interval_start", "source", "basis", "tag_line", "co2_kg", "ch4_kg"],
        orient="row",
    )
    fields = ["co2_kg", "ch4_kg"]
    influx.write(bucket, lp.lines(rows, "figures", ["source", "basis", "tag_line"], fields, "interval_start"))
    text = "SELECT co2_kg, ch4_kg, basis, tag_line FROM figures"
    before = asked(influx, text)
    lost = rows.filter(pl.col("basis").is_null() & pl.col("interval_start").is_in([AT + minute, AT + 2 * minute]))
    keys = lost.select("source", "basis", time="interval_start").unique()
    again = lp.lines(
        lost.filter(tag_line="a").with_columns(ch4_kg=pl.lit(None, dtype=pl.Float64)),
        "figures",
        ["source", "basis", "tag_line"],
        fields,
        "interval_start",
    )
    for _ in range(2):
        assert influx.delete(bucket, "figures", keys, minute) == 1, "two instants in a row are one range"
        influx.write(bucket, again)
        touched = {micros(AT + minute), micros(AT + 2 * minute)}
        want = [row for row in before if row[0] not in touched or row[3] == "market"]
        want += [[row[0], row[1], None, None, "a"] for row in before if row[0] in touched and row[3:] == [None, "a"]]
        assert sorted(map(str, asked(influx, text))) == sorted(map(str, want)), "the series of the old tag is gone as well"
    assert influx.delete(bucket, "nothing_there", keys) == 2


def test_awkward_numbers_and_texts_come_back_as_they_were(influx, bucket):
    numbers = [5e-324, 1.7976931348623157e308, 0.1 + 0.2, -1e-7, 1e16, 2.0**53 + 2, 1e22, 123456789012345680.0, 0.0, 1e21, 3.0]
    words = ["\\", "a\\b", "a\\,b", "a\\ b", "x=y", "=x", "a\\\\", "%0A", "%5C", "l\nm", "ü€🙂", " ", "'", '"']
    words += ["$x", "--", "\r", "\x00x", "/* */", "a,b c=d 1", "x' OR 'a'='a", '"; DROP MEASUREMENT figures; --']
    words += ["\x85\u2028", "#c", "\x7f", "' OR time > 0 --"]
    size = len(words)
    rows = pl.DataFrame({"at": [AT] * size, "tag": words, "text": words, "n": (numbers * 3)[:size]})
    written = influx.write(bucket, lp.lines(rows, "m", ["tag"], ["text", "n"], "at"))
    assert written == (size, [])
    found = asked(influx, 'SELECT "text", "n", "tag" FROM m')
    got = {lp.decoded(tag): (text, struct.pack("d", n)) for _, text, n, tag in found}
    assert got == {word: (word, struct.pack("d", n)) for word, n in zip(words, rows["n"], strict=True)}
    for word, number in zip(words, rows["n"], strict=True):
        assert [row[1] for row in asked(influx, f'SELECT "n" FROM m WHERE "tag"={literal(word)}')] == [number], word


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.sampled_from("\"'\\;-/*$ =,%\n\r\x00a()0") | st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
def test_whatever_a_tag_says_a_query_finds_it_and_nothing_else(influx, bucket, word):
    rows = pl.DataFrame({"at": [AT, AT], "source": [word, f"{word}."], "co2e_kg": [1.0, 2.0], "status": word, "interval_s": 60.0})
    influx.write(bucket, lp.lines(rows, "figures", ["source"], ["co2e_kg", "status", "interval_s"], "at"))
    found = Reader(influx, bucket).read_figures(AT, AT + timedelta(hours=1), [word])
    assert found.select("source", "co2e_kg", "status").rows() == [(word, 1.0, word)]
    keys = rows[:1].select("source", time="at")
    assert influx.delete(bucket, "figures", keys) == 1
    assert Reader(influx, bucket).read_figures(AT, AT + timedelta(hours=1), [word, f"{word}."])["source"].to_list() == [
        f"{word}."
    ]
    influx.delete(bucket, "figures", rows[1:].select("source", time="at"))


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.sampled_from("\"'\\;-/*$ =,%\n\r\x00a()0") | st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
def test_a_series_is_listed_and_forgotten_whole_and_no_other(influx, bucket, word):
    site = f"s{word}"
    far = [AT - timedelta(days=20_000), AT, AT + timedelta(days=20_000)]
    rows = pl.DataFrame({"at": far * 2, "site": site, "source": [word] * 3 + [f"{word}."] * 3, "co2e_kg": 1.0})
    influx.write(bucket, lp.lines(rows, "figures", ["site", "source"], ["co2e_kg"], "at"))
    reader = Reader(influx, bucket)
    assert set(reader.read_sources([site]).rows()) == {(site, word), (site, f"{word}.")}
    assert influx.forget(bucket, "figures", pl.DataFrame({"site": [site], "source": [word]})) == 1
    left = asked(influx, f'SELECT "co2e_kg" FROM "figures" WHERE "site"={literal(site)}')
    assert len(left) == 3 and reader.read_sources([site]).rows() == [(site, f"{word}.")]
    influx.forget(bucket, "figures", pl.DataFrame({"site": [site]}))
    assert reader.read_sources([site]).is_empty()


@pytest.fixture(scope="module")
def computed(tmp_path_factory):
    """Six hours of the demo: the message file, metered, and what `compute` writes of it."""
    folder = tmp_path_factory.mktemp("computed")
    file, out = folder / "messages.ndjson", folder / "figures.csv"
    start = datetime(2026, 3, 2, 6, tzinfo=UTC)
    said = messages(start, start + timedelta(hours=6), timedelta(minutes=1))
    file.write_text(
        "".join(json.dumps({"topic": m.topic, "payload": m.payload, "received_at": m.at.isoformat()}) + "\n" for m in said)
    )
    done = CliRunner().invoke(app, ["compute", "--plant", str(DEMO), "--messages", str(file), "--out", str(out)])
    assert done.exit_code == 0, done.output
    plant, _ = check(DEMO)
    return offline.load(file, plant, catalogue()), out.read_bytes()


def test_what_is_read_is_what_compute_writes_to_the_byte(influx, bucket, computed):
    read, want = computed
    plan = read.configuration.plan
    tags = [name for name in plan.tagged.columns if name != "source"]
    reader = Reader(influx, bucket, tags)
    stored = finish_base(pl.concat(read.figures()), plan, {})
    assert "provisional" not in stored["status"].to_list()
    half = stored.sample(stored.height // 2, seed=1)
    for part in (half, stored, stored.reverse()):
        assert influx.write(bucket, lp.figures(part, tags)).refused == []
    influx.write(f"{bucket}_health", lp.clock(read.clocks, datetime.now(UTC)))

    start, end = stored["interval_start"].min(), stored["interval_end"].max()
    clock, lateness = reader.read_clock(), timedelta(microseconds=plan.lateness_us)
    assert clock == read.clocks
    frames = [provisional(frame, clock, lateness) for frame in reader.figures(start, end)]
    text = b"".join(csv_text(frame, header=number == 0) for number, frame in enumerate(frames))
    assert text == want
    assert stored.height > 1000 and stored["basis"].n_unique() == 3 and stored["scope"].n_unique() >= 3 and len(tags) == 2

    some = stored["source"].unique().sort().to_list()[:1]
    part = stored.filter(pl.col("source").is_in(some))
    assert csv_text(reader.read_figures(start, end, some)) == csv_text(part) and 0 < part.height < stored.height


def test_rollups_and_readings_are_read_back(influx, bucket):
    rows = pl.DataFrame(
        [(AT, "w", "s", "main", 1, "c", "", 1.5, 60.0, "l")],
        ["interval_start", *FIGURE_TAGS, "co2e_kg", "covered_s", "tag_line"],
        orient="row",
    )
    assert influx.write(bucket, lp.rollup_lines(rows, "1h", ["tag_line"])).accepted == 1
    got = Reader(influx, bucket, ["tag_line"]).read_rollups("1h", AT, AT + timedelta(hours=1))
    assert got.select(rows.columns).rows() == rows.rows()
    line = f'readings,kind=rate,meter=w/a\\ b:p,site=w,unit=kW value=3.0,quality="good" {micros(AT)}'
    influx.write(f"{bucket}_readings", [line])
    (reading,) = Reader(influx, bucket).read_readings(AT, AT + timedelta(hours=1), ["w/a b:p"]).to_dicts()
    assert reading == {
        "observed_at": AT,
        "site": "w",
        "meter": "w/a b:p",
        "unit": "kW",
        "kind": "rate",
        "value": 3.0,
        "quality": "good",
    }
