"""`scopeline demo`: an example plant with recorded telemetry, live in under a minute."""

import os
import shutil
import signal
import sys
import threading
import webbrowser
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from scopeline.cli.options import fail, myself
from scopeline.demo.player import FAST_MOTION, HISTORY, Player, Progress, behind
from scopeline.demo.stage import CannotStart, Service, port, prepare

WHERE = """\

Scopeline demo
  console    {console}   Live, Feeds, Figures
  API        {console}/api/docs
  MQTT       127.0.0.1:{mqtt}   QoS 1; send your own messages too
  plant      {folder}   edit a file: it is picked up at once

What to expect
  Gwangyang  a steel works' electricity, really recorded in 2018, moved to
             today: one message each quarter-hour
  Sheffield  a simulated mill: electricity priced by Great Britain's recorded
             hourly intensity, gas, diesel, refrigerant, waste, freight; so that
             all three scopes live. Simulated topics start with demo/simulated
  The last {history:.0f} hours arrive in the first seconds; what they give says
  `restated`, because it came late.{motion}
  Then everything comes as it happens: the mill's main meter every 5 seconds.

In another terminal
  cd {folder}
  {scopeline} doctor
  {scopeline} trace --source boiler-house --at {at}
  {scopeline} export --from {day} --to {tomorrow} --interval 1h --out ../today.xlsx

Ctrl-C stops it.
"""


def command(
    speed: Annotated[float, typer.Option(min=1, help="Fast motion of the first three minutes; then real time. 1: none.")] = 1.0,
    console_port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65535, help="Port of the console. Default: 8090, or a free one.", show_default=False),
    ] = None,
    mqtt_port: Annotated[
        int | None,
        typer.Option(
            "--mqtt-port", min=1, max=65535, help="Port of the MQTT broker. Default: 1883, or a free one.", show_default=False
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--dir", metavar="DIR", help="Folder of the demo's plant. Default: ./scopeline-demo.", show_default=False),
    ] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the console in a browser.")] = True,
) -> None:
    """Start an example plant with recorded telemetry: broker, console and figures on this machine, in under a minute.

    It asks for nothing, changes nothing outside its folder, and stops at Ctrl-C.

    **Examples**

    ```sh
    scopeline demo
    scopeline demo --speed 60 --no-browser
    ```
    """
    stop = threading.Event()
    for asked in (signal.SIGINT, signal.SIGTERM):
        signal.signal(asked, lambda number, frame: _end(stop, frame))
    try:
        made = prepare(folder)
        console, mqtt = port(console_port, 8090), port(mqtt_port, 1883)
        typer.echo(f"Starting the service in {made} ...")
        with Service(made, console, mqtt) as service:
            _tell(made, console, mqtt, speed)
            if browser and _can_show():
                webbrowser.open(f"http://127.0.0.1:{console}")
            _play(Player("127.0.0.1", mqtt, speed), service, stop)
            typer.echo("\nStopping ...")
        typer.echo(f"Stopped. The figures stay in {made} until the next demo: try {myself()} export --plant {made} --help")
    except CannotStart as problem:
        fail(str(problem), 1)


def _end(stop: threading.Event, frame: FrameType | None) -> None:
    if stop.is_set():
        raise KeyboardInterrupt  # asked twice: do not wait for anything
    stop.set()


def _tell(folder: Path, console: int, mqtt: int, speed: float) -> None:
    from datetime import UTC, datetime, timedelta

    now = datetime.now(UTC)
    hours, minutes = behind(speed).total_seconds() / 3600, FAST_MOTION.total_seconds() / 60
    motion = f"\n  For {minutes:.0f} minutes the last {hours:.1f} hours pass at {speed:g} times their speed."
    typer.echo(
        WHERE.format(
            console=f"http://127.0.0.1:{console}",
            mqtt=mqtt,
            folder=folder,
            scopeline=myself(),
            history=HISTORY.total_seconds() / 3600,
            motion=motion if speed > 1 else "",
            at=(now - timedelta(hours=5)).strftime("%Y-%m-%dT%H:00:00Z"),
            day=now.date(),
            tomorrow=now.date() + timedelta(days=1),
        )
    )


def _can_show() -> bool:
    """Whether a browser with windows can be expected here (never a text browser that takes the terminal)."""
    return sys.stdout.isatty() and (
        sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    )


def _play(player: Player, service: Service, stop: threading.Event) -> None:
    """Play until Ctrl-C, showing progress; CannotStart when the service ends by itself."""
    shown = ""

    def report(progress: Progress) -> None:
        nonlocal shown
        if service.ended():
            raise CannotStart(f"The service ended by itself: {service.last_words()}")
        reached = f"{progress.phase}, up to {progress.sent_to:%Y-%m-%d %H:%M:%S} UTC"
        text = f"{progress.acknowledged:,} messages acknowledged; {reached}"
        if sys.stdout.isatty():
            width = shutil.get_terminal_size().columns - 1  # the whole line, and no more: it is written over
            typer.echo(f"\r{text[:width]:<{width}}", nl=False)
        elif progress.phase != shown:
            typer.echo(text)
        shown = progress.phase

    try:
        player.run(stop, report)
    except OSError as error:
        raise CannotStart(f"The broker cannot be reached ({error}): {service.last_words()}") from None
