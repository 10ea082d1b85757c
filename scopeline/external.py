"""External brokers: their messages into the inbox, their acknowledgements after the commit."""

import threading
from pathlib import Path
from typing import Any

from ingest.feeds import filters
from ingest.mqtt import Received, Subscriber, client_id
from ingest.topics import subscription
from schemas.connections import Broker
from schemas.plant import Plant
from scopeline.broker import BrokerStart
from scopeline.inbox import Delivery, Inbox
from scopeline.plant import secret


def secret_of(plant_dir: Path, name: str, broker: Broker) -> str | None:
    """The password of a broker, from SCOPELINE_MQTT_<NAME>_PASSWORD or its file."""
    variable = f"SCOPELINE_MQTT_{name.upper().replace('-', '_')}_PASSWORD"
    try:
        found = secret(plant_dir, broker.password_file, variable)
    except OSError as error:
        raise BrokerStart(
            f"brokers.{name}.password_file: {broker.password_file} cannot be read ({error.strerror}). "
            f"Write the password into that file, or set {variable}."
        ) from None
    return found.get_secret_value() if found else None


def filters_of(plant: Plant, name: str) -> list[str]:
    """What to subscribe to at a broker: the topics of its feeds."""
    first = next(iter(plant.settings.brokers), None)
    return sorted({subscription(topic) for feed in plant.feeds if (feed.broker or first) == name for topic in filters(feed)})


class External:
    """One external broker."""

    def __init__(self, inbox: Inbox, plant: Plant, plant_dir: Path, name: str, broker: Broker, first: bool) -> None:
        self.name, self._inbox = name, inbox
        self._label = None if first else name
        self._paused = threading.Event()
        who = broker.client_id or client_id(plant.settings.organisation, *(site.site for site in plant.settings.sites), name)
        password = secret_of(plant_dir, name, broker)
        self.subscriber = Subscriber(
            broker,
            filters_of(plant, name),
            self._take,
            name=who,
            password=password,
            folder=plant_dir,
            ready=lambda: not inbox.full,
        )

    def start(self) -> None:
        self.subscriber.start()

    def pause(self) -> None:
        """Take no more messages; what still comes is not acknowledged."""
        self._paused.set()

    def stop(self) -> None:
        self.subscriber.stop()

    def subscribe(self, filters: list[str]) -> None:
        self.subscriber.subscribe(filters)

    def _take(self, messages: list[Received]) -> None:
        if self._paused.is_set():
            return
        self._inbox.offer(
            *(
                Delivery(topic, payload, received_us, self, receipt, retained, self._label)
                for topic, payload, received_us, retained, receipt in messages
            )
        )

    def settle(self, tokens: list[Any], places: list[int]) -> None:
        self.subscriber.acknowledge(tokens)
