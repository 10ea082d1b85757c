"""Secrets of compose.yaml: strong, private, made once; and what `make up` says where no engine is."""

import importlib.util
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "deploy" / "container" / "make_secrets.py"
UP = ROOT / "deploy" / "container" / "up.sh"


@pytest.fixture(scope="module")
def make_secrets() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_secrets", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def contents(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.iterdir()}


def test_secrets_are_strong_private_and_all_different(tmp_path: Path):
    folder = tmp_path / "new" / "secrets"
    done = subprocess.run([sys.executable, SCRIPT, folder], capture_output=True, text=True, umask=0)
    assert done.returncode == 0, done.stderr
    found = contents(folder)
    wanted = YAML(typ="safe").load((ROOT / "deploy" / "compose.yaml").read_text())["secrets"]
    assert set(wanted) <= set(found), "compose.yaml names secrets that nobody makes"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    values = [text.strip() for name, text in found.items() if name not in ("mosquitto_passwords", "mosquitto_sub")]
    assert len(values) >= 7 and len(set(values)) == len(values) and all(len(value) >= 43 for value in values)
    assert not [value for value in values if value in done.stdout + done.stderr], "a secret was printed"
    assert [line.split(":")[0] for line in found["mosquitto_passwords"].splitlines()] == ["scopeline", "sensors", "health"]
    assert not [value for value in values if value in found["mosquitto_passwords"]], "the broker's file holds hashes"


def test_what_is_there_is_kept_and_the_brokers_file_follows_its_passwords(tmp_path: Path, make_secrets: ModuleType):
    make_secrets.make(tmp_path)
    before = contents(tmp_path)
    assert make_secrets.make(tmp_path) == [] and contents(tmp_path) == before
    (tmp_path / "mqtt_password").unlink()
    assert set(make_secrets.make(tmp_path)) == {"mqtt_password", "mosquitto_passwords", "mosquitto_sub"}
    after = contents(tmp_path)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"mqtt_password", "mosquitto_passwords"}


def run(*arguments: str | Path, path: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/bash", UP, *arguments], capture_output=True, text=True, timeout=300, env={**os.environ, "PATH": path}
    )


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder with what the script needs, without docker."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("dirname", "mkdir", "cat"):
        (folder / tool).symlink_to(shutil.which(tool))
    (folder / "python3").symlink_to(sys.executable)
    return folder


def docker(tools: Path, text: str) -> None:
    (tools / "docker").write_text(f"#!/bin/bash\n{text}\n")
    (tools / "docker").chmod(0o755)


def test_up_names_what_is_missing_and_what_to_do(tools: Path, tmp_path: Path):
    plant = ROOT / "deploy" / "example" / "plant"
    wrong = run("up", tmp_path, path=str(tools))
    assert wrong.returncode == 1 and "no plant.yaml" in wrong.stderr and "Remedy: make up PLANT=" in wrong.stderr
    bare = run("up", plant, path=str(tools))
    assert bare.returncode == 1 and "no docker command" in bare.stderr and "make stack-up" in bare.stderr
    docker(tools, "exit 1")
    assert "no compose plugin" in run("up", plant, path=str(tools)).stderr
    docker(tools, '[ "$1" = compose ]')
    assert "no Docker engine answers" in run("up", plant, path=str(tools)).stderr
    assert "make down: no Docker engine answers" in run("down", path=str(tools)).stderr
    assert run(path=str(tools)).returncode == 2


def test_up_and_down_call_compose(tools: Path, tmp_path: Path):
    """With an engine that only notes what it is asked; in a copy of deploy/, so that no secrets appear in the checkout."""
    copy = tmp_path / "deploy"
    shutil.copytree(ROOT / "deploy", copy, ignore=shutil.ignore_patterns("secrets"))
    notes = tmp_path / "notes"
    docker(tools, f'echo "$PLANT: $*" >> {notes}')
    plant = tmp_path / "plant"
    shutil.copytree(ROOT / "deploy" / "example" / "plant", plant)
    script = ["/bin/bash", copy / "container" / "up.sh"]
    clean = {"PATH": str(tools), "HOME": str(tmp_path)}
    up = subprocess.run([*script, "up", plant], capture_output=True, text=True, timeout=300, env=clean)
    assert up.returncode == 0, up.stderr
    assert (plant / ".scopeline").is_dir() and (copy / "secrets" / "mqtt_password").exists()
    for secret in (copy / "secrets").glob("*"):
        assert secret.read_text().strip() not in up.stdout + up.stderr
    asked = notes.read_text().splitlines()
    started = next(line for line in asked if " up --detach" in line)
    assert started.startswith(f"{plant}: compose --file {copy}/compose.yaml up")
    waited = set(re.search(r"--wait-timeout \d+ (.*)", started)[1].split())
    assert waited == {"mosquitto", "kafka", "influxdb", "grafana", "ingest", "process", "archive", "console"}
    assert "http://127.0.0.1:8090" in up.stdout and "127.0.0.1:1883" in up.stdout
    down = subprocess.run([*script, "down"], capture_output=True, text=True, timeout=300, env=clean)
    assert down.returncode == 0 and " down --remove-orphans" in notes.read_text()
    assert "--volumes" not in notes.read_text(), "down keeps the data"


def test_the_container_is_small_and_has_no_rights():
    recipe = (ROOT / "deploy" / "container" / "Containerfile").read_text()
    stages = re.findall(r"^FROM (\S+)", recipe, re.MULTILINE)
    assert len(stages) == 2 and set(stages) == {"python:${PYTHON_VERSION}-slim-bookworm"}
    assert re.search(r"^ARG PYTHON_VERSION=3\.1[1-4]\.\d+$", recipe, re.MULTILINE)
    last = recipe.rpartition("\nFROM ")[2]
    assert re.search(r"^USER 10001:10001$", last, re.MULTILINE) and "HEALTHCHECK" in last and "apt-get" not in recipe
    copied = set(re.findall(r"^COPY (\w+) \w+$", recipe, re.MULTILINE))
    packages = re.search(r"^packages = \[(.+)\]", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
    assert copied == set(re.findall(r'"(\w+)"', packages)), "the rooms of the wheel"
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert sent == copied | {"pyproject.toml", "README.md", "LICENSE"}
    assert "*" in (ROOT / ".dockerignore").read_text().splitlines()
