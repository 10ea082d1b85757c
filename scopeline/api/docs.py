"""/api/docs: the API's description as one plain page, written by the server; no script, nothing from elsewhere."""

import html
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

router = APIRouter(include_in_schema=False)

_STYLE = """
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
h2{border-top:1px solid #8886;padding-top:1rem;font-size:1.05rem}
code,pre{font-family:ui-monospace,monospace;overflow-wrap:anywhere}
pre{background:#8882;padding:.6rem;overflow-x:auto}
table{border-collapse:collapse;width:100%}
td,th{text-align:left;padding:.2rem .8rem .2rem 0;vertical-align:top;border-bottom:1px solid #8884}
.verb{display:inline-block;min-width:3.2rem;font-weight:600}
"""


def _text(value: Any) -> str:
    return html.escape(str(value))


def _type(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        return " | ".join(_type(one) for one in schema["anyOf"] if one.get("type") != "null")
    if schema.get("type") == "array":
        return f"{_type(schema.get('items', {}))}, repeated"
    return str(schema.get("const", schema.get("type", schema.get("$ref", "").rpartition("/")[2])))


def _row(parameter: dict[str, Any]) -> str:
    schema = parameter.get("schema", {})
    default = f" = {_text(schema['default'])}" if schema.get("default") not in (None, "") else ""
    needed = " (needed)" if parameter.get("required") else ""
    about = _text(parameter.get("description", schema.get("description", "")))
    name = f"<code>{_text(parameter['name'])}</code>{needed}"
    return f"<tr><td>{name}</td><td>{_text(_type(schema))}{default}</td><td>{about}</td></tr>"


def _operation(path: str, verb: str, operation: dict[str, Any]) -> str:
    rows = "".join(_row(parameter) for parameter in operation.get("parameters", ()))
    table = f"<table><tr><th>parameter</th><th>type</th><th></th></tr>{rows}</table>" if rows else ""
    about = f"<p>{_text(operation['description'])}</p>" if operation.get("description") else ""
    bodies = ", ".join(operation.get("requestBody", {}).get("content", {}))
    body = f"<p>Body: {_text(bodies)}</p>" if bodies else ""
    head = f'<h2><span class="verb">{verb.upper()}</span> <code>{_text(path)}</code></h2>'
    return f"<section>{head}<p><b>{_text(operation.get('summary', ''))}</b></p>{about}{table}{body}</section>"


def page(schema: dict[str, Any]) -> str:
    """OpenAPI -> HTML."""
    parts = [_operation(path, verb, found) for path, verbs in schema["paths"].items() for verb, found in verbs.items()]
    about = "".join(f"<p>{_text(part)}</p>" for part in schema["info"].get("description", "").split("\n\n"))
    example = 'curl -H "Authorization: Bearer $TOKEN" "http://localhost:8090/api/v1/figures?from=2026-03&amp;to=2026-04&amp;interval=1d"'
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Scopeline API</title><style>{_STYLE}</style><h1>Scopeline API</h1>{about}<pre>{example}</pre>"
        f'<p>For programs: <a href="/api/openapi.json">/api/openapi.json</a> (OpenAPI {_text(schema["openapi"])}).</p>'
        + "".join(parts)
        + "</html>"
    )


@router.get("/api/docs")
def docs(request: Request) -> Response:
    policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    return HTMLResponse(page(request.app.openapi()), headers={"content-security-policy": policy})
