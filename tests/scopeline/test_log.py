"""The data file: what it refuses, that a transaction is all or nothing, and that archived days stay readable."""

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

from schemas.frames import FIGURES, MESSAGES, OUTCOMES, READINGS, shaped
from scopeline.log import Log, StateError, Store, Working
from scopeline.log.archive import ArchiveError, due, move
from scopeline.log.tables import FORMAT, TABLES, ddl, migration, physical, stored

DAY = datetime(2026, 3, 1, tzinfo=UTC)


def messages(first: int, count: int, at: datetime = DAY, topic: str = "a/b") -> pl.DataFrame:
    rows = [
        {
            "message": first + n,
            "topic": topic,
            "payload": bytes([n % 256, 0, 255]),
            "received_at": at + timedelta(seconds=n),
            "retained": False,
        }
        for n in range(count)
    ]
    return shaped(pl.DataFrame(rows), MESSAGES)


@pytest.fixture
def log(tmp_path: Path):
    made = Log(tmp_path / "scopeline.duckdb")
    yield made
    made.close()


def test_every_table_gives_back_what_it_took(log: Log) -> None:
    big = 10**37
    row = {
        "meter": "w/m:e",
        "site": "w",
        "observed_at": DAY + timedelta(microseconds=1),
        "value_n": -big,
        "message": 1,
        "index": 0,
    }
    readings = shaped(pl.DataFrame([row], schema_overrides={"value_n": pl.Int128}), READINGS)
    with log.transaction():
        log.append("readings", readings)
    found = Store(log).readings("w/m:e")
    assert found.equals(readings) and found.schema == readings.schema


def test_categories_are_stored_as_text(log: Log) -> None:
    readings = shaped(pl.DataFrame({"meter": ["w/m:e"], "observed_at": [DAY]}), READINGS)
    with log.transaction():
        log.append("readings", readings.with_columns(pl.col("meter").cast(pl.Categorical)))
    assert Store(log).readings()["meter"].to_list() == ["w/m:e"]


def test_a_failed_transaction_leaves_everything_as_before(log: Log) -> None:
    with log.transaction():
        log.append("messages", messages(1, 3))
        log.set("position", 3)
    with pytest.raises(RuntimeError), log.transaction():
        log.append("messages", messages(4, 3))
        log.set("position", 6)
        raise RuntimeError("stop")
    store = Store(log)
    assert store.position() == 3
    assert sum(frame.height for frame in store.messages()) == 3


def test_a_snapshot_sees_one_state(log: Log) -> None:
    store = Store(log)
    with store.snapshot() as state:
        before = state.position()
        with log.transaction():
            log.set("position", 7)
        assert state.position() == before == 0
    assert store.position() == 7


def test_replace_takes_exactly_the_rows_with_these_keys(log: Log) -> None:
    rows = pl.DataFrame(
        {"interval_start": [DAY, DAY, DAY + timedelta(minutes=1)], "source": ["a", "b", "a"], "scope": [None, 1, 2]}
    )
    figures = shaped(rows, FIGURES)
    with log.transaction():
        log.append("figures", figures)
        keys = figures.head(1).select("interval_start", "source", "scope")
        log.replace("figures", keys, shaped(rows.head(1).with_columns(site=pl.lit("new")), FIGURES))
    found = pl.concat(Store(log).figures())
    assert set(zip(found["source"], found["site"], strict=True)) == {("a", None), ("a", "new"), ("b", None)}


def test_figures_come_in_chunks_sorted_and_complete(log: Log) -> None:
    count = 50
    rows = pl.DataFrame(
        {"interval_start": [DAY + timedelta(minutes=n % 25) for n in range(count)], "source": [f"s{n}" for n in range(count)]}
    )
    with log.transaction():
        log.append("figures", shaped(rows, FIGURES))
    parts = list(Store(log).figures(chunk=10))
    together = pl.concat(parts)
    assert len(parts) > 2 and together.height == count
    assert together["interval_start"].is_sorted()
    inside = pl.concat(Store(log).figures(DAY, DAY + timedelta(minutes=3), sources=["s0", "s1", "s2", "s3"]))
    assert inside["source"].to_list() == ["s0", "s1", "s2"]


@pytest.mark.parametrize("content", [b"no database at all" * 500, b"\0" * 5000])
def test_a_foreign_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.duckdb").write_bytes(content)
    with pytest.raises(StateError, match=r"Move it away|cannot be opened"):
        Log(tmp_path / "x.duckdb")
    assert (tmp_path / "x.duckdb").read_bytes() == content, "it is left as it was"


def test_a_database_of_somebody_else_is_refused(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "x.duckdb")) as other:
        other.execute("CREATE TABLE t (a INT)")
    with pytest.raises(StateError, match="not one of Scopeline's"):
        Log(tmp_path / "x.duckdb")


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    Log(tmp_path / "x.duckdb").close()
    with duckdb.connect(str(tmp_path / "x.duckdb")) as other:
        other.execute("UPDATE meta SET value = '999' WHERE key = 'format'")
    with pytest.raises(StateError, match="newer Scopeline"):
        Log(tmp_path / "x.duckdb")


def test_a_second_process_is_told_so(log: Log) -> None:
    code = f"from scopeline.log import Log; from pathlib import Path; Log(Path({str(log.path)!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert "already runs on this plant folder" in done.stderr


def test_days_beyond_the_retention_move_to_parquet_and_stay_in_the_log(log: Log) -> None:
    with log.transaction():
        log.append("messages", messages(1, 10, DAY, "old/1"))
        log.append("messages", messages(11, 10, DAY + timedelta(days=1), "old/2"))
        log.append("messages", messages(21, 10, DAY + timedelta(days=9), "new"))
    store = Store(log)
    before = pl.concat(store.messages())
    now = DAY + timedelta(days=9, hours=12)
    assert due(log, now, 8) == [date(2026, 3, 1)]
    assert due(log, now, 1) == [date(2026, 3, 1), date(2026, 3, 2)]
    for day in due(log, now, 1):
        assert move(log, day).exists()
    assert due(log, now, 1) == []
    left = log.write.execute("SELECT count(*) FROM messages").fetchone()
    assert left == (10,)
    assert pl.concat(store.messages()).equals(before)
    assert pl.concat(store.messages(topic="old/+")).height == 20
    assert pl.concat(store.messages(DAY + timedelta(days=1), DAY + timedelta(days=2)))["topic"].unique().to_list() == ["old/2"]
    assert store.topics() == ["new", "old/1", "old/2"]
    assert store.messages_at([3, 15, 25])["message"].to_list() == [3, 15, 25]
    assert store.payloads([3])["payload"].to_list() == [bytes([2, 0, 255])]


def test_an_archive_file_that_does_not_hold_the_day_is_not_trusted(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    from scopeline.log import archive

    with log.transaction():
        log.append("messages", messages(1, 5))
    real = archive._one
    monkeypatch.setattr(archive, "_one", lambda log, sql, *more: (4, 0) if "read_parquet" in sql else real(log, sql, *more))
    with pytest.raises(ArchiveError, match="stays in the log"):
        move(log, DAY.date())
    assert pl.concat(Store(log).messages()).height == 5


def test_late_messages_of_an_archived_day_get_a_file_of_their_own(log: Log) -> None:
    with log.transaction():
        log.append("messages", messages(1, 5))
    move(log, DAY.date())
    with log.transaction():
        log.append("messages", messages(6, 5))
    move(log, DAY.date())
    assert sorted(frame for part in Store(log).messages() for frame in part["message"]) == list(range(1, 11))


def test_tables_are_all_made(log: Log) -> None:
    found = {row[0] for row in log.write.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    assert found == {*physical(), "meta"} and len(found) > 8
    views = {row[0] for row in log.write.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()}
    assert found | views == {*physical(), *TABLES, "meta"}


FORMAT_1 = (
    "CREATE TABLE meta (key VARCHAR PRIMARY KEY, value VARCHAR)",
    "INSERT INTO meta VALUES ('format', '1'), ('position', '5')",
    """CREATE TABLE readings (meter VARCHAR, site VARCHAR, feed VARCHAR, channel VARCHAR, device VARCHAR, kind VARCHAR,
    observed_at TIMESTAMP, event VARCHAR, period_start TIMESTAMP, period_end TIMESTAMP, value_n DECIMAL(38,0), unit VARCHAR,
    quality VARCHAR, received_at TIMESTAMP, message BIGINT, index INTEGER)""",
    "CREATE TABLE outcomes (message BIGINT, feed VARCHAR, outcome VARCHAR, reason VARCHAR)",
    *ddl([table for table in TABLES if table not in ("readings", "outcomes")]),
)


def _of_format_1(path: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A file as the first versions wrote it, with some READINGS and OUTCOMES."""
    rows = [
        {
            "meter": f"w/m{n % 3}:e",
            "site": "w",
            "device": None if n % 2 else "d",
            "observed_at": DAY + timedelta(minutes=n),
            "value_n": n * 10**20,
            "quality": "good",
            "message": n,
            "index": 0,
        }
        for n in range(1, 6)
    ]
    readings = shaped(pl.DataFrame(rows, schema_overrides={"value_n": pl.Int128}), READINGS)
    told = [{"message": n, "feed": None if n == 2 else "f", "outcome": "unmatched" if n == 2 else "decoded"} for n in range(1, 6)]
    outcomes = shaped(pl.DataFrame(told), OUTCOMES)
    with duckdb.connect(str(path)) as other:
        for statement in FORMAT_1:
            other.execute(statement)
        for table, frame in (("readings", readings), ("outcomes", outcomes)):
            rows_in = stored(frame, TABLES[table]).to_arrow()  # DuckDB takes it by this name
            other.execute(f"INSERT INTO {table} SELECT * FROM rows_in")
            del rows_in
    return readings, outcomes


def test_a_file_of_the_first_format_says_the_same(tmp_path: Path) -> None:
    readings, outcomes = _of_format_1(tmp_path / "x.duckdb")
    for _ in range(2):  # and again, when it is of this format
        log = Log(tmp_path / "x.duckdb")
        store = Working(log)
        assert store.readings().sort("message").equals(readings)
        assert store.outcomes_of(range(1, 6)).sort("message").equals(outcomes)
        assert store.position() == 5 and store.fact("format") == FORMAT
        log.close()
    log = Log(tmp_path / "x.duckdb")
    more = readings.with_columns(message=pl.col("message") + 5, meter=pl.lit("w/new:e"))
    with log.transaction():
        log.append("readings", more)
    assert pl.concat([readings, more]).equals(Store(log).readings().sort("message"))
    log.close()


def test_a_file_that_is_cut_off_on_its_way_to_this_format_is_of_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings, _ = _of_format_1(tmp_path / "x.duckdb")
    steps = migration()
    monkeypatch.setattr("scopeline.log.opening.migration", lambda: [*steps[:-1], "SELECT error('power is gone')"])
    with pytest.raises(duckdb.Error, match="power is gone"):
        Log(tmp_path / "x.duckdb")
    monkeypatch.undo()
    log = Log(tmp_path / "x.duckdb")
    assert Store(log).readings().sort("message").equals(readings)
    log.close()
