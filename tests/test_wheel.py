"""The wheel alone, in an empty environment, is the whole product: data inside, no need of the source tree or test libraries."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("schemas", "ingest", "processors", "sinks", "grafana", "scopeline")
GENERATED = {".pyc", ".pyo"}

MESSAGES = """
import json, sys
from datetime import UTC, datetime, timedelta
from scopeline.demo.messages import messages
start = datetime(2026, 3, 2, 6, tzinfo=UTC)
with open(sys.argv[1], "w") as out:
    for publish in messages(start, start + timedelta(hours=2), timedelta(minutes=1)):
        line = {"topic": publish.topic, "payload": publish.payload, "received_at": publish.at.isoformat()}
        out.write(json.dumps(line) + chr(10))
"""


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command outside the source tree, without the surroundings of this environment."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "COV", "PYTEST")) and k != "VIRTUAL_ENV"}
    done = subprocess.run([str(c) for c in command], cwd=cwd, env=clean, capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("wheel")
    run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        to,
        ROOT,
        cwd=to,
    )
    found = list(to.glob("scopeline-*-py3-none-any.whl"))
    assert len(found) == 1
    return found[0]


def test_wheel_holds_all_files_of_the_rooms_and_nothing_else(wheel: Path):
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    tree = {f.relative_to(ROOT).as_posix() for room in ROOMS for f in (ROOT / room).rglob("*") if f.is_file()}
    tree = {name for name in tree if Path(name).suffix not in GENERATED}
    assert inside == tree
    for needed in (
        *(f"{room}/py.typed" for room in ROOMS),
        "scopeline/demo/plant/plant.yaml",
        "scopeline/demo/telemetry/steel_2018_quarter_hours.csv.gz",
        "scopeline/demo/telemetry/ORIGIN.md",
    ):
        assert needed in inside
    assert any(name.startswith("processors/factors/data/") for name in inside)


def test_wheel_names_what_it_needs(wheel: Path):
    with zipfile.ZipFile(wheel) as packed:
        metadata = packed.read(next(n for n in packed.namelist() if n.endswith(".dist-info/METADATA"))).decode()
        licence = [n for n in packed.namelist() if n.endswith("/licenses/LICENSE")]
    assert "License-Expression: Apache-2.0" in metadata and licence
    assert "Requires-Python: <3.15,>=3.11" in metadata
    required = [line for line in metadata.splitlines() if line.startswith("Requires-Dist:") and "extra ==" not in line]
    assert len(required) > 8
    assert not [line for line in required if any(tool in line for tool in ("pytest", "mypy", "ruff", "hypothesis", "playwright"))]


@pytest.mark.slow
def test_wheel_alone_computes_the_demo(wheel: Path, tmp_path: Path):
    home = tmp_path / "empty"
    venv.create(home, with_pip=True)
    bin_ = home / ("Scripts" if sys.platform == "win32" else "bin")
    run(bin_ / "python", "-m", "pip", "install", "--quiet", wheel, cwd=tmp_path)
    assert "compute" in run(bin_ / "scopeline", "--help", cwd=tmp_path)
    assert "--speed" in run(bin_ / "scopeline", "demo", "--help", cwd=tmp_path)
    where = run(bin_ / "python", "-c", "import scopeline.demo as d; print(d.__path__[0])", cwd=tmp_path).strip()
    assert where.startswith(str(home))
    run(bin_ / "python", "-c", MESSAGES, tmp_path / "messages.ndjson", cwd=tmp_path)
    given = ("--plant", Path(where) / "plant", "--messages", tmp_path / "messages.ndjson", "--out", tmp_path / "figures.csv")
    run(bin_ / "scopeline", "compute", *given, "--interval", "1h", "--strict", cwd=tmp_path)
    lines = (tmp_path / "figures.csv").read_text().splitlines()
    assert len(lines) > 10
    scopes = {line.split(",")[lines[0].split(",").index("scope")] for line in lines[1:]}
    assert {"1", "2", "3"} <= scopes
