"""What the demo's devices say between two instants: topics and payloads, recorded and simulated apart."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from scopeline.demo.recorded import HOUR, QUARTER, intensity, moved, steel
from scopeline.demo.simulated import Deliveries, Meter


class Publish(NamedTuple):
    """One MQTT publish of the demo and the instant at which its device sends it."""

    at: datetime
    topic: str
    payload: str


PRESSES = {"press-1": 1_680.0, "press-2": 1_240.0, "press-3": 2_060.0}
MILL = Meter("mill-main", daily=21_600.0, night=0.3)
GAS = Meter("boiler-house", daily=2_400.0, night=0.4)
DIESEL = Deliveries("diesel", daily=2, least=40, most=120, digits=0)
REFRIGERANT = Deliveries("topup", daily=2, least=0.02, most=0.06, digits=3)
SKIPS = Deliveries("skip", daily=3, least=120, most=400, digits=0)
TRIPS = Deliveries("trip", daily=8, least=200, most=900, digits=1)
LONDON = ZoneInfo("Europe/London")


def utc(at: datetime) -> str:
    """A time as most of the demo's devices write it.

    >>> utc(datetime(2026, 3, 1, 12, 30, tzinfo=UTC))
    '2026-03-01T12:30:00Z'
    """
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def ticks(start: datetime, end: datetime, every: timedelta) -> Iterator[datetime]:
    """The multiples of `every` after start, up to and with end."""
    at = datetime.fromtimestamp(start.timestamp() // every.total_seconds() * every.total_seconds(), UTC)
    while (at := at + every) <= end:
        yield at


def steel_works(start: datetime, end: datetime, every: timedelta) -> Iterator[Publish]:
    """Recorded: the steel works' quarter-hours, stamped at their end in Korea's time."""
    for at, kwh in moved(steel(), QUARTER, start, end):
        local = at.astimezone(ZoneInfo("Asia/Seoul")).isoformat()
        yield Publish(at, "demo/recorded/gwangyang/main/quarter-hour", f'{{"end":"{local}","kwh":{kwh}}}')


def grid(start: datetime, end: datetime, every: timedelta) -> Iterator[Publish]:
    """Recorded: the intensity of Great Britain's grid, from the start of each hour."""
    for at, grams in moved(intensity(), HOUR, start, end):
        yield Publish(at, "demo/recorded/grid/gb", f'{{"from":"{utc(at)}","gco2_per_kwh":{grams}}}')


def presses(start: datetime, end: datetime, every: timedelta) -> Iterator[Publish]:
    """Simulated: plugs with Tasmota firmware on three presses; their stamps are local and name no zone."""
    for device, daily in PRESSES.items():
        plug = Meter(device, daily)
        for at in ticks(start, end, 2 * every):
            energy = {"Total": round(plug.counter(at), 3), "Power": round(plug.rate(at) * 1000)}
            payload = {"Time": at.astimezone(LONDON).strftime("%Y-%m-%dT%H:%M:%S"), "ENERGY": energy}
            yield Publish(at, f"demo/simulated/sheffield/press/{device}/SENSOR", _json(payload))


def mill(start: datetime, end: datetime, every: timedelta) -> Iterator[Publish]:
    """Simulated: the finishing mill's main meter, power and counter in one payload."""
    for at in ticks(start, end, every):
        payload = {"time": utc(at), "power_kw": round(MILL.rate(at), 2), "energy_kwh": round(MILL.counter(at), 3)}
        yield Publish(at, "demo/simulated/sheffield/main", _json(payload))


def gas(start: datetime, end: datetime, every: timedelta) -> Iterator[Publish]:
    """Simulated: the gas meter of the boiler house, a counter of m3."""
    for at in ticks(start, end, 6 * every):
        yield Publish(at, "demo/simulated/sheffield/gas", _json({"time": utc(at), "m3": f"{GAS.counter(at):.3f}"}))


def diesel(start: datetime, end: datetime, every: timedelta) -> Iterator[Publish]:
    """Simulated: deliveries to the fork-lift trucks' tank."""
    for number, at, litres in DIESEL.between(start, end):
        payload = {"delivered_at": utc(at), "ticket": number, "litres": litres}
        yield Publish(at, "demo/simulated/sheffield/diesel", _json(payload))


def refrigerant(start: datetime, end: datetime, every: timedelta) -> Iterator[Publish]:
    """Simulated: top-ups of a chiller that leaks R-410A."""
    for number, at, kg in REFRIGERANT.between(start, end):
        yield Publish(at, "demo/simulated/sheffield/refrigerant", _json({"time": utc(at), "job": number, "kg": kg}))


def skips(start: datetime, end: datetime, every: timedelta) -> Iterator[Publish]:
    """Simulated: waste skips over the weighbridge, an array of weighings in one payload."""
    for number, at, kg in SKIPS.between(start, end):
        weighing = {"scale": "yard", "t": utc(at), "ticket": number, "net": kg}
        yield Publish(at, "demo/simulated/sheffield/weighbridge", _json([weighing]))


def trips(start: datetime, end: datetime, every: timedelta) -> Iterator[Publish]:
    """Simulated: the haulier's list of trips as csv lines: time;trip;tonne-kilometres."""
    for number, at, tonne_km in TRIPS.between(start, end):
        yield Publish(at, "demo/simulated/sheffield/trips", f"{utc(at)};{number};{tonne_km}")


DEVICES: tuple[Callable[[datetime, datetime, timedelta], Iterator[Publish]], ...] = (
    steel_works,
    grid,
    presses,
    mill,
    gas,
    diesel,
    refrigerant,
    skips,
    trips,
)
"""Everything that sends; `every` is how often the main meter speaks, the others follow it."""


def messages(start: datetime, end: datetime, every: timedelta) -> list[Publish]:
    """All publishes after start, up to and with end, in the order in which they were sent."""
    return sorted(publish for device in DEVICES for publish in device(start, end, every))


def _json(payload: Any) -> str:
    return json.dumps(payload, separators=(",", ":"))
