"""Runs a piece of work in a process of its own and says what it cost."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import IO, NamedTuple


class Cost(NamedTuple):
    """What a process used: user and system processor seconds, peak resident memory, wall clock."""

    cpu_s: float
    peak_mb: float
    wall_s: float


class Failed(Exception):
    """A measured process ended with an error; the text is what it said."""


def run(arguments: Sequence[str]) -> tuple[Cost, str]:
    """Run this Python with arguments to its end: its cost and what it printed. Raises Failed with its last words."""
    begun = time.perf_counter()
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as printed:
        process = subprocess.Popen([sys.executable, *arguments], stdout=printed, stderr=said)
        cost = wait(process, begun)
        if process.returncode:
            raise Failed(last_words(said) or f"exit code {process.returncode}")
        printed.seek(0)
        return cost, printed.read().decode()


def wait(process: subprocess.Popen[bytes], begun: float) -> Cost:
    """Wait for a process that ends by itself and read its own usage (not that of other children)."""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    peak_kb = used.ru_maxrss if sys.platform == "linux" else used.ru_maxrss / 1024
    return Cost(used.ru_utime + used.ru_stime, peak_kb / 1024, time.perf_counter() - begun)


def last_words(said: IO[bytes]) -> str:
    """The end of what a process wrote on standard error."""
    said.seek(0)
    return said.read().decode(errors="replace").strip()[-2000:]
