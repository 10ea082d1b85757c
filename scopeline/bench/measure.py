"""Runs a piece of work in a process of its own and says what it cost."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self


class Cost(NamedTuple):
    """What a process used: user and system processor seconds, peak resident memory, wall clock."""

    cpu_s: float
    peak_mb: float
    wall_s: float


class Failed(Exception):
    """A measured process ended with an error; the text is what it said."""


class Measured:
    """This Python with arguments, as a process that is measured from `with` on; its texts are kept. `defaults`: what its
    environment says where ours says nothing."""

    def __init__(self, arguments: Sequence[str], defaults: Mapping[str, str] | None = None) -> None:
        self._arguments, self._environment = arguments, {**(defaults or {}), **os.environ}

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="scopeline-bench-")
        self._place = Path(self._folder.name)
        launch = [sys.executable, "-m", "scopeline.bench.launch", str(self._place / "result"), *self._arguments]
        with (self._place / "out").open("wb") as out, (self._place / "err").open("wb") as err:
            self._begun = time.perf_counter()
            self._process = subprocess.Popen(launch, stdout=out, stderr=err, env=self._environment, start_new_session=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait()
        self._folder.cleanup()

    def end(self, within: float | None = None) -> tuple[int, Cost]:
        """Wait for the process to end by itself: exit code and cost. Failed when it does not end in that time."""
        try:
            self._process.wait(within)
        except subprocess.TimeoutExpired:
            raise Failed(f"the process did not end within {within:.0f} s") from None
        wall = time.perf_counter() - self._begun
        code, cpu, peak = json.loads((self._place / "result").read_text())
        return code, Cost(cpu, peak / 1024 if sys.platform == "linux" else peak / 1024**2, wall)

    def interrupt(self) -> None:
        """What Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)

    def printed(self) -> str:
        return (self._place / "out").read_text()

    def last_words(self) -> str:
        """The end of what it wrote on standard error."""
        return (self._place / "err").read_text(errors="replace").strip()[-2000:]


def run(arguments: Sequence[str], defaults: Mapping[str, str] | None = None) -> tuple[Cost, str]:
    """Run this Python with arguments to its end: its cost and what it printed. Raises Failed with its last words."""
    with Measured(arguments, defaults) as process:
        code, cost = process.end()
        if code:
            raise Failed(process.last_words() or f"exit code {code}")
        return cost, process.printed()
