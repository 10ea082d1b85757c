"""The log and everything derived from it, in one DuckDB file: messages, readings, events, figures, position."""

from scopeline.log.duckdb import Log, StateError
from scopeline.log.store import Store
from scopeline.log.working import Working

__all__ = ["Log", "StateError", "Store", "Working"]
