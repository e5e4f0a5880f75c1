"""docs/clients.md: the table and how each client is told of inferq, written by a run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from tests.clients.run import Outcome
from tests.clients.table import HERE, Client

PAGE = HERE.parent.parent / "docs" / "clients.md"
HEAD = "| client | version | what was run | passed |\n|---|---|---|---|\n"
_TABLE = re.compile(re.escape(HEAD) + r"(?:\|.*\n)*")
_HOW = re.compile(r"(?<=\n## How each is told\n).*", re.S)


def rows(text: str) -> dict[str, str]:
    """The table's rows as they stand, by client."""
    found = _TABLE.search(text)
    lines = found[0].removeprefix(HEAD).splitlines() if found else []
    return {line.split("`")[1]: line for line in lines}


def row(outcome: Outcome) -> str:
    """One line of the table."""
    client = outcome.client
    packages = ", ".join(f"`{package}`" for package in client.packages if not package.startswith("torch"))
    failed = "".join(f"; fails: {name}" for name, _ in outcome.failed)
    return f"| `{client.name}` | {packages} | {', '.join(outcome.planned)} | {outcome.result}{failed} |"


def write(text: str, clients: Mapping[str, Client], outcomes: Iterable[Outcome]) -> str:
    """The page with what was tried now in the place of what it said of that; what was not run leaves it as it was."""
    new = {outcome.client.name: row(outcome) for outcome in outcomes if not outcome.not_run}
    known = rows(text) | new
    table = HEAD + "".join(known[name] + "\n" for name in clients if name in known)
    how = "".join(f"\n### {name}\n\n{client.configure.strip()}\n" for name, client in clients.items())
    text = _TABLE.sub(lambda _: table, text)
    return _HOW.sub(lambda _: how, text)
