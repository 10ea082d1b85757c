"""Logs of the service: lines for people, or JSON objects for machines (`--log-format json`)."""

import json
import logging
from datetime import UTC, datetime
from typing import Literal

Format = Literal["text", "json"]
_QUIET = {
    "httpx": logging.WARNING,
    "watchfiles": logging.WARNING,
    "uvicorn.access": logging.WARNING,
    "kafka": logging.WARNING,
    "kafka.net.selector": logging.ERROR,  # it complains of the machine when the processor is busy
}


class Json(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and error where there is a traceback.

    >>> record = logging.LogRecord("scopeline", logging.INFO, "", 0, "%d messages", (3,), None)
    >>> json.loads(Json().format(record))["message"]
    '3 messages'
    """

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        said = {"time": at, "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            said["error"] = self.formatException(record.exc_info)
        return json.dumps(said, ensure_ascii=False)


def setup(form: Format) -> None:
    """Log to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(Json() if form == "json" else logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name, level in _QUIET.items():
        logging.getLogger(name).setLevel(level)
