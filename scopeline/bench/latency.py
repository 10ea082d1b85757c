"""From publish to queryable: how long after an MQTT publish InfluxDB answers a query with the figure that the message changed.

The whole cluster runs meanwhile: broker, ingest, Kafka, worker, InfluxDB. Background messages come at a rate of their own; a few
times a second a probe comes, an event of one litre that nobody else sends. The sum of the litres that a query finds is the
number of probes whose figures can be read, so each probe is seen when that sum first reaches it.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import httpx
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from scopeline.bench.cluster_plant import Stand, stand
from scopeline.bench.cluster_servers import Servers
from scopeline.bench.embedded import free_port
from scopeline.bench.measure import Failed, Measured

PROBES = 10
"""A second."""
LOOK = 0.02
"""Seconds between two queries."""
IN_FLIGHT = 5000
STARTS_WITHIN, SEEN_WITHIN = 90.0, 60.0
WARM = 5.0
"""Seconds of load before probes count: sources are new, and what is new is compiled."""


class Latency(NamedTuple):
    """Seconds from publish to queryable; how many messages a second really came; what the two processes of ours used."""

    messages: int
    seconds: float
    p50: float
    p99: float
    worst: float
    probes: int
    cpu_s: dict[str, float]
    peak_mb: float

    @property
    def per_second(self) -> float:
        return self.messages / self.seconds


def measure(servers: Servers, rate: int, seconds: float, meters: int) -> Latency:
    """Run ingest and process, publish at `rate`, QoS 1, from `meters` devices. Failed where a probe is not seen."""
    with stand(servers) as made, _role(made, "process") as process, _role(made, "ingest") as ingest:
        watch = _Watch(servers, made)
        try:
            sent = _publish(servers, made, rate, seconds + WARM, meters, watch)
            watch.wait(sent.probes)
        finally:
            watch.close()
        cost = {}
        for name, one in (("process", process), ("ingest", ingest)):
            one.interrupt()
            cost[name] = one.end(60)[1]
    late = sorted(watch.seen[n] - at for n, at in sent.stamps.items() if at >= sent.begun + WARM)
    if not late:
        raise Failed("no probe was sent; ask for more seconds")
    return Latency(
        sent.messages,
        sent.seconds,
        late[len(late) // 2],
        late[min(len(late) - 1, len(late) * 99 // 100)],
        late[-1],
        len(late),
        {name: one.cpu_s for name, one in cost.items()},
        sum(one.peak_mb for one in cost.values()),
    )


@contextmanager
def _role(made: Stand, role: str) -> Iterator[Measured]:
    port = free_port()
    code = "from scopeline.cli import main; main()"
    arguments = ["run", "--plant", str(made.folder), "--profile", "cluster", "--role", role, "--port", str(port)]
    with Measured(["-c", code, *arguments]) as process:
        until = time.monotonic() + STARTS_WITHIN
        while not _well(port):
            if time.monotonic() > until:
                raise Failed(f"{role} does not become ready: {process.last_words()}")
            time.sleep(0.1)
        yield process


def _well(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


class _Watch:
    """Asks InfluxDB again and again how many litres there are; `seen`: probe -> when it was."""

    def __init__(self, servers: Servers, made: Stand) -> None:
        self.seen: dict[int, float] = {}
        self._count, self._stop, self._problem = 0, threading.Event(), ""
        since = (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        asked = f'SELECT sum("activity") FROM "figures" WHERE "source" = \'trucks\' AND time > \'{since}\''
        self._asked = {"db": made.prefix, "q": asked}
        headers = {"Authorization": f"Token {servers.influx_token.get_secret_value()}"}
        self._http = httpx.Client(base_url=servers.influx_url, headers=headers, timeout=30)
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._stop.wait(LOOK):
            try:
                told = self._http.post("/query", data=self._asked).json()["results"][0]
                found = round(told["series"][0]["values"][0][1]) if "series" in told else 0
            except (httpx.HTTPError, KeyError, ValueError) as error:
                self._problem = str(error)
                continue
            now = time.perf_counter()
            for n in range(self._count, found):
                self.seen[n] = now
            self._count = max(self._count, found)

    def wait(self, probes: int) -> None:
        until = time.monotonic() + SEEN_WITHIN
        while self._count < probes:
            if time.monotonic() > until:
                raise Failed(f"only {self._count} of {probes} probes became figures within {SEEN_WITHIN:.0f} s. {self._problem}")
            time.sleep(0.05)

    def close(self) -> None:
        self._stop.set()
        self._thread.join(35)
        self._http.close()


class _Sent(NamedTuple):
    begun: float
    messages: int
    probes: int
    seconds: float
    stamps: dict[int, float]
    """Probe -> when it was published."""


def _publish(servers: Servers, made: Stand, rate: int, seconds: float, meters: int, watch: _Watch) -> _Sent:
    """Background by a process of its own, probes from here; returns when both are through."""
    host, port = servers.mqtt
    probe = mqtt.Client(CallbackAPIVersion.VERSION2)
    probe.connect(host, port)
    probe.loop_start()
    stamps: dict[int, float] = {}
    with tempfile.TemporaryFile() as said:
        load = [
            sys.executable,
            "-m",
            "scopeline.bench.latency",
            host,
            str(port),
            made.prefix,
            str(rate),
            str(seconds),
            str(meters),
        ]
        background = subprocess.Popen(load, stdout=said)
        begun = time.perf_counter()
        try:
            while background.poll() is None:
                n = len(stamps)
                body = {"at": datetime.now(UTC).isoformat(), "litres": 1, "ticket": f"t{n}"}
                stamps[n] = time.perf_counter()
                probe.publish(f"{made.prefix}/works/gate", json.dumps(body), qos=1).wait_for_publish(30)
                time.sleep(max(0.0, begun + len(stamps) / PROBES - time.perf_counter()))
        finally:
            background.kill()
            background.wait()
            probe.disconnect()
            probe.loop_stop()
        said.seek(0)
        text = said.read()
    if background.returncode or not text:
        raise Failed("the publisher of the background has failed")
    messages, took = json.loads(text)
    return _Sent(begun, messages + len(stamps), len(stamps), took, stamps)


def background(host: str, port: int, prefix: str, rate: int, seconds: float, meters: int) -> tuple[int, float]:
    """Publish counters of `meters` devices in turns, `rate` a second; how many were acknowledged, in how many seconds."""
    left = threading.Semaphore(IN_FLIGHT)
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(IN_FLIGHT)
    client.on_publish = lambda *_: left.release()
    client.connect(host, port)
    client.loop_start()
    begun, n = time.perf_counter(), 0
    while (now := time.perf_counter()) < begun + seconds:
        at = datetime.now(UTC).isoformat()
        while n < (now - begun) * rate:
            n += 1
            left.acquire()
            body = b'{"at":"%b","site":"works","meter":"m%d","kw":%d.5,"kwh":%.3f}' % (
                at.encode(),
                n % meters,
                30 + n % 50,
                n / meters,
            )
            client.publish(f"{prefix}/works/m{n % meters}", body, qos=1)
        time.sleep(0.01)
    for _ in range(IN_FLIGHT):
        left.acquire()
    took = time.perf_counter() - begun
    client.disconnect()
    client.loop_stop()
    return n, took


if __name__ == "__main__":
    _host, _port, _prefix, _rate, _seconds, _meters = sys.argv[1:]
    print(json.dumps(background(_host, int(_port), _prefix, int(_rate), float(_seconds), int(_meters))))
