"""The demo's material: recorded series moved to today, simulated meters that can be repeated, and its folder."""

import itertools
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.plant import Plant
from scopeline.demo.messages import DEVICES, DIESEL, MILL, PRESSES, messages, ticks
from scopeline.demo.player import FAST_MOTION, behind, demo_time
from scopeline.demo.recorded import HOUR, KOREA, QUARTER, intensity, moved, steel
from scopeline.demo.simulated import Deliveries, Meter
from scopeline.demo.stage import MARK, CannotStart, port, prepare
from scopeline.plant import load

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
INSTANTS = st.datetimes(datetime(2025, 1, 1), datetime(2030, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))


def test_recorded_year_is_whole_and_in_order():
    ends = [row.at for row in steel()]
    assert ends[0] == datetime(2018, 1, 1, 0, 15, tzinfo=KOREA) and ends[-1] == datetime(2019, 1, 1, tzinfo=KOREA)
    assert {later - earlier for earlier, later in itertools.pairwise(ends)} == {QUARTER}
    hours = [row.at for row in intensity()]
    assert len(hours) == 8784 and {later - earlier for earlier, later in itertools.pairwise(hours)} == {HOUR}


@given(INSTANTS)
def test_moved_keeps_weekday_and_time_of_day(at: datetime):
    (row,) = moved(steel(), QUARTER, at, at + QUARTER)
    recorded = {(*r.at.timetuple()[3:5], r.at.weekday()) for r in steel() if r.value == row.value}
    local = row.at.astimezone(KOREA)
    assert at < row.at <= at + QUARTER
    assert (*local.timetuple()[3:5], local.weekday()) in recorded


@given(INSTANTS, st.timedeltas(timedelta(0), timedelta(days=3)), st.sampled_from([MILL, Meter("x", 10.0, 0.0)]))
def test_simulated_counters_rise_by_their_rate(at: datetime, later: timedelta, meter: Meter):
    rise = meter.counter(at + later) - meter.counter(at)
    assert rise >= -1e-6
    assert meter.rate(at) >= 0
    step = timedelta(milliseconds=1)
    if (at + step).minute // 5 == at.minute // 5:
        assert meter.counter(at + step) - meter.counter(at) == pytest.approx(meter.rate(at) / 3_600_000, abs=2e-8)


def test_every_simulated_day_has_its_amount():
    day = datetime(2026, 3, 29, tzinfo=UTC)
    assert MILL.counter(day + timedelta(days=1)) - MILL.counter(day) == pytest.approx(MILL.daily)


def test_deliveries_are_the_same_however_they_are_asked():
    start = NOW - timedelta(days=9)
    whole = list(DIESEL.between(start, NOW))
    middle = NOW - timedelta(days=4, hours=3)
    assert whole == [*DIESEL.between(start, middle), *DIESEL.between(middle, NOW)]
    assert len({d.number for d in whole}) == len(whole) >= 8
    assert all(DIESEL.least <= d.amount <= DIESEL.most for d in whole)
    assert list(Deliveries("a", 5, 0, 1).between(start, NOW)) != list(Deliveries("b", 5, 0, 1).between(start, NOW))


def test_messages_come_in_order_and_are_labelled():
    found = messages(NOW - timedelta(hours=26), NOW, MINUTE)
    assert [m.at for m in found] == sorted(m.at for m in found)
    assert len({m.topic for m in found}) == len(DEVICES) + len(PRESSES) - 1
    assert {m.topic.split("/")[1] for m in found} == {"recorded", "simulated"}
    halves = messages(NOW - timedelta(hours=26), NOW - 7 * HOUR, MINUTE) + messages(NOW - 7 * HOUR, NOW, MINUTE)
    assert found == halves


def test_ticks_fall_on_multiples():
    assert [t.minute for t in ticks(NOW, NOW + 5 * MINUTE, 2 * MINUTE)] == [2, 4]
    assert list(ticks(NOW, NOW + MINUTE, 2 * MINUTE)) == []


@given(st.floats(1, 1000), st.timedeltas(timedelta(0), timedelta(hours=1)))
def test_fast_motion_catches_up_and_never_overtakes(speed: float, since: timedelta):
    at = demo_time(NOW + since, NOW, speed)
    assert at <= NOW + since
    if since >= FAST_MOTION * 1.01:
        assert at == NOW + since or behind(speed) == timedelta(hours=24)
    assert at >= NOW - behind(speed)


def test_demo_plant_has_all_scopes_and_no_problem():
    plant, problems = load(Path(__file__).parents[2] / "scopeline" / "demo" / "plant")
    assert isinstance(plant, Plant) and not problems
    assert {source.scope for source in plant.sources} == {1, 2, 3, "none"}


def test_prepare_copies_and_replaces_only_a_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    made = prepare(None)
    assert made == Path("scopeline-demo") and (made / "plant.yaml").exists() and (made / MARK).exists()
    (made / "left.txt").write_text("over")
    assert not (prepare(None) / "left.txt").exists()
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "plant.yaml").write_text("organisation: Mine\n")
    with pytest.raises(CannotStart, match="is not empty and no demo"):
        prepare(mine)
    assert (mine / "plant.yaml").read_text() == "organisation: Mine\n"


def test_port_is_the_asked_one_the_usual_one_or_a_free_one():
    import socket

    assert port(4711, 1883) == 4711
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        usual = taken.getsockname()[1]
        assert port(None, usual) not in (0, usual)
    assert port(None, usual) == usual


def test_moved_days_are_the_recorded_days():
    start = datetime(2026, 1, 5, tzinfo=KOREA)  # a Monday, 8 x 52 weeks after Monday 15 January 2018
    kwh = [row.value for row in moved(steel(), QUARTER, start, start + timedelta(days=1))]
    first = 14 * 96
    assert kwh == [row.value for row in steel()[first : first + 96]]
    assert date(2026, 1, 5) - date(2018, 1, 15) == timedelta(weeks=8 * 52)


def test_payloads_are_what_devices_send():
    found = {m.topic: m.payload for m in messages(NOW - timedelta(hours=26), NOW, MINUTE)}
    plug = json.loads(found["demo/simulated/sheffield/press/press-1/SENSOR"])
    assert set(plug["ENERGY"]) == {"Total", "Power"} and not plug["Time"].endswith("Z")
    assert found["demo/simulated/sheffield/trips"].count(";") == 2
    assert json.loads(found["demo/recorded/gwangyang/main/quarter-hour"])["end"].endswith("+09:00")
