"""What the deployment tests look at: compose.yaml, the built overlays of Kubernetes, the systemd units, parsed."""

import configparser
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
OVERLAYS = ("example", "keda", "tryout")


@pytest.fixture(scope="session")
def compose() -> dict[str, Any]:
    """compose.yaml with anchors and merges resolved."""
    return YAML(typ="safe", pure=True).load((ROOT / "deploy" / "compose.yaml").read_text())


@pytest.fixture(scope="session")
def overlays() -> dict[str, list[dict[str, Any]]]:
    """Overlay -> its objects, as `kubectl kustomize` gives them: nothing is connected to."""
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not here: https://kubernetes.io/docs/tasks/tools")
    built = {}
    for name in OVERLAYS:
        place = ROOT / "deploy" / "kubernetes" / "overlays" / name
        done = subprocess.run(["kubectl", "kustomize", place], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{name}: {done.stderr}"
        built[name] = [one for one in YAML(typ="safe", pure=True).load_all(done.stdout) if one]
    return built


class Unit(configparser.RawConfigParser):
    """A unit file: keys keep their case; one that repeats keeps every value, a line each."""

    def __init__(self) -> None:
        super().__init__(strict=False, delimiters=("=",), comment_prefixes=("#", ";"), dict_type=dict, interpolation=None)

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def read_unit(path: Path) -> Unit:
    lines, section, seen = [], "", {}
    for line in path.read_text().splitlines():
        if line.startswith("["):
            section = line
        key = line.split("=", 1)[0] if "=" in line and not line.startswith("#") else ""
        if key and (section, key) in seen:
            lines[seen[section, key]] += "\n " + line.split("=", 1)[1]
            continue
        if key:
            seen[section, key] = len(lines)
        lines.append(line)
    unit = Unit()
    unit.read_string("\n".join(lines))
    return unit


@pytest.fixture(scope="session")
def units() -> dict[str, Unit]:
    """Service file -> its sections."""
    return {path.name: read_unit(path) for path in sorted((ROOT / "deploy" / "systemd").glob("*.service"))}
