"""Starts and stops the real servers (Mosquitto, Kafka, InfluxDB) as plain processes, with the settings that deploy/ ships.

A server is a folder: its settings, data, log and pid lie in it, and whoever names the folder again can stop it.
Used by stack.py (`make stack-up`) and by the live tests. Needs only Python and what install.sh installs; Linux.
"""

import base64
import contextlib
import getpass
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import ClassVar

NATIVE = Path(__file__).resolve().parent
DEPLOY = NATIVE.parent
HOST = "127.0.0.1"
VERSIONS = dict(line.split("=") for line in (NATIVE / "versions.env").read_text().splitlines() if not line.startswith("#"))
CACHE = Path(os.environ.get("SCOPELINE_CACHE") or Path.home() / ".cache" / "scopeline")
KAFKA = CACHE / f"kafka-{VERSIONS['KAFKA_VERSION']}"
INFLUXD = CACHE / f"influxdb-{VERSIONS['INFLUXDB_VERSION']}" / "influxd"


class StackError(Exception):
    """A server is missing, does not start, or does not stop; the message says which, why and what to do."""


def free_port() -> int:
    """A TCP port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


class Server:
    """One server process with its data: starts, stops, dies, pauses, and starts again on the same port and data.

    `folder` is made if it is missing. `settings` overrides what deploy/ ships. Errors: StackError.
    """

    name: ClassVar[str]

    def __init__(self, folder: Path | str, port: int = 0) -> None:
        self.folder = Path(folder).resolve()
        self.port = port or free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @classmethod
    def missing(cls) -> str:
        """Why this server cannot run on this machine; empty if it can."""
        raise NotImplementedError

    def configure(self) -> None:
        """Writes the settings; formats the data folder if it is new."""
        raise NotImplementedError

    def command(self) -> list[str]:
        """The process to run; its arguments name the folder, by which a foreign process with an old pid is told apart."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    def answers(self) -> bool:
        """Whether it serves requests now."""
        raise NotImplementedError

    def prepare(self) -> None:
        """What is to be done once it answers."""

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
        if self.process is not None:
            return self.process.pid if self.process.poll() is None else None
        try:
            pid = int(self.pid_file.read_text())
            return pid if str(self.folder).encode() in Path(f"/proc/{pid}/cmdline").read_bytes() else None
        except (OSError, ValueError):
            return None

    @property
    def alive(self) -> bool:
        return self.pid is not None

    def start(self, timeout: float = 90) -> "Server":
        """Starts it and returns when it answers; repeated starts keep port and data."""
        if reason := self.missing():
            raise StackError(f"{self.name}: {reason}. Run deploy/native/install.sh")
        if self.alive:
            return self
        self.folder.mkdir(parents=True, exist_ok=True)
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
        while not self.answers():
            if self.process.poll() is not None:
                raise StackError(
                    f"{self.name} ended with {self.process.returncode} while starting on {self.address}.{self.last_words()}"
                )
            if time.monotonic() > deadline:
                self.kill()
                raise StackError(f"{self.name} gave no answer on {self.address} within {timeout:.0f} s.{self.last_words()}")
            time.sleep(0.05)
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
        if not self._gone(10):
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

    def _gone(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while self.alive and time.monotonic() < deadline:
            time.sleep(0.02)
        return not self.alive


class Mosquitto(Server):
    """The MQTT broker. `settings`: lines of mosquitto.conf for this one, after the shipped ones (the listener is the last)."""

    name = "mosquitto"

    def __init__(self, folder: Path | str, port: int = 0, settings: Iterable[str] = ()) -> None:
        super().__init__(folder, port)
        self.settings = tuple(settings)

    @classmethod
    def program(cls) -> str | None:
        return shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")

    @classmethod
    def missing(cls) -> str:
        return "" if cls.program() else "no command mosquitto here"

    def configure(self) -> None:
        lines = [
            f"include_dir {DEPLOY / 'mosquitto' / 'conf.d'}",
            f"persistence_location {self.folder}/",
            f"user {getpass.getuser()}",  # as root it would become the user mosquitto, who may not write here
            "log_dest stderr",
            f"listener {self.port} {HOST}",
            "allow_anonymous true",
            *self.settings,
        ]
        (self.folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")

    def command(self) -> list[str]:
        return [str(self.program()), "-c", str(self.folder / "mosquitto.conf")]

    def answers(self) -> bool:
        connect = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x05\x00\x00"
        return _exchange(self.port, connect, 4)[:1] == b"\x20"


class Kafka(Server):
    """Kafka as broker and controller in one. `settings`: of server.properties, for this one. `heap`: memory of the JVM in MB."""

    name = "kafka"

    def __init__(self, folder: Path | str, port: int = 0, settings: Mapping[str, object] | None = None, heap: int = 384) -> None:
        super().__init__(folder, port)
        self.controller_port = free_port()
        self.settings = dict(settings or {})
        self.heap = heap

    @classmethod
    def missing(cls) -> str:
        if not shutil.which("java"):
            return "no command java here"
        return "" if KAFKA.is_dir() else f"no Kafka in {KAFKA}"

    @property
    def properties(self) -> Path:
        return self.folder / "server.properties"

    def configure(self) -> None:
        place = {
            "listeners": f"PLAINTEXT://{self.address},CONTROLLER://{HOST}:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{self.address}",
            "controller.quorum.voters": f"1@{HOST}:{self.controller_port}",
            "log.dirs": self.folder / "data",
        }
        shipped = (DEPLOY / "kafka" / "server.properties").read_text()
        own = "".join(f"{key}={value}\n" for key, value in {**place, **self.settings}.items())
        self.properties.write_text(f"{shipped}\n# Of this place; the last of a name holds\n{own}")
        if not (self.folder / "data" / "meta.properties").exists():
            cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
            format_it = self._java("kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(self.properties))
            done = subprocess.run(format_it, capture_output=True, text=True, cwd=self.folder)
            if done.returncode:
                raise StackError(f"kafka: cannot format {self.folder / 'data'}: {done.stderr or done.stdout}")

    def _java(self, *arguments: str) -> list[str]:
        memory = ["-Xms64m", f"-Xmx{self.heap}m", "-XX:+UseSerialGC", "-Xshare:auto"]
        log4j = f"-Dlog4j2.configurationFile={NATIVE / 'log4j2.properties'}"
        return ["java", *memory, log4j, "-cp", f"{KAFKA}/*", *arguments]

    def command(self) -> list[str]:
        return self._java("kafka.Kafka", str(self.properties))

    def answers(self) -> bool:
        # ApiVersions, version 0, correlation 7, no client id: answered only once the broker serves requests.
        return _exchange(self.port, bytes.fromhex("0000000a 0012 0000 00000007 ffff"), 8)[4:] == b"\x00\x00\x00\x07"


class InfluxDB(Server):
    """InfluxDB 2, set up at its first start. `settings`: INFLUXD_* variables without the prefix, for this one."""

    name = "influxdb"
    org = "scopeline"
    bucket = "scopeline"

    def __init__(self, folder: Path | str, port: int = 0, settings: Mapping[str, object] | None = None) -> None:
        super().__init__(folder, port)
        self.settings = dict(settings or {})

    @classmethod
    def missing(cls) -> str:
        return "" if INFLUXD.exists() else f"no InfluxDB in {INFLUXD}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    @property
    def token_file(self) -> Path:
        return self.folder / "token"

    @property
    def token(self) -> str:
        """The operator's token: may do everything on this server."""
        return self.token_file.read_text().strip()

    def configure(self) -> None:
        if not self.token_file.exists():
            with os.fdopen(os.open(self.token_file, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(32))

    def command(self) -> list[str]:
        places = ("--engine-path", "engine", "--bolt-path", "influxd.bolt", "--sqlite-path", "influxd.sqlite")
        paths = [part if part.startswith("--") else str(self.folder / part) for part in places]
        return [str(INFLUXD), "run", "--http-bind-address", self.address, *paths]

    def environment(self) -> dict[str, str]:
        own = {f"INFLUXD_{key.upper().replace('-', '_')}": str(value) for key, value in self.settings.items()}
        return {**os.environ, "INFLUXD_CONFIG_PATH": str(DEPLOY / "influxdb" / "config.yml"), **own}

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=2) as answer:
                return json.load(answer)["status"] == "pass"
        except (OSError, ValueError):
            return False

    def prepare(self) -> None:
        """Makes organisation, bucket and token, where that was not done before."""
        setup = f"{self.url}/api/v2/setup"
        with urllib.request.urlopen(setup, timeout=10) as answer:
            if not json.load(answer)["allowed"]:
                return
        first = {
            "username": "scopeline",
            "password": secrets.token_urlsafe(16),
            "org": self.org,
            "bucket": self.bucket,
            "token": self.token,
        }
        request = urllib.request.Request(setup, json.dumps(first).encode(), {"Content-Type": "application/json"})
        try:
            urllib.request.urlopen(request, timeout=30).close()
        except urllib.error.HTTPError as error:
            raise StackError(f"influxdb: the set-up was refused: {error.read().decode(errors='replace')}") from error


def _exchange(port: int, question: bytes, size: int) -> bytes:
    """What a server on this port answers first, at most `size` bytes; empty if it does not answer within two seconds."""
    try:
        with socket.create_connection((HOST, port), timeout=2) as connection:
            connection.sendall(question)
            return connection.recv(size, socket.MSG_WAITALL)
    except OSError:
        return b""
