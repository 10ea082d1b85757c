"""The console: NiceGUI pages on the HTTP API's application, guarded by the same rules."""

from fastapi import FastAPI
from nicegui import ui

from scopeline.console import feeds, figures, live
from scopeline.service import Service

PAGES = {"/": live.page, "/feeds": feeds.page, "/figures": figures.page}


def mount(app: FastAPI, service: Service, secret: str) -> None:
    """Add the pages to the API's application; `secret` signs the cookie that remembers dark or light."""
    for path, build in PAGES.items():
        ui.page(path)(lambda build=build: build(service))
    ui.run_with(app, title="Scopeline", dark=None, storage_secret=secret, show_welcome_message=False)
