"""The log and everything derived from it, in one DuckDB file: messages, readings, events, figures, position."""

from scopeline.log.duckdb import Log
from scopeline.log.opening import DamagedState, StateError, damaged
from scopeline.log.store import Store
from scopeline.log.working import Working

__all__ = ["DamagedState", "Log", "StateError", "Store", "Working", "damaged"]
