"""What a session listens to: new filters are asked for, old ones leave it, and what it held is known again after a restart."""

import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

AT_ONCE = 100
"""Filters in one packet."""


class Subscriptions:
    """The filters of one session. `group` makes them shared; `memory` is a file that outlives the process."""

    def __init__(self, filters: Iterable[str], group: str | None, memory: Path | None) -> None:
        self._prefix = f"$share/{group}/" if group else ""
        self._memory = memory
        self._wanted: set[str] = set()
        self._held: set[str] | None = None  # None: not known, nothing was asked for yet
        self._asked: dict[int | None, list[str]] = {}  # packet id -> filters; none where it is something to let go
        self._open = True  # something is asked for, and not answered
        self.refused: set[str] = set()
        self.changed = False
        self.want(filters)

    def problem(self, name: str) -> str | None:
        """What is wrong for client `name`: filters that the broker refuses, or an answer that has not come."""
        if self.refused:
            return f"refuses the subscription {', '.join(sorted(self.refused)[:3])}: allow it for client {name}"
        return "has not confirmed the subscriptions yet" if self.changed or self._open else None

    def want(self, filters: Iterable[str]) -> None:
        self._wanted = {self._prefix + one for one in filters}
        self.changed = True

    def connected(self, session_present: bool) -> bool:
        """A connection begins; True where the broker has lost a session that listened to something."""
        self._asked.clear()
        self._open = self.changed = True
        held = self._remembered() if self._held is None else self._held
        if not session_present:
            self._held = set()
        return bool(held) and not session_present

    def ask(self, client: Any) -> None:
        """Subscribe to what is new, then let go what is not wanted any more; with QoS 1 at most."""
        self.changed = False  # first: what is wanted from now on is asked for next
        if self._held is None:  # after a restart: everything once more, in case the session holds less than was written down
            new, gone = sorted(self._wanted), sorted(self._remembered() - self._wanted)
        else:
            new, gone = sorted(self._wanted - self._held), sorted(self._held - self._wanted)
        self._held = set(self._wanted)
        self._remember(self._held | set(gone))
        for start in range(0, len(new), AT_ONCE):
            part = new[start : start + AT_ONCE]
            self._asked[client.subscribe([(one, 1) for one in part])[1]] = part
        for start in range(0, len(gone), AT_ONCE):
            self._asked[client.unsubscribe(gone[start : start + AT_ONCE])[1]] = []
        self.refused -= set(gone)
        self._open = bool(self._asked)

    def granted(self, packet_id: int, reasons: Iterable[Any]) -> list[str]:
        """The broker's answer; the filters that it refuses."""
        answers = list(zip(self._asked.pop(packet_id, ()), reasons, strict=False))
        self._open = bool(self._asked)
        refused = [one for one, reason in answers if reason.is_failure]
        self.refused = (self.refused - {one for one, _ in answers}) | set(refused)
        return refused

    def released(self, packet_id: int) -> None:
        """The broker has let go of something."""
        self._asked.pop(packet_id, None)
        self._open = bool(self._asked)
        self._remember(self._held or set())

    def _remember(self, filters: set[str]) -> None:
        if self._memory is None:
            return
        part = self._memory.with_suffix(".part")
        try:
            self._memory.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps(sorted(filters)), encoding="utf-8")
            part.replace(self._memory)
        except OSError as error:
            log.warning("%s cannot be written (%s): filters given up while nothing runs stay", self._memory, error.strerror)

    def _remembered(self) -> set[str]:
        try:
            found = json.loads(self._memory.read_text(encoding="utf-8")) if self._memory else []
        except (OSError, ValueError):
            return set()
        return {one for one in found if isinstance(one, str)} if isinstance(found, list) else set()
