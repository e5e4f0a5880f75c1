"""docs/security.md lists the bounds as they are in the code, and all of them."""

from __future__ import annotations

import ast
import importlib
import math
import re
from pathlib import Path

import pytest

from shared.config import Config

ROOT = Path(__file__).parent.parent
_ROW = re.compile(r"\| (?P<what>.+) \| (?P<bound>[\d.]+) \| `(?P<name>[\w.]+)` \| .+ \|")
_NAMES = re.compile(r"(MOST|LONGEST|LARGEST)_")
"""What the constants that bound a client's part are called; they are public."""


def rows() -> dict[str, float]:
    section = (ROOT / "docs/security.md").read_text().partition("\n## Bounds\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")][1:]
    found = [_ROW.fullmatch(line) for line in lines]
    assert all(found), [line for line, match in zip(lines, found, strict=True) if not match]
    return {match["name"]: float(match["bound"]) for match in found if match}


@pytest.mark.parametrize(("name", "bound"), rows().items())
def test_a_bound_is_as_documented(name: str, bound: float) -> None:
    if name.startswith("INFERQ_"):
        assert getattr(Config(), name.removeprefix("INFERQ_").lower()) == bound
    else:
        module, _, constant = name.rpartition(".")
        assert getattr(importlib.import_module(module), constant) == bound


def test_every_bound_of_the_gateway_is_documented() -> None:
    constants = {
        f"{'.'.join(path.relative_to(ROOT).with_suffix('').parts)}.{target.id}"
        for path in (ROOT / "gateway").rglob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and _NAMES.match(target.id)
    }
    assert constants
    assert constants <= rows().keys()


def test_every_bound_of_the_page_is_documented() -> None:
    static = ROOT / "gateway/ui/static"
    constant = re.compile(r"^(?:export )?const ((?:MOST|LONGEST|LARGEST)_\w+) = ([\d_ *]+);", re.M)
    found = {
        f"{path.relative_to(static).with_suffix('')}.{name}": math.prod(int(factor) for factor in value.split("*"))
        for room in ("chat", "markdown")
        for path in (static / room).glob("*.js")
        for name, value in constant.findall(path.read_text("utf-8"))
    }
    section = (ROOT / "docs/security.md").read_text().partition("\n## The page\n")[2].partition("\n## ")[0]
    told = re.findall(r"^\| .+ \| (\d+) \| `([\w/.]+)` \| .+ \|$", section, re.M)
    assert found == {name: int(bound) for bound, name in told}
