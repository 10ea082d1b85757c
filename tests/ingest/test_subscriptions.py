"""What a session listens to: asked for once, given up in order, known again after a restart."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ingest.subscriptions import AT_ONCE, Subscriptions


class Client:
    def __init__(self) -> None:
        self.said: list[tuple[str, list[str]]] = []

    def subscribe(self, filters: list[tuple[str, int]]) -> tuple[int, int]:
        assert all(qos == 1 for _, qos in filters), "QoS 2 would be confirmed before anybody has seen the message"
        self.said.append(("subscribe", [one for one, _ in filters]))
        return 0, len(self.said)

    def unsubscribe(self, filters: list[str]) -> tuple[int, int]:
        self.said.append(("unsubscribe", filters))
        return 0, len(self.said)

    def take(self) -> list[tuple[str, list[str]]]:
        found, self.said = self.said, []
        return found


def test_new_filters_first_then_old_ones_leave() -> None:
    one, client = Subscriptions(["a", "b"], None, None), Client()
    assert not one.connected(False)
    one.ask(client)
    assert client.take() == [("subscribe", ["a", "b"])]
    one.want(["b", "c"])
    assert one.changed
    one.ask(client)
    assert client.take() == [("subscribe", ["c"]), ("unsubscribe", ["a"])]
    assert not one.connected(True), "the session is still there"
    one.ask(client)
    assert client.take() == []
    assert one.connected(False), "the broker has lost it"
    one.ask(client)
    assert client.take() == [("subscribe", ["b", "c"])]


def test_after_a_restart_old_filters_leave_too(tmp_path: Path) -> None:
    memory = tmp_path / "state" / "session.json"
    one = Subscriptions(["a", "b"], "group", memory)
    one.connected(False)
    one.ask(Client())
    two, client = Subscriptions(["b", "c"], "group", memory), Client()
    assert not two.connected(True)
    two.ask(client)
    wanted = [("subscribe", ["$share/group/b", "$share/group/c"]), ("unsubscribe", ["$share/group/a"])]
    assert client.take() == wanted
    three, client = Subscriptions(["b", "c"], "group", memory), Client()
    three.connected(True)
    three.ask(client)
    assert client.take() == wanted, "the broker never said that it had let go"
    three.released(2)
    four, client = Subscriptions(["b", "c"], "group", memory), Client()
    assert four.connected(False), "it is known that there was a session"
    four.ask(client)
    assert client.take() == [("subscribe", ["$share/group/b", "$share/group/c"])]


def test_an_unreadable_memory_is_none(tmp_path: Path) -> None:
    memory = tmp_path / "session.json"
    for text in ("{", "7", '{"a": 1}', "[1, 2]"):
        memory.write_text(text)
        one, client = Subscriptions(["a"], None, memory), Client()
        one.connected(True)
        one.ask(client)
        assert client.take() == [("subscribe", ["a"])]
    blocked = Subscriptions(["a"], None, tmp_path / "session.json" / "below" / "x.json")
    blocked.connected(False)
    blocked.ask(Client())  # a state folder that cannot be written stops nobody


def test_refused_filters_are_named_until_granted() -> None:
    one, client = Subscriptions(["a", "b"], None, None), Client()
    one.connected(False)
    one.ask(client)
    reasons: list[Any] = [SimpleNamespace(is_failure=False), SimpleNamespace(is_failure=True)]
    assert one.granted(1, reasons) == ["b"]
    assert one.refused == {"b"}
    one.want(["a"])
    one.ask(client)
    assert one.refused == set()


def test_a_subscription_is_a_problem_until_the_broker_has_answered() -> None:
    one, client, well = Subscriptions(["a"], None, None), Client(), SimpleNamespace(is_failure=False)
    assert "has not confirmed" in str(one.problem("me"))
    one.connected(False)
    one.ask(client)
    assert "has not confirmed" in str(one.problem("me")), "asked for, and not answered"
    one.granted(1, [well])
    assert one.problem("me") is None
    one.want(["b"])
    one.ask(client)
    one.granted(2, [well])
    assert "has not confirmed" in str(one.problem("me")), "what was given up still comes"
    one.released(3)
    assert one.problem("me") is None
    one.connected(True)
    assert "has not confirmed" in str(one.problem("me"))
    one.ask(client)
    assert one.problem("me") is None, "the session holds it, nothing is asked for"
    one.connected(False)
    one.ask(client)
    one.granted(4, [SimpleNamespace(is_failure=True)])
    assert one.problem("me") == "refuses the subscription b: allow it for client me"


def test_many_filters_go_in_several_packets() -> None:
    one, client = Subscriptions([f"t/{n}" for n in range(AT_ONCE * 2 + 1)], None, None), Client()
    one.connected(False)
    one.ask(client)
    assert [len(filters) for _, filters in client.take()] == [AT_ONCE, AT_ONCE, 1]
