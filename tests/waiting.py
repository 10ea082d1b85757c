"""Waiting for what another thread, process or server does."""

import time
from collections.abc import Callable
from typing import Any

PATIENCE = 90.0
"""Seconds: no promise, but what a loaded machine may need for anything."""


def until(true: Callable[[], Any], seconds: float = PATIENCE, *, every: float = 0.01) -> Any:
    """Wait for something: what it says once it is true, or what it says last. It is asked at least once."""
    end = time.monotonic() + seconds
    while not (found := true()) and time.monotonic() < end:
        time.sleep(every)
    return found
