"""Logs of the service: lines for people, or JSON objects for machines (`--log-format json`). Never a secret, never a flood.

What repeats (a server that is down) is said once, then at growing intervals with how often it was left out.
"""

import json
import logging
import re
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

Format = Literal["text", "json"]
Level = Literal["debug", "info", "warning"]
_QUIET = {
    "httpx": logging.WARNING,
    "watchfiles": logging.WARNING,
    "uvicorn.access": logging.WARNING,
    "kafka": logging.ERROR,
    "kafka.net.selector": logging.CRITICAL,  # it complains of the machine when the processor is busy
}
_FIRST, _LONGEST = 30.0, 3600.0
"""Seconds until a line that repeats is said again: they double from the first to the longest."""
_KEYS = 1000
_SHORTEST = 4
"""Characters; what is shorter is no secret, and would black out half of a line."""
_secrets: set[str] = set()
_LOST = re.compile(
    r"ConnectionError|disconnected|closing socket|Connection (lost|failed|reset)|TimeoutError|timed out", re.IGNORECASE
)


def hide(secret: str) -> None:
    """From now on this text is *** in every log line. `scopeline.plant.secret` calls it for all that it reads."""
    if len(secret) >= _SHORTEST:
        _secrets.add(secret)


def hidden(text: str) -> str:
    """The text without secrets.

    >>> hide("correct horse"); hidden("password 'correct horse' refused")
    "password '***' refused"
    """
    for secret in _secrets:
        text = text.replace(secret, "***")
    return text


class Text(logging.Formatter):
    """Lines for people."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%d %H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        return hidden(super().format(record))


class Json(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and error where there is a traceback.

    >>> record = logging.LogRecord("scopeline", logging.INFO, "", 0, "%d messages", (3,), None)
    >>> json.loads(Json().format(record))["message"]
    '3 messages'
    """

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        said = {"time": at, "level": record.levelname.lower(), "logger": record.name, "message": hidden(record.getMessage())}
        if record.exc_info:
            said["error"] = hidden(self.formatException(record.exc_info))
        return json.dumps(said, ensure_ascii=False)


class Sparing(logging.Filter):
    """Lets a warning or an error through once, then at growing intervals; a library's line with other numbers is the same."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now, self._guard = now, threading.Lock()
        self._known: dict[tuple[str, str], tuple[float, float, int]] = {}  # when it is due again, the interval, how many left out

    def filter(self, record: logging.LogRecord) -> bool:
        if not logging.WARNING <= record.levelno < logging.CRITICAL:
            return True
        room, text = record.name.split(".")[0], record.getMessage()
        if room == "kafka" and _LOST.search(text):  # the library says it in a dozen ways for each connection
            record.name, record.exc_info = "kafka", None
            record.msg, record.args = "a connection to Kafka is lost or refused, the client goes on trying: %s", (text,)
            key = ("kafka", "connection")
        else:
            key = (record.name, text if room in ("scopeline", "ingest", "sinks") else re.sub(r"\d+", "#", text))
        with self._guard:
            now = self._now()
            due, interval, left = self._known.get(key, (now, 0.0, 0))
            if now < due:
                self._known[key] = (due, interval, left + 1)
                return False
            over = now > due + 2 * interval  # it had ended, and begins anew
            interval = _FIRST if over or not interval else min(interval * 2, _LONGEST)
            if len(self._known) >= _KEYS:
                self._known = {one: state for one, state in self._known.items() if state[0] > now}
            self._known[key] = (now + interval, interval, 0)
        if left:
            record.msg, record.args = f"{record.getMessage()} ({left} more like this)", ()
        return True


def setup(form: Format, level: Level = "info") -> None:
    """Log to standard error: every line, also of libraries, of warnings and of what nobody catches."""
    handler = logging.StreamHandler()
    handler.setFormatter(Json() if form == "json" else Text())
    handler.addFilter(Sparing())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name, most in _QUIET.items():
        logging.getLogger(name).setLevel(most if level != "debug" else logging.NOTSET)
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda what: _uncaught(what.exc_type, what.exc_value, what.exc_traceback)


def setup_command() -> None:
    """For a command that ends by itself: it says what is wrong, so the libraries need not."""
    setup("text", "warning")
    logging.getLogger("kafka").setLevel(logging.CRITICAL)


def _uncaught(kind: type[BaseException], value: BaseException | None, trace: Any) -> None:
    if value is not None and not issubclass(kind, SystemExit | KeyboardInterrupt):
        logging.getLogger("scopeline").critical("ended by an error that nobody expected", exc_info=(kind, value, trace))


def machines() -> bool:
    """Whether machines read the log."""
    return any(isinstance(handler.formatter, Json) for handler in logging.getLogger().handlers)


def say(text: str) -> None:
    """A line for people on standard output; where machines read, a line of the log."""
    if machines():
        logging.getLogger("scopeline").info("%s", text.strip())
    else:
        print(hidden(text), flush=True)
