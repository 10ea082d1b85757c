"""influxdb-client, so set up that it only asks: no retries, no threads of its own; what it raises comes out as httpx says it."""

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx
from influxdb_client import InfluxDBClient
from influxdb_client.rest import ApiException
from urllib3 import make_headers
from urllib3.exceptions import HTTPError, ReadTimeoutError
from urllib3.poolmanager import PoolKey

from schemas.connections import InfluxDB


def opened(settings: InfluxDB, token: str) -> InfluxDBClient:
    """A client that trusts the certificates and takes the proxies that httpx would."""
    wait = settings.timeout.total_seconds() * 1000
    how = {"timeout": (wait, wait), "ssl_context": httpx.create_ssl_context(), **_way(settings.url)}
    client = InfluxDBClient(settings.url, token, org=settings.org, retries=False, **how)
    if "key_background_watch_delay" in PoolKey._fields:  # urllib3-future in urllib3's place: it watches connections by a thread
        client.api_client.rest_client.pool_manager.connection_pool_kw["background_watch_delay"] = None
    return client


def answered(call: Callable[..., Any], *given: Any, **named: Any) -> tuple[httpx.Response, Any]:
    """The server's answer to a call of influxdb-client, and what that returns (None where the server refuses).

    httpx.ReadTimeout or httpx.NetworkError where there is no answer. Texts of an ApiException hold headers: none gets out.
    """
    try:
        return httpx.Response(200), call(*given, **named)
    except ApiException as refused:
        if not refused.status:  # TLS
            raise httpx.NetworkError(" ".join(str(refused.reason).split())) from None
        asked = {"Retry-After": refused.retry_after} if refused.retry_after else {}
        return httpx.Response(refused.status, headers=asked, content=refused.body), None
    except HTTPError as problem:
        late = isinstance(problem, ReadTimeoutError) or any(isinstance(part, TimeoutError) for part in problem.args)
        raise (httpx.ReadTimeout if late else httpx.NetworkError)(str(problem)) from None


def _way(url: str) -> dict[str, Any]:
    """The proxy that the environment names for this address, as influxdb-client takes it."""
    parts, known = urlsplit(url), getproxies()
    proxy = None if proxy_bypass(parts.netloc) else known.get(parts.scheme) or known.get("all")
    if not proxy:
        return {}
    asked = urlsplit(proxy)
    login = f"{unquote(asked.username)}:{unquote(asked.password or '')}" if asked.username else None
    return {"proxy": proxy, "proxy_headers": make_headers(proxy_basic_auth=login)}
