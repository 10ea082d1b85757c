"""`check` as a whole: a good plant, the command, patterns of meters."""

import json

import pytest
from typer.testing import CliRunner

from scopeline.check.meters import meet
from scopeline.cli import app


def test_a_good_plant_has_no_problems(works):
    assert works.problems({}) == []


@pytest.mark.parametrize(
    ("one_text", "other", "met"),
    [
        ("a/*", "a/b/c", False),
        ("a/\0", "a/b/c", True),
        ("*b", "a*", True),
        ("a*c", "*b*", True),
        ("a*", "b*", False),
        ("*", "", True),
        ("a", "a", True),
        ("a*b", "ac", False),
        ("a/*", "a/b/c*", False),
        ("a/\0", "a/b/c*", True),
    ],
)
def test_patterns_that_meet(one_text, other, met):
    assert meet(one_text, other) is met and meet(other, one_text) is met


def test_the_command(works):
    runner = CliRunner()
    works.problems({})
    good = runner.invoke(app, ["check", "--plant", str(works.folder)])
    assert good.exit_code == 0 and good.stdout.strip().endswith("2 feeds, 2 sources.")
    works.problems({"sources/sources.yaml": works.swapped(works.SOURCES, "scope: 2", "scope: 1"), "feed.yaml": ""})
    bad = runner.invoke(app, ["check", "--plant", str(works.folder)])
    assert bad.exit_code == 1 and "1 error, 1 warning." in bad.stdout
    lines = bad.stdout.splitlines()
    assert lines[0] == "feed.yaml" and "sources/sources.yaml" in lines and "\x1b" not in bad.stdout
    assert any(line.strip().startswith("5: error: sources[0].category:") for line in lines)
    listed = json.loads(runner.invoke(app, ["check", "--plant", str(works.folder), "--json"]).stdout)
    assert listed[1]["line"] == 5 and set(listed[1]) == {"severity", "file", "line", "key", "message", "remedy"}
    assert runner.invoke(app, ["check", "--plant", str(works.folder / "none")]).exit_code == 2


def test_file_names_cannot_write_to_the_terminal(works):
    works.problems({"\x1b[2Jx.csv": "a"})
    said = CliRunner().invoke(app, ["check", "--plant", str(works.folder)]).stdout
    assert "\x1b" not in said and "not read" in said
