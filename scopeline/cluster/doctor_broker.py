"""An MQTT broker as `doctor` sees it: does it let us in, does it keep a session, what has it dropped. Ingest is not disturbed."""

import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from paho.mqtt import client as paho

from ingest.connecting import client, connect, said
from schemas.connections import Broker
from scopeline.cluster.broker_watch import DROPPED
from scopeline.doctor import Finding
from scopeline.external import secret_of

TESTED = "2.0"
"""Of Mosquitto."""
_WAIT, _SYS = 3.0, 0.7
"""Seconds for one answer, and for what the broker tells of itself."""
_VERSION = "$SYS/broker/version"
_EXPIRES = 60


class _Refused(Exception):
    pass


def look(name: str, broker: Broker, plant_dir: Path) -> Iterator[Finding]:
    """Sign in, leave, come back, and end the session again, under a name of its own."""
    where, who = f"{name} at {broker.host}:{broker.port}", f"scopeline-doctor-{secrets.token_hex(4)}"
    password = secret_of(plant_dir, name, broker)
    told: dict[str, str] = {}
    try:
        _visit(broker, who, password, plant_dir, told)
        kept = _visit(broker, who, password, plant_dir)
        _visit(broker, who, password, plant_dir, clean=True)
    except (OSError, ValueError, _Refused) as error:
        remedy = f"Start it, or correct brokers.{name} in plant.yaml: host, port, username, password_file, tls."
        yield Finding("error", "broker", f"{where}: {said(error)}", remedy)
        return
    version = f", {told[_VERSION]}" if _VERSION in told else ""
    if not kept:
        what = f"{where} forgets sessions: what comes while ingest is away is lost"
        yield Finding("error", "broker", what, "Let it keep sessions: `persistence true`, no short session expiry.")
    else:
        yield Finding("ok", "broker", f"{where} lets us in and keeps sessions{version}", "")
    if "mosquitto" in version and f" {TESTED}." not in version and f" {TESTED[0]}." not in version:
        yield Finding("warning", "broker", f"{where} is{version[1:]}; tested is {TESTED}", "Run the tested version.")
    dropped = told.get(DROPPED, "0" if "mosquitto" in version else None)  # which says nothing before the first drop
    if dropped is None:
        yield Finding("note", "broker", f"{where} does not say how many messages it dropped ($SYS)", "Allow reading $SYS.")
    elif dropped not in ("0", "-1"):
        what = f"{where} has dropped {dropped} messages since it started"
        yield Finding("warning", "broker", what, "Raise max_queued_messages, max_queued_bytes; see which client was away.")
    else:
        yield Finding("ok", "broker", f"{where} has dropped no message", "")


def _visit(
    broker: Broker, who: str, password: str | None, plant_dir: Path, told: dict[str, str] | None = None, clean: bool = False
) -> bool:
    """Connect, hear what the broker tells of itself (into `told`), leave; whether it knew the session."""
    made = client(broker, who, password, plant_dir, clean)
    answer: list[tuple[bool, Any]] = []
    made.on_connect = lambda _c, _u, flags, reason, _p: answer.append((flags.session_present, reason))
    made.connect_timeout = _WAIT
    connect(made, broker, clean, _EXPIRES)
    _until(made, lambda: bool(answer), _WAIT)
    if not answer:
        raise _Refused(f"no answer within {_WAIT:.0f} s")
    present, reason = answer[0]
    if reason.is_failure:
        raise _Refused(f"refuses us ({reason})")
    if told is not None:
        made.on_message = lambda _c, _u, message: told.update({message.topic: message.payload.decode("utf-8", "replace")[:60]})
        made.subscribe([(_VERSION, 0), (DROPPED, 0)])
        _until(made, lambda: len(told) == 2, _SYS)
    made.disconnect()
    made.loop(0.1)
    return bool(present)


def _until(made: paho.Client, done: Any, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        if made.loop(0.1) != paho.MQTT_ERR_SUCCESS:
            return
