"""The scopeline command with limits of a test: `launcher.py '{"session": 6}' run ...`. Each key is a function of Limits.

Sessions and watchdogs wait for half a minute and longer in production; a test that must see them act sets them short, in this
one process and nowhere else.
"""

import functools
import itertools
import json
import os
import signal
import sys
import threading
import time
from typing import Any

from scopeline.cli import main
from scopeline.cluster import lag, membership, part, process, sweep, watchdog


class Limits:
    """What a test may change of the processing worker."""

    @staticmethod
    def session(seconds: int) -> None:
        """After how long without a sign of life the group gives the partitions to others."""
        process.SESSION_S = membership.SESSION_S = seconds
        membership.HEARTBEAT_S, process._BREATH = 1, seconds / 3

    @staticmethod
    def commit(seconds: float) -> None:
        """How long a commit may take."""
        process.COMMIT_MS = membership.COMMIT_MS = round(seconds * 1000)

    @staticmethod
    def watchdog(limits: dict[str, float]) -> None:
        """hangs, stalls: seconds."""
        process.Watchdog = functools.partial(watchdog.Watchdog, **limits)
        lag.EVERY = 1.0

    @staticmethod
    def measured(seconds: float) -> None:
        """How often the lag is measured."""
        lag.EVERY = seconds

    @staticmethod
    def sweep(seconds: float) -> None:
        """How often an hour of the store is compared."""
        sweep.EVERY = seconds

    @staticmethod
    def sleeps(at: str) -> None:
        """The process stops itself (SIGSTOP) where it passes this failpoint (`name@n`: the n-th time), until it is resumed."""
        name, _, n = at.partition("@")
        visits = itertools.count(1)

        def passing(point: str) -> None:
            if point == name and next(visits) == int(n or 1):
                os.kill(os.getpid(), signal.SIGSTOP)

        part.failpoint = passing

    @staticmethod
    def deaf(after: int) -> None:
        """The library fetches nothing of any partition any more, without a word, once so many records have come."""

        class Deaf(membership.KafkaConsumer):  # type: ignore[misc]  # the library has no types
            came = 0

            def poll(self, *given: Any, **named: Any) -> Any:
                found = super().poll(*given, **named)
                self.came += sum(map(len, found.values()))
                if self.came >= after:
                    self.pause(*self.assignment())
                return found

        membership.KafkaConsumer = Deaf


def orphaned(parent: int) -> None:
    """Ends the process when the test that started it is gone."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGKILL)


threading.Thread(target=orphaned, args=(os.getppid(),), daemon=True).start()
for name, value in json.loads(sys.argv.pop(1)).items():
    getattr(Limits, name)(value)
main()
