"""Runs one process and writes what it used: `python -m scopeline.bench.launch RESULT ARGUMENTS...` starts this Python with them.

A process of its own, and a small one: the peak memory that a system reports of a process counts that of whoever started it (on
Linux ru_maxrss outlives exec), so a large parent would be measured in place of its child. SIGINT is passed on, SIGTERM kills.
"""

import json
import os
import signal
import sys


def main(result: str, arguments: list[str]) -> None:
    """Run to the end; result: JSON of exit code, processor seconds and ru_maxrss."""
    child = os.posix_spawn(sys.executable, [sys.executable, *arguments], os.environ)
    signal.signal(signal.SIGINT, lambda *_: os.kill(child, signal.SIGINT))
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGKILL))
    _, status, used = os.wait4(child, 0)
    with open(result, "w") as file:
        json.dump([os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss], file)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
