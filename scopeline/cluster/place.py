"""A folder for the state of one worker: several workers on one machine take one each, and the next start finds it again."""

import fcntl
from pathlib import Path
from typing import IO


class Place:
    """The first folder `<base>/<n>` that no living process holds. Held until `release` or the end of the process."""

    def __init__(self, base: Path) -> None:
        self._lock: IO[str] | None = None
        number = 0
        while self._lock is None:
            self.folder = base / str(number)
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = _held(self.folder / "lock")
            number += 1

    def release(self) -> None:
        if self._lock:
            self._lock.close()
            self._lock = None


def _held(file: Path) -> IO[str] | None:
    opened = file.open("a")
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        opened.close()
        return None
    return opened
