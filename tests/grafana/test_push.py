"""`scopeline grafana push`: creates, updates, leaves alone, deletes; conflicts and refusals; no secret is said."""

import json
import os
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr
from ruamel.yaml import YAML
from typer.testing import CliRunner

import grafana
from grafana.alerts import alerts
from scopeline import cluster
from scopeline.cli import app
from scopeline.cluster.grafana import Refused, connect, push

ROOT = Path(__file__).parents[2]
READ = SecretStr("canary-read-token")


def states(steps):
    return {(step.what, step.name): step.state for step in steps}


@pytest.fixture
def pushed(grafana_server, facts):
    """do(facts, ...) -> states of one push."""
    address, _ = grafana_server

    def do(of=facts, token="glsa_right", **how):
        return states(push(connect(address, SecretStr(token)), of, READ, **how))

    return do


def test_first_push_makes_all_and_the_second_changes_nothing(pushed, grafana_server, facts):
    _, server = grafana_server
    first = pushed()
    assert set(first.values()) == {"made"} and len(first) == 1 + 3 + 4 + len(alerts(facts))
    assert {one["title"] for one in server.folders.values()} == {"Scopeline"}
    assert set(server.dashboards) == {f"scopeline-{name}" for name in ("live", "feeds", "inventory", "source")}
    assert {rule["folderUID"] for rule in server.rules.values()} == {"scopeline"}
    for kind in ("figures", "readings", "health"):
        assert server.datasources[f"scopeline-{kind}"]["secureJsonData"] == {"httpHeaderValue1": "Token canary-read-token"}
    rules = {uid: rule["id"] for uid, rule in server.rules.items()}
    assert set(pushed().values()) == {"same"}
    assert {len(versions) for versions in server.dashboards.values()} == {1}
    assert {uid: rule["id"] for uid, rule in server.rules.items()} == rules, "a rule was written again"


def test_dry_run_says_the_same_and_touches_nothing(pushed, grafana_server):
    _, server = grafana_server
    said = pushed(dry_run=True)
    assert set(said.values()) == {"made"}
    assert {method for method, _ in server.calls} == {"GET"} and not server.folders
    assert pushed() == said


def test_what_was_changed_by_hand_is_put_back(pushed, grafana_server, facts):
    _, server = grafana_server
    pushed()
    server.folders["scopeline"].update(title="Mine", version=7)
    server.datasources["scopeline-health"]["url"] = "http://elsewhere"
    live = server.dashboards["scopeline-live"]
    live.append({**live[0], "dashboard": {**live[0]["dashboard"], "title": "My live", "version": 2}, "message": ""})
    lag = next(rule for rule in server.rules.values() if rule["title"] == "Figures lag behind")
    lag["for"] = "3h"
    changed = {key: state for key, state in pushed().items() if state != "same"}
    assert changed == {
        ("folder", "Scopeline"): "updated",
        ("data source", "Scopeline health"): "updated",
        ("dashboard", "Live plant"): "updated",
        ("alert", "Figures lag behind"): "updated",
    }
    assert server.dashboards["scopeline-live"][-1]["dashboard"]["title"] == "Live plant"
    assert set(pushed().values()) == {"same"}


def test_rules_that_the_plant_no_longer_has_go_and_those_of_others_stay(pushed, grafana_server, demo):
    _, server = grafana_server
    pushed()
    server.rules["other"] = {"uid": "other", "title": "Other", "folderUID": "scopeline", "ruleGroup": "By hand"}
    later = pushed(grafana.facts(demo.model_copy(update={"budgets": (), "rules": ()})))
    gone = {name for (what, name), state in later.items() if state == "deleted"}
    assert gone == {"Budget year is used up", "Budget year is nearly used up", "Budget mill is used up"} | {
        "Budget mill is nearly used up",
        "Rule hot",
        "Rule band",
    }
    assert "other" in server.rules and not [rule for rule in server.rules.values() if rule["title"].startswith("Budget")]


def test_a_dashboard_that_somebody_saves_meanwhile_is_saved_over_the_newest_version(pushed, grafana_server, facts):
    _, server = grafana_server
    pushed()
    versions = server.dashboards["scopeline-live"]

    def again():
        versions.append({**versions[-1], "dashboard": {**versions[-1]["dashboard"], "version": 3}, "message": "by hand"})

    versions[-1]["message"] = "an older Scopeline"
    server.meanwhile = again
    assert pushed()[("dashboard", "Live plant")] == "updated"
    assert [one["dashboard"]["version"] for one in server.dashboards["scopeline-live"]] == [1, 3, 4]


def test_a_missing_read_token_keeps_the_one_that_is_there(grafana_server, facts):
    address, server = grafana_server
    api = connect(address, SecretStr("glsa_right"))
    list(push(api, facts, READ))
    list(push(api, facts, None))
    assert server.datasources["scopeline-figures"]["secureJsonData"] == {"httpHeaderValue1": "Token canary-read-token"}


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda server: setattr(server, "token", "other"), ("401", "service account")),
        (lambda server: setattr(server, "role", "Editor"), ("403", "--no-datasources")),
        (lambda server: server.folders.update(x={"uid": "x", "title": "Scopeline", "version": 1}), ("409", "grafana.folder")),
    ],
)
def test_refusals_name_the_remedy_and_no_secret(pushed, grafana_server, spoil, says):
    spoil(grafana_server[1])
    with pytest.raises(Refused) as refused:
        pushed()
    assert all(word in str(refused.value) for word in says) and "canary" not in str(refused.value)
    assert "glsa" not in str(refused.value)


def test_an_editor_can_push_without_data_sources(pushed, grafana_server):
    grafana_server[1].role = "Editor"
    assert not [what for what, _ in pushed(with_datasources=False) if what == "data source"]
    assert not grafana_server[1].datasources


def test_no_server_is_said_with_its_remedy(facts):
    with pytest.raises(Refused, match=r"folder Scopeline: .*grafana\.url"):
        list(push(connect("http://127.0.0.1:1", SecretStr("glsa_right")), facts, READ))


@pytest.fixture
def folder(tmp_path, grafana_server):
    """A plant folder whose plant.yaml names the server and a token file."""
    (tmp_path / "sources").mkdir()
    settings = {
        "organisation": "Works",
        "sites": [{"site": "works", "timezone": "Europe/Berlin"}],
        "influxdb": {"url": "http://influxdb:8086", "org": "works", "bucket": "works"},
        "grafana": {"url": grafana_server[0], "token_file": "token"},
    }
    with (tmp_path / "plant.yaml").open("w") as file:
        YAML().dump(settings, file)
    (tmp_path / "token").write_text("glsa_right\n")
    return tmp_path


def test_command_pushes_and_says_what_it_did(folder, grafana_server, monkeypatch):
    monkeypatch.setenv("SCOPELINE_INFLUXDB_READ_TOKEN", "canary-read-token")
    first = CliRunner().invoke(app, ["grafana", "push", "--plant", str(folder)])
    assert first.exit_code == 0 and "dashboard Live plant: made" in first.stdout, first.output
    again = CliRunner().invoke(app, ["grafana", "push", "--plant", str(folder), "--json"])
    assert {step["state"] for step in json.loads(again.stdout)} == {"same"}
    assert "canary" not in first.output + again.output and "glsa" not in first.output + again.output
    assert grafana_server[1].datasources["scopeline-readings"]["jsonData"]["dbName"] == "works_readings"


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        (lambda folder: (folder / "token").unlink(), 2, "grafana.token_file: token cannot be read"),
        (lambda folder: (folder / "token").write_text("wrong"), 1, "401"),
        (
            lambda folder: (folder / "plant.yaml").write_text("organisation: x\nsites: [{site: w, timezone: UTC}]\n"),
            2,
            "no `grafana:`",
        ),
        (lambda folder: (folder / "plant.yaml").write_text("organisation: x\n"), 1, "scopeline check"),
    ],
)
def test_command_refuses_with_a_remedy(folder, change, code, says):
    change(folder)
    done = CliRunner().invoke(app, ["grafana", "push", "--plant", str(folder)])
    assert done.exit_code == code and says in done.stderr, done.output


def test_an_installation_without_the_cluster_profile_is_told_what_it_lacks(folder, monkeypatch):
    monkeypatch.delitem(sys.modules, "scopeline.cluster.grafana", raising=False)
    monkeypatch.delattr(cluster, "grafana", raising=False)
    monkeypatch.setitem(sys.modules, "grafana_client", None)
    done = CliRunner().invoke(app, ["grafana", "push", "--plant", str(folder)])
    assert done.exit_code == 2 and "scopeline[cluster]" in done.stderr, done.output


def test_token_from_the_environment_wins(folder, monkeypatch):
    (folder / "token").write_text("wrong")
    monkeypatch.setenv("SCOPELINE_GRAFANA_TOKEN", "glsa_right")
    assert CliRunner().invoke(app, ["grafana", "push", "--plant", str(folder), "--dry-run"]).exit_code == 0


def test_a_real_server_takes_it_and_keeps_it(grafana_server, facts):
    """SCOPELINE_TEST_GRAFANA=http://host:3000, SCOPELINE_TEST_GRAFANA_TOKEN of an Admin's service account; else the one here."""
    address = os.environ.get("SCOPELINE_TEST_GRAFANA", grafana_server[0])
    api = connect(address, SecretStr(os.environ.get("SCOPELINE_TEST_GRAFANA_TOKEN", "glsa_right")))
    list(push(api, facts, READ))
    assert set(states(push(api, facts, READ)).values()) == {"same"}
