"""`scopeline run`: the service."""

import logging
import secrets
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from scopeline.cli.options import Plant, existing, fail

if TYPE_CHECKING:
    from scopeline.runtime import Runtime

SHUTDOWN = 3
"""Seconds that open pages and downloads get when the service stops."""


def command(
    plant: Plant = Path("."),
    profile: Annotated[
        Literal["embedded", "cluster"] | None, typer.Option(help="Default: the one in plant.yaml.", show_default=False)
    ] = None,
    role: Annotated[Literal["all", "ingest", "process", "console"], typer.Option(help="Cluster: which part runs here.")] = "all",
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port of console and API. Default: console: in plant.yaml.", show_default=False),
    ] = None,
    mqtt_port: Annotated[
        int | None,
        typer.Option("--mqtt-port", min=1, max=65535, help="Port of the embedded broker. Default: 1883.", show_default=False),
    ] = None,
    console: Annotated[bool, typer.Option("--console/--no-console", help="With the pages, or the API alone.")] = True,
) -> None:
    """Receive messages, compute figures, serve console and API, until Ctrl-C.

    Without `brokers:` in plant.yaml an MQTT broker runs inside, for this machine only. A QoS 1 message is acknowledged when it
    and the figures it changes are stored. Edits of the plant folder are picked up at once.

    **Examples**

    ```sh
    scopeline run --plant works
    scopeline run --port 9000 --mqtt-port 1884
    ```
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: everything is stopped in order
    with suppress(KeyboardInterrupt):
        _run(plant, profile, role, port, mqtt_port, console)
    typer.echo("Stopped.")


def _run(plant: Path, profile: str | None, role: str, port: int | None, mqtt_port: int | None, console: bool) -> None:
    """Start, serve, stop; a KeyboardInterrupt passes through when all is stopped."""
    from scopeline.broker import BrokerStart
    from scopeline.log import StateError
    from scopeline.runtime import PlantInvalid, Runtime

    existing(plant)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for noisy in ("httpx", "watchfiles", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    begun = time.monotonic()
    runtime = Runtime(plant, mqtt_port)
    try:
        _only_embedded(plant, profile, role)
        runtime.start()
        _serve(runtime, port, console, begun)
    except PlantInvalid as invalid:
        fail(f"{invalid}\nScopeline does not start with errors in the plant folder; `scopeline check` lists all problems.", 1)
    except (StateError, BrokerStart) as error:
        fail(str(error), 1)
    finally:
        runtime.stop()


def _only_embedded(plant: Path, profile: str | None, role: str) -> None:
    from scopeline.plant import load

    found, _ = load(plant)
    chosen = profile or (found.settings.profile if found else "embedded")
    if chosen == "cluster":
        fail("The cluster profile (Kafka, InfluxDB) is not available in this version. Use --profile embedded.", 2)
    if role != "all":
        fail(
            f"--role {role} belongs to the cluster profile. The embedded profile runs everything in one process: leave it out.", 2
        )


def _serve(runtime: "Runtime", port: int | None, console: bool, begun: float) -> None:
    import uvicorn

    from scopeline.api import create
    from scopeline.remote import announce, withdraw
    from scopeline.service import Service
    from scopeline.tokens import Tokens

    settings = runtime.configuration.plant.settings.console
    host, port = settings.host, settings.port if port is None else port
    listening = _listen(host, port)
    port = int(listening.getsockname()[1])
    service, token = Service(runtime), secrets.token_urlsafe(32)
    app = create(service, Tokens(runtime.plant_dir), token, hosts=[host])
    if console:
        from scopeline.console.app import mount

        mount(app, service, secrets.token_urlsafe(32))
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=SHUTDOWN, server_header=False, lifespan="on")
    )
    for asked in (signal.SIGINT, signal.SIGTERM):  # also before the server listens to signals itself
        signal.signal(asked, lambda *_: setattr(server, "should_exit", True))
    shown = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host
    address = f"http://{shown}:{port}"

    def told() -> None:
        while not server.started and not server.should_exit:
            time.sleep(0.02)
        if server.started:
            announce(runtime.plant_dir, address, token)
            for line in _where(runtime, address, console, time.monotonic() - begun):
                typer.echo(line)
            sys.stdout.flush()

    threading.Thread(target=told, name="announce", daemon=True).start()
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listening])
    withdraw(runtime.plant_dir)


def _listen(host: str, port: int) -> socket.socket:
    found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
    except OSError as error:
        found.close()
        fail(
            f"Port {port} on {host} cannot be used ({error.strerror}). Choose another with --port, or console: in plant.yaml.", 1
        )
    return found


def _where(runtime: "Runtime", address: str, console: bool, seconds: float) -> list[str]:
    """What is where, once everything answers."""
    lines = [f"Scopeline runs ({seconds:.1f} s). Ctrl-C stops it."]
    lines += [f"  console  {address}"] if console else []
    lines.append(f"  API      {address}/api/docs")
    if runtime.broker:
        lines.append(
            f"  MQTT     {runtime.broker.host}:{runtime.broker.port}   embedded broker, QoS 1 acknowledged after the commit"
        )
    lines += [f"  MQTT     {one.subscriber.address}   broker {one.name}" for one in runtime.external]
    lines.append(f"  plant    {runtime.plant_dir}")
    lines.append(f"  data     {runtime.store.log.path}")
    return lines
