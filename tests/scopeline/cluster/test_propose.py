"""Proposals of feeds and rows: what samples show, and never more."""

import json
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from schemas.frames import MESSAGES, shaped
from schemas.plant import Plant
from scopeline.check import check
from scopeline.cli import app
from scopeline.cluster.propose import propose
from scopeline.cluster.propose_rows import missing_rows
from scopeline.plant import load

AT = "2026-03-01T10:00:00Z"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "works"
    (place / "feeds").mkdir(parents=True)
    (place / "plant.yaml").write_text("organisation: A\nsites: [{site: duisburg, timezone: Europe/Berlin}]\n")
    return place


def plant(folder: Path) -> Plant:
    found, problems = load(folder)
    assert found, problems
    return found


def heard(*messages: tuple[str, str | bytes]) -> pl.DataFrame:
    rows = [{"topic": topic, "payload": said.encode() if isinstance(said, str) else said} for topic, said in messages]
    frame = pl.DataFrame(rows).with_row_index("message")
    at = pl.lit(AT).str.to_datetime(time_unit="us", time_zone="UTC")
    return shaped(frame.with_columns(received_at=at, retained=pl.lit(False), broker=pl.lit(None, dtype=pl.String)), MESSAGES)


STATE = json.dumps({"ts": 1772359200, "energy_kwh": 100.5, "temp": 21.5, "ok": True, "name": "x"})
TASMOTA = json.dumps({"Time": "2026-03-01T10:00:00", "ENERGY": {"Total": 1.5, "Power": 30}})


def test_topics_become_patterns_with_captures(folder: Path):
    found, unread = propose(heard(*((f"acme/duisburg/p{n}/state", STATE) for n in range(3))), plant(folder))
    (one,) = found
    assert not unread and one.problem is None and one.readings == 6 and one.messages == 3
    assert one.topic == "acme/{site}/{device}/state"
    assert 'observed_at: {path: "$.ts", format: epoch_s}' in one.text
    assert 'channel: energy_kwh, value: "$.energy_kwh", unit: kWh, kind: counter' in one.text
    line = next(line for line in one.text.splitlines() if "temp" in line)
    assert "unit:" not in line.split("#")[0] and "say unit: and kind:" in line, "units are never guessed"
    assert "$.ok" not in one.text and "$.name" not in one.text


def test_formats_are_recognised_by_the_decoders(folder: Path):
    found, unread = propose(
        heard(
            ("tele/p1/SENSOR", TASMOTA),
            ("shellies/s1/relay/0/energy", "1234"),
            ("plain/p1/power_w", "41.5"),
            ("list/x", json.dumps([{"net_kg": 3.5, "t": AT}])),
            ("words", "hello"),
            ("empty", ""),
            ("binary", b"\xff\xfe\x00"),
        ),
        plant(folder),
    )
    assert {one.feed: one.problem for one in found} == {"tasmota": None, "shelly": None, "plain-p1-power-w": None, "list-x": None}
    assert 'each: "$[*]"' in next(one.text for one in found if one.feed == "list-x")
    assert {one.topic for one in unread} == {"words", "empty", "binary"}


def test_what_a_feed_reads_is_not_proposed_again(folder: Path):
    sample = heard(("acme/duisburg/p1/state", STATE), ("$SYS/load", "1"), ("acme/skipped", "1"))
    (one,), _ = propose(sample.filter(pl.col("topic") != "acme/skipped"), plant(folder))
    (folder / "feeds" / "own.yaml").write_text(one.text.replace("channels:", 'skip: ["acme/skipped"]\nchannels:'))
    assert propose(sample, plant(folder)) == ([], [])


def test_proposals_pass_check_and_never_overwrite(folder: Path):
    file = folder / "heard.ndjson"
    rows = [("acme/duisburg/p1/state", STATE), ("acme/duisburg/p2/state", STATE), ("tele/p1/SENSOR", TASMOTA)]
    file.write_text("\n".join(json.dumps({"topic": t, "payload": p, "received_at": AT}) for t, p in rows))
    words = ["feeds", "propose", "--plant", str(folder), "--messages", str(file)]
    shown = CliRunner().invoke(app, words)
    assert shown.exit_code == 0 and not list((folder / "feeds").iterdir()), "writes nothing unless told to"
    (folder / "feeds" / "tasmota.yaml").write_text("# mine\n")
    done = CliRunner().invoke(app, [*words, "--write"])
    assert done.exit_code == 0 and "feeds/tasmota.yaml: is there already" in done.output
    assert (folder / "feeds" / "tasmota.yaml").read_text() == "# mine\n"
    _, problems = check(folder)
    assert not [problem for problem in problems if problem.severity == "error"], problems
    again = CliRunner().invoke(app, [*words, "--filter", "acme/#"])
    assert again.exit_code == 1 and "none that a new feed could read" in again.output


def test_hostile_names_stay_text(folder: Path):
    key = 'a"]: {{ 7*7 }}\n- x'
    found, _ = propose(heard(("a/\x1b[31m/x", json.dumps({key: 1, "ok_kwh": 2}))), plant(folder))
    assert all("\x1b" not in line for one in found for line in one.text.splitlines() if line.startswith("#"))
    assert all("\n- x" not in one.text for one in found)


def test_rows_for_devices_that_no_row_names(folder: Path):
    (folder / "feeds" / "plugs.yaml").write_text(
        "feed: plugs\ntopic: plugs/{device}\ndecoder: json\nsite: duisburg\nmeters: table\n"
        'channels: [{channel: energy, value: "$.e", unit: kWh, kind: counter}]\n'
    )
    (folder / "meters").mkdir()
    (folder / "meters" / "m.csv").write_text("feed,device,channel,meter\nplugs,known,,duisburg/k\n")
    sample = heard(("plugs/known", '{"e": 1}'), ("plugs/new", '{"e": 2}'), ("plugs/new", '{"e": 3}'), ("plugs/broken", "x"))
    (row,) = missing_rows(sample, plant(folder))
    assert row == {"feed": "plugs", "device": "new", "meter": "duisburg/new", "site": "duisburg", "channels": "energy"}
    file = folder / "heard.ndjson"
    file.write_text(json.dumps({"topic": "plugs/new", "payload": '{"e": 2}', "received_at": AT}))
    done = CliRunner().invoke(app, ["meters", "propose", "--plant", str(folder), "--messages", str(file)])
    lines = done.stdout.splitlines()
    assert lines[1] == "plugs,new,,duisburg/new,duisburg,,,,,,,"
    with (folder / "meters" / "m.csv").open("a") as table:
        table.write("plugs,new,,duisburg/new\n")
    assert missing_rows(sample, plant(folder)) == []
