"""Who may ask: tokens, localhost, Host and Origin checks, for every page, route and web socket behind it.

- From this machine (loopback address, no forwarding header) no token is needed, but the Host must be a name of this machine: a
  page of a foreign site that re-points its own name here (DNS rebinding) is refused.
- From anywhere else a token is needed: `Authorization: Bearer <token>`, or HTTP Basic with the token as password, never in the
  URL. A browser that logged in by Basic gets a session cookie (HttpOnly, SameSite=Strict): web sockets carry no Basic header.
- What changes something, and every web socket, must come from our own origin when a browser sends it (CSRF).
- An address that fails ten times within a minute waits.
"""

import base64
import binascii
import ipaddress
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from datetime import UTC, datetime, timedelta
from http.cookies import CookieError, SimpleCookie
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import orjson

from scopeline.tokens import Role, Token, Tokens

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Any, Any], Awaitable[None]]
OPEN = ("/healthz", "/readyz")
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
COOKIE = "scopeline_session"
_FORWARDED = (b"forwarded", b"x-forwarded-for", b"x-real-ip", b"via")
_TRIES, _WITHIN_S = 10, 60.0
_SESSION = timedelta(hours=12)


class Refused(Exception):
    def __init__(self, status: int, error: str, remedy: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(error)
        self.status, self.error, self.remedy, self.headers = status, error, remedy, headers or {}


class Failures:
    """Failed logins by address (IPv6: by /64), so that guessing is slow. Bounded: the oldest addresses are forgotten."""

    def __init__(self, tries: int = _TRIES, within_s: float = _WITHIN_S, clock: Callable[[], float] = monotonic) -> None:
        self._failed: OrderedDict[str, list[float]] = OrderedDict()
        self._tries, self._within, self._clock = tries, within_s, clock

    @staticmethod
    def _group(address: str) -> str:
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            return address
        return str(ipaddress.ip_network((ip, 64), strict=False)) if ip.version == 6 else address

    def wait_s(self, address: str) -> int:
        """Seconds that this address has to wait; 0 when it may try."""
        failed = self._failed.get(self._group(address), [])
        recent = [at for at in failed if at > self._clock() - self._within]
        return 0 if len(recent) < self._tries else max(1, round(recent[0] + self._within - self._clock()))

    def add(self, address: str) -> None:
        group = self._group(address)
        self._failed[group] = [*self._failed.pop(group, []), self._clock()][-self._tries :]
        while len(self._failed) > 10_000:
            self._failed.popitem(last=False)


def _host_name(host: str) -> str:
    """`localhost:8090` -> localhost, `[::1]:8090` -> ::1; what cannot be read is an empty name."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def is_loopback(address: str) -> bool:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None)
    return (mapped or ip).is_loopback


def credentials(header: str) -> str | None:
    """The token in an Authorization header: Bearer, or the password of Basic.

    >>> credentials("Bearer scl_1_x"), credentials("Basic YW5uOnNjbF8xX3g="), credentials("Digest x")
    ('scl_1_x', 'scl_1_x', None)
    """
    kind, _, value = header.partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() == "basic":
        try:
            return base64.b64decode(value.strip(), validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return None
    return None


class Guard:
    """ASGI middleware; what stands behind it finds `scope["scopeline.role"]` (read, operate) and `scope["scopeline.user"]`."""

    def __init__(
        self,
        app: App,
        tokens: Tokens,
        instance_token: str | None = None,
        hosts: Iterable[str] = (),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.app, self.tokens, self.now = app, tokens, now
        self._instance_token = instance_token
        self._hosts = {*LOCAL_NAMES, *(name.lower() for name in hosts if name not in ("", "0.0.0.0", "::"))}
        self._failures = Failures()
        self._sessions: OrderedDict[str, tuple[Token, datetime]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        try:
            cookie = None if scope["path"] in OPEN else self._admit(scope)
        except Refused as refused:
            return await _refuse(scope, receive, send, refused)

        async def headed(message: MutableMapping[str, Any]) -> None:
            if message["type"] in ("http.response.start", "websocket.accept"):
                headers = message.setdefault("headers", [])
                present = {name.lower() for name, _ in headers}
                headers = [*headers, *((n, v) for n, v in _SAFE if n not in present)]
                message["headers"] = [*headers, (b"set-cookie", cookie.encode())] if cookie else headers
            await send(message)

        await self.app(scope, receive, headed)

    def _admit(self, scope: Scope) -> str | None:
        """Set role and user or raise Refused; returns a cookie to set."""
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        address = (scope.get("client") or ("", 0))[0]
        self._same_origin(scope, headers)
        user, role, cookie = self._who(address, headers, scope.get("scheme", "http") in ("https", "wss"))
        scope["scopeline.user"], scope["scopeline.role"] = user, role
        return cookie

    def _who(self, address: str, headers: dict[bytes, str], tls: bool) -> tuple[str, Role, str | None]:
        session = self._by_cookie(headers.get(b"cookie", ""))
        if given := headers.get(b"authorization"):
            token = self._by_header(address, given)
            if isinstance(token, str):
                return token, "operate", None
            browser = given[:6].lower() == "basic " and "text/html" in headers.get(b"accept", "")
            return token.name, token.role, self._session(token, tls) if browser and session != token else None
        if session:
            return session.name, session.role, None
        if is_loopback(address) and not any(name in headers for name in _FORWARDED):
            if _host_name(headers.get(b"host", "")) in self._hosts:
                return "localhost", "operate", None
            raise Refused(421, "This name does not belong to the instance", "Use http://localhost, or give a token.")
        raise Refused(401, "A token is needed from this address", "Make one with `scopeline token create`.", _CHALLENGE)

    def _by_header(self, address: str, header: str) -> Token | str:
        if wait := self._failures.wait_s(address):
            raise Refused(429, "Too many failed logins", f"Wait {wait} s, then try again.", {"retry-after": str(wait)})
        text = credentials(header) or ""
        if self._instance_token and secrets.compare_digest(text.encode(), self._instance_token.encode()):
            return "command"
        if token := self.tokens.find(text, self.now()):
            return token
        self._failures.add(address)
        raise Refused(401, "The token is unknown, revoked or expired", "Make one with `scopeline token create`.", _CHALLENGE)

    def _session(self, token: Token, tls: bool) -> str:
        key = secrets.token_urlsafe(32)
        self._sessions[key] = (token, self.now() + _SESSION)
        while len(self._sessions) > 10_000:
            self._sessions.popitem(last=False)
        return f"{COOKIE}={key}; Path=/; HttpOnly; SameSite=Strict; Max-Age={int(_SESSION.total_seconds())}" + "; Secure" * tls

    def _by_cookie(self, header: str) -> Token | None:
        try:
            found = SimpleCookie(header).get(COOKIE)
        except CookieError:
            return None
        token, until = self._sessions.get(found.value, (None, None)) if found else (None, None)
        if not token or not until or until <= self.now() or token.expired(self.now()) or token not in self.tokens.all():
            return None
        return token

    def _same_origin(self, scope: Scope, headers: dict[bytes, str]) -> None:
        """A browser names the page that asks; only our own pages may change things or open sockets."""
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return
        origin, site = headers.get(b"origin"), headers.get(b"sec-fetch-site")
        foreign = origin is not None and urlsplit(origin).netloc.lower() != headers.get(b"host", "").lower()
        if foreign or site in ("cross-site", "same-site"):
            raise Refused(403, "The request comes from a page of another site", "Send it from the console or from a program.")


_CHALLENGE = {"www-authenticate": 'Basic realm="scopeline", charset="UTF-8"'}
_SAFE = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)


async def _refuse(scope: Scope, receive: Any, send: Any, refused: Refused) -> None:
    if scope["type"] == "websocket":
        await receive()
        return await send({"type": "websocket.close", "code": 4403, "reason": refused.error})
    headers = {"content-type": "application/json", "cache-control": "no-store", **refused.headers}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refused.status, "headers": [*raw, *_SAFE]})
    await send({"type": "http.response.body", "body": orjson.dumps({"error": refused.error, "remedy": refused.remedy})})
    return None
