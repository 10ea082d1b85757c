"""The real servers that the cluster benchmark measures on: named ones, those of a plant folder, or own ones started natively."""

import importlib.util
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import SecretStr

import scopeline
from scopeline.bench.measure import Failed
from scopeline.cluster.process import TOKEN
from scopeline.plant import load, secret

NATIVE = Path(scopeline.__file__).parents[1] / "deploy" / "native"
"""What starts the servers without containers; part of a checkout, not of an installation."""


class Servers(NamedTuple):
    """Where they are. The token may make buckets."""

    mqtt: tuple[str, int]
    kafka: tuple[str, ...]
    influx_url: str
    influx_org: str
    influx_token: SecretStr


def named(mqtt: str, kafka: str, influx_url: str, influx_org: str, token: SecretStr) -> Servers:
    """Servers by their addresses, host:port; several of Kafka joined by commas.

    >>> named("a:1883", "b:9092,c:9092", "http://d:8086", "o", SecretStr("x")).kafka
    ('b:9092', 'c:9092')
    """
    host, _, port = mqtt.rpartition(":")
    if not host or not port.isdigit():
        raise Failed(f"--mqtt {mqtt}: write it like localhost:1883")
    return Servers((host, int(port)), tuple(kafka.split(",")), influx_url, influx_org, token)


def of_plant(folder: Path) -> Servers:
    """The servers that a plant folder names. They must take anyone, as the benchmark signs in nowhere but at InfluxDB."""
    plant, problems = load(folder)
    settings = plant.settings if plant else None
    if settings is None or not settings.brokers or settings.kafka is None or settings.influxdb is None:
        said = "; ".join(str(p) for p in problems if p.severity == "error")
        raise Failed(said or f"{folder}: plant.yaml needs brokers:, kafka: and influxdb:")
    broker, kafka, influx = next(iter(settings.brokers.values())), settings.kafka, settings.influxdb
    if broker.username or broker.tls or kafka.username or kafka.tls:
        raise Failed(f"{folder}: the benchmark connects without user and TLS. Name test servers by --mqtt, --kafka, --influxdb")
    token = secret(folder, influx.token_file, TOKEN)
    if token is None:
        raise Failed(f"{folder}: no token of InfluxDB. Set influxdb.token_file or {TOKEN}")
    return Servers((broker.host, broker.port), kafka.bootstrap_servers, influx.url, influx.org, token)


@contextmanager
def native() -> Iterator[Servers]:
    """Own servers on free ports, with the settings that deploy/ ships; gone afterwards. Failed where they are not installed."""
    kinds = _native()
    if kinds is None:
        raise Failed(
            "there are no servers to measure on: name them (--mqtt, --kafka, --influxdb, --org, --token-file, or --plant DIR), "
            "or run this in a checkout after deploy/native/install.sh"
        )
    missing = {kind.name: kind.missing() for kind in (kinds.Mosquitto, kinds.Kafka, kinds.InfluxDB) if kind.missing()}
    if missing:
        said = "; ".join(f"{name}: {why}" for name, why in missing.items())
        raise Failed(f"{said}. Run deploy/native/install.sh, or name servers (--mqtt, --kafka, --influxdb)")
    with ExitStack() as ends:
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="scopeline-bench-", ignore_cleanup_errors=True)))
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # the servers end with us
        ends.callback(signal.signal, signal.SIGTERM, before)
        started = []
        for kind in (kinds.Mosquitto, kinds.Kafka, kinds.InfluxDB):
            server = kind(folder / kind.name)
            ends.callback(server.kill)
            try:
                started.append(server.start())
            except kinds.StackError as error:
                raise Failed(str(error)) from None
        broker, log, store = started
        yield Servers(("127.0.0.1", broker.port), (log.address,), store.url, store.org, SecretStr(store.token))


def _native() -> Any:
    """deploy/native/servers.py, by its path: it is no package."""
    for name in ("server_process", "servers"):
        if not (NATIVE / f"{name}.py").is_file():
            return None
        if name not in sys.modules:
            spec = importlib.util.spec_from_file_location(name, NATIVE / f"{name}.py")
            assert spec and spec.loader
            sys.modules[name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(sys.modules[name])
    return sys.modules["servers"]
