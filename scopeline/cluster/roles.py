"""The roles of a cluster process: ingest, process, console, or all of them; started, watched and stopped as one."""

import logging
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from schemas.connections import Kafka
from schemas.plant import Plant
from schemas.problem import Problem
from scopeline.cluster.follower import NotPublished
from scopeline.cluster.ingest import METRICS as INGEST_METRICS
from scopeline.cluster.ingest import Ingest
from scopeline.cluster.plant_topic import KafkaProblem, PlantTopic
from scopeline.cluster.process import Process
from scopeline.cluster.watchdog import end
from scopeline.tokens import STATE

log = logging.getLogger(__name__)

Values = dict[str, list[tuple[dict[str, str], float]]]
_EVERY = 1.0
STARTING = "starting"

METRICS = INGEST_METRICS | {
    "scopeline_process_lag_records": ("gauge", "Records of a partition that this worker has not applied yet."),
    "scopeline_process_position": ("gauge", "Offset of a partition that is applied next."),
    "scopeline_process_committed": ("gauge", "Offset of a partition up to which InfluxDB has the figures."),
    "scopeline_process_messages_total": ("counter", "Messages applied, by partition, since it was assigned."),
    "scopeline_process_refused_records_total": ("counter", "Records that hold no messages, by partition."),
    "scopeline_process_points_total": ("counter", "Points that InfluxDB has confirmed."),
    "scopeline_process_deleted_total": ("counter", "Points deleted because a figure vanished or lost a number."),
    "scopeline_process_refused_points_total": ("counter", "Points that InfluxDB refused."),
    "scopeline_process_over_bound_total": ("counter", "Meters refused over influxdb.max_series."),
    "scopeline_process_corrected_total": ("counter", "Figures that differed in InfluxDB and were written again."),
    "scopeline_process_commit_age_seconds": ("gauge", "Seconds since the last commit of this worker."),
    "scopeline_healthy": ("gauge", "1 while this process has no problem."),
}
"""Name -> type and help, as docs/metrics.md lists them."""


class IngestRole:
    """Ingest under the plant folder that is in force in the cluster."""

    def __init__(self, plant_dir: Path, plant: Plant, member: int | None) -> None:
        assert plant.settings.kafka
        self._dir, self._member, self._kafka = plant_dir, member, plant.settings.kafka
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ingest", daemon=True)
        self._ingest: Ingest | None = None
        self._problem: str | None = STARTING

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(8)

    @property
    def problems(self) -> list[Problem]:
        found = list(self._ingest.problems) if self._ingest else []
        if self._problem == STARTING:
            found.append(Problem("note", "plant.yaml", None, "ingest", STARTING, "Wait"))
        elif self._problem:
            remedy = "Publish the plant folder with `scopeline apply`; see that Kafka runs"
            found.append(Problem("error", "plant.yaml", None, "", self._problem, remedy))
        return found

    @property
    def metrics(self) -> Values:
        return self._ingest.metrics if self._ingest else {}

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._follow()
            except (KafkaProblem, NotPublished) as error:
                self._problem = str(error)
                log.debug("%s; trying again", error, exc_info=True)
                self._stop.wait(5)
            finally:
                if self._ingest:
                    self._ingest.stop()
                    self._ingest = None

    def _follow(self) -> None:
        follow = PlantTopic(self._kafka, self._dir, self._dir / STATE / "ingest")
        try:
            now = follow.current()
            if now is None:
                raise NotPublished("no plant folder has been published to the cluster yet")
            self._ingest = Ingest(self._dir, signed_in(now.plant, self._kafka), self._member)
            self._ingest.start()
            self._problem = None
            while not self._stop.wait(_EVERY):
                if not self._ingest.alive:
                    end("a connection of ingest has ended without a word")
                try:
                    new = follow.poll()
                except KafkaProblem as error:
                    self._problem = str(error)
                    continue
                self._problem = follow.problem
                if new:
                    log.info("plant folder %s is put in force", new.version)
                    self._ingest.configure(new.plant)
        finally:
            follow.close()


def signed_in(plant: Plant, kafka: Kafka) -> Plant:
    """The published plant, reaching Kafka as this process does: by its own user, not by that of who published."""
    return plant.model_copy(update={"settings": plant.settings.model_copy(update={"kafka": kafka})})


class ProcessRole:
    """The processing worker in a thread."""

    def __init__(self, plant_dir: Path) -> None:
        self.process = Process(plant_dir)
        self._failed: str | None = None
        self._thread = threading.Thread(target=self._run, name="process", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.process.stop()
        self._thread.join(9)

    def _run(self) -> None:
        try:
            self.process.run()
        except Exception as error:
            log.exception("the worker has failed")
            end(f"the worker has failed ({type(error).__name__})")

    @property
    def problems(self) -> list[Problem]:
        process = self.process
        if process.problem == STARTING:
            return [Problem("note", "plant.yaml", None, "process", STARTING, "Wait")]
        store = process.teller.problem if process.teller else None
        said = dict.fromkeys([process.problem, store, *(part.replica.problem for part in list(process.parts.values()))])
        remedy = "See that Kafka and InfluxDB run; `scopeline doctor` says more. Nothing is lost meanwhile"
        return [Problem("error", "plant.yaml", None, "", text, remedy) for text in said if text]

    @property
    def metrics(self) -> Values:
        process = self.process
        lags = sorted(process.lag.records.items())
        parts = [({"partition": str(number)}, part) for number, part in sorted(process.parts.items())]
        found: Values = {
            "scopeline_process_lag_records": [({"partition": str(n)}, float(lag)) for n, lag in lags],
            "scopeline_process_position": [(label, float(part.position)) for label, part in parts],
            "scopeline_process_committed": [(label, float(part.committed)) for label, part in parts],
            "scopeline_process_messages_total": [(label, float(part.messages)) for label, part in parts],
            "scopeline_process_refused_records_total": [(label, float(part.refused)) for label, part in parts],
            "scopeline_process_corrected_total": [({}, float(process.corrected))],
        }
        names = {"points": "points", "deleted": "deleted", "refused": "refused_points", "over_bound": "over_bound"}
        for key, name in names.items():
            count = process.teller.counts[key] if process.teller else 0
            found[f"scopeline_process_{name}_total"] = [({}, float(count))]
        if process.committed_at is not None:
            found["scopeline_process_commit_age_seconds"] = [({}, time.monotonic() - process.committed_at)]
        return found


class Roles:
    """Ingest and process, as far as they are asked for; the console is served by the command."""

    def __init__(self, plant_dir: Path, plant: Plant, role: str, member: int | None) -> None:
        self._roles: list[Any] = []
        if role in ("process", "all"):
            self._roles.append(ProcessRole(plant_dir))
        if role in ("ingest", "all"):
            self._roles.append(IngestRole(plant_dir, plant, member))

    def start(self) -> None:
        for role in self._roles:
            role.start()

    def stop(self) -> None:
        """Ingest first, so that nothing new comes in."""
        for role in reversed(self._roles):
            role.stop()

    @property
    def problems(self) -> list[Problem]:
        return [problem for role in self._roles for problem in role.problems]

    @property
    def metrics(self) -> Mapping[str, list[tuple[dict[str, str], float]]]:
        found: Values = {}
        for role in self._roles:
            found |= role.metrics
        return found | {"scopeline_healthy": [({}, float(not self.problems))]}
