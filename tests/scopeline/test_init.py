"""`init` writes a plant folder that passes `check`, and the schemas that editors read are the models'."""

import json
import re
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scopeline.check import check
from scopeline.cli import app
from scopeline.plant.documents import parse
from scopeline.plant.schemas import schemas

ROOT = Path(__file__).parents[2]


@pytest.fixture
def made(tmp_path):
    result = CliRunner().invoke(app, ["init", str(tmp_path / "works")])
    assert result.exit_code == 0, result.output
    assert f"scopeline check --plant {tmp_path / 'works'}" in result.stdout
    return tmp_path / "works"


def test_the_new_plant_passes_check_without_a_word(made):
    plant, problems = check(made, today=date(2026, 11, 1))
    assert plant is not None and problems == []
    assert plant.feeds and plant.sources


def test_every_yaml_file_names_a_schema_that_is_there(made):
    files = sorted(made.rglob("*.yaml"))
    assert len(files) >= 5
    for file in files:
        first = file.read_text(encoding="utf-8").splitlines()[0]
        found = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
        assert found, file
        assert json.loads((file.parent / found[1]).read_text(encoding="utf-8"))["$defs"]


def test_every_commented_example_is_right(made):
    """What stands behind `#  - ` in the YAML files passes once it is put in force."""
    for name, plural in (("meters/virtual.yaml", "virtual_meters"), ("contracts.yaml", "contracts"), ("targets.yaml", "")):
        path = made / name
        lines = [line for line in path.read_text(encoding="utf-8").splitlines()[1:] if not re.match(r"# [A-Z]", line)]
        text = "\n".join(lines).replace(": []", ":").replace("\n#", "\n") + "\n"
        assert parse(text).data, name
        assert not plural or parse(text).data[plural]
        path.write_text(text, encoding="utf-8")
    sources = made / "sources/works.yaml"
    sources.write_text(
        re.sub(r"(?m)^#  ", "   ", sources.read_text(encoding="utf-8"))
        .replace("   - source", "  - source")
        .replace("     ", "    ")
    )
    (made / "meters/meters.csv").write_text(
        re.sub(r"(?m)^# energy", "energy", _heading_first((made / "meters/meters.csv").read_text()))
    )
    (made / "factors/own.csv").write_text(
        re.sub(r"(?m)^# supplier", "supplier", _heading_first((made / "factors/own.csv").read_text()))
        + "wind,Wind,GB,2,CO2e,0,kg,kWh,,generation,,,,,,none\n"
    )
    plant, problems = check(made, today=date(2026, 11, 1))
    assert [problem for problem in problems if problem.severity != "note" and "tenant" not in problem.message] == []
    assert plant is not None and len(plant.meters) == 2 and len(plant.own_factors) == 2 and plant.contracts and plant.rules
    assert {source.for_each for source in plant.sources} == {None, "works/press/*:energy"}


def _heading_first(text: str) -> str:
    lines = text.splitlines()
    return "\n".join([lines[-1], *lines[:-1]]) + "\n"


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    result = CliRunner().invoke(app, ["init", str(tmp_path)])
    assert result.exit_code == 2 and "not empty" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]
    assert CliRunner().invoke(app, ["init", str(tmp_path / "note.txt")]).exit_code == 2


def test_an_empty_folder_will_do(tmp_path):
    assert CliRunner().invoke(app, ["init", str(tmp_path)]).exit_code == 0
    assert (tmp_path / ".gitignore").read_text().count("secrets/") == 1


def test_the_schemas_in_the_documentation_are_the_models():
    written = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in (ROOT / "docs/schemas").glob("*.json")}
    assert len(written) == 6
    assert written == schemas(), "run: python -m scopeline.plant.schemas docs/schemas"


def test_schemas_know_keys_choices_and_what_they_mean():
    feed = schemas()["feeds.json"]["$defs"]["Channel"]
    assert feed["additionalProperties"] is False
    kind = feed["properties"]["kind"]
    assert "counter" in json.dumps(kind) and kind["description"]
    assert "purchased_electricity" in schemas()["sources.json"]["$defs"]["Source"]["properties"]["category"]["enum"]
