"""Acknowledgements leave in the order of receipt, once each, and never on another connection."""

from hypothesis import given
from hypothesis import strategies as st

from ingest.bridge import Receipts


@given(st.permutations(range(12)), st.integers(1, 5))
def test_order_of_receipt_whatever_the_order_of_commits(order: list[int], size: int) -> None:
    receipts = Receipts()
    given_out = [receipts.receive(100 + n) for n in range(12)]
    left: list[int] = []
    for begin in range(0, 12, size):
        left += receipts.settle([given_out[n] for n in order[begin : begin + size]])
    assert left == [100 + n for n in range(12)]
    assert len(receipts) == 0
    assert receipts.settle(given_out) == [], "twice is once"


def test_a_receipt_of_a_lost_connection_is_dropped() -> None:
    receipts = Receipts()
    old = receipts.receive(1)
    receipts.reconnected()
    new = receipts.receive(1)
    assert receipts.settle([old]) == []
    assert receipts.settle([new]) == [1]
