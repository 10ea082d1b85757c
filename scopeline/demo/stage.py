"""Where the demo runs: its folder, its ports, and the service as a process of its own."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from importlib.resources import as_file, files
from pathlib import Path
from types import TracebackType
from typing import Self

from scopeline.remote import instance_file

MARK = "DEMO.md"
STARTS_WITHIN = 180.0
"""Seconds until it is given up: a few on a machine that does nothing else."""
STOPS_WITHIN = 60.0


class CannotStart(Exception):
    """Why the demo cannot start, and the remedy."""


def prepare(wanted: Path | None) -> Path:
    """A fresh copy of the demo's plant folder; an earlier demo in the same place is replaced, nothing else ever is."""
    folder = wanted or Path("scopeline-demo")
    try:
        if folder.exists() and any(folder.iterdir()):
            if not (folder / MARK).exists():
                raise CannotStart(f"{folder} is not empty and no demo. Name another folder with --dir.")
            if running(folder):
                raise CannotStart(f"A demo runs in {folder} already. Stop it, or name another folder with --dir.")
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if wanted:
            raise CannotStart(f"{folder} cannot be written ({error.strerror}). Name another folder with --dir.") from None
        folder = Path(tempfile.mkdtemp(prefix="scopeline-demo-"))
    with as_file(files("scopeline.demo").joinpath("plant")) as plant:
        shutil.copytree(plant, folder, dirs_exist_ok=True)
    return folder


def running(folder: Path) -> bool:
    """Whether an instance that serves this folder answers."""
    try:
        address = json.loads(instance_file(folder).read_text())["address"]
        host, port = address.rpartition("/")[2].rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=1):
            return True
    except (OSError, ValueError, KeyError):
        return False


def port(wanted: int | None, usual: int) -> int:
    """The port that was asked for, else the usual one, else a free one when that is taken."""
    if wanted is not None:
        return wanted
    for candidate in (usual, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise CannotStart("No port is free on 127.0.0.1.")


class Service:
    """`scopeline run` on the demo's folder, from `with` to its end; what it says goes to service.log in the folder."""

    def __init__(self, folder: Path, console: int, mqtt: int) -> None:
        self.folder, self.log = folder, folder / "service.log"
        self._arguments = ["run", "--plant", str(folder), "--port", str(console), "--mqtt-port", str(mqtt)]

    def __enter__(self) -> Self:
        command = [sys.executable, "-c", "from scopeline.cli import main; main()", *self._arguments]
        with self.log.open("wb") as log:
            # a session of its own: Ctrl-C reaches only the demo, which then stops the service in order
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def _wait_until_ready(self) -> None:
        until = time.monotonic() + STARTS_WITHIN
        while not running(self.folder):
            if self.ended() or time.monotonic() > until:
                raise CannotStart(f"The service did not start: {self.last_words()}")
            time.sleep(0.1)

    def ended(self) -> bool:
        return self._process.poll() is not None

    def last_words(self) -> str:
        """The end of the service's log."""
        return self.log.read_text(errors="replace").strip()[-1500:] or f"it said nothing in {STARTS_WITHIN:.0f} s"

    def stop(self) -> None:
        """Ask the service to end, and wait for it."""
        if not self.ended():
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(STOPS_WITHIN)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
