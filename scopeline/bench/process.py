"""Processing: how many readings a processor-second of one worker carries, from Kafka to figures in InfluxDB.

`python -m scopeline.bench.process PLANT MESSAGES [untold]` runs the worker until it has committed everything that is in the raw
topic, and prints processor and wall seconds from its first batch on. `untold`: without InfluxDB, to see what it costs.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from kafka import KafkaConsumer, TopicPartition

from scopeline.bench.cluster_plant import Stand, load_packed, load_single, messages, stand
from scopeline.bench.cluster_servers import Servers
from scopeline.bench.measure import Failed, run
from scopeline.cli import RUN
from scopeline.cluster.process import Process
from scopeline.cluster.tell import Teller
from scopeline.cluster.topics import topics
from scopeline.plant import load

WITHIN = 600.0


class Worked(NamedTuple):
    """What a worker took for so many readings; how many points it wrote."""

    readings: int
    cpu_s: float
    wall_s: float
    peak_mb: float
    points: int

    @property
    def per_cpu_s(self) -> float:
        return self.readings / self.cpu_s


def measure(servers: Servers, count: int, meters: int, every_s: float, packed: bool, told: bool) -> Worked:
    """A worker in a process of its own over `count` messages that wait in Kafka, one a record or in micro-batches (`packed`)."""
    with stand(servers) as made:
        (load_packed if packed else load_single)(made, messages(count, meters, every_s, made.prefix))
        return drain(made, count, told)


def drain(made: Stand, count: int, told: bool) -> Worked:
    """A worker in a process of its own over what waits in Kafka."""
    arguments = ["-m", "scopeline.bench.process", str(made.folder), str(count), *([] if told else ["untold"])]
    cost, printed = run(arguments, RUN)
    cpu_s, wall_s, points = json.loads(printed.splitlines()[-1])
    return Worked(count, cpu_s, wall_s, cost.peak_mb, int(points))


class Drain(Process):
    """The real worker, which ends when its partition is committed to the end."""

    spent: tuple[float, float] | None = None
    _begun: tuple[float, float] = 0.0, 0.0

    def __init__(self, folder: Path, end: int, told: bool) -> None:
        super().__init__(folder)
        self._end, self._told, self._until = end, told, time.monotonic() + WITHIN
        self.applied = self.points = 0

    def _turn(self) -> None:
        if not any(part.position for part in self.parts.values()):
            self._begun = time.process_time(), time.perf_counter()
        if not self._told and not isinstance(self.teller, _Untold):
            assert self.teller is not None
            self.teller = _Untold(self.teller)
        super()._turn()
        done = sum(part.committed for part in self.parts.values())
        if done >= self._end and self.spent is None:
            self.spent = time.process_time() - self._begun[0], time.perf_counter() - self._begun[1]
            self.applied = sum(part.messages for part in self.parts.values())
            self.points = self.teller.counts["points"] if self.teller else 0
            self.stop()
        elif time.monotonic() > self._until:
            self.stop()


class _Untold(Teller):
    """Nobody is told anything."""

    def __init__(self, real: Teller) -> None:
        self.__dict__.update(real.__dict__)

    def figures(self, *_: Any) -> None: ...
    def sums(self, *_: Any) -> None: ...
    def readings(self, *_: Any) -> None: ...
    def events(self, *_: Any) -> None: ...
    def traffic(self, *_: Any) -> None: ...
    def clocks(self, *_: Any) -> None: ...
    def lag(self, *_: Any) -> None: ...


def _end(folder: Path) -> int:
    """How many records the raw topic has."""
    plant, problems = load(folder)
    if plant is None or plant.settings.kafka is None:
        raise Failed("; ".join(map(str, problems)))
    place = TopicPartition(topics(plant.settings.kafka).raw, 0)
    consumer = KafkaConsumer(bootstrap_servers=list(plant.settings.kafka.bootstrap_servers))
    try:
        return int(consumer.end_offsets([place])[place])
    finally:
        consumer.close()


def main(arguments: list[str]) -> None:
    folder, count = Path(arguments[0]), int(arguments[1])
    worker = Drain(folder, _end(folder), "untold" not in arguments)
    worker.run()
    if worker.spent is None or worker.applied != count:
        raise SystemExit(f"the worker has applied {worker.applied} of {count} messages: {worker.problem}")
    print(json.dumps([*worker.spent, worker.points]))


if __name__ == "__main__":
    main(sys.argv[1:])
