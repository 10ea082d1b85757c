"""Whatever a user mistypes: the right exit code, a sentence on standard error with what to write, and never a traceback."""

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scopeline import cli
from scopeline.cli import COMMANDS, app, options

MARCH = ("--from", "2026-03-29", "--to", "2026-03-30")
AT = "2026-03-29T05:04"

MISUSE = [
    # arguments, what standard error must hold
    (("export", *MARCH, "--out", "x.pdf"), ".csv, .parquet, .xlsx, .json"),
    (("export", *MARCH, "--out", "."), "is a folder"),
    (("export", *MARCH, "--out", "/dev/null", "--format", "csv"), "is a device or a pipe"),
    (("export", *MARCH, "--out", "nowhere/x.csv"), "there is no folder nowhere"),
    (("export", "--from", "2026-13", "--to", "2027", "--out", "x.csv"), "--from '2026-13' is no time"),
    (("export", "--from", "2026-04", "--to", "2026-03", "--out", "x.csv"), "--from 2026-04 is not before --to 2026-03"),
    (("export", *MARCH, "--out", "x.csv", "--interval", "2h"), "--interval '2h' is not known"),
    (("export", *MARCH, "--out", "x.csv", "--group-by", "colour"), "--group-by 'colour' is not known"),
    (("export", *MARCH, "--out", "x.csv", "--where", "site=nowhere"), "Sites are: duisburg"),
    (("export", *MARCH, "--out", "x.csv", "--where", "source=boilr"), "Sources are: boiler, trucks, works-power"),
    (("export", *MARCH, "--out", "x.csv", "--where", "category=cat_16"), "where: category='cat_16'"),
    (("export", *MARCH, "--out", "x.csv", "--where", "site"), "Write column=value"),
    (("export", *MARCH, "--out", "x.csv", "--basis", "best"), "--basis 'best' is not known"),
    (("export", *MARCH, "--out", "x.csv", "--csv-dialect", "de"), "plain, excel-de"),
    (("compute", "--messages", ".", "--out", "x.csv"), "'.' is a directory"),
    (("compute", "--messages", "nothing", "--out", "x.csv"), "does not exist"),
    (("compute", "--messages", "m.ndjson", "--out", "."), "is a folder"),
    (("compute", "--messages", "m.ndjson", "--out", "x.csv", "--csv-dialect", "de"), "plain, excel-de"),
    (("compute", "--messages", "m.ndjson", "--out", "x.csv", "--interval", "7m"), "--interval '7m' is not known"),
    (("compute", "--messages", "m.ndjson", "--out", "x.csv", "--where", "source=boilr"), "There is no source 'boilr'"),
    (("readings", "duisburg/main:power", "--from", "yesterday"), "--from 'yesterday' is no time"),
    (("messages", "--from", "2026-04", "--to", "2026-03"), "--from 2026-04 is not before --to 2026-03"),
    (("messages", "--topic", "a/#/b"), "'#' must be the last level"),
    (("trace", "--source", "boilr", "--at", AT), "Sources are: boiler, trucks, works-power"),
    (("trace", "--source", "boiler", "--at", "noon"), "--at 'noon' is no time"),
    (("trace", "--source", "boiler", "--at", AT, "--basis", "both"), "location, market"),
    (("trace", "--source", "boiler", "--at", AT, "--case", "."), "not empty"),
    (("trace", "--source", "boiler", "--at", AT, "--case", "m.ndjson/case"), "--case m.ndjson/case: cannot be written"),
    (("quarantine", "list", "--feed", "nothing"), "Feeds are: diesel, gas, main, silent"),
    (("quarantine", "list", "--reason", "bad"), "malformed"),
    (("quarantine", "redrive", "--feed", "nothing"), "Feeds are: diesel, gas, main, silent"),
    (("quarantine", "redrive", "1", "--feed", "gas"), "not both"),
    (("quarantine", "show", "first"), "integer"),
    (("import", "m.ndjson", "--feed", "nothing"), "Feeds are"),
    (("import", "nothing.csv", "--feed", "gas"), "does not exist"),
    (("try", "nothing", "--topic", "a", "--payload", "m.ndjson"), "Feeds are"),
    (("try", "--topic", "a"), "--payload"),
    (("try", "--topic", "a", "--payload", "nothing"), "No such file"),
    (("replay", "--from", "2026-04", "--to", "2026-03"), "--from 2026-04 is not before --to 2026-03"),
    (("token", "create", "a", "--role", "admin", "--expires", "90d"), "read (see everything)"),
    (("token", "create", "a", "--role", "read", "--expires", "soon"), "like 15m"),
    (("run", "--port", "70000"), "65535"),
    (("run", "--role", "ingest"), "belongs to the cluster profile"),
]
FINDINGS = [
    (("run", "--profile", "cluster"), "plant.yaml lacks kafka:"),
    (("readings", "duisburg/main:nothing"), "Meters are"),
    (("readings", "duisburg/main:power", "--from", "2020", "--to", "2021"), "no readings from 2020 to 2021"),
    (("trace", "--source", "boiler", "--at", "2026-03-30T10:00"), "the last before begins at 2026-03-29"),
    (("quarantine", "show", "1"), "scopeline quarantine list"),
    (("quarantine", "redrive", "99999"), "scopeline quarantine list"),
    (("import", "garbage.csv", "--feed", "gas"), "is no text"),
    (("import", "lines.csv", "--feed", "gas"), "is no table"),
    (("try", "--topic", "nobody/reads", "--payload", "m.ndjson"), "no feed matches"),
    (("token", "revoke", "nobody"), "scopeline token list"),
]


@pytest.fixture
def run(plant_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.ndjson").write_text("no json\n")
    (tmp_path / "garbage.csv").write_bytes(bytes(range(256)))
    (tmp_path / "lines.csv").write_text("all\nof\nthis\n")

    def runs(*arguments: str, plant: Path = plant_dir):
        return CliRunner().invoke(app, [*arguments, "--plant", str(plant)], terminal_width=200)

    return runs


@pytest.mark.parametrize(("arguments", "says"), MISUSE)
def test_misuse(run, arguments, says):
    done = run(*arguments)
    assert isinstance(done.exception, SystemExit) and done.exit_code == 2, done.output
    assert says in " ".join(done.stderr.replace("│", " ").split()), done.stderr
    assert not done.stdout


@pytest.mark.parametrize(("arguments", "says"), FINDINGS)
def test_findings(run, arguments, says):
    done = run(*arguments)
    assert isinstance(done.exception, SystemExit) and done.exit_code == 1, done.output
    assert says in done.stderr and "/api/" not in done.stderr.replace("and /api/v1/quarantine", "")


def test_every_command_without_a_plant_folder_says_how_to_get_one(run, tmp_path):
    needed = {
        "compute": ("--messages", "m.ndjson", "--out", "x.csv"),
        "export": (*MARCH, "--out", "x.csv"),
        "import": ("m.ndjson", "--feed", "gas"),
        "readings": ("a/b:c",),
        "replay": MARCH,
        "trace": ("--source", "a", "--at", AT),
        "try": ("--topic", "a", "--payload", "m.ndjson"),
    }
    without = {"demo", "init", "factors", "bench"}
    asked = [
        (name, *needed.get(name, ()))
        for name in COMMANDS
        if name not in {*without, "grafana", "quarantine", "token", "feeds", "meters"}
    ]
    asked += [
        ("feeds", "propose"),
        ("meters", "propose"),
        ("quarantine", "list"),
        ("quarantine", "show", "1"),
        ("quarantine", "redrive"),
        ("token", "list"),
    ]
    asked += [("grafana", "push"), ("grafana", "write", str(tmp_path / "out"))]
    assert len(asked) > 12
    for arguments in asked:
        done = run(*arguments, plant=tmp_path)
        assert done.exit_code == 2, (arguments, done.output)
        assert f"There is no plant.yaml in {tmp_path}" in done.stderr and "scopeline init DIR" in done.stderr, arguments


def test_a_fresh_plant_has_no_data_and_gets_none_by_looking(run, tmp_path):
    folder = tmp_path / "works"
    assert CliRunner().invoke(app, ["init", str(folder)]).exit_code == 0
    for arguments in [
        ("doctor",),
        ("messages",),
        ("quarantine", "list"),
        ("replay", *MARCH),
        ("export", *MARCH, "--out", "x.csv"),
    ]:
        done = run(*arguments, plant=folder)
        assert done.exit_code == 1 and "There is no data in" in done.stderr, arguments
    assert not (folder / ".scopeline").exists()


def test_the_system_s_refusal_is_one_line(monkeypatch, capsys):
    def full(**_):
        raise OSError(28, "No space left on device", "/full/file")

    monkeypatch.setattr(cli, "app", full)
    assert cli.command() == 1 and capsys.readouterr().err.startswith("/full/file: No space left on device. ")


def test_an_unknown_command_is_misuse():
    assert "No such command" in CliRunner().invoke(app, ["nonsense"]).stderr


def test_help_names_groups_and_knows_short_options():
    said = CliRunner().invoke(app, ["-h"], terminal_width=200).stdout
    assert {"quarantine", "token", "factors"} <= {line.replace("│", "").split()[0] for line in said.splitlines() if "│" in line}
    assert CliRunner().invoke(app, ["--version"]).stdout.startswith("scopeline")
    for line in CliRunner().invoke(app, ["export", "--help"], terminal_width=80).stdout.splitlines():
        assert len(line) <= 80


def test_colours_only_on_a_terminal_that_wants_them(monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert options.coloured() and "\x1b" in options.marked("error", options.coloured())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not options.coloured() and options.marked("error", options.coloured()) == "error"


def test_how_the_command_is_called_here(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "bin" / "scopeline")])
    monkeypatch.setattr(options.shutil, "which", lambda name: None)
    assert options.myself() == str(tmp_path / "bin" / "scopeline")
    monkeypatch.setattr(options.shutil, "which", lambda name: "/usr/bin/scopeline")
    assert options.myself() == "scopeline"
