"""doctor: every kind of finding, and its exit code."""

import json
import socket

import pytest
from typer.testing import CliRunner

from schemas.problem import Problem
from scopeline import doctor
from scopeline.cli import app
from scopeline.service import Service


@pytest.fixture
def found(service):
    return lambda: {(f.about, f.severity): f.what for f in doctor.examine(service).findings}


def test_the_filled_plant(service):
    report = doctor.examine(service)
    said = "\n".join(f"{f.about} {f.what}" for f in report.findings)
    assert "Broker local at 127.0.0.1:1 cannot be reached" in said
    assert "main is silent since 2026-03-29 14:00:02 CEST" in said and "silent has never received a message" in said
    assert "1 message matches no feed; the last came on 'acme/other'" in said
    assert "main: 1 malformed" in said and "trucks at duisburg is unpriced" in said
    assert "gas is silent" not in said, "its messages come every 15 minutes"
    assert not report.well and all(f.remedy for f in report.findings) and report.facts["messages"] == 198


def test_a_broker_that_answers_is_no_finding(service, monkeypatch, found):
    with socket.create_server(("127.0.0.1", 0)) as server:
        brokers = service.plant.settings.brokers
        local = brokers["local"].model_copy(update={"port": server.getsockname()[1]})
        monkeypatch.setitem(brokers, "local", local)
        assert ("broker", "error") not in found()


def test_problems_of_the_plant_folder(host, found):
    host.problems = [
        Problem("error", "plant.yaml", 3, "sites", "is wrong", "Correct it"),
        Problem("note", "a", None, "b", "c", "d"),
    ]
    assert found()["plant", "error"] == "plant.yaml:3: sites: is wrong" and ("plant", "note") in found()


def test_not_running_and_nothing_can_be_stored(host, found, monkeypatch):
    monkeypatch.setattr(type(host), "running", False)

    class Worker:
        problem = "nothing can be stored: disk full"

    class Inbox:
        waiting = 20_000

    host.worker, host.inbox = Worker(), Inbox()
    findings = found()
    assert "No instance runs" in findings["broker", "warning"] and findings["store", "error"].endswith("disk full")
    assert findings["store", "warning"].startswith("20000 messages wait")


def test_a_disk_that_is_nearly_full(found, monkeypatch):
    class Usage:
        total, used, free = 10**12, 10**12, 10**8

    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage)
    assert found()["disk", "error"].startswith("0.1 GB")


def test_old_factors(host, service):
    """A figure priced by a factor two years older than its activity."""
    host.log.write.execute("UPDATE figures SET factor_age_years = 2 WHERE source = 'boiler'")
    (one,) = [f for f in doctor.examine(service).findings if f.about == "factor"]
    assert "own/gas (2020-01-01) is 2 years older" in one.what and "factor_sets" in one.remedy


def test_exit_codes_and_json(plant_dir, host, service):
    host.log.close()
    done = CliRunner().invoke(app, ["doctor", "--plant", str(plant_dir)])
    assert done.exit_code == 1 and "No instance runs" in done.output
    report = json.loads(CliRunner().invoke(app, ["doctor", "--plant", str(plant_dir), "--json"]).output)
    assert report["well"] is False and {"severity", "about", "what", "remedy"} == set(report["findings"][0])


def test_notes_alone_are_well():
    note = doctor.Finding("note", "source", "a", "b")
    assert doctor.Report((note,), {}).well and not doctor.Report((note, doctor.Finding("warning", "x", "y", "z")), {}).well


def test_it_changes_nothing(service: Service, host):
    before = host.store.position(), host.store.meters().to_dicts()
    doctor.examine(service)
    assert before == (host.store.position(), host.store.meters().to_dicts())
