"""A plant opened by a command while no instance runs: its data file, and the plant folder as it is now."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ingest import FeedError
from schemas.plant import Plant
from schemas.problem import Problem
from scopeline import pipeline
from scopeline.catalogue import catalogue
from scopeline.check import check
from scopeline.log import Log, StateError, Store
from scopeline.plant import load
from scopeline.remote import Failed
from scopeline.runtime import CONSOLE, FILE
from scopeline.tokens import STATE
from scopeline.upkeep import units_seen


class LocalHost:
    """A Host for questions. What changes something needs a running instance."""

    running = False

    def __init__(self, plant_dir: Path, log: Log, plant: Plant, problems: Sequence[Problem]) -> None:
        self.plant_dir, self.problems = plant_dir, tuple(problems)
        self.store = Store(log)
        self.configuration = pipeline.configure(plant, catalogue(), units_seen(self.store.meters()))

    def now(self) -> datetime:
        return datetime.now(UTC)

    def publish(self, topic: str, payload: bytes, received_at: datetime | None = None) -> int:
        raise Failed("No instance runs on this plant folder", "Start one with `scopeline run`, then send the message again")

    def replay(self, start: datetime, end: datetime) -> dict[str, Any]:
        raise Failed("No instance runs on this plant folder", "Start one with `scopeline run`, then replay")

    def redrive(self, message: int | None = None, feed: str | None = None) -> dict[str, int]:
        raise Failed("No instance runs on this plant folder", "Start one with `scopeline run`, then redrive")


@contextmanager
def local_host(plant_dir: Path) -> Iterator[LocalHost]:
    """Open the data file; Failed says why it cannot be, and the remedy."""
    plant, _ = load(plant_dir)
    cluster = plant is not None and plant.settings.profile == "cluster"
    file = plant_dir / STATE / (CONSOLE if cluster else FILE)
    _, problems = check(plant_dir)
    if plant is None:
        errors = [str(problem) for problem in problems if problem.severity == "error"]
        raise Failed("The plant folder has errors:\n" + "\n".join(errors), "Correct them; `scopeline check` lists all")
    if not file.exists() and cluster:
        raise Failed(
            f"No console has run here: there is no {file}", "Start one with `scopeline run --role console`, or ask where it runs"
        )
    if not file.exists():
        raise Failed(f"There is no data in {plant_dir} yet", "Start `scopeline run`, or compute offline with `scopeline compute`")
    try:
        log = Log(file, memory_limit="256MB")
    except StateError as error:
        raise Failed(str(error), "") from None
    try:
        yield LocalHost(plant_dir, log, plant, problems)
    except FeedError as error:
        raise Failed(str(error), "Correct the feed; `scopeline check` says more") from None
    finally:
        log.close()
