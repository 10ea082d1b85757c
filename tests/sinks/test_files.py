"""Export files: what other programs read from them, whole or not at all, the same bytes for the same rows."""

import csv
import hashlib
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import openpyxl
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinks.csv import csv_text
from sinks.files import FORMATS, meta_path, write
from sinks.json import json_records
from sinks.parquet import ROWS, write_parquet
from sinks.xlsx import write_xlsx

TIME = pl.Datetime("us", "UTC")
AT = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
ROWS_ = [
    (AT, "berlin", 1, "=1+1", 0.1, None),
    (AT + timedelta(hours=1), "berlin", None, 'say "hi", ok', -1e-7, "ümläut"),
    (AT, "tokyo", 3, "", 1e22, "@x"),
]
FRAME = pl.DataFrame(
    ROWS_,
    schema={
        "interval_start": TIME,
        "site": pl.String,
        "scope": pl.Int8,
        "source": pl.String,
        "co2e_kg": pl.Float64,
        "tag_a": pl.String,
    },
    orient="row",
)
ZONES = {"berlin": "Europe/Berlin", "tokyo": "Asia/Tokyo"}


def rows_of(data: bytes, **dialect: str) -> list[list[str]]:
    return list(csv.reader(data.decode().splitlines(keepends=True), **dialect))


def test_csv_is_rfc_4180_with_numbers_as_numbers():
    data = csv_text(FRAME)
    assert data.count(b"\r\n") == 4 and data.endswith(b"\r\n")
    assert rows_of(data) == [
        ["interval_start", "site", "scope", "source", "co2e_kg", "tag_a"],
        ["2026-10-25T00:30:00Z", "berlin", "1", "'=1+1", "0.1", ""],
        ["2026-10-25T01:30:00Z", "berlin", "", 'say "hi", ok', "-1e-7", "ümläut"],
        ["2026-10-25T00:30:00Z", "tokyo", "3", "", "1e+22", "'@x"],
    ]


def test_german_excel_gets_semicolons_and_decimal_commas():
    rows = rows_of(csv_text(FRAME, dialect="excel-de"), delimiter=";")
    assert [row[4] for row in rows] == ["co2e_kg", "0,1", "-1e-7", "1e+22"]
    assert rows[2][3] == 'say "hi", ok'


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "\x00"])
def test_text_is_never_a_formula(start: str):
    data = csv_text(pl.DataFrame({"site": [f"{start}1"], "kg": [-1.0]}))
    assert next(csv.reader([data.decode().partition("\r\n")[2]]))[0].startswith("'") and b",-1\r\n" in data


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")), max_size=8))
def test_any_text_comes_back(texts: list[str]):
    data = csv_text(pl.DataFrame({"a": texts, "b": texts}, schema={"a": pl.String, "b": pl.String})).decode()
    read = [row[0] for row in csv.reader(io.StringIO(data, newline=""))][1:]
    assert [t.removeprefix("'") if t.startswith("'") else t for t in read] == [t.removeprefix("'") for t in texts]
    assert [
        row["a"] for row in json.loads(b"".join(json_records([pl.DataFrame({"a": texts}, schema={"a": pl.String})])))
    ] == texts


def test_not_a_number_is_an_empty_cell():
    frame = pl.DataFrame({"kg": [float("nan"), None, -0.0]})
    assert csv_text(frame.with_columns(n=1)) == b"kg,n\r\n,1\r\n,1\r\n0,1\r\n"
    assert json.loads(b"".join(json_records([frame]))) == [{"kg": None}, {"kg": None}, {"kg": 0}]


def test_json_records(tmp_path: Path):
    write([FRAME[:1], FRAME[1:]], tmp_path / "f.json", "json")
    read = json.loads((tmp_path / "f.json").read_text())
    assert read[0] == {
        "interval_start": "2026-10-25T00:30:00Z",
        "site": "berlin",
        "scope": 1,
        "source": "=1+1",
        "co2e_kg": 0.1,
        "tag_a": None,
    }
    assert len(read) == 3 and read[2]["co2e_kg"] == 1e22 and read[2]["source"] == ""
    assert b"".join(json_records([FRAME.clear()])) == b"[]\n"


def test_parquet_keeps_types(tmp_path: Path):
    write([FRAME[:2], FRAME[2:]], tmp_path / "f.parquet", "parquet")
    read = pl.read_parquet(tmp_path / "f.parquet")
    assert read.equals(FRAME) and read.schema == FRAME.schema
    assert write_parquet([FRAME.clear()], tmp_path / "none.parquet") == 0
    assert pl.read_parquet(tmp_path / "none.parquet").schema == FRAME.schema


def test_parquet_does_not_depend_on_chunks(tmp_path: Path):
    frame = pl.DataFrame({"n": range(ROWS + 10)})
    write_parquet([frame], tmp_path / "a")
    write_parquet([frame[n : n + 50_000] for n in range(0, len(frame), 50_000)], tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_xlsx_has_real_numbers_and_local_times(tmp_path: Path):
    written = write([FRAME], tmp_path / "f.xlsx", "xlsx", zones=ZONES)
    sheet = openpyxl.load_workbook(written.path)["figures"]
    rows = list(sheet.iter_rows(values_only=True))
    assert rows[0] == tuple(FRAME.columns)
    assert rows[1] == (datetime(2026, 10, 25, 2, 30), "berlin", 1, "=1+1", 0.1, None)
    assert rows[2][0] == datetime(2026, 10, 25, 2, 30) and rows[2][4] == -1e-7 and rows[3][0] == datetime(2026, 10, 25, 9, 30)
    assert sheet["D2"].data_type == "s"  # text, whatever it begins with


def test_xlsx_goes_on_on_the_next_sheet(tmp_path: Path):
    assert write_xlsx([pl.DataFrame({"n": range(7)})], tmp_path / "f.xlsx", most=4) == 7
    book = openpyxl.load_workbook(tmp_path / "f.xlsx")
    assert book.sheetnames == ["figures", "figures 2", "figures 3"]
    assert [[c.value for c in s["A"]] for s in book] == [["n", 0, 1, 2], ["n", 3, 4, 5], ["n", 6]]
    write_xlsx([FRAME.clear()], tmp_path / "none.xlsx")
    assert [c.value for c in openpyxl.load_workbook(tmp_path / "none.xlsx").active[1]] == FRAME.columns


@pytest.mark.parametrize("format", FORMATS)
def test_same_rows_same_bytes_and_proof_beside(format: str, tmp_path: Path):
    facts: dict[str, object] = {}

    def frames():
        yield FRAME
        facts["coverage"] = 0.5  # known only after the last frame

    one = write(frames(), tmp_path / f"one.{format}", format, meta=lambda: {"gwp": "AR6", **facts}, zones=ZONES)
    two = write([FRAME], tmp_path / f"two.{format}", format, zones=ZONES)
    assert one.path.read_bytes() == two.path.read_bytes() and one.sha256 == two.sha256 and one.rows == 3
    meta = json.loads(meta_path(one.path).read_text())
    assert meta["sha256"] == hashlib.sha256(one.path.read_bytes()).hexdigest()
    assert (meta["gwp"], meta["coverage"], meta["rows"], meta["format"], meta["file"]) == ("AR6", 0.5, 3, format, f"one.{format}")


@pytest.mark.parametrize("format", FORMATS)
def test_a_failure_leaves_nothing_behind(format: str, tmp_path: Path):
    def frames():
        yield FRAME
        raise RuntimeError("the store went away")

    target = tmp_path / f"f.{format}"
    target.write_text("before")
    with pytest.raises(RuntimeError):
        write(frames(), target, format)
    assert target.read_text() == "before" and list(tmp_path.iterdir()) == [target]


def test_unknown_words_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="csv, parquet, xlsx, json"):
        write([FRAME], tmp_path / "f.pdf", "pdf")
    with pytest.raises(ValueError, match="excel-de"):
        write([FRAME], tmp_path / "f.csv", "csv", "excel-fr")
