"""The systemd units: hardened, restarted by exit code, secrets by credential; and systemd itself reads them without complaint."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

SYSTEMD = Path(__file__).parents[2] / "deploy" / "systemd"
MOST_EXPOSED = 2.0
"""Of systemd's own scale: 10 is a service without any protection."""


def test_units_are_those_of_the_roles(units: dict[str, Any]):
    assert set(units) == {
        "scopeline-ingest@.service",
        "scopeline-process@.service",
        "scopeline-archive.service",
        "scopeline-console.service",
    }


def test_exit_codes_are_acted_on(units: dict[str, Any]):
    for name, unit in units.items():
        service = unit["Service"]
        assert service["Restart"] == "on-failure" and service["RestartPreventExitStatus"] == "2", name
        assert service["TimeoutStopSec"] == "15" and unit["Unit"]["StartLimitIntervalSec"] == "0", name
        assert unit["Unit"]["PartOf"] == "scopeline.target" and unit["Install"]["WantedBy"] == "scopeline.target", name


def test_secrets_are_credentials_with_least_rights(units: dict[str, Any]):
    held = {name: re.findall(r"^(\w+):", unit["Service"].get("LoadCredential", ""), re.MULTILINE) for name, unit in units.items()}
    assert held["scopeline-ingest@.service"] == ["mqtt_password"]
    assert held["scopeline-process@.service"] == ["influxdb_token"]
    for name, unit in units.items():
        assert "-%d:/run/secrets" in unit["Service"]["BindReadOnlyPaths"].split(), name
        assert not re.search(r"PASSWORD|TOKEN", unit["Service"].get("Environment", "")), name


@pytest.fixture
def real(tmp_path: Path) -> list[Path]:
    """The units with an instance where they are templates, and a command that exists on this machine."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not here")
    (tmp_path / "scopeline.target").write_text((SYSTEMD / "scopeline.target").read_text())
    found = []
    for path in sorted(SYSTEMD.glob("*.service")):
        unit = tmp_path / path.name.replace("@.", "@0.")
        unit.write_text(path.read_text().replace("/opt/scopeline/bin/scopeline", "/bin/true"))
        found.append(unit)
    return found


def test_systemd_reads_them(real: list[Path]):
    target = real[0].parent / "scopeline.target"
    done = subprocess.run(["systemd-analyze", "verify", target, *real], capture_output=True, text=True, timeout=300)
    ours = [line for line in done.stderr.splitlines() if "scopeline" in line]
    assert done.returncode == 0 and not ours, done.stderr


def test_systemd_finds_little_exposure(real: list[Path]):
    for unit in real:
        done = subprocess.run(["systemd-analyze", "security", "--offline=true", unit], capture_output=True, text=True, timeout=90)
        exposure = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
        assert exposure, done.stdout + done.stderr
        assert float(exposure[1]) <= MOST_EXPOSED, f"{unit.name}: {exposure[1]}"
