"""Rows without their repeated texts: each combination that a table knows has a number, and rows hold that."""

from collections.abc import Callable

import polars as pl

from scopeline.log.tables import FOLDED, TABLES, rows_schema, said_schema, stored


class Folding:
    """What one table (of FOLDED) has said so far, in memory, as the writer's transaction shows it."""

    def __init__(self, table: str, known: Callable[[], pl.DataFrame]) -> None:
        """known: gives `<table>_said`."""
        self._table, self._ask = table, known
        self._known: pl.DataFrame | None = None

    def forget(self) -> None:
        """The table may say something else; it is asked again."""
        self._known = None

    def folded(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The table's rows for a frame of its schema, and those of `<table>_said` that they need besides; both as the file holds
        them."""
        texts = list(FOLDED[self._table])
        whole = stored(frame, TABLES[self._table])
        known = self._ask() if self._known is None else self._known
        found = whole.join(known, on=texts, how="left", nulls_equal=True, maintain_order="left")
        new = known.clear()
        if found["said"].null_count():
            texts_of = found.filter(pl.col("said").is_null()).select_seq(texts).unique(maintain_order=True)
            numbered = texts_of.with_row_index("said", known.height)
            new = numbered.select_seq(pl.col(name).cast(kind) for name, kind in said_schema(self._table).items())
            known = pl.concat([known, new])
            found = whole.join(known, on=texts, how="left", nulls_equal=True, maintain_order="left")
        self._known = known
        return found.select_seq(rows_schema(self._table).keys()), new
