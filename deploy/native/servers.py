"""Starts and stops the real servers (Mosquitto, Kafka, InfluxDB) as plain processes, with the settings that deploy/ ships.

A server is a folder: its settings, data, log and pid lie in it, and whoever names the folder again can stop it.
Used by stack.py (`make stack-up`) and by the live tests. Needs only Python and what install.sh installs; Linux.
"""

import base64
import getpass
import json
import os
import secrets
import shutil
import subprocess
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path

from server_process import HOST, Server, StackError, exchange, free_port

NATIVE = Path(__file__).resolve().parent
DEPLOY = NATIVE.parent
VERSIONS = dict(line.split("=") for line in (NATIVE / "versions.env").read_text().splitlines() if not line.startswith("#"))
CACHE = Path(os.environ.get("SCOPELINE_CACHE") or Path.home() / ".cache" / "scopeline")
KAFKA = CACHE / f"kafka-{VERSIONS['KAFKA_VERSION']}"
INFLUXD = CACHE / f"influxdb-{VERSIONS['INFLUXDB_VERSION']}" / "influxd"


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
        return exchange(self.port, connect, 4)[:1] == b"\x20"


class Kafka(Server):
    """Kafka as broker and controller in one. `settings`: of server.properties, for this one.

    `heap`: memory of the JVM in MB. `quick`: starts with half the work but runs slower when hot: for tests, not for measuring.
    """

    name = "kafka"

    def __init__(
        self,
        folder: Path | str,
        port: int = 0,
        settings: Mapping[str, object] | None = None,
        heap: int = 384,
        quick: bool = False,
    ) -> None:
        super().__init__(folder, port)
        self.controller_port = free_port()
        self.settings = dict(settings or {})
        self.heap = heap
        self.quick = quick

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
            # after an A: what begins with a dash would be taken for an option
            cluster = "A" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[:21]
            format_it = self._java("kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(self.properties))
            done = subprocess.run(format_it, capture_output=True, text=True, cwd=self.folder)
            if done.returncode:
                raise StackError(f"kafka: cannot format {self.folder / 'data'}: {done.stderr or done.stdout}")

    def _java(self, *arguments: str) -> list[str]:
        options = ["-Xms64m", f"-Xmx{self.heap}m", "-XX:+UseSerialGC"]
        if self.quick:
            options.append("-XX:TieredStopAtLevel=1")
        log4j = f"-Dlog4j2.configurationFile={NATIVE / 'log4j2.properties'}"
        return ["java", *options, log4j, "-cp", f"{KAFKA}/*", *arguments]

    def command(self) -> list[str]:
        return self._java("kafka.Kafka", str(self.properties))

    def answers(self) -> bool:
        # ApiVersions, version 0, correlation 7, no client id: answered only once the broker serves requests.
        return exchange(self.port, bytes.fromhex("0000000a 0012 0000 00000007 ffff"), 8)[4:] == b"\x00\x00\x00\x07"


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
        with urllib.request.urlopen(setup, timeout=60) as answer:
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
            urllib.request.urlopen(request, timeout=60).close()
        except urllib.error.HTTPError as error:
            raise StackError(f"influxdb: the set-up was refused: {error.read().decode(errors='replace')}") from error
