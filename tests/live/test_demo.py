"""The demo as a user starts it: a process, real MQTT, figures of all three scopes, and a clean end."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]

SCOPELINE = [sys.executable, "-c", "from scopeline.cli import main; main()"]
FIRST_FIGURE_WITHIN = 240.0
"""Seconds: a minute on a machine that does nothing else, and the reserve of one that runs other tests meanwhile."""
PRICED = {"gwangyang-electricity", "mill-electricity", "boiler-house", "fork-lifts", "chiller", "freight", "waste"}
"""Sources of all three scopes, each of which happens within a day."""


def ask(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*SCOPELINE, *arguments, "--plant", str(folder)], capture_output=True, text=True, timeout=180)


def figures(folder: Path, out: Path) -> list[dict]:
    """Figures of the last days by source, from the running demo; empty while it starts."""
    today = datetime.now(UTC).date()
    days = ["--from", str(today - timedelta(days=2)), "--to", str(today + timedelta(days=2))]
    done = ask(folder, "export", *days, "--interval", "all", "--format", "json", "--out", str(out))
    return json.loads(out.read_text()) if done.returncode == 0 else []


def test_demo_shows_all_scopes_and_stops_cleanly(tmp_path: Path, free_port: Callable[[], int]):
    folder = tmp_path / "demo"
    ports = ["--port", str(free_port()), "--mqtt-port", str(free_port())]
    begun = time.monotonic()
    demo = subprocess.Popen(
        [*SCOPELINE, "demo", "--dir", str(folder), *ports, "--no-browser", "--speed", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        priced: dict[str, int] = {}
        while time.monotonic() - begun < FIRST_FIGURE_WITHIN and not set(priced) >= PRICED:
            assert demo.poll() is None, demo.stdout and demo.stdout.read()
            time.sleep(1)
            priced = {row["source"]: row["scope"] for row in figures(folder, tmp_path / "figures.json") if row["co2e_kg"]}
        assert set(priced) >= PRICED, f"only {priced} after {FIRST_FIGURE_WITHIN:.0f} s"
        waiting = json.loads(ask(folder, "quarantine", "list", "--json").stdout)
        assert not waiting, waiting
        demo.send_signal(signal.SIGINT)
        said, _ = demo.communicate(timeout=180)
        assert demo.returncode == 0, said
        assert "Ctrl-C stops it." in said and "Stopped." in said
        assert "Traceback" not in said and "Traceback" not in (folder / "service.log").read_text()
        assert figures(folder, tmp_path / "after.json"), "the figures stay when nothing runs"
    finally:
        if demo.poll() is None:  # SIGTERM, so that it takes its service down with it
            demo.terminate()
            demo.wait(180)
