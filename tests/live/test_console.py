"""The console in a real browser: every page, at a desk and on a phone, light and dark."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from live_gauge import PATIENCE, until

from scopeline.query import rfc3339

sync_api = pytest.importorskip("playwright.sync_api", reason="install the dev extra for playwright")
pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]
sync_api.expect.set_options(timeout=90_000)  # the machine may be busy with other tests

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or os.environ.get("CHROMIUM", "")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
HOSTILE = '{"t": "<img src=x onerror=alert(2)>", "kw": 1}'
"""A payload that cannot be read, and must be shown as text."""
PLANT = {
    "plant.yaml": """
organisation: "Works <img src=x onerror=alert(1)>"
sites: [{site: works, timezone: Asia/Kathmandu, grid_region: GB}]
reporting: {base_interval: 15m}
factor_sets: {desnz: "2026"}
""",
    "feeds/main.yaml": """
feed: main
topic: "works/main"
decoder: json
meter: works/main
observed_at: {path: "$.t", format: iso8601}
channels:
  - {channel: power, value: "$.kw", unit: kW, kind: rate, max_gap: 2h}
  - {channel: energy, value: "$.kwh", unit: kWh, kind: counter}
""",
    "sources/electricity.yaml": """
source: electricity
site: works
scope: 2
category: purchased_electricity
measured_by: "works/main:energy"
""",
}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[str]:
    """A running instance with two hours of readings and one message that cannot be read."""
    folder = tmp_path_factory.mktemp("works")
    for name, text in PLANT.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    port = free_port()
    ports = ["--port", str(port), "--mqtt-port", str(free_port())]
    command = [sys.executable, "-c", "from scopeline.cli import main; main()", "run", "--plant", str(folder), *ports]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    found = f"http://127.0.0.1:{port}"
    try:
        assert until(lambda: _ready(found) or running.poll() is not None) and running.poll() is None
        now = datetime.now(UTC).replace(microsecond=0)
        for minutes in range(120, -1, -15):
            publish(found, now - timedelta(minutes=minutes), kw=100, kwh=1000 - minutes)
        httpx.post(f"{found}/api/v1/messages/works/main", content=HOSTILE.encode(), timeout=60).raise_for_status()
        yield found
    finally:
        running.terminate()
        assert running.wait(PATIENCE) == 0


def _ready(address: str) -> bool:
    try:
        return httpx.get(f"{address}/readyz", timeout=30).status_code == 200
    except httpx.TransportError:
        return False


def publish(address: str, at: datetime, **values: float) -> None:
    body = json.dumps({"t": rfc3339(at), **values}).encode()
    httpx.post(f"{address}/api/v1/messages/works/main", content=body, timeout=60).raise_for_status()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM:
        pytest.skip("no chromium: apt-get install chromium, or name it in CHROMIUM")
    with sync_api.sync_playwright() as play:
        found = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield found
        found.close()


SIZES = {"desk": (1280, 900, "light"), "phone": (390, 844, "light"), "dark": (1280, 900, "dark")}
desk = pytest.mark.parametrize("page", [SIZES["desk"]], indirect=True, ids=["desk"])
"""For what does not depend on the size."""


@pytest.fixture(params=SIZES.values(), ids=SIZES)
def page(request: pytest.FixtureRequest, browser: Any) -> Iterator[Any]:
    """A page that fails the test for errors in its scripts, dialogues, requests to other hosts, or sideways scrolling."""
    width, height, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    context.set_default_timeout(90_000)
    found = context.new_page()
    faults: list[str] = []
    found.on("pageerror", lambda error: faults.append(str(error)))
    found.on("dialog", lambda dialog: (faults.append(f"dialogue: {dialog.message}"), dialog.dismiss()))
    found.on("request", lambda asked: faults.append(asked.url) if not asked.url.startswith(OWN) else None)
    yield found
    assert found.evaluate("document.documentElement.scrollWidth") <= width
    context.close()
    assert not faults


OWN = ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:")


def expect(locator: Any) -> Any:
    return sync_api.expect(locator)


def test_live_shows_a_message_without_reloading(address: str, page: Any):
    page.goto(address)
    expect(page.get_by_text("Emissions of the last 24 h by scope")).to_be_visible()
    row = page.locator("tr", has_text="works/main:power")
    expect(row).to_be_visible()
    value = int(time.time()) % 1000 + 2000
    publish(address, datetime.now(UTC), kw=value)
    expect(row).to_contain_text(f"{value:,}")
    expect(page.locator("tr", has_text="purchased_electricity").first).to_be_visible()
    expect(page.get_by_text("Coverage and quality of the last 24 h by hour (Asia/Kathmandu)")).to_be_visible()
    assert page.locator("canvas").count() >= 2, "the chart of 24 hours and the strip of quality"


def test_feeds_show_outcomes_quarantine_and_try(address: str, page: Any):
    page.goto(f"{address}/feeds")
    page.locator("tr", has_text="works/main").click()
    expect(page.get_by_text("main: quarantine")).to_be_visible()
    page.get_by_text("no_time").first.click()
    expect(page.get_by_text(HOSTILE).first).to_be_visible()
    page.get_by_role("button", name="Try a payload").click()
    page.get_by_label("Topic").fill("works/main")
    page.get_by_label("Payload").fill('{"t": "2026-01-01T00:00:00Z", "kw": 42.5}')
    page.get_by_role("button", name="Try", exact=True).click()
    expect(page.get_by_role("dialog").get_by_text("42.5").first).to_be_visible()
    page.get_by_label("Payload").fill("{broken")
    page.get_by_role("button", name="Try", exact=True).click()
    expect(page.get_by_role("dialog").get_by_text("malformed").first).to_be_visible()


def test_figures_show_table_chart_trace_and_download(address: str, page: Any):
    page.goto(f"{address}/figures")
    expect(page.locator("canvas").first).to_be_visible()
    page.locator("tbody tr", has_text="location").first.click()  # an hour leads to its base figures
    expect(page.get_by_label("Only")).to_have_value("site=works,scope=2")
    expect(page.locator("tr", has_text="electricity").first).to_be_visible()
    row = page.locator("tr", has_text="electricity").first
    expect(row).to_contain_text("purchased_electricity")
    row.click()
    expect(page.get_by_text("Where the figure of electricity comes from")).to_be_visible()
    expect(page.get_by_role("dialog").get_by_text("works/main:energy").first).to_be_visible()
    page.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Download").click()
    with page.expect_download() as download:
        page.get_by_text("csv", exact=True).click()
    assert Path(download.value.path()).read_text().startswith("interval_start,")


@desk
def test_an_address_leads_to_a_trace(address: str, page: Any):
    """As the dashboards of Grafana link it: milliseconds, and a basis that is right for any scope."""
    at = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    page.goto(f"{address}/figures?trace=electricity&at={at.timestamp() * 1000:.0f}&basis=market")
    expect(page.get_by_text("Where the figure of electricity comes from")).to_be_visible()
    expect(page.get_by_label("Only")).to_have_value("source=electricity")
    page.goto(f"{address}/figures?interval=2y&basis=all&group_by=source,nothing&from=2026-01-01")
    expect(page.get_by_label("From")).to_have_value("2026-01-01")
    page.goto(f"{address}/figures?trace=<img src=x onerror=alert(3)>&at=never")
    expect(page.get_by_text("is no time")).to_be_visible()


@desk
def test_a_trace_outlives_the_table_that_it_was_opened_from(address: str, page: Any):
    page.goto(f"{address}/figures")
    page.locator("tbody tr", has_text="location").first.click()
    page.locator("tr", has_text="purchased_electricity").first.click()
    title = page.get_by_text("Where the figure of electricity comes from")
    expect(title).to_be_visible()
    page.evaluate(f"() => {BUTTON % 'Show'}")
    expect(page.locator("tr", has_text="purchased_electricity").first).to_be_visible()
    page.wait_for_timeout(1500)  # the answer to Show has come
    expect(title).to_be_visible()
    page.get_by_role("button", name="Close").click()
    expect(title).to_have_count(0)


@desk
def test_a_click_counts_while_its_table_is_filled_anew(address: str, page: Any):
    page.goto(f"{address}/figures")
    page.locator("tbody tr", has_text="location").first.click()
    expect(page.locator("tr", has_text="purchased_electricity").first).to_be_visible()
    title = page.get_by_text("Where the figure of electricity comes from")
    for wait_ms in (0, 30, 60, 90, 120, 200):
        page.evaluate(f"""() => {{ {BUTTON % "Show"}; setTimeout(() => {ROW % "purchased"}, {wait_ms}) }}""")
        expect(title).to_be_visible()
        page.get_by_role("button", name="Close").click()
        expect(title).to_have_count(0)


@desk
def test_a_row_leads_where_it_says_whatever_the_form_says_now(address: str, page: Any):
    page.goto(f"{address}/figures")
    expect(page.locator("tbody tr", has_text="location").first).to_be_visible()
    page.get_by_role("combobox", name="Interval").click()
    page.get_by_role("option", name="Base").click()
    page.locator("tbody tr", has_text="location").first.click()
    expect(page.get_by_label("Only")).to_have_value("site=works,scope=2")
    expect(page.locator("tr", has_text="purchased_electricity").first).to_be_visible()


@desk
def test_a_try_outlives_the_card_that_it_was_opened_from(address: str, page: Any):
    page.goto(f"{address}/feeds")
    page.locator("tr", has_text="works/main").click()
    page.get_by_role("button", name="Try it").click()
    page.get_by_role("dialog").get_by_label("Payload").fill(HOSTILE)
    page.evaluate(f"""() => {ROW % "works/main"}""")
    page.wait_for_timeout(1500)
    page.get_by_role("button", name="Try", exact=True).click()
    expect(page.get_by_role("dialog").get_by_text("no_time").first).to_be_visible()


BUTTON = """[...document.querySelectorAll("button")].find(b => b.innerText.trim() == "%s").click()"""
ROW = """[...document.querySelectorAll("tbody tr")].find(r => r.innerText.includes("%s")).click()"""
"""Clicks that reach what a dialogue covers."""
