"""The running instance, embedded: data file, worker, brokers and the watch over the plant folder, started and stopped as one.

It is the Host under the console, the API and the commands (scopeline.service.host).
"""

import logging
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import watchfiles

from schemas.plant import Plant
from schemas.problem import Problem
from scopeline import pipeline
from scopeline.broker import BrokerStart, EmbeddedBroker
from scopeline.catalogue import catalogue
from scopeline.check import check
from scopeline.corrections import Change, edited, redriven, replayed
from scopeline.external import External, filters_of, secret_of
from scopeline.inbox import Delivery, Inbox
from scopeline.log import Log, Store
from scopeline.log.archive import ArchiveError, due, move
from scopeline.plant import fingerprint
from scopeline.tokens import STATE
from scopeline.upkeep import Upkeep, units_seen
from scopeline.worker import Stopped, Worker

log = logging.getLogger(__name__)

FILE = "scopeline.duckdb"
CONSOLE = "console.duckdb"
"""The data file of the cluster's console."""
EMBEDDED = "embedded"
"""The name under `brokers:` that stands for the broker in the process."""
_HOUR = 3600.0


class PlantInvalid(Exception):
    """The plant folder has errors; `problems` lists them."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(p) for p in problems if p.severity == "error"))
        self.problems = list(problems)


class Runtime:
    """One plant folder, live. `start` raises PlantInvalid, StateError or BrokerStart, each with its remedy."""

    def __init__(self, plant_dir: Path, mqtt_port: int | None = None) -> None:
        self.plant_dir = plant_dir.resolve()
        self._mqtt_port = mqtt_port
        self._folder_problems: list[Problem] = []
        self.broker: EmbeddedBroker | None = None
        self.external: list[External] = []
        self.inbox = Inbox()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._reloading = threading.Lock()
        self._tasks = _Waiting()

    # Host ----------------------------------------------------------------------------------------------------------------
    @property
    def store(self) -> Store:
        return self._store

    @property
    def configuration(self) -> pipeline.Configuration:
        found: pipeline.Configuration = self._upkeep.state.configuration
        return found

    @property
    def problems(self) -> list[Problem]:
        """Of the plant folder (an edit that was not taken, warnings), of the disk, of the connections."""
        found = list(self._folder_problems)
        file = f"{STATE}/{FILE}"
        if self.worker.problem:
            remedy = "Make room; nothing is acknowledged meanwhile, so nothing is lost"
            found.append(Problem("error", file, None, "", self.worker.problem, remedy))
        if self.worker.upkeep.state.pending.height:
            what = "figures are being computed again after an edit or a correction; until then the old ones stand"
            found.append(Problem("note", file, None, "", what, "Wait; `config` of a figure says what it was computed by"))
        for one in self.external:
            if one.subscriber.problem:
                remedy = "Start the broker, or correct it in plant.yaml and restart Scopeline"
                found.append(Problem("error", "plant.yaml", None, f"brokers.{one.name}", one.subscriber.problem, remedy))
        return found

    @property
    def running(self) -> bool:
        return self.worker.alive and self.worker.problem is None

    def now(self) -> datetime:
        return datetime.now(UTC)

    def publish(self, topic: str, payload: bytes, received_at: datetime | None = None) -> int:
        """Put a message into the log as if it had come by MQTT; returns its place after the commit. Subscribers see it too."""
        return self.publish_later(topic, payload, received_at).result()

    def publish_later(self, topic: str, payload: bytes, received_at: datetime | None = None) -> "Future[int]":
        """The same without waiting for the commit; waits only while the inbox is full."""
        while not self.inbox.wait_for_space(1):
            if self._stop.is_set():
                raise Stopped("Scopeline is stopping")
        done: Future[int] = Future()
        at = received_at or self.now()
        received_us = round((at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1_000_000)
        self.inbox.offer(Delivery(topic, payload, received_us, self._tasks, done))
        if self.broker:
            self.broker.forward(topic, payload)
        return done

    def redrive(self, message: int | None = None, feed: str | None = None) -> dict[str, int]:
        """Read quarantined messages again under the configuration in force: {tried, read, still}."""
        return self.worker.ask(lambda: self.worker.within(lambda: redriven(self._upkeep, message, feed))).result()

    def replay(self, start: datetime, end: datetime) -> dict[str, Any]:
        """Read and compute a range again: {messages, readings, figures, sources: {source: n}}; the last three: what changed."""
        before = Counter(self.worker.restated)
        change = self.worker.ask(lambda: self.worker.within(lambda: replayed(self._upkeep, start, end))).result()
        while self.worker.behind and not self._stop.wait(0.05):
            pass
        sources = Counter(change.sources) + (self.worker.restated - before)
        return {**change._asdict(), "figures": sources.total(), "sources": dict(sorted(sources.items()))}

    # life ----------------------------------------------------------------------------------------------------------------
    def start(self, listen: bool = True) -> None:
        """Open the data file, take up edits made meanwhile, and receive messages (not to `listen`: for a command's own work)."""
        plant, self._folder_problems = check(self.plant_dir)
        if plant is None:
            raise PlantInvalid(self._folder_problems)
        state = self.plant_dir / STATE
        state.mkdir(exist_ok=True, mode=0o700)
        self._log = Log(state / FILE)
        try:
            self._start(plant, listen)
        except BaseException:
            self.stop()
            raise

    def _start(self, plant: Plant, listen: bool) -> None:
        self._store = Store(self._log)
        configuration = pipeline.configure(plant, catalogue(), units_seen(self._store.meters()))
        self._upkeep = Upkeep(self._log, pipeline)
        self._upkeep.load(configuration)
        self.worker = Worker(self._log, self.inbox, self._upkeep)
        now = fingerprint(self.plant_dir)
        if self._store.fact("plant") != now:
            self._edit(plant, now)
        self.worker.start()
        if not listen:
            return
        self._connect(plant)
        for task in (self._watch, self._retain):
            thread = threading.Thread(target=task, name=task.__name__.strip("_"), daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Stop receiving, commit what has come, close the file. What is not committed is not acknowledged."""
        self._stop.set()
        for one in self.external:
            one.pause()
        if hasattr(self, "worker") and self.worker.alive:
            self.worker.stop()
        for one in self.external:
            one.stop()
        if self.broker:
            self.broker.stop()
        for thread in self._threads:
            thread.join(2)
        if hasattr(self, "_log"):
            self._log.close()

    def _connect(self, plant: Plant) -> None:
        """Start the broker in the process, or the clients of external ones."""
        brokers = plant.settings.brokers
        if not brokers or EMBEDDED in brokers:
            named = brokers.get(EMBEDDED)
            host, port = (named.host, named.port) if named else ("127.0.0.1", 1883)
            password = secret_of(self.plant_dir, EMBEDDED, named) if named else None
            port = port if self._mqtt_port is None else self._mqtt_port
            self.broker = EmbeddedBroker(self.inbox, host, port, named.username if named else None, password)
            self.broker.start()
        elif self._mqtt_port is not None:
            raise BrokerStart(
                "--mqtt-port is for the embedded broker, and plant.yaml names others. Leave it out, or name one `embedded`."
            )
        for name, broker in brokers.items():
            if name != EMBEDDED:
                self.external.append(External(self.inbox, plant, self.plant_dir, name, broker, first=name == next(iter(brokers))))
                self.external[-1].start()

    # the plant folder ----------------------------------------------------------------------------------------------------
    def _edit(self, plant: Plant, mark: str) -> Change:
        return self.worker.within(lambda: edited(self._upkeep, plant, mark))

    def reload(self) -> bool:
        """Take up an edit of the plant folder; False where it has errors: the old configuration stays, `problems` say why."""
        with self._reloading:
            mark = fingerprint(self.plant_dir)
            if self._store.fact("plant") == mark:
                if any(problem.severity == "error" for problem in self._folder_problems):
                    log.info("the plant folder is again what is in force")
                self._folder_problems = check(self.plant_dir)[1]
                return True
            plant, problems = check(self.plant_dir)
            if plant is None:
                self._folder_problems = problems
                log.warning("the plant folder has errors, the configuration in force stays:\n%s", PlantInvalid(problems))
                return False
            old = self.configuration.plant
            try:
                change = self.worker.ask(lambda: self._edit(plant, mark)).result()
            except Exception as error:
                log.exception("the edit of the plant folder cannot be put in force")
                what = f"cannot be put in force ({error}), the configuration before stays"
                self._folder_problems = [
                    *problems,
                    Problem("error", "plant.yaml", None, "", what, "Undo the last edit, or report it"),
                ]
                return False
            self._folder_problems = problems
            self._reconnect(old, plant)
            log.info("plant folder taken up: %d messages read again, %d figures changed", change.messages, change.figures)
            return True

    def _reconnect(self, old: Plant, new: Plant) -> None:
        if old.settings.brokers != new.settings.brokers:
            what = "changed while Scopeline runs: it stays connected as before"
            self._folder_problems.append(Problem("warning", "plant.yaml", None, "brokers", what, "Restart Scopeline"))
        for one in self.external:
            one.subscribe(filters_of(new, one.name))

    def _watch(self) -> None:
        try:
            for changes in watchfiles.watch(self.plant_dir, stop_event=self._stop, watch_filter=_ours, debounce=400, step=50):
                log.debug("changed: %s", changes)
                self.reload()
        except Exception:
            log.exception("the plant folder is no longer watched; restart Scopeline to take up edits")

    def _retain(self) -> None:
        """Once at the start and every hour: days beyond the retention move to the archive."""
        while not self._stop.is_set():
            try:
                self.archive()
            except (ArchiveError, OSError, Stopped) as error:
                log.error("messages stay in the log: %s", error)
            self._stop.wait(_HOUR)

    def archive(self) -> int:
        """Move the days that are due; how many."""
        days = self.configuration.plant.settings.retention.days
        found = self.worker.ask(lambda: due(self._log, self.now(), days)).result()
        for day in found:
            file = self.worker.ask(lambda day=day: move(self._log, day)).result()  # type: ignore[misc]  # lambda's default
            log.info("messages of %s moved to %s", day, file)
        return len(found)


class _Waiting:
    """Origin of messages whose sender waits on a Future."""

    def settle(self, tokens: list[Any], places: list[int]) -> None:
        for done, place in zip(tokens, places, strict=True):
            done.set_result(place)


def _ours(change: watchfiles.Change, path: str) -> bool:
    """Changes of configuration, not of data or editors' swap files."""
    parts = Path(path).parts
    return STATE not in parts and not parts[-1].startswith((".", "#")) and not parts[-1].endswith(("~", ".swp", ".tmp", ".log"))
