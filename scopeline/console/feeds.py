"""Feeds: does each feed work? Last message, rate, silence, outcomes, quarantine with payloads, and a place to try a payload."""

from datetime import datetime
from typing import Any

from nicegui import run, ui

from scopeline.console.frame import card, dialogue, frame, shown
from scopeline.console.live import age
from scopeline.query import local
from scopeline.service import Service

_READING_COLUMNS = ("meter", "observed_at", "value", "unit", "kind", "quality", "native")


def page(service: Service) -> None:
    """Build the page; the table follows the log every two seconds."""
    zone = service.plant.settings.sites[0].timezone
    with frame(service, "/feeds") as stage:
        with ui.row().classes("items-center w-full"):
            ui.label("Feeds").style("font-size: 18px; font-weight: 650")
            ui.space()
            ui.button("Try a payload", on_click=lambda: _try(service, stage, "", "", zone)).props("no-caps outline color=teal-9")
        table = (
            ui.table(
                columns=[
                    {
                        "name": name,
                        "label": label,
                        "field": name,
                        "align": "left" if name in ("feed", "state", "topic") else "right",
                    }
                    for name, label in (
                        ("feed", "Feed"),
                        ("state", "State"),
                        ("last", "Last message"),
                        ("rate", "Per minute"),
                        ("decoded", "Decoded"),
                        ("skipped", "Skipped"),
                        ("quarantined", "Quarantined"),
                        ("topic", "Topic"),
                    )
                ],
                rows=[],
                row_key="feed",
            )
            .props("dense flat hide-pagination wrap-cells")
            .classes("w-full cursor-pointer")
        )
        table.on("row-click", lambda event: chosen(event.args[1]["feed"]))
        detail = ui.element("div").classes("scope-grid")

        async def chosen(feed: str) -> None:
            found = await run.io_bound(_detail, service, feed)
            if found is not None:
                detail.clear()
                with detail:
                    _show(service, stage, feed, found, zone)

        async def refresh() -> None:
            feeds = await run.io_bound(service.feeds)
            if feeds is not None and (rows := [_row(feed) for feed in feeds]) != table.rows:
                table.rows = rows

        ui.timer(2.0, refresh)


def _row(feed: dict[str, Any]) -> dict[str, Any]:
    silent = feed.get("silent_s")
    return {
        "feed": feed["feed"] or "(no feed matched)",
        "state": state(feed),
        "last": "never" if silent is None else f"{age(silent)} ago",
        "rate": shown(feed.get("rate_per_minute"), 3),
        "decoded": f"{feed.get('decoded') or 0:,}",
        "skipped": f"{feed.get('skipped') or 0:,}",
        "quarantined": f"{feed.get('quarantined') or 0:,}",
        "topic": feed.get("topic") or f"last: {feed.get('last_topic')}",
    }


def state(feed: dict[str, Any]) -> str:
    """One word on a feed.

    >>> state({"feed": "a", "messages": 0}), state({"feed": "a", "messages": 9, "silent": True})
    ('waiting', 'silent')
    """
    if feed["feed"] is None:
        return f"{feed['unmatched']:,} unmatched" if feed.get("unmatched") else "ok"
    if not feed.get("messages"):
        return "waiting"
    return "silent" if feed.get("silent") else "ok"


def _detail(service: Service, feed: str) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    named = None if feed.startswith("(") else feed
    found = service.feed(named) if named else None
    return found, service.quarantine(feed=named, limit=50).to_dicts() if named else []


def _show(
    service: Service, stage: ui.element, feed: str, found: tuple[dict[str, Any] | None, list[dict[str, Any]]], zone: str
) -> None:
    last, quarantined = found
    if last is None:
        with card():
            ui.label("These messages matched no feed. Add a feed with their topic, or leave them.").classes("scope-soft")
        return
    with ui.element("div").classes("scope-grid scope-halves"):
        with card(f"{feed}: last message"):
            ui.label(last.get("last_topic") or "no message yet").style("font-weight: 600; overflow-wrap: anywhere")
            topic, payload = last.get("last_topic") or "", _stated(last.get("last_payload"))
            ui.label(_clipped(payload)).classes("scope-mono")
            ui.button("Try it", on_click=lambda: _try(service, stage, topic, payload, zone)).props(
                "flat no-caps dense color=teal-9"
            )
        with card("Its readings, as stated"):
            _readings(last.get("readings") or [], zone)
    with card(f"{feed}: quarantine"):
        if not quarantined:
            ui.label("Nothing is quarantined.").classes("scope-soft")
            return
        if may_operate():
            ui.button("Try all again", on_click=lambda: _redrive(service, stage, feed)).props("flat no-caps dense color=teal-9")
        for row in quarantined:
            title = f"{local(row['received_at'], zone)} · {row['reason']} · {row['topic']}"
            with ui.expansion(title).classes("w-full").props("dense") as expansion:
                ui.label(row["detail"] or "")
                body = ui.label("").classes("scope-mono")
            expansion.on_value_change(lambda event, m=row["message"], b=body: _payload(service, m, b) if event.value else None)


async def _payload(service: Service, message: int, body: ui.label) -> None:
    found = await run.io_bound(service.quarantined, message)
    if found is not None:
        body.set_text(_clipped(_stated(found)))


def may_operate() -> bool:
    """Whether the one who opened this page may change something (scopeline.api.guard: a token's role, or this machine)."""
    return ui.context.client.request.scope.get("scopeline.role") == "operate"


async def _redrive(service: Service, stage: ui.element, feed: str) -> None:
    done = await run.io_bound(service.redrive, None, feed)
    if done is None:
        return
    with stage:  # the button may be gone by now
        ui.notify(f"{done['tried']} tried, {done['read']} read, {done['still']} still in quarantine")


def _stated(found: dict[str, Any] | None) -> str:
    """A payload as text, or what it is in base64.

    >>> _stated({"payload": "1"}), _stated({"payload_base64": "/w=="}), _stated(None)
    ('1', 'base64: /w==', '')
    """
    if not found:
        return ""
    return found["payload"] if "payload" in found else f"base64: {found.get('payload_base64', '')}"


def _clipped(text: str | None, limit: int = 4000) -> str:
    text = text or ""
    return text if len(text) <= limit else f"{text[:limit]} … ({len(text):,} characters)"


def _readings(readings: list[dict[str, Any]], zone: str) -> None:
    if not readings:
        ui.label("No reading.").classes("scope-soft")
        return
    columns = [{"name": c, "label": c.replace("_", " "), "field": c, "align": "left"} for c in _READING_COLUMNS]
    rows = [{c: _cell(reading.get(c), zone) for c in _READING_COLUMNS} for reading in readings]
    ui.table(columns=columns, rows=rows).props("dense flat hide-pagination wrap-cells").classes("w-full scope-plain")


def _cell(value: Any, zone: str) -> str:
    return local(value, zone) if isinstance(value, datetime) else "" if value is None else str(value)


def _try(service: Service, stage: ui.element, topic: str, payload: str, zone: str) -> None:
    """A dialogue that shows what a payload would give; it changes nothing."""
    with dialogue(stage, "Try a payload", 760):
        asked = ui.input("Topic", value=topic).classes("w-full")
        body = ui.textarea("Payload", value=payload).props("autogrow input-style='font-family: monospace; font-size: 12.5px'")
        body.classes("w-full")
        answer = ui.element("div").classes("w-full")

        async def go() -> None:
            found = await run.io_bound(service.try_, asked.value, (body.value or "").encode())
            answer.clear()
            with answer:
                for outcome in (found or {}).get("outcomes", []):
                    text = f"{outcome.get('feed') or 'no feed'}: {outcome['outcome']}"
                    ui.label(text + (f", {outcome['reason']}" if outcome.get("reason") else "")).style("font-weight: 600")
                for reject in (found or {}).get("rejects", []):
                    ui.label(f"{reject['reason']}: {reject['detail']}").style("color: #c0392b")
                _readings((found or {}).get("readings", []), zone)

        ui.button("Try", on_click=go).props("no-caps color=teal-9")
