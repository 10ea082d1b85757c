"""The whole embedded way, and the bare broker beside it: QoS 1 messages acknowledged a second, by the same publisher."""

import socket
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from scopeline.bench.generate import messages, write_plant
from scopeline.bench.measure import Cost, Failed, Measured

IN_FLIGHT = 1000
WARM_UP = 5_000
"""Messages before those that are measured: modules are loaded, files are open, caches hold the meters."""
STARTS_WITHIN = 30.0
STOPS_WITHIN = 30.0


class Rate(NamedTuple):
    """Messages acknowledged, in how many seconds, the longest wait for one of them, and what the server's process used."""

    messages: int
    seconds: float
    slowest_s: float
    cost: Cost

    @property
    def per_second(self) -> float:
        return self.messages / self.seconds


def bare(readings: int) -> Rate:
    """amqtt alone."""
    port = free_port()
    return _measure(["-m", "scopeline.bench.broker", str(port)], port, readings)


def embedded(readings: int, folder: Path) -> Rate:
    """The service: an acknowledgement means that message and figures are committed."""
    port, console = free_port(), free_port()
    plant = write_plant(folder)
    started = ["run", "--plant", str(plant), "--port", str(console), "--mqtt-port", str(port)]
    return _measure(["-c", "from scopeline.cli import main; main()", *started], port, readings)


def free_port() -> int:
    """A port of this machine that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _measure(arguments: Sequence[str], port: int, readings: int) -> Rate:
    with Measured(arguments) as server:
        try:
            _wait_for(port)
            seconds, slowest = publish(port, readings)
        except Failed as failed:
            raise Failed(f"{failed}: {server.last_words()}") from None
        server.interrupt()
        _, cost = server.end(STOPS_WITHIN)
    return Rate(readings, seconds, slowest, cost)


def _wait_for(port: int) -> None:
    until = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise Failed(f"no broker on port {port} after {STARTS_WITHIN:.0f} s")


def publish(port: int, readings: int) -> tuple[float, float]:
    """Publish with QoS 1, at most IN_FLIGHT unacknowledged; the first WARM_UP are not measured.

    Returns seconds from the last acknowledgement of the warm-up to the last of all, and the longest from a publish to its own
    (they come in order, as MQTT demands).
    """
    slots, done, acknowledged, slowest = threading.Semaphore(IN_FLIGHT), threading.Event(), -WARM_UP, 0.0
    begun = 0.0
    sent: deque[float] = deque()

    def on_publish(*_: object) -> None:
        nonlocal acknowledged, slowest, begun
        acknowledged += 1
        waited = time.perf_counter() - sent.popleft()
        if acknowledged == 0:
            begun = time.perf_counter()
        elif acknowledged > 0:
            slowest = max(slowest, waited)
        slots.release()
        if acknowledged == readings:
            done.set()

    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="scopeline-bench")
    client.max_inflight_messages_set(IN_FLIGHT)
    client.on_publish = on_publish
    client.connect("127.0.0.1", port)
    client.loop_start()
    for frame in messages(WARM_UP + readings):
        for topic, payload, _ in frame.iter_rows():
            if not slots.acquire(timeout=60):
                raise Failed("no acknowledgement for 60 s")
            sent.append(time.perf_counter())
            client.publish(topic, payload, qos=1)
    if not done.wait(120):
        raise Failed(f"{readings - acknowledged} of {readings} messages were not acknowledged")
    seconds = time.perf_counter() - begun
    client.disconnect()
    client.loop_stop()
    return seconds, slowest
