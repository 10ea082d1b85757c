"""InfluxDB, the archive and Grafana as `doctor` sees them."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx

from schemas.connections import Archive, InfluxDB, Kafka
from schemas.influx import buckets
from schemas.plant import Plant
from scopeline.cluster import setup
from scopeline.cluster.archive_index import Index, cover
from scopeline.cluster.topics import topics
from scopeline.cluster.vault import vault
from scopeline.doctor import Finding
from scopeline.plant import secret
from sinks.influx import InfluxProblem

TESTED = "2.7"
TOKEN, GRAFANA_TOKEN = "SCOPELINE_INFLUXDB_TOKEN", "SCOPELINE_GRAFANA_TOKEN"
SKEW = timedelta(seconds=5)
_SECONDS = 4
_SETUP = "Run `scopeline setup` with the operator's token."


def influxdb(settings: InfluxDB, plant_dir: Path) -> Iterator[Finding]:
    """Reachable, version, clock, the token's rights on each bucket, buckets and mappings."""
    token = secret(plant_dir, settings.token_file, TOKEN)
    headers = {"Authorization": f"Token {token.get_secret_value()}"} if token else {}
    with httpx.Client(base_url=settings.url, headers=headers, timeout=_SECONDS) as http:
        before = datetime.now(UTC)
        try:
            answer = http.get("/ping")
        except httpx.HTTPError as error:
            what = f"{settings.url} does not answer ({type(error).__name__}: {error})"
            yield Finding("error", "influxdb", what, "Start it, or correct influxdb.url.")
            return
        yield _version(settings.url, answer.headers.get("X-Influxdb-Version", "unknown").lstrip("v"))
        yield from _clock(answer, before, datetime.now(UTC))
        if token is None:
            yield Finding("error", "influxdb", "there is no token", f"Write it into influxdb.token_file, or set {TOKEN}.")
            return
        for name in buckets(settings.bucket).values():
            yield _rights(http, settings, name)
    try:
        short = settings.model_copy(update={"timeout": timedelta(seconds=_SECONDS)})
        for step in setup.influxdb(short, token, dry_run=True):
            if step.state == "there":
                yield Finding("ok", "influxdb", f"bucket {step.name}: {step.detail}", "")
            else:
                yield Finding("error", "influxdb", f"bucket {step.name} is not as it should be ({step.detail})", _SETUP)
    except InfluxProblem as problem:
        what = f"this token may not see how buckets are set up ({problem})".partition(" -> ")[0]
        yield Finding("note", "influxdb", what, "`scopeline setup --dry-run` with the operator's token does.")


def _version(url: str, version: str) -> Finding:
    what = f"version {version} at {url}"
    if version.startswith(f"{TESTED}."):
        return Finding("ok", "influxdb", what, "")
    what = f"{what}; tested is {TESTED}"
    return Finding(
        "note" if version[:1] == TESTED[0] else "warning", "influxdb", what, "Run the tested version, or try it on a copy first."
    )


def _clock(answer: httpx.Response, before: datetime, after: datetime) -> Iterator[Finding]:
    """The server's clock (whole seconds) against this machine's."""
    with suppress(KeyError, TypeError, ValueError):
        there = parsedate_to_datetime(answer.headers["Date"])
        off = max(before - there - timedelta(seconds=1), there - after, timedelta(0))
        if off > SKEW:
            what = f"InfluxDB's clock differs from this machine's by {off.total_seconds():.0f} s"
            yield Finding("warning", "clock", what, "Set both by NTP: retention and late data go by these clocks.")
        else:
            yield Finding("ok", "clock", "InfluxDB's clock and this machine's agree", "")


def _rights(http: httpx.Client, settings: InfluxDB, bucket: str) -> Finding:
    """Whether the token may read by InfluxQL, and write: a write of nothing is refused only to who may not write."""
    where = {"org": settings.org, "bucket": bucket, "precision": "us"}
    try:
        read = http.post("/query", data={"db": bucket, "q": "SHOW MEASUREMENTS LIMIT 1"})
        write = http.post("/api/v2/write", params=where, content=b"# doctor\n")
    except httpx.HTTPError as error:
        return Finding("error", "influxdb", f"{bucket}: no answer ({type(error).__name__})", "See InfluxDB's log.")
    for answer, verb in ((read, "read"), (write, "write")):
        if answer.status_code == 401:
            remedy = "Correct influxdb.token_file: the token is not one of this server's."
            return Finding("error", "influxdb", f"{bucket}: the token is refused", remedy)
        if answer.status_code == 403:
            remedy = "Give the token read and write on the three buckets."
            return Finding("error", "influxdb", f"{bucket}: the token may not {verb}", remedy)
        if answer.status_code == 404:
            return Finding("error", "influxdb", f"{bucket}: no such organisation, bucket or mapping", _SETUP)
    if read.status_code >= 300 or "error" in read.text:
        return Finding("error", "influxdb", f"{bucket} cannot be read: {read.text[:200].strip()}", _SETUP)
    if write.status_code not in (204, 400):
        return Finding("error", "influxdb", f"{bucket} cannot be written: {write.text[:200].strip()}", "See InfluxDB's log.")
    return Finding("ok", "influxdb", f"the token may read and write {bucket}", "")


def archive(settings: Archive, kafka: Kafka, plant_dir: Path) -> Iterator[Finding]:
    """Writable, how far it reaches, gaps. Raises VaultProblem."""
    place = vault(settings, plant_dir)
    if not place.there():
        yield Finding("error", "archive", f"{place.where} is not there", "Make it with `scopeline setup`.")
        return
    place.put("index/.doctor", b"written by scopeline doctor\n")
    place.delete("index/.doctor")
    named, days, gaps = topics(kafka), [], []
    for topic, count in ((named.raw, kafka.partitions), (named.ref, 1)):
        for number in range(count):
            keys = Index(place, topic, number).keys()
            days += [key.last_day for key in keys]
            if keys:
                start, end = min(key.start for key in keys), max(key.end for key in keys)
                holes = [one for one in cover(keys, start, end) if one.key is None]
                gaps += [f"{topic} partition {number} offsets {one.start:,} to {one.end:,}" for one in holes]
    if gaps:
        what = f"{place.where} lacks {'; '.join(gaps[:5])}{' and more' if len(gaps) > 5 else ''}"
        yield Finding("error", "archive", what, "Restore index/ and site=*/ from a backup; Kafka may still have the messages.")
    newest = f"its newest messages are of {max(days)}, no gap" if days else "it holds nothing yet"
    if not gaps:
        yield Finding("ok" if days else "note", "archive", f"{place.where} can be written, {newest}", "")


def grafana(plant: Plant, plant_dir: Path) -> Iterator[Finding]:
    """Reachable, version, and whether the dashboards and alerts are those of this plant folder."""
    settings = plant.settings.grafana
    assert settings
    try:
        said = httpx.get(f"{settings.url.rstrip('/')}/api/health", timeout=_SECONDS).json()
        yield Finding("ok", "grafana", f"version {said['version']} at {settings.url}", "")
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        what = f"{settings.url} does not answer as Grafana does ({type(error).__name__})"
        yield Finding("error", "grafana", what, "Start it, or correct grafana.url.")
        return
    token = secret(plant_dir, settings.token_file, GRAFANA_TOKEN)
    if token is None:
        what = "its dashboards cannot be looked at without a token"
        yield Finding("note", "grafana", what, f"Write one into grafana.token_file, or set {GRAFANA_TOKEN}.")
        return
    from grafana import facts
    from scopeline.cluster import grafana as server

    try:
        steps = list(server.push(server.connect(settings.url, token), facts(plant), None, dry_run=True, with_datasources=False))
    except server.Refused as refused:
        yield Finding("error", "grafana", str(refused), "")
        return
    other = [f"{one.what} {one.name}" for one in steps if one.state != "same"]
    if other:
        what = f"{len(other)} of {len(steps)} things are missing or not as this plant folder says: {', '.join(other[:4])}"
        yield Finding("warning", "grafana", what, "Bring them up to date: `scopeline grafana push`.")
    else:
        yield Finding("ok", "grafana", f"all {len(steps)} dashboards and alerts are those of this plant folder", "")
