"""What is made of a broker's $SYS: restarts without a false alarm, drops as they are told, nothing where nothing is told."""

import logging

import pytest

from scopeline.cluster.broker_watch import DROPPED, UPTIME, Told


@pytest.fixture
def told() -> Told:
    made = Told("mqtt:1883")
    made.connected()
    return made


def up(told: Told, seconds: int, now: float, retained: bool = False) -> None:
    told.hear(UPTIME, f"{seconds} seconds".encode(), retained, now)


def test_what_is_not_told_is_unknown_and_not_zero(told: Told) -> None:
    assert (told.dropped, told.restarts) == (None, None)
    told.hear(DROPPED, b"none", True, 0.0)
    told.hear("$SYS/broker/clients/total", b"7", True, 0.0)
    assert (told.dropped, told.restarts) == (None, None)


def test_drops_are_the_brokers_count_and_each_rise_is_logged(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    for count in (b"200", b"200", b"450"):
        told.hear(DROPPED, count, False, 0.0)
    assert told.dropped == 450
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    assert "has dropped 250 messages, 450 since it started" in caplog.text
    told.hear(DROPPED, b"0", True, 0.0)
    assert told.dropped == 0, "a broker that was started again counts anew, as Prometheus expects of a counter"


def test_a_new_connection_to_the_same_broker_is_no_restart(told: Told) -> None:
    up(told, 90, 1000.0, retained=True)  # ten seconds old
    up(told, 101, 1001.0)
    up(told, 112, 1012.3)
    for at in (1015.0, 1100.0, 5000.0):
        told.connected()
        up(told, int(at) - 903, at, retained=True)
        up(told, int(at) - 899, at + 1.0)
    assert told.restarts == 0


def test_a_message_that_was_read_late_is_no_restart(told: Told) -> None:
    """The process was asleep: what the broker said a minute ago is read now."""
    up(told, 100, 1000.0)
    up(told, 111, 1072.0)
    up(told, 172, 1072.1)
    assert told.restarts == 0


def test_an_uptime_that_went_back_is_a_restart_once(told: Told) -> None:
    up(told, 500, 1000.0)
    told.connected()
    up(told, 0, 1003.0, retained=True)
    up(told, 11, 1012.0)
    up(told, 22, 1023.0)
    assert told.restarts == 1
    told.connected()
    up(told, 0, 1030.0, retained=True)
    assert told.restarts == 2


@pytest.mark.parametrize(("before", "after"), [(0, 11), (20, 41), (20, 20)])
def test_a_restart_is_seen_though_the_uptime_has_caught_up(told: Told, before: int, after: int) -> None:
    """The broker was young when it died, or nobody listened for a while."""
    up(told, before, 1000.0)
    told.connected()
    up(told, after, 1000.0 + 60, retained=True)
    up(told, after + 10, 1000.0 + 70)
    up(told, after + 20, 1000.0 + 80)
    assert told.restarts == 1
