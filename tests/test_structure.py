"""The rules of the house that a machine can check: who imports whom, what pure code may touch, size and names of files."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("schemas", "ingest", "processors", "sinks", "grafana", "scopeline")

MAY_IMPORT = {
    "schemas": {"schemas"},
    "ingest": {"ingest", "schemas"},
    "processors": {"processors", "schemas"},
    "sinks": {"sinks", "schemas"},
    "grafana": {"grafana", "schemas"},
    "scopeline": set(ROOMS),
}
"""Rooms never import each other, schemas imports none of ours, nobody imports the shell."""

PURE = ("schemas", "processors", "ingest", "sinks/line_protocol.py")
IMPURE = tuple(f"ingest/{name}.py" for name in ("mqtt", "connecting", "intake", "wire", "subscriptions", "bridge", "kafka"))

COMPUTING = {"numpy", "orjson", "pint", "polars", "pyarrow", "pydantic", "pydantic_core"}
"""Libraries that compute and touch nothing outside."""

# fmt: off
CALM = {
    "__future__", "abc", "base64", "binascii", "bisect", "calendar", "codecs", "collections", "contextlib", "copy", "csv",
    "dataclasses", "datetime", "decimal", "difflib", "enum", "fnmatch", "fractions", "functools", "gzip", "hashlib", "heapq",
    "html", "io", "itertools", "json", "keyword", "math", "numbers", "operator", "re", "string", "struct", "textwrap", "types",
    "typing", "unicodedata", "urllib", "zlib", "zoneinfo",
}
# fmt: on
"""Parts of the standard library that pure code may use: no clock, file, network, environment, process or log."""

CLOCKS = {"now", "today", "utcnow", "fromtimestamp"}
FILE_CALLS = re.compile(r"(scan|sink)_|(read|write)_(parquet|ipc(?!_stream)|excel|database|delta|text|bytes)")
DOORS = {"open", "print", "input", "exec", "eval", "__import__"}

MOST_LINES = 300
LONG: dict[str, str] = {}
"""Files that may be longer, each with its reason."""

VAGUE = {"utils", "util", "helpers", "helper", "common", "core", "base", "manager", "handler", "misc"}


def modules(*places: str) -> list[Path]:
    found = [f for place in places for f in ([ROOT / place] if place.endswith(".py") else sorted((ROOT / place).rglob("*.py")))]
    return [f for f in found if f.exists()]


def name(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def imports(file: Path) -> Iterator[str]:
    """The whole dotted names that a file imports, wherever in it they stand."""
    package = file.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            inside = package[: len(package) - node.level + 1] if node.level else ()
            yield ".".join([*inside, *filter(None, [node.module])])


def is_pure(file: Path) -> bool:
    return name(file) not in IMPURE


def test_rooms_import_only_what_they_may():
    seen = set()
    for file in modules(*ROOMS):
        room = name(file).split("/")[0]
        ours = {top for top in (i.split(".")[0] for i in imports(file)) if top in {*ROOMS, "tests", "deploy", "grafana"}}
        seen |= {(room, i) for i in ours}
        assert ours <= MAY_IMPORT[room], f"{name(file)} imports {sorted(ours - MAY_IMPORT[room])}; {room} may not"
    assert {("ingest", "schemas"), ("processors", "schemas"), ("scopeline", "schemas")} <= seen, "looked at too little"


def test_pure_code_imports_only_computing():
    files = [f for f in modules(*PURE) if is_pure(f)]
    assert len(files) > 20
    external = set()
    for file in files:
        tops = {i.split(".")[0] for i in imports(file)} - {*ROOMS}
        external |= tops
        assert tops <= CALM | COMPUTING, f"{name(file)} is pure and may not import {sorted(tops - CALM - COMPUTING)}"
        assert not [i for i in imports(file) if i.startswith("urllib") and i != "urllib.parse"], (
            f"{name(file)}: only urllib.parse"
        )
    assert "polars" in external


def test_pure_code_asks_no_clock_and_opens_no_file():
    calls = 0
    for file in (f for f in modules(*PURE) if is_pure(f)):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                calls += 1
                attribute = node.func.attr if isinstance(node.func, ast.Attribute) else ""
                plain = node.func.id if isinstance(node.func, ast.Name) else ""
                place = f"{name(file)}:{node.lineno}"
                assert plain not in DOORS, f"{place}: pure code may not call {plain}()"
                assert attribute not in CLOCKS, f"{place}: pure code may not ask the clock: .{attribute}()"
                assert not FILE_CALLS.match(attribute), f"{place}: pure code may not call .{attribute}()"
    assert calls > 500


def test_files_are_short():
    files = modules(*ROOMS, "tests")
    assert len(files) > 40
    lengths = {name(f): len(f.read_text().splitlines()) for f in files}
    too_long = {f: n for f, n in lengths.items() if n > MOST_LINES and f not in LONG}
    assert not too_long, f"split by role, or name in LONG with a reason: {too_long}"
    assert not {f for f in LONG if lengths.get(f, 0) <= MOST_LINES}, "no longer long: take out of LONG"


def test_names_say_what_is_inside():
    files = modules(*ROOMS, "tests")
    assert len(files) > 40
    for file in files:
        for part in file.relative_to(ROOT).with_suffix("").parts:
            assert part not in VAGUE and part.removeprefix("test_") not in VAGUE, f"{name(file)}: {part} says nothing"


def test_every_module_says_what_it_is_for():
    for file in modules(*ROOMS):
        source = file.read_text()
        if source.strip():
            doc = ast.get_docstring(ast.parse(source))
            assert doc and len(doc.splitlines()[0]) > 10, f"{name(file)} has no docstring that says what it is for"


def test_nothing_is_left_unfinished():
    marks = re.compile("|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X", "NotImplemented" + "Error"]))
    looked = 0
    for file in modules(*ROOMS, "tests"):
        for number, line in enumerate(file.read_text().splitlines(), 1):
            looked += 1
            assert not marks.search(line), f"{name(file)}:{number}: unfinished: {line.strip()}"
    assert looked > 2000


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_are_typed_packages(room):
    assert (ROOT / room / "py.typed").exists()
    assert (ROOT / room / "__init__.py").exists()
    assert room not in sys.stdlib_module_names
