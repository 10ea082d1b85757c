"""Real servers for the live tests. A missing one skips the test with the reason; with CI=true that is a failure.

Shared, started once for everybody who tests in this checkout at the time (both xdist workers, other sessions too), stopped by the
last one: take topics, prefixes and buckets of your own (fixture `unique`), and never harm them:

    def test_a(mosquitto, kafka, influxdb, unique):
        mosquitto.host, mosquitto.port                      # anonymous, durable, as deploy/mosquitto ships it
        KafkaProducer(bootstrap_servers=kafka)              # "127.0.0.1:port"; topics must be created (no auto-create)
        influxdb.url, influxdb.org, influxdb.token          # the operator's token; create buckets of your own

Own ones, for tests that harm them; a test that needs one twice gives it a name:

    def test_b(server_kit):
        broker = server_kit.start_mosquitto(settings=["max_queued_messages 1000"])     # lines of mosquitto.conf
        log = server_kit.start_kafka(settings={"log.segment.bytes": 1048576}, port=server_kit.free_port())
        store = server_kit.start_influxdb(settings={"http-write-timeout": "5s"})       # INFLUXD_* options
        broker.port, log.address, store.url, store.org, store.token
        broker.kill(); broker.start()                       # SIGKILL; start again on the same port and data
        log.pause(); log.resume(); store.stop(); store.restart(); log.alive; log.pid; log.log

A test marked `soak` takes `soak_seconds`: short in `make test`, long in `make soak`, where what it prints is shown.

A proxy in between, for delays and broken connections (tests/live/proxy.py):

    def test_c(server_kit, proxy):
        way = proxy(store.port)                             # way.port is where clients connect
        way.delay(0.5); way.black_hole("from_server"); way.throttle(1000); way.cut(); way.reset(); way.refuse(); way.heal()
        # Kafka tells its clients where to connect, so it must name the proxy:
        port = server_kit.free_port(); way = proxy(port)
        server_kit.start_kafka(port=port, settings={"advertised.listeners": f"PLAINTEXT://127.0.0.1:{way.port}"})
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from schemas.connections import Kafka
from scopeline.cluster.setup import kafka_topics

ROOT = Path(__file__).resolve().parents[2]


def _load(name: str, path: Path) -> ModuleType:
    """A module by its path: neither deploy/ nor tests/ is a package."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


processes = _load("server_process", ROOT / "deploy" / "native" / "server_process.py")
servers = _load("scopeline_native_servers", ROOT / "deploy" / "native" / "servers.py")
proxies = _load("scopeline_live_proxy", ROOT / "tests" / "live" / "proxy.py")
archive_logs = _load("scopeline_live_archive_log", ROOT / "tests" / "live" / "archive_log.py")
places = _load("scopeline_live_place", ROOT / "tests" / "live" / "place.py")
gauges = _load("live_gauge", ROOT / "tests" / "live" / "gauge.py")
_load("live_role", ROOT / "tests" / "live" / "role.py")
clusters = _load("live_cluster_kit", ROOT / "tests" / "live" / "cluster_kit.py")


class Mqtt(NamedTuple):
    host: str
    port: int


class Influx(NamedTuple):
    url: str
    org: str
    token: str


def _present(kind: Any) -> Any:
    if reason := kind.missing():
        pytest.skip(f"{kind.name}: {reason}; deploy/native/install.sh installs it")
    return kind


def _options(kind: Any) -> dict[str, Any]:
    return {"quick": True} if kind is servers.Kafka else {}


@contextlib.contextmanager
def _shared(kind: Any) -> Iterator[Any]:
    """The one server of this kind for everybody in this checkout. Who uses it holds a shared lock on a file; who finds that
    nobody does starts it anew, or stops it. The kernel frees the lock of a killed session, so leftovers end with the next one.
    """
    _present(kind)
    checkout = hashlib.sha256(str(ROOT).encode()).hexdigest()[:8]
    place = Path(tempfile.gettempdir()) / f"scopeline-live-{os.getuid()}-{checkout}" / kind.name
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (place / "door").open("a") as door, (place / "users").open("a") as users:

        def alone() -> bool:
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                return False

        fcntl.flock(door, fcntl.LOCK_EX)
        if alone():
            with contextlib.suppress(processes.StackError):
                kind(place / "server").kill()
            shutil.rmtree(place / "server", ignore_errors=True)
            server = kind(place / "server", **_options(kind)).start()
        else:
            server = kind(place / "server")
        fcntl.flock(users, fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        yield server
        fcntl.flock(door, fcntl.LOCK_EX)
        if alone():
            kind(place / "server").kill()
            shutil.rmtree(place / "server", ignore_errors=True)


@pytest.fixture(scope="session")
def mosquitto() -> Iterator[Mqtt]:
    """The shared MQTT broker: host, port."""
    with _shared(servers.Mosquitto) as server:
        yield Mqtt(processes.HOST, server.port)


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """The shared Kafka: its address for bootstrap_servers."""
    with _shared(servers.Kafka) as server:
        yield server.address


@pytest.fixture(scope="session")
def influxdb() -> Iterator[Influx]:
    """The shared InfluxDB: url, org, token."""
    with _shared(servers.InfluxDB) as server:
        yield Influx(server.url, server.org, server.token)


@pytest.fixture
def unique() -> str:
    """A name that no other test has, for prefixes, topics, groups and buckets."""
    return f"t{uuid.uuid4().hex[:10]}"


@pytest.fixture
def soak_seconds() -> float:
    """How long a test marked `soak` harms and checks: a short moment in `make test`, SCOPELINE_SOAK_MINUTES in `make soak`."""
    return float(os.environ.get("SCOPELINE_SOAK_MINUTES") or 0) * 60 or 15.0


class Kit:
    """Servers of one test; all are killed when it ends, also when the test process itself is killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[Any] = []
        end = 'cat >/dev/null; for f in "$1"/*/pid; do [ -f "$f" ] && kill -s KILL -- "-$(cat "$f")"; done'
        self._reaper = subprocess.Popen(["sh", "-c", end, "sh", str(folder)], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)

    free_port = staticmethod(processes.free_port)

    def start_mosquitto(self, name: str = "mosquitto", **options: Any) -> Any:
        return self._start(servers.Mosquitto, name, options)

    def start_kafka(self, name: str = "kafka", **options: Any) -> Any:
        return self._start(servers.Kafka, name, options)

    def start_influxdb(self, name: str = "influxdb", **options: Any) -> Any:
        return self._start(servers.InfluxDB, name, options)

    def _start(self, kind: Any, name: str, options: dict[str, Any]) -> Any:
        server = _present(kind)(self.folder / name, **_options(kind) | options)
        self.started.append(server)
        return server.start()

    def close(self) -> None:
        for server in self.started:
            server.kill()
        self._reaper.communicate()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """free_port() gives a port for a server of the test's own, which nobody takes while it restarts."""
    return processes.free_port


@pytest.fixture
def server_kit(tmp_path: Path) -> Iterator[Kit]:
    """Starts servers of the test's own, to be killed, paused and restarted."""
    kit = Kit(tmp_path / "servers")
    yield kit
    kit.close()


@pytest.fixture
def cluster(tmp_path: Path, mosquitto: Mqtt, kafka: str, influxdb: Influx, unique: str) -> Iterator[Callable[..., Any]]:
    """cluster() gives a plant on the shared servers, set up and published; cluster(mqtt=..., kafka=..., influx=...) on others.

    See tests/live/cluster_kit.py: start roles, publish, and `check` that InfluxDB holds what the log says, to the byte.
    """
    made: list[Any] = []

    def make(mqtt: int | None = None, at: str | None = None, influx: Any = None, setup: bool = True, **options: Any) -> Any:
        prefix = f"{unique}-{len(made)}"
        folder = tmp_path / prefix
        one = clusters.Cluster(folder, mqtt or mosquitto.port, at or kafka, influx or influxdb, prefix, **options)
        made.append(one)
        if setup:
            one.setup()
        return one

    yield make
    for one in made:
        one.close()


@pytest.fixture
def until() -> Callable[..., bool]:
    """until(true, seconds) waits for something, and says whether it came (tests/waiting.py)."""
    return gauges.until


@pytest.fixture
def proxy() -> Iterator[Callable[..., Any]]:
    """proxy(port) gives a Proxy to that port of this machine; see tests/live/proxy.py for what it can do."""
    made: list[Any] = []

    def make(target: int, port: int = 0) -> Any:
        made.append(proxies.Proxy(target, port or processes.free_port()))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def place(tmp_path: Path, unique: str, kafka: str) -> Iterator[Any]:
    """A plant folder with Kafka topics of its own, and what ingests into them (tests/live/place.py)."""
    made = places.Place(tmp_path / "plant", unique, kafka)
    yield made
    made.close()


@pytest.fixture
def senders() -> Iterator[Callable[..., Any]]:
    """senders(port, topic) gives a device that publishes numbers and knows which of them the broker has acknowledged."""
    made: list[Any] = []

    def make(port: int, topic: str) -> Any:
        made.append(places.Sender(port, topic))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def log(kafka: str, unique: str, tmp_path: Path) -> Iterator[Any]:
    """A raw log of two partitions, with an archive in the test's folder; see tests/live/archive_log.py."""
    settings = Kafka(bootstrap_servers=(kafka,), prefix=unique, partitions=2)
    list(kafka_topics(settings, tmp_path))
    made = archive_logs.Log(settings, tmp_path)
    yield made
    made.close()
