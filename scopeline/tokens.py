"""API tokens of a plant: made once, shown once, kept only as hashes in `<plant>/.scopeline/tokens.json`."""

import hashlib
import hmac
import json
import os
import re
import secrets
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, cast

Role = Literal["read", "operate"]
ROLES: tuple[Role, ...] = ("read", "operate")
STATE = ".scopeline"


@dataclass(frozen=True)
class Token:
    """What is kept of a token. `hash` is SHA-256 of the secret: 256 random bits need no slow hash."""

    id: str
    name: str
    role: Role
    created_at: str
    expires_at: str
    hash: str

    def expired(self, now: datetime) -> bool:
        return now >= datetime.fromisoformat(self.expires_at)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


class Tokens:
    """The tokens of one plant folder. A running instance sees created and revoked ones at once: the file is the truth."""

    def __init__(self, plant_dir: Path) -> None:
        self.path = plant_dir / STATE / "tokens.json"
        self._read: tuple[tuple[int, int, int], tuple[Token, ...]] | None = None

    def all(self) -> tuple[Token, ...]:
        """Every token, by name; expired ones included. An unreadable file is an error, never "no tokens needed"."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return ()
        mark = (found.st_mtime_ns, found.st_size, found.st_ino)
        if self._read is None or self._read[0] != mark:
            try:
                rows: list[dict[str, Any]] = json.loads(self.path.read_text(encoding="utf-8"))
                self._read = (mark, tuple(Token(**row) for row in rows))
            except (ValueError, TypeError) as error:
                raise ValueError(f"{self.path}: is no list of tokens ({error}). Delete it and create the tokens again.") from None
        return self._read[1]

    def _write(self, tokens: list[Token]) -> None:
        ordered = sorted(tokens, key=lambda token: (token.name, token.id))
        write_private(self.path, json.dumps([asdict(token) for token in ordered], indent=1) + "\n")

    def create(self, name: str, role: str, expires: timedelta, now: datetime) -> str:
        """Make a token and return its text, which is shown this once.

        Raises ValueError for a name that is taken or unusable, an unknown role, or a time that is not ahead.
        """
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", name):
            raise ValueError(f"{name!r} is no name for a token. Use letters, digits and . _ @ -, up to 64.")
        if role not in ROLES:
            raise ValueError(f"role {role!r} is not known. Use read (see everything) or operate (also send and redrive).")
        if expires <= timedelta(0):
            raise ValueError("A token must expire later than now. Write --expires 90d.")
        kept = [token for token in self.all() if not token.expired(now)]
        if any(token.name == name for token in kept):
            raise ValueError(f"There is a token {name!r} already. Revoke it first, or choose another name.")
        ident, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
        until = (now + expires).astimezone(UTC).isoformat(timespec="seconds")
        made = Token(ident, name, cast(Role, role), now.astimezone(UTC).isoformat(timespec="seconds"), until, _hash(secret))
        self._write([*kept, made])
        return f"scl_{ident}_{secret}"

    def revoke(self, name: str) -> bool:
        """Take a token (by name or id) out; False when there is none."""
        kept = [token for token in self.all() if name not in (token.name, token.id)]
        if len(kept) == len(self.all()):
            return False
        self._write(kept)
        return True

    def find(self, text: str, now: datetime) -> Token | None:
        """The token that this text is, when it is known and not expired. Compares in constant time."""
        parts = text.split("_", 2)
        if len(parts) != 3 or parts[0] != "scl":
            return None
        given = _hash(parts[2])
        for token in self.all():
            if token.id == parts[1] and hmac.compare_digest(token.hash, given):
                return None if token.expired(now) else token
        return None
