"""MQTT to Kafka on real servers: whatever a broker got an acknowledgement for is in the log, whatever fails in between."""

import signal
import time
from typing import Any

import polars as pl
import pytest

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]


def test_every_acknowledged_message_is_in_the_log_once(place: Any, mosquitto: Any, senders: Any) -> None:
    plant = place.plant(mosquitto.port)
    place.topics(plant)
    one = place.run(plant)
    sender = senders(mosquitto.port, f"{place.unique}/works/m/e")
    sender.send(3000)
    sender.send(1, f"{place.unique}/york/m/e")
    sender.send(1, f"{place.unique}/mill/m/e")
    sender.send(1, f"{place.unique}/nowhere/m/e")
    assert sender.settled()
    assert place.until(lambda: one.metrics["scopeline_ingest_acknowledged_total"][0][1] == 3003), one.metrics
    found = place.logged()
    assert sorted(found["payload"].cast(pl.String).cast(pl.Int64)) == list(range(3003))
    by_site = found.with_columns(pl.col("topic").str.split("/").list.get(1).alias("site")).group_by("site").agg("partition")
    parts = {site: set(p) for site, p in by_site.rows()}
    assert parts["works"] == parts["mill"] == parts["nowhere"], "one partition key, and the fallback is the first site's"
    assert all(len(p) == 1 for p in parts.values())
    assert not found["retained"].any()
    assert found["broker"].null_count() == found.height
    assert place.until(lambda: one.metrics["scopeline_ingest_unacknowledged_messages"][0][1] == 0)
    assert place.until(lambda: one.problems == [])


def test_killed_before_kafka_has_it_and_after(place: Any, mosquitto: Any, senders: Any) -> None:
    """Killed between receipt and send, and between confirmation and acknowledgement: the broker sends again."""
    place.topics(place.plant(mosquitto.port))
    sender = senders(mosquitto.port, f"{place.unique}/works/m/e")
    first = place.process("ingest:before_send@3")
    assert place.up(first)

    def killed(process: Any) -> bool:
        sender.send(10)
        time.sleep(0.1)
        return process.poll() == -signal.SIGKILL

    assert place.until(lambda: killed(first))
    second = place.process("ingest:after_confirm@3")
    assert place.until(lambda: killed(second))
    third = place.process()
    assert place.up(third)
    assert sender.settled()
    assert place.until(lambda: place.numbers() == set(range(sender.next)))
    third.send_signal(signal.SIGTERM)
    assert third.wait(90) == 0, "it stops in order"


def test_kafka_down_and_up_again(place: Any, mosquitto: Any, server_kit: Any, senders: Any) -> None:
    """Messages wait unacknowledged, in bounded memory, and come in when Kafka is back."""
    server = server_kit.start_kafka()
    place.kafka = server.address
    plant = place.plant(mosquitto.port)
    place.topics(plant)
    one = place.run(plant)
    sender = senders(mosquitto.port, f"{place.unique}/works/m/e")
    sender.send(500)
    assert place.until(lambda: one.metrics["scopeline_ingest_acknowledged_total"][0][1] == 500)
    server.kill()
    sender.send(5000)
    assert place.until(lambda: one.publisher.problem), "people are told"
    assert place.until(lambda: one.lines[0].subscriber.in_flight > 100)
    assert one.publisher.count["confirmed"] == 500
    assert one.metrics["scopeline_ingest_acknowledged_total"][0][1] == 500
    server.start()
    assert sender.settled()
    assert place.until(lambda: one.metrics["scopeline_ingest_acknowledged_total"][0][1] >= 5500), one.metrics
    assert place.numbers() == set(range(5500))
    assert place.until(lambda: one.problems == [])


def test_nothing_is_read_while_the_publisher_is_full(
    place: Any, mosquitto: Any, senders: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """QoS 0 knows no receive window: reading stops, and goes on."""
    monkeypatch.setattr("ingest.kafka.FULL_MESSAGES", 1000)
    plant = place.plant(mosquitto.port)
    place.topics(plant)
    one = place.run(plant)
    gate = place.gate(one)
    sender = senders(mosquitto.port, f"{place.unique}/works/m/e")
    for number in range(20_000):
        sender.client.publish(sender.topic, str(number), qos=0)
    assert place.until(lambda: one.publisher.full)
    time.sleep(1)
    assert one.publisher.in_flight <= 1000 + 500 + 1, "at most a burst beyond the bound"
    gate.open()
    assert place.until(lambda: not one.publisher.full)
    assert place.until(lambda: one.publisher.count["confirmed"] > 2000)


def test_the_broker_restarts(place: Any, server_kit: Any, senders: Any) -> None:
    """A durable broker keeps the session: what it had acknowledged to devices arrives."""
    broker = server_kit.start_mosquitto()
    plant = place.plant(broker.port)
    place.topics(plant)
    one = place.run(plant)
    sender = senders(broker.port, f"{place.unique}/works/m/e")
    for _ in range(10):
        sender.send(50)
        time.sleep(0.05)
    assert sender.settled()
    broker.restart()
    assert place.until(lambda: sender.client.is_connected())
    sender.send(500)
    assert sender.settled()
    assert place.until(lambda: place.numbers() == set(range(1000)))
    assert one.metrics["scopeline_ingest_disconnects_total"][0][1] == 1
    assert one.metrics["scopeline_ingest_sessions_lost_total"][0][1] == 0
    assert place.until(lambda: one.problems == [])


def test_the_broker_forgets_the_session(place: Any, server_kit: Any, senders: Any) -> None:
    """Subscribed anew, counted, and acknowledgements of before do not touch messages of now."""
    broker = server_kit.start_mosquitto(settings=["persistence false"])
    plant = place.plant(broker.port)
    place.topics(plant)
    one = place.run(plant)
    sender = senders(broker.port, f"{place.unique}/works/m/e")
    sender.send(10)
    assert place.until(lambda: one.publisher.count["confirmed"] == 10)
    gate = place.gate(one)
    sender.send(10)
    assert place.until(lambda: one.lines[0].subscriber.in_flight == 10)
    broker.restart()
    assert place.until(lambda: one.metrics["scopeline_ingest_sessions_lost_total"][0][1] >= 1)
    assert place.until(lambda: sender.client.is_connected() and one.lines[0].subscriber.problem is None)
    gate.open()
    sender.send(10)
    assert sender.settled()
    assert place.until(lambda: place.numbers() == set(range(30))), "what was received before is logged, though forgotten"
    assert place.until(lambda: one.lines[0].subscriber.in_flight == 0)
    assert one.lines[0].subscriber.count["acknowledged"] >= 20
