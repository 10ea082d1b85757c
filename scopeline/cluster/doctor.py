"""`doctor` of the cluster profile: every server, every hop, each within a few seconds, and none stops the others."""

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from schemas.plant import Plant
from scopeline.check import check
from scopeline.cluster import doctor_broker, doctor_kafka, doctor_stores
from scopeline.doctor import Finding, Report
from scopeline.logs import hidden
from scopeline.remote import Failed, connect, instance_file
from scopeline.runtime import CONSOLE
from scopeline.tokens import STATE

SECONDS = 15.0
"""Until a look that gives no answer is given up; all looks go on at the same time."""
LIBRARIES = {"kafka-python": "3.0", "paho-mqtt": "2", "polars": "2", "duckdb": "2", "pyarrow": "", "crc32c": "", "lz4": ""}
"""What is tested, by the beginning of its version; "": any."""
WELL = {
    "feed": "no feed is silent",
    "quarantine": "nothing is in quarantine",
    "source": "every source of the last 24 hours is priced",
    "factor": "no factor is older than what it prices",
    "disk": "there is room where the console's data lies",
}
"""What the console's silence about a thing means."""
Look = Callable[[], Iterable[Finding]]


def examine(plant: Plant, plant_dir: Path, seconds: float = SECONDS) -> Report:
    """Look at everything; plant.yaml must name kafka, influxdb and archive. Nothing is changed."""
    settings, facts = plant.settings, {"profile": "cluster", "running": False}
    assert settings.kafka and settings.influxdb and settings.archive
    looks: dict[str, Look] = {
        f"broker {name}": partial(doctor_broker.look, name, broker, plant_dir) for name, broker in settings.brokers.items()
    }
    looks |= {
        "plant": partial(_plant, plant_dir),
        "kafka": partial(doctor_kafka.look, settings.kafka, plant_dir),
        "influxdb": partial(doctor_stores.influxdb, settings.influxdb, plant_dir),
        "archive": partial(doctor_stores.archive, settings.archive, settings.kafka, plant_dir),
    }
    if settings.grafana:
        looks["grafana"] = partial(doctor_stores.grafana, plant, plant_dir)
    looks |= {"versions": _libraries, "console": partial(_console, plant_dir, facts)}
    return Report(tuple(gathered(looks, seconds)), facts)


def gathered(looks: Mapping[str, Look], seconds: float) -> list[Finding]:
    """The findings of all looks, in their order. A look that fails, or takes too long, is a finding itself."""
    answers: dict[str, queue.SimpleQueue[Finding | None]] = {name: queue.SimpleQueue() for name in looks}
    for name, look in looks.items():
        threading.Thread(target=_one, args=(name, look, answers[name]), name=f"doctor {name}", daemon=True).start()
    end, found = time.monotonic() + seconds, []
    for name, answer in answers.items():
        try:
            while (finding := answer.get(timeout=max(0.01, end - time.monotonic()))) is not None:
                found.append(finding)
        except queue.Empty:
            what = f"no answer within {seconds:.0f} s"
            found.append(Finding("error", name.partition(" ")[0], what, "See whether it runs and whether a firewall is between."))
    return found


def _one(name: str, look: Look, answer: "queue.SimpleQueue[Finding | None]") -> None:
    try:
        for finding in look():
            answer.put(replace(finding, what=hidden(finding.what), remedy=hidden(finding.remedy)))
    except Exception as error:  # whatever it is: the other looks go on, and the report says it
        what, _, remedy = hidden(str(error) or type(error).__name__).partition(" -> ")
        answer.put(Finding("error", name.partition(" ")[0], what, f"{remedy[:1].upper()}{remedy[1:]}"))
    answer.put(None)


def _plant(plant_dir: Path) -> Iterator[Finding]:
    _, problems = check(plant_dir)
    for problem in problems:
        place = f"{problem.file}:{problem.line}" if problem.line else problem.file
        what = f"{problem.key}: {problem.message}" if problem.key else problem.message
        yield Finding(problem.severity, "plant", f"{place}: {what}", problem.remedy)
    if all(problem.severity == "note" for problem in problems):
        yield Finding("ok", "plant", "`scopeline check` finds nothing wrong", "")


def _libraries() -> Iterator[Finding]:
    found = {}
    for name, tested in LIBRARIES.items():
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            what = f"{name} is not installed"
            yield Finding("warning", "versions", what, "Install with its extra: pip install 'scopeline[cluster]'.")
            continue
        if found[name] != tested and not found[name].startswith(f"{tested}." if tested else ""):
            yield Finding("warning", "versions", f"{name} {found[name]}; tested is {tested}", "Install the tested version.")
    yield Finding("ok", "versions", ", ".join(f"{name} {version}" for name, version in found.items()), "")


def _console(plant_dir: Path, facts: dict[str, Any]) -> Iterator[Finding]:
    """What only data can say: from the running console, else from the file of one that ran here."""
    if not instance_file(plant_dir).exists() and not (plant_dir / STATE / CONSOLE).exists():
        what = "no console has run here: silent feeds, quarantine, unpriced sources and old factors are not looked at"
        yield Finding("note", "console", what, "Ask where it runs, or start one: `scopeline run --role console`.")
        return
    try:
        with connect(plant_dir) as door:
            report = door.get("/doctor")
    except Failed as failed:
        yield Finding("error", "console", failed.error, failed.remedy)
        return
    facts |= report["facts"]
    if facts["running"]:
        yield Finding("ok", "console", f"it runs, with {facts['messages']:,} messages and {facts['figures']:,} figures", "")
    found = [Finding(**one) for one in report["findings"] if one["about"] != "plant" or facts["running"]]
    yield from found
    spoken = {one.about for one in found if one.severity in ("error", "warning")}
    for about, what in WELL.items():
        if about not in spoken:
            yield Finding("ok", about, what, "")
