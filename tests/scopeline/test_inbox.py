"""The inbox: order, limits, and that what failed is not lost."""

import threading
import time

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


def test_linger_collects_companions_and_wake_returns_empty() -> None:
    inbox = Inbox()
    inbox.offer(delivery(1))
    threading.Timer(0.02, lambda: inbox.offer(delivery(2))).start()
    assert len(inbox.take(10, 5, 60, quiet=1)) == 2
    threading.Timer(0.02, inbox.wake).start()
    begun = time.monotonic()
    assert inbox.take(10, 0, 100) == [] and time.monotonic() - begun < 60


def test_enough_waits_for_no_more() -> None:
    inbox = Inbox()
    inbox.offer(*(delivery(number) for number in range(7)))
    begun = time.monotonic()
    assert len(inbox.take(100, 600, 1, quiet=300, enough=7)) == 7
    assert time.monotonic() - begun < 60
