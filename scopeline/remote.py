"""How commands reach a plant's data: over HTTP when an instance runs, else by opening the data file. Both answer alike.

A running instance leaves its address and a token in `<plant>/.scopeline/instance.json` (readable by its owner only).
"""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import httpx

from scopeline.tokens import STATE, write_private

_WAIT = httpx.Timeout(10.0, read=None)  # a long export answers when it is written


class Failed(Exception):
    """A question that cannot be answered: what, and the remedy. `misuse`: the arguments are at fault (exit 2)."""

    def __init__(self, error: str, remedy: str, misuse: bool = False) -> None:
        super().__init__(f"{error}. {remedy}".replace("..", ".").strip())
        self.error, self.remedy, self.misuse = error, remedy, misuse


class Door(Protocol):
    """What commands ask for; texts as the user wrote them, answers as the HTTP API gives them."""

    running: bool

    def get(self, path: str, **parameters: Any) -> Any:
        """The answer of GET /api/v1/<path>."""

    def lines(self, path: str, **parameters: Any) -> Iterator[bytes]:
        """The same, streamed in pieces."""

    def export(self, file: Path, form: str, dialect: str, progress: Any, **parameters: Any) -> Path:
        """Write figures to a file, and its meta file beside it, whose path is returned."""

    def post(self, path: str, **parameters: Any) -> Any:
        """The answer of POST /api/v1/<path>."""


def instance_file(plant_dir: Path) -> Path:
    return plant_dir / STATE / "instance.json"


def announce(plant_dir: Path, address: str, token: str) -> None:
    """Leave address and token for commands; called by an instance once it answers."""
    write_private(instance_file(plant_dir), json.dumps({"address": address, "token": token, "pid": os.getpid()}) + "\n")


def withdraw(plant_dir: Path) -> None:
    """Take the note away when the instance stops (only its own)."""
    try:
        if json.loads(instance_file(plant_dir).read_text(encoding="utf-8"))["pid"] == os.getpid():
            instance_file(plant_dir).unlink(missing_ok=True)
    except (OSError, ValueError, KeyError):
        pass


class Remote:
    """The door to a running instance."""

    running = True

    def __init__(self, address: str, token: str, transport: httpx.BaseTransport | None = None) -> None:
        self._http = httpx.Client(
            base_url=f"{address}/api/v1",
            headers={"authorization": f"Bearer {token}"},
            timeout=_WAIT,
            trust_env=False,
            transport=transport,
        )

    def close(self) -> None:
        self._http.close()

    @staticmethod
    def given(parameters: dict[str, Any]) -> dict[str, Any]:
        """`from_` -> from; what was not given stays out."""
        return {name.rstrip("_"): value for name, value in parameters.items() if value not in (None, "", (), [])}

    @staticmethod
    def check(answer: httpx.Response) -> httpx.Response:
        if answer.is_success:
            return answer
        answer.read()
        try:
            said = answer.json()
            error, remedy = str(said["error"]), str(said["remedy"])
        except (ValueError, KeyError, TypeError):
            error, remedy = f"The instance answered {answer.status_code}", "Look at its log"
        raise Failed(error, remedy, misuse=answer.status_code == 400)

    def get(self, path: str, **parameters: Any) -> Any:
        return self.check(self._http.get(path, params=self.given(parameters))).json()

    def post(self, path: str, **parameters: Any) -> Any:
        return self.check(self._http.post(path, params=self.given(parameters))).json()

    def send(self, path: str, payload: bytes) -> Any:
        """The answer of POST /api/v1/<path> with a body."""
        return self.check(self._http.post(path, content=payload)).json()

    def lines(self, path: str, **parameters: Any) -> Iterator[bytes]:
        with self._http.stream("GET", path, params=self.given(parameters)) as answer:
            yield from self.check(answer).iter_bytes()

    def export(self, file: Path, form: str, dialect: str, progress: Any, **parameters: Any) -> Path:
        """The instance writes the file and sends it; its sha256 is checked by scopeline.export.keep."""
        from scopeline.export import keep

        given = self.given({**parameters, "format": form, "dialect": dialect})
        with self._http.stream("GET", "/figures", params=given) as answer:
            self.check(answer)
            meta = json.loads(answer.headers["x-scopeline-meta"])
            handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
            try:
                with os.fdopen(handle, "wb") as out:
                    for part in answer.iter_bytes(1 << 20):
                        out.write(part)
                        progress(answer.num_bytes_downloaded)
                return keep(Path(name), file, meta)
            finally:
                Path(name).unlink(missing_ok=True)


def running(plant_dir: Path) -> Remote | None:
    """The door to the instance of this plant folder, or None when none answers."""
    try:
        note = json.loads(instance_file(plant_dir).read_text(encoding="utf-8"))
        found = Remote(note["address"], note["token"])
    except (OSError, ValueError, KeyError):
        return None
    try:
        found.get("/problems")
        return found
    except (httpx.TransportError, Failed):
        found.close()  # left over from an instance that was killed
        return None


@contextmanager
def connect(plant_dir: Path) -> Iterator[Door]:
    """The plant's door: the running instance, else its data file."""
    if remote := running(plant_dir):
        try:
            yield remote
        except httpx.TransportError as error:
            raise Failed(f"The running instance stopped answering ({error})", "Look at its log, then try again") from None
        finally:
            remote.close()
        return
    from scopeline.direct import opened

    with opened(plant_dir) as door:
        yield door
