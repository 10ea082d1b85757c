"""The inbox: order, limits, and that what failed is not lost."""

import threading
import time

import pytest

from scopeline.inbox import Delivery, Inbox


def delivery(number: int, size: int = 1) -> Delivery:
    return Delivery(f"t/{number}", b"x" * size, number)


def test_batches_keep_the_order_of_receipt() -> None:
    inbox = Inbox()
    for number in range(10):
        inbox.offer(delivery(number))
    taken = inbox.take(4, 0, 1) + inbox.take(100, 0, 1)
    assert [d.received_us for d in taken] == list(range(10))
    assert inbox.take(1, 0, 0) == []


def test_what_is_taken_counts_until_it_is_released() -> None:
    inbox = Inbox(max_messages=4)
    told: list[int] = []
    inbox.listeners.append(lambda: told.append(inbox.waiting))
    for number in range(4):
        inbox.offer(delivery(number))
    assert inbox.full and not inbox.wait_for_space(0.01)
    taken = inbox.take(10, 0, 1)
    assert inbox.full and inbox.waiting == 4, "in memory until committed"
    inbox.release(taken[:1])
    assert not inbox.full and told == [], "publishers go on when half is free, not message by message"
    inbox.release(taken[1:])
    assert told == [0] and inbox.waiting == 0


def test_bytes_are_limited_too() -> None:
    inbox = Inbox(max_messages=1000, max_bytes=100)
    inbox.offer(delivery(1, 99))
    assert not inbox.full
    inbox.offer(delivery(2, 1))
    assert inbox.full


def waited(inbox: Inbox, count: int) -> None:
    """So many messages have waited at once."""
    inbox.offer(*(delivery(number) for number in range(count)))
    while inbox.waiting:
        inbox.release(inbox.take(count, 0, 1))


def test_linger_collects_companions_and_wake_returns_empty() -> None:
    inbox = Inbox()
    waited(inbox, 2)
    inbox.offer(delivery(1))
    threading.Timer(0.02, lambda: inbox.offer(delivery(2))).start()
    assert len(inbox.take(10, 600, 60, quiet=300)) == 2, "and no more are waited for"
    threading.Timer(0.02, inbox.wake).start()
    begun = time.monotonic()
    assert inbox.take(10, 0, 100) == [] and time.monotonic() - begun < 60


def test_who_has_one_message_under_way_at_a_time_does_not_wait() -> None:
    inbox = Inbox()
    begun = time.monotonic()
    for _ in range(3):
        waited(inbox, 1)
        inbox.offer(delivery(1))
        inbox.release(inbox.take(10, 600, 1, quiet=300))
    assert time.monotonic() - begun < 60


def test_of_many_under_way_one_half_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scopeline.inbox.ENOUGH", 4)
    inbox = Inbox()
    inbox.offer(*(delivery(number) for number in range(20)))
    assert len(inbox.take(100, 600, 1, quiet=300)) == 10
    assert len(inbox.take(3, 600, 1, quiet=300)) == 3
    assert len(inbox.take(100, 0, 1)) == 7


def test_a_backlog_goes_in_batches_of_any_size_though_nothing_more_comes() -> None:
    inbox = Inbox()
    inbox.offer(*(delivery(number) for number in range(40)))
    for number in range(40):
        taken = inbox.take(1, 0, 1)
        assert [one.received_us for one in taken] == [number]
        inbox.release(taken)


def test_more_than_enough_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scopeline.inbox.ENOUGH", 4)
    inbox = Inbox()
    waited(inbox, 6)
    inbox.offer(*(delivery(number) for number in range(5)))
    assert len(inbox.take(100, 600, 1, quiet=300)) == 4


def test_silence_ends_the_waiting() -> None:
    inbox = Inbox()
    waited(inbox, 9)
    inbox.offer(delivery(1))
    begun = time.monotonic()
    assert len(inbox.take(100, 600, 1, quiet=0.01)) == 1
    assert time.monotonic() - begun < 60
