"""Runs a piece of work in a process of its own and says what it cost."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple


class Cost(NamedTuple):
    """What a process used: user and system processor seconds, peak resident memory, wall clock."""

    cpu_s: float
    peak_mb: float
    wall_s: float


class Failed(Exception):
    """A measured process ended with an error; the text is what it said."""


def run(arguments: Sequence[str]) -> Cost:
    """Run this Python with arguments to its end. Raises Failed with its last words."""
    begun = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read().decode(errors="replace")
    cost = wait(process, begun)
    if process.returncode:
        raise Failed(said.strip()[-2000:] or f"exit code {process.returncode}")
    return cost


def wait(process: subprocess.Popen[bytes], begun: float) -> Cost:
    """Wait for a process that ends by itself and read its own usage (not that of other children)."""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Cost(
        used.ru_utime + used.ru_stime,
        used.ru_maxrss / (1 if sys.platform == "linux" else 1024) / 1024,
        time.perf_counter() - begun,
    )
