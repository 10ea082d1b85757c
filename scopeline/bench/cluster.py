"""The benchmark of the cluster profile, part by part: rows of one table, each beside its peer and its aim."""

import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from kafka import KafkaAdminClient

from scopeline.bench import cluster_quix, influx, ingest, latency, process
from scopeline.bench.cluster_plant import PEER, load_single, messages, stand
from scopeline.bench.cluster_servers import Servers
from scopeline.bench.cluster_telegraf import found
from scopeline.bench.measure import Failed, run

COLUMNS = ("what", "messages", "per processor-second", "per second", "wall s", "peak MB", "beside it", "aim")
Row = tuple[str, int, int | None, int | None, float, int | None, str, str]

AIM_SINGLE, AIM_PACKED, AIM_WRITES, AIM_P99_S, AIM_TELEGRAF = 150_000, 600_000, 0.8, 2.0, 1.3


class Sizes(NamedTuple):
    """How much is measured, and what stands beside it."""

    messages: int
    """One a record, and of ingest."""
    readings: int
    """In micro-batches."""
    meters: int
    every_s: float
    """Seconds between two readings of a meter."""
    lines: int
    rate: int
    """Messages a second, for latency."""
    seconds: float
    peer_python: str | None
    telegraf: str | None


def rows(chosen: set[str], servers: Servers, sizes: Sizes) -> Iterator[Row]:
    """The rows of the chosen parts, as they are measured. Failed where a server or a measured process fails."""
    for name, part in PARTS.items():
        if name in chosen:
            yield from part(servers, sizes)


def _process(servers: Servers, sizes: Sizes) -> Iterator[Row]:
    python = _python_of_quix(sizes.peer_python)
    peer = _quix(servers, sizes, python) if python else None
    ways = (
        ("one-message records", sizes.messages, False, AIM_SINGLE),
        ("micro-batches of 500", sizes.readings, True, AIM_PACKED),
    )
    for what, count, packed, aim in ways:
        for told in (True, False):
            worked = process.measure(servers, count, sizes.meters, sizes.every_s, packed, told)
            beside = "peer not installed: --peer-python"
            if peer is not None:
                beside = f"{worked.per_cpu_s / peer.per_cpu_s:.1f} x Quix Streams"
            yield _worked(
                f"process, {what}" + ("" if told else ", nothing written"), worked, beside, _reached(worked.per_cpu_s, aim)
            )
    if peer is not None:
        yield _worked("Quix Streams", peer, "the peer: difference x factor, one-message records", "")


def _worked(name: str, worked: process.Worked, beside: str, aim: str) -> Row:
    rates = round(worked.per_cpu_s), round(worked.readings / worked.wall_s)
    return name, worked.readings, *rates, round(worked.wall_s, 1), round(worked.peak_mb), beside, aim


def _influx(servers: Servers, sizes: Sizes) -> Iterator[Row]:
    wrote = influx.measure(servers, sizes.lines)
    share = wrote["sink"].per_second / wrote["plain"].per_second
    for way, name, beside, aim in (
        ("sink", "InfluxDB writes", f"{share:.0%} of plain posts", _reached(share, AIM_WRITES)),
        ("plain", "plain posts", "the server's limit", ""),
        ("lines", "line protocol", "made from figures, before it is written", ""),
    ):
        one = wrote[way]
        yield name, one.lines, round(one.lines / one.cpu_s), round(one.per_second), round(one.wall_s, 1), None, beside, aim


def _latency(servers: Servers, sizes: Sizes) -> Iterator[Row]:
    took = latency.measure(servers, sizes.rate, sizes.seconds, sizes.meters)
    used = ", ".join(f"{name} {cpu / took.seconds:.0%}" for name, cpu in took.cpu_s.items())
    said = f"p50 {took.p50:.2f} s, p99 {took.p99:.2f} s, worst {took.worst:.2f} s of {took.probes} probes; of a processor: {used}"
    rates = round(took.messages / sum(took.cpu_s.values())), round(took.per_second)
    aim = f"p99 below {AIM_P99_S:g} s: {'yes' if took.p99 < AIM_P99_S else 'no'}"
    if took.per_second < 0.95 * sizes.rate:
        aim += f"; {sizes.rate} a second were not reached"
    yield "publish to queryable", took.messages, *rates, round(took.seconds, 1), round(took.peak_mb), said, aim


def _ingest(servers: Servers, sizes: Sizes) -> Iterator[Row]:
    program = found(sizes.telegraf)
    rates = ingest.measure(*servers.mqtt, servers.kafka[0], sizes.messages, program)
    mine = rates["ingest"]
    beside, aim = f"{mine.per_cpu_s / rates['paho alone'].per_cpu_s:.1f} x paho alone", ""
    if program:
        ratio = mine.per_cpu_s / rates["telegraf"].per_cpu_s
        beside, aim = f"{beside}, {ratio:.2f} x Telegraf", _reached(ratio, AIM_TELEGRAF)
    for name, rate in rates.items():
        said = {"ingest": beside, "paho alone": "reads and acknowledges, keeps nothing"}.get(
            name, "the peer: payloads as they are"
        )
        yield (
            {"ingest": "ingest, MQTT to Kafka"}.get(name, name),
            rate.messages,
            round(rate.per_cpu_s),
            round(rate.messages / rate.wall_s),
            round(rate.wall_s, 1),
            round(rate.peak_mb),
            said,
            aim if name == "ingest" else "",
        )


PARTS: dict[str, Callable[[Servers, Sizes], Iterator[Row]]] = {
    "process": _process,
    "influx": _influx,
    "latency": _latency,
    "ingest": _ingest,
}
"""What `bench --profile cluster --part` can name."""


def _reached(value: float, aim: float) -> str:
    """
    >>> _reached(75_000, 150_000), _reached(1.4, 1.3)
    ('50% of 150,000', '108% of 1.3')
    """
    return f"{value / aim:.0%} of {aim:,}"


def _python_of_quix(given: str | None) -> str | None:
    """The Python that has quixstreams: the given one, or this one; None where it is not installed."""
    if given:
        done = subprocess.run([given, "-c", "import quixstreams"], capture_output=True, text=True)
        if done.returncode:
            raise Failed(f"--peer-python {given}: cannot import quixstreams: {(done.stderr.splitlines() or [''])[-1]}")
    return given or (sys.executable if importlib.util.find_spec("quixstreams") else None)


def _quix(servers: Servers, sizes: Sizes, python: str) -> process.Worked:
    """Messages a processor-second of Quix Streams."""
    with stand(servers) as made, tempfile.TemporaryDirectory(prefix="scopeline-bench-") as folder:
        topics = [f"{made.prefix}.{PEER}.in", f"{made.prefix}.{PEER}.out"]
        admin = KafkaAdminClient(bootstrap_servers=list(servers.kafka))
        try:
            admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1} for topic in topics})
        finally:
            admin.close()
        load_single(made, messages(sizes.messages, sizes.meters, sizes.every_s, made.prefix), topics[0], keyed=True)
        script = str(Path(cluster_quix.__file__))
        start = ["-c", "import os, sys; os.execv(sys.argv[1], sys.argv[1:])", python]
        cost, printed = run([*start, script, servers.kafka[0], *topics, str(sizes.messages), folder])
        cpu_s, wall_s = json.loads(printed.splitlines()[-1])
    return process.Worked(sizes.messages, cpu_s, wall_s, cost.peak_mb, 0)
