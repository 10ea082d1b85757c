"""What every page shares: header, navigation, colours, dark and light, the way numbers are written."""

from collections.abc import Iterator
from contextlib import contextmanager

from nicegui import app, ui

from schemas.numeric import number_text
from scopeline.service import Service

PAGES = (("Live", "/", "show_chart"), ("Feeds", "/feeds", "sensors"), ("Figures", "/figures", "table_chart"))
_CSS = """
:root { --ink: #1b2430; --soft: #5d6878; --line: #dfe3e8; --card: #ffffff; --page: #f5f6f8; --accent: #1f6f5c; }
.body--dark { --ink: #e8ecf1; --soft: #9aa6b5; --line: #2c3542; --card: #171d26; --page: #0f141b; --accent: #4fc3a1; }
body { background: var(--page); color: var(--ink); font-feature-settings: "tnum"; }
.q-page-container, .nicegui-content { padding: 0; }
.scope-card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 14px 16px; }
.scope-soft { color: var(--soft); font-size: 12.5px; }
.scope-big { font-size: 28px; font-weight: 650; line-height: 1.15; }
.scope-grid { display: grid; gap: 12px; width: 100%; }
.scope-grid > * { min-width: 0; }
.scope-card .q-table__container { max-width: 100%; }
.scope-cards { grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); }
.scope-halves { grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); }
.scope-plain { border: none !important; }
.scope-header { background: var(--card); color: var(--ink); border-bottom: 1px solid var(--line); }
.scope-nav a { color: var(--soft); text-decoration: none; padding: 6px 10px; border-radius: 6px; font-weight: 550; }
.scope-nav a.here { color: var(--accent); background: color-mix(in srgb, var(--accent) 12%, transparent); }
.scope-mono { font-family: ui-monospace, "SFMono-Regular", Menlo, Consolas, monospace; font-size: 12.5px; white-space: pre-wrap;
  overflow-wrap: anywhere; }
.scope-page { width: 100%; max-width: 1440px; margin: 0 auto; padding: 16px; display: flex; flex-direction: column; gap: 12px; }
.q-table__card { background: var(--card); color: var(--ink); box-shadow: none;
  border: 1px solid var(--line); border-radius: 10px; }
@media (max-width: 640px) { .scope-page { padding: 10px; } .scope-big { font-size: 23px; } .scope-wide-only { display: none; } }
"""


@contextmanager
def frame(service: Service, here: str) -> Iterator[ui.element]:
    """The page around its content; `here` is the path of the navigation entry that is current.

    Gives the page itself, which stays while its parts are drawn anew: where dialogues and notifications of slow work belong.
    """
    organisation = service.plant.settings.organisation
    ui.page_title(f"{next(name for name, path, _ in PAGES if path == here)} - {organisation} - Scopeline")
    ui.add_css(_CSS)
    dark = ui.dark_mode(app.storage.user.get("dark"))

    def turn() -> None:
        dark.value = not dark.value
        app.storage.user["dark"] = dark.value
        ui.navigate.reload()

    with ui.header(elevated=False).classes("scope-header items-center no-wrap").style("padding: 8px 16px; gap: 12px"):
        ui.label("Scopeline").style("font-weight: 700; font-size: 17px; letter-spacing: -.01em")
        ui.label(organisation).classes("scope-soft scope-wide-only")
        with ui.row(wrap=False).classes("scope-nav").style("gap: 2px"):
            for name, path, _ in PAGES:
                ui.link(name, path).classes("here" if path == here else "")
        ui.space()
        ui.link("API", "/api/docs").classes("scope-soft scope-wide-only")
        ui.button(icon="contrast", on_click=turn).props('flat round dense color="grey-7" aria-label="dark or light"')
    errors = [problem for problem in service.problems() if problem.severity == "error"]
    with ui.element("div").classes("scope-page"):
        if errors:
            with ui.element("div").classes("scope-card").style("border-color: #c0392b"):
                ui.label("The plant folder has errors; the last good configuration is still in force.").style("font-weight: 600")
                for problem in errors[:5]:
                    ui.label(str(problem)).classes("scope-mono")
        yield ui.context.client.content


@contextmanager
def dialogue(stage: ui.element, title: str, width: int) -> Iterator[ui.dialog]:
    """An open dialogue to fill, with a button that closes it.

    It stands on the page itself (`stage`, from `frame`): what it was opened from may be drawn anew meanwhile. Closed, it goes.
    """
    with stage, ui.dialog(value=True) as found, ui.card().style(f"width: min({width}px, 95vw); max-width: none"):
        ui.label(title).style("font-weight: 650")
        yield found
        ui.button("Close", on_click=found.close).props("no-caps flat color=grey-7")
    found.on("hide", found.delete)


@contextmanager
def card(title: str = "") -> Iterator[ui.element]:
    with ui.element("div").classes("scope-card") as element:
        if title:
            ui.label(title).classes("scope-soft")
        yield element


class Chart:
    """A chart under a title that wraps; redrawn in place."""

    def __init__(self, height: int) -> None:
        self.title = ui.label().style("font-weight: 600; font-size: 14px")
        self._chart = ui.echart({}).style(f"height: {height}px; width: 100%")

    def show(self, title: str, options: dict, height: int | None = None) -> None:
        self.title.set_text(title)
        if height:
            self._chart.style(f"height: {height}px")
        self._chart.options.clear()
        self._chart.options.update(options)
        self._chart.update()


def shown(value: float | None, digits: int = 3) -> str:
    """A number for a screen: grouped, rounded to so many significant digits at least the whole number; unknown is a dash.

    >>> shown(12345.678), shown(0.012345), shown(3.0), shown(None)
    ('12,346', '0.0123', '3', '–')
    """
    if value is None:
        return "–"
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return number_text(float(f"{value:.{digits}g}"))


def percent(value: float | None) -> str:
    """A share for a screen, never rounded up to 100 %.

    >>> percent(1.0), percent(0.99999), percent(0.5), percent(None)
    ('100 %', '99.9 %', '50 %', '–')
    """
    if value is None:
        return "–"
    tenths = int(value * 1000 + 1e-9) / 10
    return f"{tenths:.1f}".removesuffix(".0") + " %"
