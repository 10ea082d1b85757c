"""The worker: acknowledgement after the commit, not before; a poisonous message is quarantined alone; a full disk is survived."""

import json
import resource
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest
from waiting import until

from schemas.plant import Plant
from scopeline import pipeline
from scopeline.catalogue import catalogue
from scopeline.inbox import Delivery, Inbox
from scopeline.log import Log
from scopeline.upkeep import Upkeep
from scopeline.worker import Stopped, Worker


class Origin:
    def __init__(self) -> None:
        self.settled: list[tuple[int, int]] = []

    def settle(self, tokens: list[Any], places: list[int]) -> None:
        self.settled += zip(tokens, places, strict=True)


class Rig:
    """A worker on a file of its own; `steps` may be replaced before `start`."""

    def __init__(self, folder: Path, plant: Plant) -> None:
        self.log = Log(folder / "scopeline.duckdb")
        self.steps = SimpleNamespace(**{n: getattr(pipeline, n) for n in ("configure", "read", "measure", "figures")})
        self.upkeep = Upkeep(self.log, self.steps)
        self.upkeep.load(pipeline.configure(plant, catalogue(), {}))
        self.inbox, self.origin = Inbox(), Origin()
        self.worker = Worker(self.log, self.inbox, self.upkeep)

    def send(self, number: int, payload: bytes | None = None) -> None:
        body = payload or json.dumps({"e": number}).encode()
        self.inbox.offer(Delivery("t/m", body, 1_772_000_000_000_000 + number * 1_000_000, self.origin, number))

    def logged(self) -> list[bytes]:
        return [payload for frame in self.upkeep.store.messages() for payload in frame["payload"]]


@pytest.fixture
def rig(tmp_path: Path, works: Callable[..., Plant]) -> Iterator[Rig]:
    made = Rig(tmp_path, works({"channel": "e", "unit": "kWh", "kind": "counter"}))
    yield made
    made.worker.stop(0)
    made.log.close()


def test_settled_in_order_with_their_places(rig: Rig) -> None:
    for number in range(50):
        rig.send(number)
    rig.worker.start()
    assert until(lambda: len(rig.origin.settled) == 50)
    assert rig.origin.settled == [(n, n + 1) for n in range(50)]
    assert rig.inbox.waiting == 0 and rig.upkeep.store.position() == 50
    assert rig.upkeep.store.readings("works/m:e").height == 50


def test_nothing_is_settled_while_the_commit_fails(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = threading.Event()
    broken.set()
    real = Log.append

    def append(self: Log, table: str, frame: Any) -> None:
        if broken.is_set() and table == "readings":
            raise duckdb.IOException("No space left on device")
        real(self, table, frame)

    monkeypatch.setattr(Log, "append", append)
    rig.send(1)
    rig.worker.start()
    assert until(lambda: rig.worker.problem is not None)
    time.sleep(0.3)
    assert rig.origin.settled == [] and rig.logged() == []
    assert "No space left" in (rig.worker.problem or "")
    broken.clear()
    assert until(lambda: rig.origin.settled == [(1, 1)])
    assert rig.worker.problem is None and len(rig.logged()) == 1


def test_a_real_full_disk(rig: Rig) -> None:
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    rig.worker.start()
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, limit[1]))
    try:
        count = 0
        while rig.worker.problem is None and count < 20_000:
            rig.send(count, json.dumps({"e": count, "pad": str(count) * 400}).encode())
            count += 1
            if count % 500 == 0:
                time.sleep(0.1)
        assert until(lambda: rig.worker.problem is not None)
        assert len(rig.origin.settled) < count
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert until(lambda: len(rig.origin.settled) == count, 180)
    assert len(rig.logged()) == count, "each once"


@pytest.mark.parametrize("step", ["read", "measure"])
def test_a_message_that_breaks_a_step_is_quarantined_alone(rig: Rig, step: str) -> None:
    real = getattr(rig.steps, step)

    def fragile(frame: Any, *more: Any) -> Any:
        poison = b'{"e": 7}' in frame["payload"].to_list() if step == "read" else 7 * 10**9 in frame["value_n"].to_list()
        if poison:
            raise OverflowError("seven")
        return real(frame, *more)

    setattr(rig.steps, step, fragile)
    rig.upkeep._remeter._measure = rig.steps.measure
    for number in (1, 2, 7, 8, 9):
        rig.send(number)
    rig.worker.start()
    assert until(lambda: len(rig.origin.settled) == 5)
    assert sorted(token for token, _ in rig.origin.settled) == [1, 2, 7, 8, 9]
    assert len(rig.logged()) == 5, "the whole message stays in the log"
    rejects = rig.upkeep.store.quarantine()
    assert rejects["reason"].to_list() == ["malformed"] and "seven" in rejects["detail"][0]
    assert rig.upkeep.store.readings("works/m:e").height == 4, "its neighbours are untouched"


def test_jobs_run_between_batches_and_give_their_answer(rig: Rig) -> None:
    rig.worker.start()
    assert rig.worker.ask(lambda: threading.current_thread().name).result(60) == "worker"
    with pytest.raises(ZeroDivisionError):
        rig.worker.ask(lambda: 1 // 0).result(60)
    rig.send(1)
    assert until(lambda: len(rig.origin.settled) == 1), "it goes on after a job that failed"
    rig.worker.stop()
    with pytest.raises(Stopped):
        rig.worker.ask(lambda: 1).result(60)


def test_stopping_commits_what_came(rig: Rig) -> None:
    rig.worker.start()
    for number in range(300):
        rig.send(number)
    rig.worker.stop()
    assert len(rig.origin.settled) == 300 and not rig.worker.alive
