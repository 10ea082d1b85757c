"""export, readings, messages, quarantine and token as commands: with a running instance and without, the same answers."""

import csv
import hashlib
import json
import stat
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from scopeline.cli import app
from scopeline.export import keep
from scopeline.remote import Failed, announce, connect, instance_file
from scopeline.remote import running as find
from scopeline.service.local import LocalHost

MARCH = ("--from", "2026-03-29", "--to", "2026-03-30")


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def export(plant_dir, out, *more):
    return run("export", "--plant", plant_dir, *MARCH, "--out", out, *more)


@pytest.mark.parametrize("form", ["csv", "parquet", "xlsx", "json"])
def test_running_or_not_the_file_is_the_same_to_the_byte(plant_dir, host, running, tmp_path, form):
    with_instance, without = tmp_path / f"a.{form}", tmp_path / f"b.{form}"
    assert export(plant_dir, with_instance, "--interval", "1h").exit_code == 0
    host.log.close()
    instance_file(plant_dir).unlink()
    assert export(plant_dir, without, "--interval", "1h").exit_code == 0
    assert with_instance.read_bytes() == without.read_bytes() != b""
    metas = [json.loads((tmp_path / f"{name}.{form}.meta.json").read_text()) for name in "ab"]
    for meta, file in zip(metas, (with_instance, without), strict=True):
        assert meta.pop("file") == file.name and meta.pop("generated_at")
        assert meta["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert metas[0] == metas[1]


@pytest.mark.parametrize("interval", ["base", "1h"])
def test_parquet_has_the_types_of_the_contract(plant_dir, tmp_path, interval):
    """Times UTC microseconds, scope a small integer, numbers Float64, the rest text."""
    out = tmp_path / "a.parquet"
    assert export(plant_dir, out, "--interval", interval).exit_code == 0
    found = pl.read_parquet(out).schema
    numbers = {name for name in found if name.endswith(("_kg", "_pct", "_share", "_years")) or name in ("activity", "coverage")}
    assert len(numbers) == 17
    for name, dtype in found.items():
        want = pl.Datetime("us", "UTC") if name.startswith("interval_") else pl.Float64 if name in numbers else pl.String
        assert dtype == (pl.Int8 if name == "scope" else want), name


def test_the_meta_file_says_what_an_auditor_asks(plant_dir, tmp_path):
    out = tmp_path / "march.csv"
    assert export(plant_dir, out, "--where", "scope=2", "--basis", "market", "--consolidated").exit_code == 0
    meta = json.loads((tmp_path / "march.csv.meta.json").read_text())
    asked = {"from": "2026-03-29", "to": "2026-03-30", "interval": "1d", "group_by": "site,source,scope,category"}
    assert meta["arguments"] == {**asked, "where": "scope=2", "basis": "market", "consolidated": "true"}
    assert meta["log_position"] == 198 and len(meta["configuration"]) == 64 and meta["gwp"] == "AR6"
    assert meta["consolidation"] == {"approach": "operational_control", "shares_applied": True, "shares": {"duisburg": "1"}}
    assert meta["rows"] == 1 and meta["status"] == {"provisional": 1} and 0.5 < meta["coverage"]["mean"] < 0.6
    assert meta["range"] == {"duisburg": ["2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"]} and meta["units"]["activity"]
    assert meta["time_zones"] == {"duisburg": "Europe/Berlin"}


def test_totals_agree_over_intervals_and_groups(plant_dir, tmp_path):
    sums = set()
    for interval in ("base", "15m", "1h", "1d", "1mo", "1y", "all"):
        out = tmp_path / f"{interval}.csv"
        assert export(plant_dir, out, "--interval", interval, "--basis", "location").exit_code == 0
        rows = list(csv.DictReader(out.open(newline="")))
        sums.add(round(sum(float(row["co2e_kg"] or 0) for row in rows), 6))
    assert sums == {91.2648}
    tags = tmp_path / "tags.csv"
    assert export(plant_dir, tags, "--group-by", "tag_line", "--where", "tag_line=L1", "--basis", "location").exit_code == 0
    (row,) = csv.DictReader(tags.open(newline=""))
    assert row["tag_line"] == "L1" and row["co2e_kg"] == "48" and row["period"] == "2026-03-29"


def test_csv_for_a_german_excel(plant_dir, tmp_path):
    out = tmp_path / "a.csv"
    assert export(plant_dir, out, "--group-by", "scope", "--csv-dialect", "excel-de").exit_code == 0
    assert ";43,2648;" in out.read_text()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--interval", "2h"), "interval"),
        (("--where", "site=nowhere"), "nowhere"),
        (("--format", "pdf"), "format"),
        (("--csv-dialect", "x"), "dialect"),
    ],
)
def test_misuse_is_exit_2_with_the_remedy_and_no_file(plant_dir, tmp_path, more, says):
    out = tmp_path / "a.csv"
    done = export(plant_dir, out, *more)
    assert done.exit_code == 2 and says in done.output and list(tmp_path.glob("a.csv*")) == []


def test_places_that_cannot_be_written(plant_dir, tmp_path):
    assert export(plant_dir, tmp_path / "no" / "a.csv").exit_code == 2
    assert export(plant_dir, tmp_path / "noending").exit_code == 2
    assert run("export", "--plant", tmp_path, *MARCH, "--out", tmp_path / "a.csv").exit_code == 2  # no plant folder


def test_a_failed_export_leaves_the_old_file(plant_dir, tmp_path, monkeypatch):
    out = tmp_path / "a.csv"
    assert export(plant_dir, out).exit_code == 0
    before = out.read_bytes()

    def breaks(self, *_):
        yield from ()
        raise OSError("disk full")

    monkeypatch.setattr("scopeline.service.figures.Figures.__iter__", breaks)
    assert export(plant_dir, out).exit_code != 0
    assert out.read_bytes() == before and len(list(tmp_path.glob("*a.csv*"))) == 2


def test_a_download_that_breaks_off_is_no_file(tmp_path):
    part = tmp_path / "part"
    part.write_bytes(b"half of it")
    with pytest.raises(Failed, match="whole"):
        keep(part, tmp_path / "a.csv", {"sha256": hashlib.sha256(b"all of it").hexdigest()})
    assert not (tmp_path / "a.csv").exists()
    keep(part, tmp_path / "a.csv", {"sha256": hashlib.sha256(b"half of it").hexdigest(), "file": "figures.csv"})
    assert json.loads((tmp_path / "a.csv.meta.json").read_text())["file"] == "a.csv"


def both(plant_dir, host, *arguments):
    """The output of a command with an instance and, after it has gone, without."""
    first = run(*arguments, "--plant", plant_dir)
    host.log.close()
    instance_file(plant_dir).unlink()
    second = run(*arguments, "--plant", plant_dir)
    assert first.exit_code == second.exit_code, first.output + second.output
    return first.output, second.output


def test_readings(plant_dir, host, running):
    one, other = both(plant_dir, host, "readings", "duisburg/main:power", *MARCH)
    assert one == other and one.splitlines()[1].startswith("2026-03-29 01:00:00 CET\t10\tkW\trate\tgood")
    assert len(one.splitlines()) == 146


def test_readings_for_programs_and_nothing_found(plant_dir):
    lines = run("readings", "duisburg/main:power", *MARCH, "--json", "--plant", plant_dir).output.splitlines()
    assert json.loads(lines[0])["observed_at"] == "2026-03-29T00:00:00Z" and len(lines) == 145
    assert run("readings", "duisburg/main:power", "--from", "2020", "--to", "2021", "--plant", plant_dir).exit_code == 1
    assert run("readings", "duisburg/none:power", "--plant", plant_dir).exit_code == 1
    assert run("readings", "duisburg/main:power", "--from", "soon", "--plant", plant_dir).exit_code == 2


def test_messages_and_compute_agree_with_export(plant_dir, host, running, tmp_path):
    one, other = both(plant_dir, host, "messages")
    assert one == other and len(one.splitlines()) == 198
    file, out = tmp_path / "messages.ndjson", tmp_path / "computed.csv"
    file.write_text(one)
    assert run("compute", "--plant", plant_dir, "--messages", file, "--out", out).exit_code == 0
    exported = tmp_path / "exported.csv"
    assert run("export", "--plant", plant_dir, *MARCH, "--interval", "base", "--out", exported).exit_code == 0
    assert out.read_bytes() == exported.read_bytes()


def test_quarantine(plant_dir, host, running):
    one, other = both(plant_dir, host, "quarantine", "list")
    assert one == other and "malformed" in one and "acme/main" in one
    place = one.splitlines()[1].split("\t")[0]
    shown = run("quarantine", "show", place, "--plant", plant_dir).output
    assert "payload_base64" in shown and "malformed" in shown
    assert json.loads(run("quarantine", "list", "--json", "--plant", plant_dir).output)[0]["reason"] == "malformed"
    assert run("quarantine", "show", "1", "--plant", plant_dir).exit_code == 1
    done = run("quarantine", "redrive", "--plant", plant_dir)
    assert done.exit_code == 1 and "scopeline run" in done.output, "what changes something needs an instance"


def test_redrive_by_the_instance(plant_dir, running):
    done = run("quarantine", "redrive", "--plant", plant_dir)
    assert done.exit_code == 1 and "1 tried, 0 read now, 1 still quarantined." in done.output
    assert run("quarantine", "redrive", "5", "--feed", "main", "--plant", plant_dir).exit_code == 2


def test_token_commands(plant_dir):
    made = run("token", "create", "power-bi", "--role", "read", "--expires", "90d", "--plant", plant_dir)
    assert made.exit_code == 0 and made.output.startswith("scl_")
    listed = run("token", "list", "--plant", plant_dir).output
    assert "power-bi" in listed and made.output.strip() not in listed
    assert json.loads(run("token", "list", "--json", "--plant", plant_dir).output)[0]["state"] == "valid"
    assert run("token", "revoke", "power-bi", "--plant", plant_dir).exit_code == 0
    assert run("token", "revoke", "power-bi", "--plant", plant_dir).exit_code == 1
    for role, expires in (("admin", "90d"), ("read", "soon"), ("read", "0d")):
        assert run("token", "create", "x", "--role", role, "--expires", expires, "--plant", plant_dir).exit_code == 2


def test_an_instance_that_was_killed_is_not_taken_for_running(plant_dir):
    announce(plant_dir, "http://127.0.0.1:9", "old")
    assert stat.S_IMODE(instance_file(plant_dir).stat().st_mode) == 0o600
    assert find(plant_dir) is None
    with connect(plant_dir) as door:
        assert not door.running and door.get("/plant")["position"] == 198


def test_another_plants_instance_at_the_same_address_is_not_ours(plant_dir, running):
    announce(plant_dir, running, "other-token")
    assert find(plant_dir) is None


def test_a_plant_folder_with_errors_or_without_data(plant_dir, tmp_path):
    (plant_dir / "plant.yaml").write_text("organisation: 1\n")
    with pytest.raises(Failed, match=r"plant\.yaml"), connect(plant_dir):
        pass
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "plant.yaml").write_text("organisation: A\nsites: [{site: a, timezone: UTC}]\n")
    with pytest.raises(Failed, match="no data"), connect(tmp_path / "new"):
        pass


def test_without_an_instance_nothing_is_changed(plant_dir):
    with connect(plant_dir) as door:
        host = door.service.host
        assert isinstance(host, LocalHost)
        with pytest.raises(Failed, match="scopeline run"):
            host.publish("a", b"1")


@pytest.mark.parametrize(
    "command",
    [
        "export",
        "readings",
        "messages",
        "trace",
        "quarantine list",
        "quarantine show",
        "quarantine redrive",
        "token create",
        "token list",
        "token revoke",
        "doctor",
    ],
)
def test_help_has_an_example(command):
    text = run(*command.split(), "--help").output
    assert "Example" in text and f"scopeline {command.split()[0]}" in text


def test_no_temporary_files_stay(plant_dir, tmp_path):
    assert export(plant_dir, tmp_path / "a.csv").exit_code == 0
    assert sorted(f.name for f in tmp_path.iterdir() if f.is_file()) == ["a.csv", "a.csv.meta.json"]
    assert not [f for f in Path(plant_dir / ".scopeline").iterdir() if f.name.startswith(".")]
