"""The real process, a real MQTT client, and kill -9 at any moment: nothing acknowledged is lost, nothing is counted twice."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import paho.mqtt.client as mqtt
import polars as pl
import pytest
from live_gauge import PATIENCE, STOPS_WITHIN, until
from paho.mqtt.enums import CallbackAPIVersion

from scopeline.log import Log, Store

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]

PLANT = """\
organisation: Works
sites: [{site: works, timezone: Europe/Berlin, grid_region: GB}]
factor_sets: {desnz: "2026"}
"""
FEED = """\
feed: meters
topic: "works/{device}/e"
site: works
decoder: json
observed_at: {path: "$.at", format: iso8601}
channels:
  - {channel: energy, value: "$.kwh", unit: kWh, kind: counter}
  - {channel: skip, value: "$.kg", unit: kWh, kind: amount, event: "$.ticket"}
"""
SOURCES = """\
sources:
  - {source: "m-{n}", for_each: "works/*:energy", measured_by: "{meter}", site: works, scope: 2, category: purchased_electricity}
  - {source: tickets, measured_by: "sum([works/*:skip])", site: works, scope: 2, category: purchased_electricity}
"""
START = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=3)
COMMAND = [sys.executable, "-c", "from scopeline.cli import main; main()"]


class Instance:
    """`scopeline run` as a process that can be killed and started again."""

    def __init__(self, folder: Path, mqtt: int, console: int) -> None:
        self.folder, self.mqtt, self.console = folder, mqtt, console
        self.process: subprocess.Popen[bytes] | None = None

    def launched(self, *more: str) -> "subprocess.Popen[bytes]":
        command = [*COMMAND, "run", "--plant", str(self.folder), "--port", str(self.console), "--mqtt-port", str(self.mqtt)]
        with (self.folder / "out.log").open("ab") as out:
            self.process = subprocess.Popen([*command, "--no-console", *more], stdout=out, stderr=out, start_new_session=True)
        return self.process

    def start(self, *more: str) -> float:
        begun = time.monotonic()
        running = self.launched(*more)
        while time.monotonic() < begun + PATIENCE:
            assert running.poll() is None, self.said()
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.mqtt)) == 0:
                    return time.monotonic() - begun
            time.sleep(0.02)
        raise AssertionError(f"not up after {PATIENCE:.0f} s: {self.said()}")

    def kill(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Its exit code; subprocess.TimeoutExpired where it takes too long."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(STOPS_WITHIN)

    def said(self) -> str:
        return (self.folder / "out.log").read_text()

    def answered(self) -> None:
        """Wait for the API."""
        assert until(lambda: self.asked("/healthz").is_success), self.said()

    def asked(self, path: str, **asked: str) -> httpx.Response:
        """The API's answer; 503 while nobody answers."""
        try:
            return httpx.get(f"http://127.0.0.1:{self.console}{path}", params=asked, trust_env=False, timeout=60)
        except httpx.TransportError:
            return httpx.Response(503)


@pytest.fixture
def instance(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Instance]:
    (tmp_path / "feeds").mkdir()
    (tmp_path / "sources").mkdir()
    (tmp_path / "plant.yaml").write_text(PLANT)
    (tmp_path / "feeds/meters.yaml").write_text(FEED)
    (tmp_path / "sources/all.yaml").write_text(SOURCES)
    made = Instance(tmp_path, free_port(), free_port())
    yield made
    if made.process is not None and made.process.poll() is None:
        made.kill()


class Publisher:
    """Publishes QoS 1 from a persistent session and knows what was acknowledged; sends again what was not."""

    def __init__(self, port: int) -> None:
        self.sent: list[tuple[str, int]] = []
        self._mids: dict[int, tuple[str, int]] = {}
        self._acknowledged: set[int] = set()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="publisher", clean_session=False)
        self._client.max_inflight_messages_set(200)
        self._client.reconnect_delay_set(0.05, 0.2)  # type: ignore[arg-type]  # paho takes seconds as floats
        self._client.on_publish = self._published
        self._client.connect_async("127.0.0.1", port)
        self._client.loop_start()

    def _published(self, client: object, data: object, mid: int, *_: object) -> None:
        self._acknowledged.add(mid)  # takes no lock: paho holds its own here, and `publish` waits for that

    @property
    def acknowledged(self) -> set[tuple[str, int]]:
        return {self._mids[mid] for mid in self._acknowledged.copy() if mid in self._mids}

    def send(self, device: str, number: int) -> None:
        at = START + timedelta(seconds=2 * number)
        body = {"at": at.isoformat(), "kwh": number, "kg": 1, "ticket": f"{device}-{number}"}
        self._mids[self._client.publish(f"works/{device}/e", json.dumps(body), qos=1).mid] = (device, number)
        self.sent.append((device, number))

    def drain(self) -> None:
        done = until(lambda: len(self._acknowledged) == len(self.sent))
        assert done, f"{len(self.sent) - len(self._acknowledged)} messages are not acknowledged"

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def figures(store: Store) -> pl.DataFrame:
    found = list(store.figures())
    return pl.concat(found) if found else pl.DataFrame()


def test_kill_in_loops_loses_nothing_and_counts_once(instance: Instance) -> None:
    chance = random.Random(7)
    instance.start()
    publisher = Publisher(instance.mqtt)
    stop = threading.Event()

    def publish() -> None:
        for number in range(600):
            for device in ("a", "b"):
                publisher.send(device, number)
            time.sleep(0.02)
            if stop.is_set():
                return

    sending = threading.Thread(target=publish)
    sending.start()
    for _ in range(4):
        time.sleep(chance.uniform(0.5, 2.5))
        instance.kill()
        instance.start()
    sending.join(300)
    stop.set()
    publisher.drain()
    publisher.close()
    assert publisher.acknowledged == set(publisher.sent)
    assert instance.stop() == 0, instance.said()

    log = Log(instance.folder / ".scopeline/scopeline.duckdb")
    try:
        store = Store(log)
        logged = {
            (topic.split("/")[1], json.loads(payload)["kwh"])
            for frame in store.messages()
            for topic, payload in frame.select("topic", "payload").iter_rows()
        }
        assert publisher.acknowledged <= logged
        by_source = figures(store).filter(pl.col("basis") == "location").group_by("source").agg(pl.col("activity_n").sum())
        found = dict(by_source.filter(pl.col("source").is_in(["m-a", "m-b", "tickets"])).iter_rows())
        kwh = 10**9
        assert found["m-a"] == found["m-b"] == 599 * kwh
        assert found["tickets"] == 1200 * kwh, "each ticket counts once, however often it was sent"
    finally:
        log.close()


def test_start_and_stop(instance: Instance) -> None:
    instance.start()
    instance.answered()
    place = instance.folder / ".scopeline/instance.json"
    assert until(place.exists), "it is written once the API answers"
    note = json.loads(place.read_text())
    assert note["address"] == f"http://127.0.0.1:{instance.console}"
    again = [*COMMAND, "run", "--plant", str(instance.folder), "--port", "0"]
    second = subprocess.run(again, capture_output=True, text=True, timeout=180)
    assert second.returncode == 1 and "already runs on this plant folder" in second.stderr
    assert instance.stop(signal.SIGINT) == 0 and not place.exists(), instance.said()
    assert "Stopped." in instance.said()


def test_a_stop_while_it_starts_leaves_nothing_behind(instance: Instance) -> None:
    """SIGTERM at moments spread over the start: it ends at once, and the folder can be used again."""
    whole, ended = instance.start(), set()
    instance.stop()
    for part in range(8):
        (instance.folder / "out.log").unlink()
        if part < 7:
            instance.launched()
            time.sleep(whole * part / 6)
        else:
            instance.start()
        code = instance.stop()
        ended.add(code)
        said = instance.said()
        assert code in (0, -signal.SIGTERM), said  # -SIGTERM: before anything of ours ran
        assert code or said.endswith("Stopped.\n"), said
        assert not {"Traceback", "Exception", "Aborted"} & set(said.replace(":", " ").split()), said
        assert not (instance.folder / ".scopeline/instance.json").exists()
        Log(instance.folder / ".scopeline/scopeline.duckdb").close()  # nobody holds the file, and it is whole
    assert ended == {0, -signal.SIGTERM}, "the moments reach from before the start to after it"


def test_an_edit_is_taken_up_and_a_broken_one_is_not(instance: Instance) -> None:
    instance.start()
    instance.answered()
    publisher = Publisher(instance.mqtt)
    for number in range(0, 100, 10):
        publisher.send("a", number)
    publisher.drain()

    def total(source: str) -> float:
        day = (START - timedelta(days=1)).date(), (START + timedelta(days=2)).date()
        asked = {"from": str(day[0]), "to": str(day[1]), "interval": "all", "group_by": "source", "where": f"source={source}"}
        rows = instance.asked("/api/v1/figures", **asked, basis="location").json()
        return sum(row["activity"] or 0 for row in rows)

    assert until(lambda: total("m-a") == 90)
    feed = instance.folder / "feeds/meters.yaml"
    feed.write_text(FEED.replace("unit: kWh, kind: counter", "unit: kWh, scale: 10, kind: counter"))
    assert until(lambda: total("m-a") == 900), instance.said()
    feed.write_text(FEED.replace("unit: kWh, kind: counter", "unit: furlong, kind: counter"))
    assert until(lambda: "furlong" in instance.asked("/api/v1/problems").text), instance.said()
    publisher.send("a", 110)
    publisher.drain()
    assert until(lambda: total("m-a") == 1100), "the configuration before the broken edit stays in force"
    publisher.close()


def test_a_subscriber_of_the_embedded_broker_sees_messages(instance: Instance) -> None:
    instance.start()
    seen: list[tuple[str, bytes]] = []
    ready = threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="watcher")
    client.on_message = lambda _c, _d, message: seen.append((message.topic, message.payload))
    client.on_subscribe = lambda *_: ready.set()
    client.connect("127.0.0.1", instance.mqtt)
    client.loop_start()
    client.subscribe("works/#", qos=1)
    assert ready.wait(PATIENCE)
    publisher = Publisher(instance.mqtt)
    publisher.send("a", 1)
    publisher.drain()
    assert until(lambda: seen)
    publisher.close()
    client.disconnect()
    client.loop_stop()
    assert [topic for topic, _ in seen] == ["works/a/e"]
