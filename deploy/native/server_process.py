"""A server as a process of this machine: a folder that holds settings, data, log and pid; start, stop, kill, pause, resume."""

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

HOST = "127.0.0.1"


class StackError(Exception):
    """A server is missing, does not start, or does not stop; the message says which, why and what to do."""


def is_free(port: int) -> bool:
    """Whether a server could listen on this port now."""
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((HOST, port))
        return True
    return False


_ports = (20_000 + (os.getpid() * 7417 + number) % 12_000 for number in itertools.count())


def free_port() -> int:
    """A TCP port that nobody listens on, below those that outgoing connections take: free again when the server restarts.

    Each is given once, and processes that start together go through them from different places: a server that is down for a
    moment keeps its port.
    """
    return next(port for port in _ports if is_free(port))


class Server(ABC):
    """One server process with its data: starts, stops, dies, pauses, and starts again on the same port and data.

    `folder` is made if it is missing; without `port` it is the folder's last one, or a free one. Errors: StackError.
    """

    name: ClassVar[str]

    def __init__(self, folder: Path | str, port: int = 0) -> None:
        self.folder = Path(folder).resolve()
        self.port = port or self._last_port() or free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @classmethod
    @abstractmethod
    def missing(cls) -> str:
        """Why this server cannot run on this machine; empty if it can."""

    @abstractmethod
    def configure(self) -> None:
        """Writes the settings; formats the data folder if it is new."""

    @abstractmethod
    def command(self) -> list[str]:
        """The process to run; its arguments name the folder, by which a foreign process with an old pid is told apart."""

    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    @abstractmethod
    def answers(self) -> bool:
        """Whether it serves requests now."""

    def prepare(self) -> None:
        """What is to be done once it answers: nothing, for most."""
        return

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def pid_file(self) -> Path:
        return self.folder / "pid"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def pid(self) -> int | None:
        """Of the running process, also when another program started it."""
        if self.process is not None and self.process.poll() is None:
            return self.process.pid
        try:
            pid = int(self.pid_file.read_text())
            return pid if str(self.folder).encode() in Path(f"/proc/{pid}/cmdline").read_bytes() else None
        except (OSError, ValueError):
            return None

    @property
    def alive(self) -> bool:
        return self.pid is not None

    def start(self, timeout: float = 180) -> "Server":
        """Starts it and returns when it answers; repeated starts keep port and data."""
        if reason := self.missing():
            raise StackError(f"{self.name}: {reason}. Run deploy/native/install.sh")
        if self.alive:
            return self
        if not is_free(self.port):
            raise StackError(f"{self.name}: another program listens on {self.address}. Stop it, or name another port")
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "port").write_text(str(self.port))
        self.configure()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.pid_file.write_text(str(self.process.pid))
        deadline = time.monotonic() + timeout
        while not (answered := self.answers()) and self.alive and time.monotonic() < deadline:
            time.sleep(0.05)
        if not answered or not self.alive:
            code = self.process.poll()
            self.kill()
            why = f"gave no answer within {timeout:.0f} s" if code is None else f"ended with {code}"
            raise StackError(f"{self.name} did not start on {self.address}: it {why}.{self.last_words()}")
        self.prepare()
        return self

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-15:] if self.log.exists() else []
        return "\n".join([f" Its log, {self.log}, ends with:", *lines])

    def signal(self, number: int) -> None:
        """Sends a signal to the process and its children."""
        if pid := self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, number)

    def stop(self, timeout: float = 45) -> None:
        """Asks it to end (SIGTERM) and waits; kills it when that takes too long."""
        self.signal(signal.SIGTERM)
        self.resume()
        if not self._gone(timeout):
            self.kill()
        self.pid_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """Ends it without notice (SIGKILL), as a power cut of the process."""
        self.signal(signal.SIGKILL)
        if not self._gone(60):
            raise StackError(f"{self.name}, process {self.pid}, does not end when killed")
        self.pid_file.unlink(missing_ok=True)

    def pause(self) -> None:
        """Holds it (SIGSTOP): connections stay open, nothing answers."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets it go on after pause()."""
        self.signal(signal.SIGCONT)

    def restart(self) -> "Server":
        self.stop()
        return self.start()

    def _last_port(self) -> int:
        try:
            return int((self.folder / "port").read_text())
        except (OSError, ValueError):
            return 0

    def _gone(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while self.alive and time.monotonic() < deadline:
            time.sleep(0.02)
        return not self.alive


def exchange(port: int, question: bytes, size: int) -> bytes:
    """What a server on this port answers first, at most `size` bytes; empty if it does not answer within two seconds."""
    try:
        with socket.create_connection((HOST, port), timeout=2) as connection:
            connection.sendall(question)
            return connection.recv(size, socket.MSG_WAITALL)
    except OSError:
        return b""
