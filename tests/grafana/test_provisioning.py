"""The files that provision a Grafana: current on disk for the plant that compose.yaml ships, and of the form Grafana reads."""

import json
from pathlib import Path

from ruamel.yaml import YAML
from typer.testing import CliRunner

import grafana
from grafana.provisioning import DASHBOARDS, files
from scopeline.cli import app
from scopeline.plant import load

ROOT = Path(__file__).parents[2]
DISK = ROOT / "deploy" / "grafana" / "provisioning"


def test_files_on_disk_are_current():
    plant, problems = load(ROOT / "deploy" / "example" / "plant")
    assert plant, problems
    made = files(grafana.facts(plant))
    on_disk = {path.relative_to(DISK).as_posix(): path.read_text() for path in DISK.rglob("*") if path.is_file()}
    remedy = "run scopeline grafana write deploy/grafana/provisioning --plant deploy/example/plant"
    assert set(on_disk) == set(made) and len(made) == 7, remedy
    assert [name for name in made if made[name] != on_disk[name]] == [], remedy


def test_files_are_what_grafana_reads(facts):
    made = files(facts)
    read = {name: YAML(typ="safe").load(text) for name, text in made.items() if name.endswith(".yaml")}
    sources = read["datasources/scopeline.yaml"]["datasources"]
    assert {one["uid"] for one in sources} == {"scopeline-figures", "scopeline-readings", "scopeline-health"}
    assert {one["jsonData"]["dbName"] for one in sources} == {"scopeline", "scopeline_readings", "scopeline_health"}
    assert all(one["secureJsonData"]["httpHeaderValue1"] == "Token $__file{/run/secrets/influxdb_token}" for one in sources)
    provider = read["dashboards/scopeline.yaml"]["providers"][0]
    assert provider["options"]["path"] == DASHBOARDS and provider["folderUid"] == facts.prefix
    groups = read["alerting/scopeline.yaml"]["groups"]
    assert [group["name"].partition(": ")[2] for group in groups] == ["Feeds", "Figures", "Budgets", "Rules"]
    for rule in (rule for group in groups for rule in group["rules"]):
        assert {"uid", "title", "condition", "data", "for", "noDataState", "labels", "annotations"} <= set(rule)
        assert not {"folderUID", "ruleGroup", "orgID"} & set(rule), "the group says these"
        query = rule["data"][0]["model"]["query"]
        assert "$timeFilter" in query or "time >= '" in query
    live = json.loads(made["dashboards/scopeline/live.json"])
    assert live["uid"] == "scopeline-live" and "id" not in live


def test_command_writes_them(tmp_path):
    plant = ROOT / "scopeline" / "demo" / "plant"
    done = CliRunner().invoke(
        app, ["grafana", "write", str(tmp_path / "out"), "--plant", str(plant), "--influxdb-url", "http://i:1"]
    )
    assert done.exit_code == 0 and "7 files" in done.stdout
    assert '"url": "http://i:1"' in (tmp_path / "out/datasources/scopeline.yaml").read_text()
    assert "tag_cost_centre" in (tmp_path / "out/dashboards/scopeline/live.json").read_text()
