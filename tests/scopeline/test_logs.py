"""Logs: what repeats is said at growing intervals, libraries' chatter is one line, problems come and go with a word each."""

import json
import logging
import subprocess
import sys

from schemas.problem import Problem
from scopeline import logs
from scopeline.cluster.news import News


def record(name: str, text: str, level: int = logging.ERROR) -> logging.LogRecord:
    return logging.LogRecord(name, level, "", 0, text, (), None)


def test_a_repeated_line_comes_at_growing_intervals_with_its_count():
    now = [0.0]
    spare = logs.Sparing(lambda: now[0])
    said = []
    for second in range(400):
        now[0] = float(second)
        one = record("scopeline.a", "server down")
        if spare.filter(one):
            said.append((second, one.getMessage()))
    assert [second for second, _ in said] == [0, 30, 90, 210]
    assert said[1][1] == "server down (29 more like this)"
    now[0] = 5000.0
    again = record("scopeline.a", "server down")
    assert spare.filter(again) and spare.filter(record("scopeline.a", "other")), "it had ended; another is another"
    assert all(spare.filter(record("scopeline.a", "x", level)) for level in (logging.INFO, logging.INFO, logging.CRITICAL) * 2)


def test_a_librarys_numbers_and_ways_to_say_a_lost_connection_are_one_line():
    spare = logs.Sparing(lambda: 0.0)
    first = record("kafka.net.transport", "<T [127.0.0.1:1<-2]>: socket disconnected")
    assert spare.filter(first) and first.getMessage().startswith("a connection to Kafka is lost") and first.name == "kafka"
    assert not spare.filter(record("kafka.cluster", "Metadata refresh: failed KafkaConnectionError: 111 ECONNREFUSED"))
    assert spare.filter(record("kafka.x", "offset 7 is odd")) and not spare.filter(record("kafka.x", "offset 8 is odd"))
    assert spare.filter(record("scopeline.x", "offset 7 is odd")) and spare.filter(record("scopeline.x", "offset 8 is odd"))


def test_news_of_a_problem(caplog):
    now, problems = [0.0], [Problem("note", "a", None, "", "starting", "Wait")]
    news = News(lambda: problems, lambda: now[0])
    caplog.set_level(logging.INFO)
    news.look()
    assert not caplog.records, "a note is no news"
    problems[:] = [Problem("error", "plant.yaml", None, "kafka", "down for 1 s", "Start it")]
    for second in range(1, 200):
        now[0] = float(second)
        problems[0] = problems[0]._replace(message=f"down for {second} s")
        news.look()
    problems.clear()
    for second in range(200, 210):
        now[0] = float(second)
        news.look()
    said = [one.getMessage() for one in caplog.records]
    assert (
        said[0] == "kafka: down for 1 s -> Start it"
        and "(for 1 min)" in said[1]
        and len(said) == 4
        and said[-1] == "all is well again"
    )


def test_every_line_of_a_process_is_json_also_of_threads_warnings_and_what_nobody_caught():
    code = """
import logging, threading, warnings
from scopeline import logs
logs.setup("json")
logs.say("it runs")
warnings.warn("old", UserWarning)
thread = threading.Thread(target=lambda: 1 / 0)
thread.start(); thread.join()
logging.getLogger("uvicorn.error").warning("odd request")
raise ValueError("the end")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert done.returncode == 1 and not done.stdout and len(lines) == 5
    assert [line["level"] for line in lines] == ["info", "warning", "critical", "warning", "critical"]
    assert "ZeroDivisionError" in lines[2]["error"] and "the end" in lines[4]["error"]
