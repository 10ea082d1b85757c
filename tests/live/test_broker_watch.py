"""What a real Mosquitto tells of itself becomes metrics of ingest: a queue that overflowed, a broker that was killed."""

import time
from typing import Any

import polars as pl
import pytest
from paho.mqtt import client as paho

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]
SETTINGS = ["max_queued_messages 100", "max_queued_bytes 0", "sys_interval 1"]
DROPPED, RESTARTS = "scopeline_ingest_broker_dropped_total", "scopeline_ingest_broker_restarts_total"


def test_a_queue_that_overflows_and_a_broker_that_is_killed(
    place: Any, server_kit: Any, senders: Any, caplog: pytest.LogCaptureFixture
) -> None:
    broker = server_kit.start_mosquitto(settings=SETTINGS)
    plant = place.plant(broker.port)
    place.topics(plant)
    one = place.run(plant)

    def told(name: str) -> Any:
        return {labels["broker"]: value for labels, value in one.metrics[name]}.get("hall")

    assert place.until(lambda: (told(DROPPED), told(RESTARTS)) == (0, 0)), "a broker that has dropped nothing says so"
    _away(broker.port, "hall/late")
    sender = senders(broker.port, "hall/late")
    sender.send(300)
    assert sender.settled(), "the broker acknowledges what it drops"
    assert place.until(lambda: told(DROPPED) == 200), one.metrics
    assert "200 since it started" in caplog.text
    time.sleep(4)  # it must have lived longer than uptimes in whole seconds are unsure
    broker.kill()
    assert place.until(lambda: one.problems)
    broker.start()
    assert place.until(lambda: told(RESTARTS) == 1), one.metrics
    assert place.until(lambda: told(DROPPED) == 0), "the broker counts anew"
    device = senders(broker.port, f"{place.unique}/works/m/e")
    device.send(10)
    assert device.settled()
    assert place.until(lambda: place.numbers() == set(range(10)))
    topics = place.logged()["topic"]
    assert not topics.str.starts_with("$").any(), topics.unique()
    assert told(RESTARTS) == 1


def test_a_broker_that_allows_no_reading_of_sys(place: Any, server_kit: Any, senders: Any) -> None:
    """Ingest works; what is not told is absent, not 0."""
    acl = place.folder.parent / "acl"
    acl.write_text("topic readwrite #\n")
    broker = server_kit.start_mosquitto(settings=[f"acl_file {acl}", "sys_interval 1"])
    plant = place.plant(broker.port, more=", version: '5'")
    place.topics(plant)
    one = place.run(plant)
    sender = senders(broker.port, f"{place.unique}/works/m/e")
    sender.send(10)
    assert sender.settled()
    assert place.until(lambda: place.numbers() == set(range(10)))
    assert one.metrics[DROPPED] == one.metrics[RESTARTS] == []
    assert not place.logged().filter(pl.col("topic").str.starts_with("$")).height


def _away(port: int, topic: str) -> None:
    """A client with a session that has subscribed and gone."""
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="away", clean_session=False)
    done: list[Any] = []
    client.on_subscribe = lambda *_: done.append(True)
    client.connect("127.0.0.1", port)
    client.subscribe(topic, 1)
    while not done:
        client.loop(0.1)
    client.disconnect()
    client.loop(0.1)
