"""Messages to look at: those that come at the plant's brokers in the next seconds, without leaving a trace there."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
from paho.mqtt import client as paho

from ingest.connecting import context
from schemas.connections import Broker
from schemas.frames import MESSAGES, shaped
from scopeline.external import secret_of

MOST, LARGEST = 50_000, 256 * 1024 * 1024
"""Messages, and bytes of payloads, after which listening ends early."""


class ListenProblem(Exception):
    """A broker that cannot be listened to; the text names it and the remedy."""


def listen(
    brokers: dict[str, Broker], plant_dir: Path, topic: str, seconds: float, stopped: Callable[[], bool] = lambda: False
) -> pl.DataFrame:
    """MESSAGES that came at the brokers: QoS 0, a session that ends with the connection, any client id. Raises ListenProblem."""
    taken: list[tuple[str, bytes, int, bool, str | None]] = []
    faults: dict[str, str] = {}
    clients = []
    try:
        for number, (name, broker) in enumerate(brokers.items()):
            clients.append(_client(name, broker, plant_dir, topic, None if number == 0 else name, taken, faults))
        end = time.monotonic() + seconds
        while time.monotonic() < end and not stopped() and len(taken) < MOST and len(faults) < len(brokers):
            time.sleep(0.05)
    finally:
        for one in clients:
            one.disconnect()
            one.loop_stop()
    if len(faults) == len(brokers):
        raise ListenProblem("\n".join(faults.values()))
    names = ["topic", "payload", "received_at", "retained", "broker"]
    schema = {name: pl.Int64 if name == "received_at" else MESSAGES[name] for name in names}
    frame = pl.DataFrame(taken[:MOST], schema=schema, orient="row")
    return shaped(frame.with_columns(pl.col("received_at").cast(MESSAGES["received_at"])).with_row_index("message"), MESSAGES)


def _client(
    name: str, broker: Broker, plant_dir: Path, topic: str, label: str | None, taken: list[Any], faults: dict[str, str]
) -> paho.Client:
    place = f"brokers.{name} ({broker.host}:{broker.port})"
    remedy = "Start it, or correct it in plant.yaml."
    size = 0

    def connected(client: paho.Client, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            faults[name] = f"{place} refuses: {reason}. {remedy}"
        else:
            client.subscribe(topic, 0)

    def received(client: paho.Client, userdata: Any, message: paho.MQTTMessage) -> None:
        nonlocal size
        try:
            where = message.topic
        except UnicodeDecodeError:
            return
        size += len(message.payload)
        if len(taken) < MOST and size < LARGEST:
            taken.append((where, bytes(message.payload), time.time_ns() // 1000, bool(message.retain), label))

    five = broker.version == "5"
    made = paho.Client(
        paho.CallbackAPIVersion.VERSION2,
        client_id="",
        clean_session=None if five else True,
        protocol=paho.MQTTv5 if five else paho.MQTTv311,
        transport=broker.transport,
    )
    made.on_connect, made.on_message = connected, received
    try:
        if broker.username:
            made.username_pw_set(broker.username, secret_of(plant_dir, name, broker))
        if broker.tls:
            made.tls_set_context(context(broker, plant_dir))
        made.connect(broker.host, broker.port, keepalive=60)
    except (OSError, ValueError) as error:
        faults[name] = f"{place} cannot be reached ({error}). {remedy}"
        return made
    made.loop_start()
    return made
