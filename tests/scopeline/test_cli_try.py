"""`scopeline try`: readings as JSON lines, reasons on standard error, exit codes."""

import json

import pytest
from typer.testing import CliRunner

from scopeline.cli import app

PLANT = """
organisation: Acme
sites:
  - {site: duisburg, timezone: Europe/Berlin}
"""
FEEDS = """
feeds:
  - feed: press
    topic: "acme/{device}/SENSOR"
    decoder: json
    site: duisburg
    observed_at: {path: "$.t"}
    channels:
      - {channel: energy, value: "$.e", unit: kWh, kind: counter, scale: 10}
  - {feed: gas, topic: acme/gas, decoder: plain, site: duisburg, channels: [{channel: gas, unit: m3, kind: counter}]}
"""
TOPIC = "acme/p7/SENSOR"


@pytest.fixture
def run(tmp_path):
    (tmp_path / "feeds").mkdir()
    (tmp_path / "plant.yaml").write_text(PLANT)
    (tmp_path / "feeds/all.yaml").write_text(FEEDS)

    def call(*arguments, payload='{"t": "2026-05-01T12:00:00", "e": 81234.50}', plant=tmp_path):
        (tmp_path / "payload").write_text(payload)
        put = [str(tmp_path / "payload") if one == "FILE" else one for one in arguments]
        return CliRunner().invoke(app, ["try", *put, "--plant", str(plant)], input=payload)

    return call


def test_a_reading_as_stated(run):
    found = run("--topic", TOPIC, "--payload", "FILE")
    assert found.exit_code == 0, found.output
    assert '"value": 81234.50' in found.stdout
    assert json.loads(found.stdout) == {
        "meter": "duisburg/p7:energy",
        "channel": "energy",
        "observed_at": "2026-05-01T10:00:00Z",
        "value": 81234.5,
        "unit": "kWh",
        "kind": "counter",
        "quality": "good",
        "native": "e",
    }
    assert f"{TOPIC}: read by feed press" in found.stderr


def test_standard_input_and_fractions(run):
    found = run(
        "press", "--topic", TOPIC, "--payload", "-", payload='{"t": "2026-05-01T10:00:00.250Z", "e": 0.12345678901234567891}'
    )
    assert '"value": 0.12345678901234567891' in found.stdout and '"observed_at": "2026-05-01T10:00:00.25Z"' in found.stdout
    assert "read by" not in found.stderr


def test_the_window_counts_only_with_an_arrival(run):
    old = '{"t": "2001-05-01T10:00:00Z", "e": 1}'
    assert run("--topic", TOPIC, "--payload", "FILE", payload=old).exit_code == 0
    found = run("--topic", TOPIC, "--payload", "FILE", "--received-at", "2026-05-01T10:00:00Z", payload=old)
    assert found.exit_code == 1 and "too_old" in found.stderr and not found.stdout


@pytest.mark.parametrize(
    ("arguments", "payload", "word"),
    [
        (
            ("--topic", "other", "--payload", "FILE"),
            "1",
            "no feed matches the topic; feeds and their topics are: press (acme/{device}",
        ),
        (
            ("gas", "--topic", TOPIC, "--payload", "FILE"),
            "1",
            "no feed matches the topic; feeds and their topics are: gas (acme/gas)",
        ),
        (("--topic", TOPIC, "--payload", "FILE"), "{", "malformed: is no JSON"),
        (("--topic", TOPIC, "--payload", "FILE"), '{"t": "2026-05-01T10:00:00Z"}', "no_value: there is no value at e"),
        (("--topic", TOPIC, "--payload", "FILE"), '{"t": "now", "e": 1}', 'no_time: the stamp says "now"'),
        (("--topic", "acme/gas", "--payload", "FILE"), "12,5", 'no_value: value says "12,5"'),
    ],
)
def test_no_reading_says_why(arguments, payload, word, run):
    found = run(*arguments, payload=payload)
    assert found.exit_code == 1 and word in found.stderr and not found.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--topic", TOPIC),
        ("--payload", "FILE"),
        ("--topic", TOPIC, "--payload", "/nowhere"),
        ("none", "--topic", TOPIC, "--payload", "FILE"),
        ("--topic", TOPIC, "--payload", "FILE", "--received-at", "soon"),
        ("--topic", TOPIC, "--payload", "FILE", "--messages", "FILE"),
    ],
)
def test_misuse(arguments, run):
    assert run(*arguments).exit_code == 2


def test_no_plant_is_misuse(run, tmp_path):
    assert run("--topic", TOPIC, "--payload", "FILE", plant=tmp_path / "nowhere").exit_code == 2


def test_a_message_file(run):
    line = {"topic": "acme/gas", "payload": "12.50", "received_at": "2026-05-01T10:00:00Z"}
    lines = [json.dumps(line), json.dumps({**line, "payload": "on"}), "{}", json.dumps({**line, "topic": "x"})]
    found = run("--messages", "FILE", payload="\n".join(lines))
    assert found.exit_code == 0 and len(found.stdout.splitlines()) == 1
    for word in ("line 3: topic is missing", "line 2: acme/gas: feed gas:", "line 4: x: no feed matches"):
        assert word in found.stderr
