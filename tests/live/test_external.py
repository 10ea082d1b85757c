"""An external broker: its messages come in through a persistent session and are acknowledged after the commit."""

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from waiting import until

from scopeline.broker import BrokerStart, EmbeddedBroker
from scopeline.inbox import Inbox
from scopeline.runtime import Runtime

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

PLANT = """\
organisation: Works
sites: [{{site: works, timezone: Europe/Berlin}}]
brokers:
  hall: {{host: 127.0.0.1, port: {port}, username: scopeline, password_file: secrets/mqtt}}
"""
FEED = """\
feed: meters
topic: "works/{device}/e"
site: works
decoder: json
observed_at: {path: "$.at", format: iso8601}
channels: [{channel: energy, value: "$.kwh", unit: kWh, kind: counter}]
"""


@pytest.fixture
def hall() -> Iterator[EmbeddedBroker]:
    """A broker that stands for somebody else's: it acknowledges at once."""
    inbox = Inbox()
    made = EmbeddedBroker(inbox, port=0, username="scopeline", password="secret")
    made.start()
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            taken = inbox.take(100, 0, 0.1)
            made.settle([one.token for one in taken if one.token], [])
            inbox.release(taken)

    thread = threading.Thread(target=serve)
    thread.start()
    yield made
    stop.set()
    thread.join()
    made.stop()


@pytest.fixture
def folder(tmp_path: Path, hall: EmbeddedBroker) -> Path:
    (tmp_path / "feeds").mkdir()
    (tmp_path / "secrets").mkdir()
    (tmp_path / "plant.yaml").write_text(PLANT.format(port=hall.port))
    (tmp_path / "feeds/meters.yaml").write_text(FEED)
    (tmp_path / "secrets/mqtt").write_text("secret\n")
    return tmp_path


def publisher(port: int) -> mqtt.Client:
    made = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="meter")
    made.username_pw_set("scopeline", "secret")
    made.connect("127.0.0.1", port)
    made.loop_start()
    return made


def payload(number: int) -> str:
    return json.dumps({"at": datetime.now(UTC).isoformat(), "kwh": number})


def test_messages_come_in_and_are_acknowledged_after_the_commit(folder: Path, hall: EmbeddedBroker) -> None:
    runtime = Runtime(folder)
    runtime.start()
    sender = publisher(hall.port)
    try:
        assert runtime.broker is None, "no embedded broker beside a named one"
        subscriber = runtime.external[0].subscriber
        assert until(lambda: subscriber.problem is None)
        assert until(lambda: bool(hall._broker.subscriptions))
        for number in range(20):
            sender.publish("works/m/e", payload(number), qos=1)
        sender.publish("other/m", "not subscribed", qos=1)
        assert until(lambda: runtime.store.position() == 20)
        assert until(lambda: subscriber.in_flight == 0), "every receipt is acknowledged"
        assert runtime.store.readings("works/m:energy").height == 20
        assert next(runtime.store.messages())["broker"].to_list() == [None] * 20, "the plant's first broker"
    finally:
        sender.disconnect()
        sender.loop_stop()
        runtime.stop()


def test_nothing_is_acknowledged_while_nothing_is_committed(folder: Path, hall: EmbeddedBroker) -> None:
    runtime = Runtime(folder)
    runtime.start()
    sender = publisher(hall.port)
    busy, gate = threading.Event(), threading.Event()
    try:
        subscriber = runtime.external[0].subscriber
        assert until(lambda: subscriber.problem is None)
        assert until(lambda: bool(hall._broker.subscriptions))
        runtime.worker.ask(lambda: busy.set() or gate.wait())
        assert busy.wait(90), "the worker is busy"
        sender.publish("works/m/e", payload(1), qos=1)
        assert until(lambda: subscriber.in_flight == 1)
        time.sleep(0.3)
        assert subscriber.in_flight == 1
        gate.set()
        assert until(lambda: subscriber.in_flight == 0)
    finally:
        gate.set()
        sender.disconnect()
        sender.loop_stop()
        runtime.stop()


def test_a_port_for_an_embedded_broker_that_is_not_there(folder: Path) -> None:
    with pytest.raises(BrokerStart, match="embedded"):
        Runtime(folder, mqtt_port=0).start()


def test_the_password_is_never_in_an_error(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "secrets/mqtt").write_text("canary-1234\n")
    runtime = Runtime(folder)
    runtime.start()
    try:

        def problem() -> str:
            return runtime.external[0].subscriber.problem or ""

        assert until(lambda: "refuses" in problem() or "not connected:" in problem())
        assert "canary-1234" not in problem() + caplog.text
    finally:
        runtime.stop()
