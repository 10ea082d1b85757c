"""What a Service stands on: a store, the configuration in force, and the two actions."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from schemas.problem import Problem
from scopeline.pipeline import Configuration


class Host(Protocol):
    """A plant with its data, running or opened by a command."""

    @property
    def plant_dir(self) -> Path: ...

    @property
    def store(self) -> Any:
        """scopeline.log.Store: log, readings, figures; its query methods may be called from any thread."""

    @property
    def configuration(self) -> Configuration: ...

    @property
    def problems(self) -> Sequence[Problem]: ...

    @property
    def running(self) -> bool:
        """Whether messages come in now."""

    def now(self) -> datetime: ...

    def publish(self, topic: str, payload: bytes, received_at: datetime | None = None) -> int:
        """Returns the message's place in the log after the commit."""

    def redrive(self, message: int | None = None, feed: str | None = None) -> dict[str, int]:
        """{tried, read, still}."""
