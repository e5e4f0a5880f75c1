"""A stack whose output is read by tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.stack import Process, Stack, stop, wait_for


class Logged(Stack):
    """A stack whose output is in a file."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.output = directory / "output"
        super().__init__(directory, **settings)

    def log(self) -> str:
        return self.output.read_text()

    def lines(self) -> list[dict[str, Any]]:
        """What was logged as JSON."""
        return [json.loads(line) for line in self.log().splitlines()]

    def line(self, **fields: Any) -> dict[str, Any]:
        """The first line that has these fields."""

        def find() -> dict[str, Any] | None:
            return next((line for line in self.lines() if fields.items() <= line.items()), None)

        found: dict[str, Any] = wait_for(find, f"a line with {fields}")
        return found

    def close(self) -> None:
        """What its parts say at their end is read as well."""
        stop(*(child for child in self.children if child is not self.valkey))
        super().close()

    def _start(self, command: list[str], **options: Any) -> Process:
        with self.output.open("ab") as file:
            return super()._start(command, **{"stderr": file, **options})
