"""Acknowledgements leave in the order of receipt, once each, and never on another connection."""

from hypothesis import given
from hypothesis import strategies as st

from ingest.bridge import Receipts


@given(st.permutations(range(12)), st.integers(1, 5), st.integers(0, 3))
def test_order_of_receipt_whatever_the_order_of_commits(order: list[int], size: int, before: int) -> None:
    receipts = Receipts()
    for n in range(before):
        receipts.receive(n)
    receipts.reconnected()
    given_out = [receipts.receive(100 + n) for n in range(5)]
    first = receipts.receive(*range(105, 112))
    given_out += range(first, first + 7)
    assert receipts.next == given_out[-1] + 1
    left: list[int] = []
    for begin in range(0, 12, size):
        left += receipts.settle([given_out[n] for n in order[begin : begin + size]])
        assert len(receipts) == 12 - len(left)
    assert left == [100 + n for n in range(12)]
    assert receipts.settle(given_out) == [], "twice is once"


@given(st.lists(st.sampled_from(["receive", "settle", "reconnect"]), max_size=40), st.randoms())
def test_receipts_of_lost_connections_are_dropped(steps: list[str], random: object) -> None:
    """Whatever the order: each reply leaves at most once, on the connection it belongs to, and in order."""
    choose = random.choice  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    receipts, connection, given_out, left = Receipts(), 0, list[tuple[int, int]](), dict[int, list[int]]()
    for step in steps:
        if step == "receive":
            given_out.append((receipts.receive(connection * 100 + len(given_out)), connection))
        elif step == "reconnect":
            connection += 1
            receipts.reconnected()
            assert len(receipts) == 0
        elif given_out:
            left.setdefault(connection, []).extend(receipts.settle([choose(given_out)[0]]))
    assert len({receipt for receipt, _ in given_out}) == len(given_out), "no number is given twice"
    for on, replies in left.items():
        assert replies == sorted(set(replies))
        assert all(reply in [of * 100 + n for n, (_, of) in enumerate(given_out) if of == on] for reply in replies)


def test_a_receipt_of_a_lost_connection_is_dropped() -> None:
    receipts = Receipts()
    old = receipts.receive(1)
    receipts.reconnected()
    new = receipts.receive(1)
    assert receipts.settle([old]) == []
    assert receipts.settle([new]) == [1]
