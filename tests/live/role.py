"""One process of a test cluster: `scopeline run --role ...` or `archive --follow`, to be killed, paused, and asked how it is."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
from live_gauge import PATIENCE, until

ROOT = Path(__file__).resolve().parents[2]
SESSION = 6
"""Seconds without a sign of life after which the group gives a worker's partitions to others."""
LAUNCHER = [sys.executable, str(Path(__file__).with_name("launcher.py"))]


class Role:
    """Starts at once. `limits`: see launcher.py; `environment` of a start holds for that start only."""

    def __init__(self, plant: Path, role: str, log: Path, limits: dict[str, Any], environment: dict[str, str]) -> None:
        self.plant, self.role, self.log = plant, role, log
        self._begin = 0
        self.start(limits, **environment)

    def start(self, limits: dict[str, Any] | None = None, **environment: str) -> "Role":
        self._begin = len(self.said()) if self.log.exists() else 0
        given = {"session": SESSION, **(limits or {})}
        run = ["run", "--profile", "cluster", "--role", self.role, "--port", "0"]
        if self.role == "archive":
            run = ["archive", "--follow", "--metrics-port", "0"]
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                [*LAUNCHER, json.dumps(given), *run, "--plant", str(self.plant)],
                cwd=ROOT,
                stdout=out,
                stderr=out,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            )
        return self

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def code(self) -> int | None:
        """The exit code, None while it runs; negative: the signal that killed it."""
        return self._process.poll()

    def wait(self, timeout: float = PATIENCE) -> int:
        return self._process.wait(timeout)

    def signal(self, number: int) -> None:
        if self.code is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self._process.wait(PATIENCE)

    def stop(self, timeout: float = PATIENCE) -> int:
        self.signal(signal.SIGTERM)
        return self._process.wait(timeout)

    def pause(self) -> None:
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    @property
    def asleep(self) -> bool:
        """Whether it is stopped by SIGSTOP."""
        return re.search(r"State:\tT", Path(f"/proc/{self.pid}/status").read_text()) is not None

    # what it says --------------------------------------------------------------------------------------------------------
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def said_now(self) -> str:
        """Since the last start."""
        return self.said()[self._begin :]

    def ready(self, timeout: float = 2 * PATIENCE) -> "Role":
        """Wait until it says that all is well."""
        well = False

        def over() -> bool:
            nonlocal well
            well = self.asked("readyz")[0] == 200
            return well or self.code is not None

        until(over, timeout)
        assert well, self.said()[-3000:]
        return self

    @property
    def address(self) -> str:
        """Where it serves health, metrics and more; empty until it says so."""
        found = re.findall(r"(http://127.0.0.1:\d+)/(?:readyz|api/docs|metrics)", self.said_now())
        return found[-1] if found else ""

    def asked(self, page: str) -> tuple[int, str]:
        """Status and text of /readyz or /metrics; 0 while nobody answers."""
        address = self.address
        try:
            answer = httpx.get(f"{address}/{page}", timeout=30) if address else None
        except httpx.HTTPError:
            return 0, ""
        return (answer.status_code, answer.text) if answer else (0, "")

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels; 0 while it is not told."""
        lines = re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", self.asked("metrics")[1], re.MULTILINE)
        return sum(map(float, lines))

    def memory(self) -> float:
        """MB of memory that it holds."""
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        return int(found[1]) / 1000 if found else 0.0
