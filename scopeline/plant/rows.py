"""CSV files of the plant folder: rows as dictionaries, each with its line.

The first line names the columns; lines that start with `#` are comments; empty cells are left out. UTF-8, commas.
"""

import csv
from typing import NamedTuple

from scopeline.plant.documents import Flaw


class Rows(NamedTuple):
    """The rows of a CSV file with the line each starts in."""

    columns: tuple[str, ...]
    line: int
    """The line that names the columns."""
    rows: tuple[tuple[int, dict[str, str]], ...]
    flaws: tuple[Flaw, ...]


def parse(text: str) -> Rows:
    """A file's text as rows.

    >>> parse("# prices\\ncurrency,year\\nEUR,2024\\n").rows
    ((3, {'currency': 'EUR', 'year': '2024'}),)
    """
    flaws: list[Flaw] = []
    found: list[tuple[int, dict[str, str]]] = []
    columns: list[str] | None = None
    reader = csv.reader(text.splitlines(keepends=True), strict=True)
    start = heading = 1
    try:
        for row in reader:
            line, start = start, reader.line_num + 1
            cells = [cell.strip() for cell in row]
            if not any(cells) or cells[0].startswith("#"):
                continue
            if columns is None:
                columns, heading = cells, line
                flaws += _heading(columns, line)
                continue
            if any(cells[len(columns) :]):
                what = f"has {len(cells)} cells where the first line names {len(columns)} columns"
                flaws.append(Flaw(line, (), what, "quote cells that contain a comma"))
                continue
            found.append((line, {name: cell for name, cell in zip(columns, cells, strict=False) if cell and name}))
    except csv.Error as error:
        flaws.append(Flaw(start, (), f"is no readable CSV: {error}", "check the quotes at and above this line"))
    return Rows(tuple(columns or ()), heading, tuple(found), tuple(flaws))


def _heading(columns: list[str], line: int) -> list[Flaw]:
    if len(columns) == 1 and (";" in columns[0] or "\t" in columns[0]):
        return [Flaw(line, (), "the columns are not separated by commas", "save the file as CSV with commas (UTF-8)")]
    twice = sorted({name for name in columns if name and columns.count(name) > 1})
    return [Flaw(line, (name,), "the column stands twice", "keep one of the two") for name in twice]
