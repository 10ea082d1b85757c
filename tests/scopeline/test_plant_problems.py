"""What cannot be read in a plant folder: every problem at once, with file, line, key and remedy, nothing secret shown."""

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scopeline.plant import load
from scopeline.plant.documents import parse


def folder(place: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text, encoding="utf-8")
    return place


def found(place: Path, **files: str) -> list[tuple[str, int | None, str]]:
    """(file, line, key) of every problem of a plant folder with these files."""
    return [(problem.file, problem.line, problem.key) for problem in load(folder(place, files))[1]]


def test_there_is_no_plant(tmp_path):
    for place in (tmp_path, tmp_path / "nowhere"):
        plant, [problem] = load(place)
        assert plant is None and "scopeline init" in problem.remedy and problem.file == "plant.yaml"


def test_all_problems_at_once_each_with_its_line(tmp_path):
    files = {
        "plant.yaml": "organisation: A\nsites:\n  - site: A B\n    timezone: UTC\n    timezoen: x\n    share: 40\n",
        "feeds/a.yaml": "feeds:\n  - feed: a\n    decoder: json\n    channels:\n      - channel: x\n        kind: count\n"
        "        unit: 3\n  - decoder: json\n",
        "sources/b.yaml": "source: b\nsource: c\n",
        "prices.csv": "currency,year,per_usd,citation\nEUR,2024,x,c\n\nEUR,MMXXIV,1,c\n",
    }
    assert found(tmp_path, **files) == [
        ("feeds/a.yaml", 6, "feeds[0].channels[0].kind"),
        ("feeds/a.yaml", 7, "feeds[0].channels[0].unit"),
        ("feeds/a.yaml", 8, "feeds[1].feed"),
        ("plant.yaml", 3, "sites[0].site"),
        ("plant.yaml", 5, "sites[0].timezoen"),
        ("plant.yaml", 6, "sites[0].share"),
        ("prices.csv", 2, "per_usd"),
        ("prices.csv", 4, "year"),
        ("sources/b.yaml", 1, "site"),
        ("sources/b.yaml", 1, "scope"),
        ("sources/b.yaml", 1, "category"),
        ("sources/b.yaml", 1, "measured_by"),
        ("sources/b.yaml", 2, "source"),
    ]


@pytest.mark.parametrize(
    ("text", "message", "remedy"),
    [
        ("chanels: []", "unknown key chanels", "did you mean channels?"),
        ("feed: 4711", "is a number but must be text", 'quote it: "4711"'),
        ("feed: 007", "is a number but must be text", 'quote it: "007"'),
        ("feed: true", "is a true/false value but must be text", 'quote it: "true"'),
        ("observed_at: 5", "5 is not allowed", "write one of: received_at"),
        ("observed_at: [a]", "has the wrong form", "write received_at or a map with path and format"),
        ("observed_at: received", "'received' is not allowed", "did you mean received_at?"),
        ("accept: {behind: 400}", "400 is no duration", "like 15m"),
        ("channels: {a: 1}", "is no list", "write a list"),
        ("channels:", "is empty", "write a value, or remove the key"),
        ("channels: [a]", "is no map of keys", "write keys and values"),
        ("csv: {delimiter: ';;'}", "is too long", "at most 1"),
        ("csv: {header: 'no'}", "is neither true nor false", "without quotes"),
        ("meters: csv", "'csv' is not allowed", "write one of: table"),
    ],
)
def test_what_is_wrong_and_what_to_do(tmp_path, text, message, remedy):
    base = "" if text.startswith("feed:") else "feed: a\n"
    files = {
        "plant.yaml": "organisation: A\nsites: [{site: a, timezone: UTC}]\n",
        "feeds/a.yaml": f"{base}decoder: json\n{text}\n",
    }
    plant, [problem] = load(folder(tmp_path, files))
    assert plant is None and problem.severity == "error"
    assert message in problem.message and remedy in problem.remedy
    assert problem.line == (2 if text.startswith("feed:") else 3)


@pytest.mark.parametrize(
    "text",
    [
        "a: [1",
        "a: 1\n b: 2",
        "a: *nothing",
        "a: !tag x",
        "a: 1\n---\nb: 2",
        "\ta: 1",
        "a: &x {b: *x}",
        "- a",
        "x",
        "a: 'b",
        "{a: 1}}",
        "? [a]\n: b",
    ],
)
def test_broken_yaml_is_a_problem_not_a_crash(tmp_path, text):
    files = {"plant.yaml": "organisation: A\nsites: [{site: a, timezone: UTC}]\n", "feeds/a.yaml": text}
    plant, problems = load(folder(tmp_path, files))
    assert plant is None and problems
    assert all(problem.file == "feeds/a.yaml" and problem.line and problem.remedy for problem in problems)


def test_aliases_cannot_blow_up():
    bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    started = time.process_time()
    assert "too many values" in parse(bomb).flaws[0].message
    assert time.process_time() - started < 5


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60))
def test_any_text_is_a_document_or_flaws(text):
    document = parse(text)
    assert document.flaws or document == parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("currency;year;per_usd;citation\n", "not separated by commas"),
        ("currency,year,per_usd,citation,rate\n", "unknown column rate"),
        ("currency,year,citation\n", "column per_usd is missing"),
        ("currency,year,year,per_usd,citation\n", "stands twice"),
        ("currency,year,per_usd,citation\nEUR,2024,1,a,b\n", "has 5 cells"),
        ('currency,year,per_usd,citation\nEUR,2024,1,"a\n', "no readable CSV"),
    ],
)
def test_broken_csv(tmp_path, text, message):
    files = {"plant.yaml": "organisation: A\nsites: [{site: a, timezone: UTC}]\n", "prices.csv": text}
    plant, problems = load(folder(tmp_path, files))
    assert plant is None and any(message in problem.message and problem.file == "prices.csv" for problem in problems)


def test_files_that_nobody_reads_are_named(tmp_path):
    files = {
        "plant.yaml": "organisation: A\nsites: [{site: a, timezone: UTC}]\n",
        "feed/a.yaml": "x",
        "source.yaml": "x",
        "README.md": "x",
    }
    folder(
        tmp_path,
        files | {".scopeline/a.yaml": "x", "secrets/b.yaml": "x", "feeds/.swp.yaml": "x", "feeds/deep/c.yml": "feeds: []"},
    )
    plant, problems = load(tmp_path)
    assert plant is not None
    assert [(problem.severity, problem.file, problem.remedy) for problem in problems] == [
        ("warning", "feed/a.yaml", "did you mean feeds/?"),
        ("warning", "source.yaml", "did you mean sources/?"),
    ]


def test_a_file_that_is_no_text(tmp_path):
    folder(tmp_path, {"plant.yaml": "organisation: A\nsites: [{site: a, timezone: UTC}]\n"})
    (tmp_path / "feeds").mkdir()
    (tmp_path / "feeds/a.yaml").write_bytes(b"feed: \xff\xfe")
    plant, [problem] = load(tmp_path)
    assert plant is None and "UTF-8" in problem.message


@pytest.mark.parametrize(
    "text",
    [
        "brokers: {a: {host: h, password: canary-secret}}",
        "brokers: {a: {host: h, token: canary-secret}}",
        "influxdb: {url: u, org: o, bucket: b, token: canary-secret}",
        "brokers: {a: {host: h, api_key: [canary-secret]}}",
        "brokers: {a: {host: h, password_file: 271828}}",
        "password: canary-secret",
    ],
)
def test_secrets_must_not_stand_here_and_are_never_shown(tmp_path, text):
    plant, problems = load(folder(tmp_path, {"plant.yaml": f"organisation: A\nsites: [{{site: a, timezone: UTC}}]\n{text}\n"}))
    assert plant is None and len(problems) == 1
    shown = json.dumps(problems) + str(problems[0])
    assert "canary" not in shown and "271828" not in shown
    assert "file" in problems[0].remedy or "quote" in problems[0].remedy
