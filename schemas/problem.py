"""A problem of a plant folder: where it stands, what is wrong, what to do."""

from typing import Literal, NamedTuple


class Problem(NamedTuple):
    severity: Literal["error", "warning", "note"]
    file: str  # relative to the plant folder
    line: int | None
    key: str  # like feeds[0].channels[2].unit
    message: str
    remedy: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        what = f"{self.key}: {self.message}" if self.key else self.message
        return f"{self.severity}: {place}: {what}" + (f" -> {self.remedy}" if self.remedy else "")
