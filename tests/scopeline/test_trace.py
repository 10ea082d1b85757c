"""trace: a figure explained from its messages, and a case that computes it again."""

import csv
import json
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scopeline import offline
from scopeline.case import CaseError, messages_behind, write_case
from scopeline.catalogue import catalogue
from scopeline.cli import app
from scopeline.plant import load
from scopeline.query import QueryError

AT = "2026-03-29T05:04"  # local; the base interval from 03:00 UTC


@pytest.fixture
def trace(service):
    return lambda source, at=AT, basis=None: service.trace(source, service.source_instant(source, at), basis)


def test_the_formula_is_written_out(trace):
    found = trace("boiler")
    (figure,) = found.figures
    assert figure["formula"] == [
        "co2_kg = 5 kWh_gross x 0.18 kg CO2/kWh_gross = 0.9",
        "ch4_kg = 5 kWh_gross x 0.00001 kg CH4/kWh_gross = 0.00005",
        "co2e_kg = 0.9 x 1 (CO2) + 0.00005 x 27 (CH4) = 0.90135   [AR6]",
    ]
    assert figure["factors"][0]["citation"] == "a supplier bill" and figure["factors"][0]["version"] == figure["factor_version"]
    assert figure["gwp_values"] == {"CO2": 1, "CH4": 27} and figure["config"]


def test_the_readings_and_messages_behind_it(trace, host):
    found = trace("works-power")
    (term,) = found.terms
    assert term["amount"] == 2.5 and term["unit"] == "kWh" and term["coverage"] == 1
    assert [reading["place"] for reading in term["readings"]] == ["before", "inside", "inside", "after"]
    assert sum(step["amount"] for step in term["steps"]) == pytest.approx(2.5)
    places = [message["message"] for message in found.messages]
    assert places == [reading["message"] for reading in term["readings"]] and found.log_position == 198
    log = {row["message"]: row for row in host.store.messages_at(places).to_dicts()}
    assert all(message["payload"].encode() == log[message["message"]]["payload"] for message in found.messages)


def test_both_bases_or_one(trace):
    assert [f["basis"] for f in trace("works-power").figures] == ["location", "market", "market"]
    assert [f["component"] for f in trace("works-power", basis="market").figures] == ["residual_mix", "wind"]
    with pytest.raises(QueryError, match="location, market"):
        trace("works-power", basis="best")


def test_unpriced_says_so_and_is_not_zero(trace):
    (figure,) = trace("trucks").figures
    assert figure["co2e_kg"] is None and figure["formula"] == ["0.1 m3 without a factor: unpriced, not zero"]


def test_a_silent_interval_has_no_figure(trace):
    with pytest.raises(LookupError, match="has no figure"):
        trace("boiler", "2026-03-29T23:00")
    with pytest.raises((LookupError, QueryError), match="no source"):
        trace("nothing")


def test_the_text_obeys_no_control_characters(service, host, trace):
    at = "2026-03-29T12:15:00+00:00"
    host.take(
        [
            {
                "topic": "acme/gas",
                "payload": json.dumps({"t": at, "kwh": 745, "x": "\x1b[2J"}, ensure_ascii=False)
                .encode()
                .replace(b"\\u001b", b"\x7f"),
                "received_at": host.now(),
                "retained": False,
            }
        ]
    )
    text = trace("boiler", "2026-03-29T12:10:00Z").text()
    assert "\x7f" not in text and "\\x7f" in text
    assert "2026-03-29 14:00:00 CEST" in text and "cited: a supplier bill" in text


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.mark.parametrize("source", ["boiler", "works-power", "trucks"])
def test_a_case_computes_the_figure_again(plant_dir, tmp_path, source):
    case = tmp_path / "case"
    done = run("trace", "--plant", plant_dir, "--source", source, "--at", AT, "--case", case)
    assert done.exit_code == 0, done.output
    assert sorted(p.name for p in case.iterdir()) == ["expected.csv", "messages.ndjson", "plant"]
    out = tmp_path / "figures.csv"
    computed = run("compute", "--plant", case / "plant", "--messages", case / "messages.ndjson", "--out", out)
    assert computed.exit_code == 0, computed.output
    assert out.read_bytes() == (case / "expected.csv").read_bytes()
    all_of_it = tmp_path / "all.csv"
    assert (
        run(
            "export", "--plant", plant_dir, "--from", "2026-03-29", "--to", "2026-03-30", "--interval", "base", "--out", all_of_it
        ).exit_code
        == 0
    )
    mine = [r for r in read(out) if r["source"] == source and r["interval_start"] == "2026-03-29T03:00:00Z"]
    assert mine and mine == [
        r for r in read(all_of_it) if r["source"] == source and r["interval_start"] == mine[0]["interval_start"]
    ]


def read(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_a_case_holds_no_other_messages(service, host, trace):
    lines = messages_behind(host, trace("boiler"))
    topics = {json.loads(line)["topic"] for line in lines}
    assert topics <= {"acme/gas"} and len(lines) <= 3  # before, after, and the one that ends `provisional`


def test_readings_that_were_taken_out_are_events(host, service):
    at = host.now() + timedelta(hours=1)
    rows = []
    for n, kwh in enumerate((760, 5, 770, 775)):
        t = at + timedelta(minutes=15 * n)
        payload = json.dumps({"t": t.isoformat(), "kwh": kwh}).encode()
        rows.append({"topic": "acme/gas", "payload": payload, "received_at": t + timedelta(seconds=2), "retained": False})
    host.take(rows)
    found = service.trace("boiler", at + timedelta(minutes=1), None)
    assert [event["event"] for event in found.events] == ["glitch"] and "event glitch" in found.text()
    assert [reading["value"] for reading in found.terms[0]["readings"]] == [760, 770]
    assert messages_behind(host, found)


def test_a_case_leaves_secrets_and_state_behind(plant_dir, tmp_path, service, trace, host):
    (plant_dir / "secrets").mkdir()
    (plant_dir / "secrets" / "mqtt").write_text("canary-password")
    (plant_dir / "feeds" / "link.yaml").symlink_to("/etc/hostname")
    found = trace("boiler").as_dict() | {}
    figures = json.loads(json.dumps(found["figures"], default=lambda t: t.isoformat()))
    (plant_dir / "feeds" / "link.yaml").unlink()
    write_case(messages_behind(host, trace("boiler")), figures, plant_dir, tmp_path / "case")
    names = [p.name for p in (tmp_path / "case").rglob("*")]
    assert "mqtt" not in names and "scopeline.duckdb" not in names and "plant.yaml" in names
    plant, problems = load(tmp_path / "case" / "plant")
    assert plant == load(plant_dir)[0], problems
    assert offline.load(tmp_path / "case" / "messages.ndjson", plant, catalogue()).readings >= 2


def test_a_plant_that_changed_meanwhile_is_said(plant_dir, tmp_path, host, trace):
    figures = json.loads(json.dumps(trace("boiler").figures, default=lambda t: t.isoformat()))
    lines = messages_behind(host, trace("boiler"))
    own = plant_dir / "factors" / "own.csv"
    own.write_text(own.read_text().replace("0.18", "0.19"))
    with pytest.raises(CaseError, match="another figure"):
        write_case(lines, figures, plant_dir, tmp_path / "case")


def test_case_never_writes_over_anything(plant_dir, tmp_path):
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine").write_text("x")
    done = run("trace", "--plant", plant_dir, "--source", "boiler", "--at", AT, "--case", full)
    assert done.exit_code == 2 and "not empty" in done.output and [p.name for p in full.iterdir()] == ["mine"]


def test_the_command_on_a_terminal_and_for_programs(plant_dir):
    text = run("trace", "--plant", plant_dir, "--source", "boiler", "--at", AT).output
    assert "co2e_kg = 0.9 x 1 (CO2)" in text and "before 2026-03-29 05:00:00 CEST  560 kWh_gross" in text
    found = json.loads(run("trace", "--plant", plant_dir, "--source", "boiler", "--at", AT, "--json").output)
    assert found["figures"][0]["co2e_kg"] == 0.90135
    assert run("trace", "--plant", plant_dir, "--source", "nothing", "--at", AT).exit_code == 2
    assert run("trace", "--plant", plant_dir, "--source", "boiler", "--at", "soon").exit_code == 2
