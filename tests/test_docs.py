"""The documents keep to the code: reference pages are current, commands in them exist, examples run, links lead somewhere."""

import os
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from scopeline import reference
from scopeline.cli import COMMANDS, app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TITLES = [page.relative_to(ROOT).as_posix() for page in PAGES]


def blocks(page: Path, language: str) -> Iterator[str]:
    """The fenced blocks of a language; indented fences count too."""
    for found in re.finditer(rf"^( *)```{language}\n(.*?)^\1```$", page.read_text(), re.MULTILINE | re.DOTALL):
        yield found[2]


def examples(page: Path) -> list[str]:
    """The `$ scopeline ...` lines of console blocks: they are executed."""
    lines = [line.strip() for block in blocks(page, "console") for line in block.splitlines()]
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ scopeline")]


def mentioned(page: Path) -> list[str]:
    """The scopeline commands of console and shell blocks, whether executed or not."""
    lines = [line.strip() for block in blocks(page, "sh") for line in block.replace("\\\n", " ").splitlines()]
    return examples(page) + [line for line in lines if line.startswith("scopeline ")]


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """Walk down to the command that the words name; the rest are its arguments."""
    command, path, rest = typer.main.get_command(app), words[0], words[1:]
    while parts := dict(reference.inner(command, path)):
        assert rest and rest[0] in parts, f"no command {path} {rest[:1]}"
        command, path, rest = parts[rest[0]], f"{path} {rest[0]}", rest[1:]
    return command, rest


def test_reference_is_current():
    pages = reference.pages()
    assert set(pages) == {"commands.md", "plant.md", "columns.md"}
    for name, text in pages.items():
        file = ROOT / "docs" / "reference" / name
        assert file.exists() and file.read_text() == text, f"{name} is not what the code says: run make docs"


def test_every_command_and_option_is_documented():
    text = reference.pages()["commands.md"]
    for name in COMMANDS:
        assert f"## `scopeline {name}" in text, name
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert len(rows) > 40
    assert not [row for row in rows if re.match(r"\| [^|]+ \|\s*\|", row)], "an option without a sentence"


def test_every_command_has_help_with_an_example():
    for name in COMMANDS:
        done = CliRunner().invoke(app, [name, "--help"], terminal_width=200)
        assert done.exit_code == 0, f"{name}: {done.output}"
        described = done.output.partition("Options")[0].replace(f"Usage: scopeline {name}", "", 1)
        assert f"scopeline {name}" in described, f"{name} --help has no example"


def test_every_setting_is_documented():
    rows = [line for line in reference.pages()["plant.md"].splitlines() if line.startswith("| `")]
    assert len(rows) > 150
    assert not [row for row in rows if re.match(r"\| `\w+` \|  \|", row)], "a key without a description in its model"


@pytest.mark.parametrize("title", TITLES)
def test_commands_in_the_documents_exist(title: str):
    for line in mentioned(ROOT / title):
        command, rest = command_of(shlex.split(line, comments=True))
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
        unknown = {word.partition("=")[0] for word in rest if word.startswith("--")} - known
        assert not unknown, f"{title}: {line}: {sorted(unknown)}"


def test_documents_show_commands():
    assert sum(len(mentioned(page)) for page in PAGES) > 12
    assert sum(len(examples(page)) for page in PAGES) > 6


@pytest.mark.parametrize("title", [t for t in TITLES if examples(ROOT / t)])
def test_examples_run(title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for part in ("tests/golden", "scopeline/demo", "docs/examples"):
        shutil.copytree(ROOT / part, tmp_path / part)
    monkeypatch.chdir(tmp_path)
    for line in examples(ROOT / title):
        done = CliRunner().invoke(app, shlex.split(line)[1:])
        assert done.exit_code == 0, f"{title}: {line}: {done.output} {done.exception}"
        if out := re.search(r"--out (\S+)", line):
            assert os.path.getsize(out[1]) > 100


@pytest.mark.parametrize("title", TITLES)
def test_links_lead_somewhere(title: str):
    page = ROOT / title
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    for target in targets:
        if "://" not in target:
            assert (page.parent / target).exists(), f"{title}: {target} is not there"


def test_make_targets_are_those_documented():
    made = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"install", "demo", "test", "lint", "live", "bench", "docs"} <= made
    named = {name for page in PAGES for name in re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(), re.MULTILINE)}
    assert len(named) >= 6 and named <= made
