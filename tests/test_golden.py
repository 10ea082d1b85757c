"""Golden cases: messages in, figures out, compared cell by cell with what the case expects.

A case is a folder `golden/<name>` with `plant/`, `messages.ndjson` and `expected.csv` (the base intervals) or
`expected-<interval>.csv` (a roll-up). An expected file may leave columns out; those that it has must be equal as text, row by
row. `scopeline trace --case` writes such a folder.
"""

import csv
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scopeline.cli import app

CASES = Path(__file__).parent / "golden"
EXPECTED = sorted(CASES.glob("*/expected*.csv"))


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize("expected", EXPECTED, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_case(expected: Path, tmp_path: Path):
    case, interval = expected.parent, expected.stem.partition("-")[2]
    out = tmp_path / "figures.csv"
    arguments = ["compute", "--plant", str(case / "plant"), "--messages", str(case / "messages.ndjson"), "--out", str(out)]
    done = CliRunner().invoke(app, arguments + (["--interval", interval] if interval else []))
    assert done.exit_code == 0, done.output
    want, got = rows(expected), rows(out)
    assert want, f"{expected} is empty"
    columns = list(want[0])
    assert set(columns) <= set(got[0]), f"no such columns: {sorted(set(columns) - set(got[0]))}"
    assert [{c: row[c] for c in columns} for row in got] == want


def test_every_folder_is_a_case():
    folders = [f for f in CASES.iterdir() if f.is_dir()]
    assert len(folders) >= 3
    assert {f.parent for f in EXPECTED} == set(folders)
