"""What is not well: broker, log and store, silent feeds, lag, unpriced sources, old factors, the plant folder, disk space."""

import shutil
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Literal

from scopeline.query import common_zone, local
from scopeline.service import Service
from scopeline.service.health import counts, trouble, unpriced, waiting
from scopeline.service.host import ask

EMBEDDED = "embedded"
"""The broker that runs inside the instance."""
LEAST_FREE = 1 << 30
"""Bytes; below this the disk is a finding."""
MOST_WAITING = 10_000
"""Messages; more than this are not committed in time."""


@dataclass(frozen=True)
class Finding:
    """`error` and `warning` make `scopeline doctor` exit 1; a `note` only informs; `ok` says what is well (cluster)."""

    severity: Literal["error", "warning", "note", "ok"]
    about: str  # broker, store, feed, source, factor, plant, disk, quarantine; kafka, process, archive, influxdb, grafana, ...
    what: str
    remedy: str


@dataclass(frozen=True)
class Report:
    findings: tuple[Finding, ...]
    facts: dict[str, Any]

    @property
    def well(self) -> bool:
        return all(finding.severity in ("note", "ok") for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        return {"well": self.well, "facts": self.facts, "findings": [asdict(finding) for finding in self.findings]}


def examine(service: Service) -> Report:
    """Look at everything once; nothing is changed."""
    found = counts(service.host)
    facts = {**found, "running": service.host.running, "waiting": waiting(service.host), "feeds": len(service.plant.feeds)}
    looks = (_plant, _reach, _store, _feeds, _quarantine, _sources, _factors, _disk)
    return Report(tuple(finding for look in looks for finding in look(service)), facts)


def _plant(service: Service) -> Iterator[Finding]:
    for problem in service.problems():
        place = f"{problem.file}:{problem.line}" if problem.line else problem.file
        what = f"{problem.key}: {problem.message}" if problem.key else problem.message
        yield Finding(problem.severity, "plant", f"{place}: {what}", problem.remedy)


def _reach(service: Service) -> Iterator[Finding]:
    if service.plant.settings.profile == "cluster":  # the servers are looked at by scopeline.cluster.doctor
        if not service.host.running:
            what = "no console follows the log here; what is said of feeds, figures and factors is from when one last ran"
            yield Finding("warning", "console", what, "Start one: `scopeline run --role console`.")
        return
    if not service.host.running:
        yield Finding("warning", "broker", "No instance runs on this plant folder", "Start one: `scopeline run`.")
    for name, broker in sorted(service.plant.settings.brokers.items()):
        if name == EMBEDDED and not service.host.running:
            continue
        try:
            socket.create_connection((broker.host, broker.port), timeout=3).close()
        except OSError as error:
            what = f"Broker {name} at {broker.host}:{broker.port} cannot be reached ({error.strerror or error})"
            yield Finding("error", "broker", what, "Start it, or correct brokers: in plant.yaml.")


def _store(service: Service) -> Iterator[Finding]:
    if reason := trouble(service.host):
        yield Finding("error", "store", reason, "Messages wait unacknowledged until it is solved; look at disk and log.")
    if (count := waiting(service.host)) > MOST_WAITING:
        what = f"{count} messages wait for their commit"
        yield Finding("warning", "store", what, "Wait, or send less: more come in than this machine computes.")


def _feeds(service: Service) -> Iterator[Finding]:
    zone = common_zone(site.timezone for site in service.plant.settings.sites)
    for row in service.feeds():
        if row["feed"] is None:
            several = "messages match" if row["unmatched"] > 1 else "message matches"
            what = f"{row['unmatched']:,} {several} no feed; the last came on {row['last_topic']!r}"
            yield Finding(
                "warning", "feed", what, "Add a feed for the topic (`scopeline try --topic ... --payload ...`), or skip it."
            )
        elif row["last_received_at"] is None:
            yield Finding(
                "warning", "feed", f"{row['feed']} has never received a message", "Check topic: and broker: of the feed."
            )
        elif row["silent"]:
            since = local(row["last_received_at"], zone)
            what = f"{row['feed']} is silent since {since}"
            yield Finding("warning", "feed", what, "Look at the device, its network and its broker account.")


def _quarantine(service: Service) -> Iterator[Finding]:
    for row in service.feeds():
        if row["quarantine_reasons"]:
            reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(row["quarantine_reasons"].items()))
            remedy = f"`scopeline quarantine list --feed {row['feed']}` says why; a corrected feed reads them again."
            yield Finding("warning", "quarantine", f"{row['feed']}: {reasons}", remedy)


def _sources(service: Service) -> Iterator[Finding]:
    for site, source in unpriced(service.host).iter_rows():
        what = f"{source} at {site} is unpriced: its activity has no factor"
        yield Finding("warning", "source", what, "`scopeline check` says why; pin a factor set or give the source a factor.")
    sql = "SELECT DISTINCT source FROM figures WHERE interval_start >= $start"
    known = set(ask(service.host, sql, {"start": service.host.now() - timedelta(hours=24)})["source"])
    for source in service.configuration.plan.sources:
        if source.source not in known:
            what = f"{source.source} at {source.site} has no figure in the last 24 hours"
            yield Finding("note", "source", what, f"It is measured by {source.measured_by}: look at that meter's feed.")


def _factors(service: Service) -> Iterator[Finding]:
    sql = """SELECT factor_id, factor_version, max(factor_age_years) AS age, count(DISTINCT source) AS sources FROM figures
    WHERE factor_age_years > 0 AND interval_start >= $start GROUP BY ALL ORDER BY ALL"""
    for row in ask(service.host, sql, {"start": service.host.now() - timedelta(hours=24)}).iter_rows(named=True):
        years = f"{row['age']} year{'s' if row['age'] > 1 else ''}"
        what = f"{row['factor_id']} ({row['factor_version']}) is {years} older than the activity of {row['sources']} source(s)"
        yield Finding("warning", "factor", what, "Pin a newer version under factor_sets: in plant.yaml, where there is one.")


def _disk(service: Service) -> Iterator[Finding]:
    folder = service.host.store.log.path.parent
    usage = shutil.disk_usage(folder)
    if usage.free < LEAST_FREE or usage.free < usage.total * 0.02:
        what = f"{usage.free / 1e9:.1f} GB are free where {folder} lies"
        yield Finding("error", "disk", what, "Make room, or lower retention: days: in plant.yaml.")
