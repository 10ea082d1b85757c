"""The ingest role: MQTT brokers on one side, Kafka on the other, and no message acknowledged that Kafka has not confirmed."""

import gc
import logging
import re
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kafka import KafkaProducer

import ingest
from ingest.bridge import Receipt, Received
from ingest.connecting import client_id
from ingest.kafka import SETTINGS, Producer, Publisher
from ingest.mqtt import Subscriber
from ingest.routing import Routes
from schemas.connections import Broker
from schemas.plant import Plant
from schemas.problem import Problem
from scopeline.cluster import kafka
from scopeline.cluster.broker_watch import BrokerWatch
from scopeline.cluster.failpoint import failpoint
from scopeline.cluster.topics import LARGEST, topics
from scopeline.external import filters_of, secret_of
from scopeline.tokens import STATE

log = logging.getLogger(__name__)

GROUP = "scopeline"
"""Name of the shared subscription where a broker has several members."""

METRICS = {
    "scopeline_ingest_received_total": ("counter", "Messages received from a broker, repeated ones included."),
    "scopeline_ingest_acknowledged_total": (
        "counter",
        "Messages acknowledged to a broker, after Kafka has confirmed them.",
    ),
    "scopeline_ingest_unacknowledged_messages": ("gauge", "Messages received on the present connection and not acknowledged."),
    "scopeline_ingest_connected": ("gauge", "1 while a broker is connected and nothing is wrong with it."),
    "scopeline_ingest_disconnects_total": ("counter", "Connections that a broker or the network ended."),
    "scopeline_ingest_sessions_lost_total": ("counter", "Times that a broker had forgotten the session: what it held is lost."),
    "scopeline_ingest_broker_dropped_total": ("counter", "Messages that a broker says it dropped, for whatever client ($SYS)."),
    "scopeline_ingest_broker_restarts_total": ("counter", "Times that a broker was started again, seen by its uptime ($SYS)."),
    "scopeline_ingest_unreadable_total": ("counter", "Messages on a topic that is no UTF-8: passed over."),
    "scopeline_ingest_confirmed_total": ("counter", "Messages that Kafka has confirmed; one for two sites counts twice."),
    "scopeline_ingest_confirmed_bytes_total": ("counter", "Bytes of payload that Kafka has confirmed."),
    "scopeline_ingest_records_total": ("counter", "Records that Kafka has confirmed."),
    "scopeline_ingest_errors_total": ("counter", "Errors of Kafka, after which records were sent again."),
    "scopeline_ingest_oversize_total": ("counter", "Messages larger than Kafka's records, logged without their payload."),
    "scopeline_ingest_in_flight_messages": ("gauge", "Messages received and not yet confirmed by Kafka."),
}
"""Name -> type and help, as docs/metrics.md lists them."""


class IngestSettings(Exception):
    """Settings with which ingest cannot start; the text names key and remedy."""


class Ingest:
    """All brokers of a plant into its Kafka. `member`: which of several processes this is (0-based; default: from the host name).

    `start` raises KafkaSettings or BrokerStart, making it IngestSettings, each with its remedy; brokers and Kafka may come later.
    """

    def __init__(self, plant_dir: Path, plant: Plant, member: int | None = None, state: Path | None = None) -> None:
        self.plant_dir, self.plant = plant_dir, plant
        self._state = state or plant_dir / STATE
        if plant.settings.kafka is None:
            raise IngestSettings("kafka: is missing in plant.yaml: name bootstrap_servers")
        if not plant.settings.brokers:
            raise IngestSettings("brokers: is missing in plant.yaml: the cluster profile needs an MQTT broker of its own")
        self._kafka = plant.settings.kafka
        self.member = member_of(plant, member)
        named = topics(self._kafka)
        self.publisher = Publisher(
            self._connect,
            self._routes(plant),
            named.raw,
            named.ref,
            largest=LARGEST,
            passing=lambda name: failpoint(f"ingest:{name}"),
        )
        self.lines = [
            Line(self, name, broker, first=place == 0)
            for place, (name, broker) in enumerate(plant.settings.brokers.items())
            if broker.members > 1 or self.member == 0
        ]

    def start(self) -> None:
        """Connect in the background to Kafka and to the brokers."""
        kafka.connection(self._kafka, self.plant_dir)
        for line in self.lines:
            secret_of(self.plant_dir, line.name, line.broker)
        # every message is a few small objects that live until Kafka has it: looking through them for cycles costs a tenth
        gc.freeze()
        gc.set_threshold(50_000, 50, 100)
        self.publisher.start()
        for line in self.lines:
            line.subscriber.start()
            line.watch.start()

    def stop(self, within: float = 5.0) -> bool:
        """Read no more, let Kafka confirm what was read, acknowledge that, disconnect; True where nothing is left open."""
        for line in self.lines:
            line.subscriber.pause()
        done = self.publisher.stop(within)
        for line in self.lines:
            line.subscriber.stop()
            line.watch.stop()
        return done

    def configure(self, plant: Plant) -> None:
        """Go over to an edited plant folder: feeds, sites, meters. Connections hold until the next start."""
        self.plant = plant
        self.publisher.configure(self._routes(plant))
        for line in self.lines:
            line.subscriber.subscribe(filters_of(plant, line.name))

    @property
    def alive(self) -> bool:
        """False where a thread has ended or hangs: the process should end, so that it is started again."""
        return self.publisher.alive and all(line.subscriber.alive for line in self.lines)

    @property
    def ready(self) -> bool:
        """True while messages flow: every broker connected, Kafka confirming."""
        return not self.problems

    @property
    def problems(self) -> list[Problem]:
        """What is wrong with the connections now."""
        found = []
        if said := self.publisher.problem:
            remedy = "See that Kafka runs and that `scopeline setup` has made the topics; nothing is lost meanwhile"
            found.append(Problem("error", "plant.yaml", None, "kafka", said, remedy))
        for line in self.lines:
            if said := line.subscriber.problem:
                remedy = "Start the broker, or correct it in plant.yaml"
                found.append(Problem("error", "plant.yaml", None, f"brokers.{line.name}", said, remedy))
        return found

    @property
    def metrics(self) -> dict[str, list[tuple[dict[str, str], float]]]:
        """Name (of METRICS) -> labels and value."""
        found: dict[str, list[tuple[dict[str, str], float]]] = {name: [] for name in METRICS}
        for line in self.lines:
            subscriber = line.subscriber
            for name in ("received", "acknowledged", "disconnects", "sessions_lost", "unreadable"):
                found[f"scopeline_ingest_{name}_total"].append(({"broker": line.name}, subscriber.count[name]))
            found["scopeline_ingest_unacknowledged_messages"].append(({"broker": line.name}, subscriber.in_flight))
            for name in ("dropped", "restarts"):
                if (told := getattr(line.watch.told, name)) is not None:
                    found[f"scopeline_ingest_broker_{name}_total"].append(({"broker": line.name}, told))
            found["scopeline_ingest_connected"].append(({"broker": line.name}, float(subscriber.problem is None)))
        count = self.publisher.count
        for name in ("confirmed", "records", "errors", "oversize"):
            found[f"scopeline_ingest_{name}_total"].append(({}, count[name]))
        found["scopeline_ingest_confirmed_bytes_total"].append(({}, count["bytes"]))
        found["scopeline_ingest_in_flight_messages"].append(({}, self.publisher.in_flight))
        return found

    def _routes(self, plant: Plant) -> Routes:
        return Routes(ingest.compile(plant), plant)

    def _connect(self) -> Producer:
        settings: dict[str, Any] = kafka.connection(self._kafka, self.plant_dir) | SETTINGS
        made: Producer = KafkaProducer(**settings, max_request_size=LARGEST, client_id=f"scopeline-ingest-{self.member}")
        return made


class Line:
    """One broker's way into the publisher."""

    def __init__(self, owner: Ingest, name: str, broker: Broker, first: bool) -> None:
        self.name, self.broker, self.label = name, broker, None if first else name
        self._publisher = owner.publisher
        assert owner.plant.settings.kafka
        who = broker.client_id or client_id(owner.plant.settings.organisation, owner.plant.settings.kafka.prefix, name)
        shared = broker.members > 1
        who = f"{who}-{owner.member}" if shared else who

        def password() -> str | None:
            return secret_of(owner.plant_dir, name, broker)

        self.watch = BrokerWatch(broker, f"{who}-sys", password, owner.plant_dir)
        self.subscriber = Subscriber(
            broker,
            filters_of(owner.plant, name),
            self._take,
            name=who,
            password=password,
            folder=owner.plant_dir,
            group=GROUP if shared else None,
            ready=lambda: not self._publisher.full,
            memory=owner._state / f"session-{who}.json",
        )

    def acknowledge(self, receipts: Iterable[Receipt]) -> None:
        self.subscriber.acknowledge(receipts)

    def _take(self, messages: list[Received]) -> None:
        self._publisher.offer(self, messages)


def member_of(plant: Plant, stated: int | None, host: str | None = None) -> int:
    """Which member of the shared subscriptions this process is: as stated, else the number at the end of the host name.

    Raises IngestSettings where that cannot be: two processes that sign in with one id take the connection from each other.
    """
    most = max((broker.members for broker in plant.settings.brokers.values()), default=1)
    if stated is None and most == 1:
        return 0
    if stated is None:
        found = re.search(r"-(\d+)$", host if host is not None else socket.gethostname())
        if found is None:
            raise IngestSettings(
                f"brokers: members is {most}, and the host name ends with no number: say which one this is with --member 0 "
                f"to --member {most - 1}"
            )
        stated = int(found[1])
    if not 0 <= stated < most:
        raise IngestSettings(f"member {stated} is not one of 0 to {most - 1}: raise members: of the broker, or correct --member")
    return stated
