"""Points at which a process kills itself, for tests of faults; nothing happens unless SCOPELINE_FAILPOINT names one.

`SCOPELINE_FAILPOINT=ingest:before_send` ends the process by SIGKILL where it passes that point for the first time, and
`ingest:before_send@40` at the fortieth time. Never set it in production.
"""

import os
import signal
import threading

VARIABLE = "SCOPELINE_FAILPOINT"
_passed = 0
_guard = threading.Lock()


def failpoint(name: str) -> None:
    """Called where the code passes the point `name`."""
    wanted = os.environ.get(VARIABLE)
    if not wanted:
        return
    point, _, place = wanted.partition("@")
    if point != name:
        return
    global _passed
    with _guard:
        _passed += 1
        if _passed >= int(place or 1):
            os.kill(os.getpid(), signal.SIGKILL)
