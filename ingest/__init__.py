"""[1] MQTT to log, and messages to what they say: `compile(plant)` once, then `decode(messages, feeds)` for every batch."""

from ingest.decode import Decoded, decode
from ingest.feeds import FeedError, compile, faults, filters
from ingest.ready import Feeds

__all__ = ["Decoded", "FeedError", "Feeds", "compile", "decode", "faults", "filters"]
