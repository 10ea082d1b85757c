"""A process that no longer gets anywhere ends with code 3; one that works is left alone."""

import subprocess
import sys
import time
from types import SimpleNamespace

from scopeline.cluster.watchdog import EXIT, Watchdog

HANGS = "import time; from scopeline.cluster.watchdog import Watchdog; w = Watchdog(hangs=0.2); w.start(); time.sleep(20)"
STALLS = (
    "from scopeline.cluster.watchdog import Watchdog; w = Watchdog(stalls=5)\n"
    "for n in range(4): w.positions({0: 3}, {0: 9}, now=2 * n)\nraise SystemExit(0)"
)


def test_a_hang_and_a_stall_end_the_process_and_say_why():
    for code, words in ((HANGS, "nothing has moved"), (STALLS, "partition 0 stands at 3")):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
        assert done.returncode == EXIT == 3
        assert words in done.stderr


def test_no_false_alarm(monkeypatch):
    said, clock = [], [0.0]
    monkeypatch.setattr("scopeline.cluster.watchdog.time", SimpleNamespace(monotonic=lambda: clock[0]))
    dog = Watchdog(hangs=0.4, stalls=10, end=said.append)
    dog.start()
    for _ in range(10):
        clock[0] += 0.3
        time.sleep(0.12)  # it looks each 0.1 s
        dog.beat()
    dog.stop()
    dog.positions({0: 3, 1: 5}, {0: 9, 1: 5}, now=0)
    for at in range(4, 24, 4):
        dog.positions({0: 3 + at, 1: 5}, {0: 99, 1: 5}, now=at)  # 0 moves, nothing waits in 1
    dog.positions({0: 23, 1: 5}, {0: 99, 1: 5}, now=60)  # it was busy elsewhere, and did not look
    dog.positions({1: 5}, {1: 5}, now=64)
    for at in (68, 72, 76):
        dog.positions({0: 23, 1: 5}, {0: 99, 1: 5}, now=at)  # 0 came back: its time begins anew
    assert said == []
    dog.positions({0: 23, 1: 5}, {0: 99, 1: 5}, now=79)
    assert said == ["partition 0 stands at 23 for 11 s while 76 records wait"]
