"""The door to a plant's data when no instance runs: the data file is opened, and the same routes answer inside this process."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from scopeline.api import create
from scopeline.api.reading import time_range
from scopeline.export import write
from scopeline.query import QueryError, figure_query
from scopeline.remote import Failed, Remote
from scopeline.service import Service
from scopeline.service.messages import message_lines
from scopeline.tokens import Tokens


class Direct:
    """Small answers come from the API's own routes; long ones stream from the service."""

    running = False

    def __init__(self, service: Service) -> None:
        self.service = service
        self._app = create(service, Tokens(service.host.plant_dir))

    def _answer(self, method: str, path: str, parameters: dict[str, Any]) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self._app, raise_app_exceptions=True)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost/api/v1") as client:
                return await client.request(method, path, params=Remote.given(parameters))

        return Remote.check(asyncio.run(ask()))

    def get(self, path: str, **parameters: Any) -> Any:
        return self._answer("GET", path, parameters).json()

    def post(self, path: str, **parameters: Any) -> Any:
        return self._answer("POST", path, parameters).json()

    def lines(self, path: str, **parameters: Any) -> Iterator[bytes]:
        """The log streams from the service; other rows come whole."""
        given = Remote.given(parameters)
        if path != "/messages":
            yield self._answer("GET", path, given).content
            return
        try:
            start, end = time_range(self.service, given.get("from"), given.get("to"))
        except QueryError as error:
            raise Failed(error.message, error.remedy, misuse=True) from None
        yield from message_lines(self.service.messages(start, end, given.get("topic")))

    def export(self, file: Path, form: str, dialect: str, progress: Any, **parameters: Any) -> Path:
        given = {name.rstrip("_"): value for name, value in parameters.items()}
        try:
            query = figure_query(
                self.service.plant,
                given.get("from"),
                given.get("to"),
                given.get("interval"),
                given.get("group_by"),
                given.get("where"),
                given.get("basis"),
                bool(given.get("consolidated")),
            )
            return write(self.service.figures(query), file, form, dialect, progress)
        except QueryError as error:
            raise Failed(error.message, error.remedy, misuse=True) from None


@contextmanager
def opened(plant_dir: Path) -> Iterator[Direct]:
    """Open the plant's data file for a command; raises Failed when there is none or it is in use."""
    from scopeline.service.local import local_host

    with local_host(plant_dir) as host:
        yield Direct(Service(host))
