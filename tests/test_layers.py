"""The rules of the layout: who may import whom, and how long a file may be."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("inferq", "gateway", "worker", "shared")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
WEB = {"flask", "marshmallow"}
TESTS = sorted((ROOT / "tests").rglob("*.py"))
LONGEST = {**dict.fromkeys(FILES, 250), **{file: 320 for file in TESTS if file.name.startswith("test_")}}


def forbidden(file: Path) -> set[str]:
    """The top-level packages that a file may not import, because of the folder it is in."""
    package, *rest = file.relative_to(ROOT).parts
    match package:
        case "inferq":
            return WEB
        case "gateway" if rest[0] == "schemas":
            return {"inferq", "worker", "flask", "redis", "gevent"}
        case "gateway":
            return {"inferq", "worker"}
        case "worker":
            return {"inferq", "gateway"} | WEB
        case _:
            return {"inferq", "gateway", "worker"} | WEB


def imports(source: str) -> Iterator[tuple[int, str]]:
    """Line and dotted name of all that is imported, also inside functions."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                yield from ((node.lineno, f"{module}.{alias.name}") for alias in names)
            case ast.ImportFrom():
                yield node.lineno, "a relative import"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_stay_in_their_layer(file: Path) -> None:
    wrong = forbidden(file) | {"a relative import"}
    found = [f"line {line}: {name}" for line, name in imports(file.read_text()) if name.partition(".")[0] in wrong]
    assert not found, f"{file.relative_to(ROOT)} may not import {found}"


def test_no_module_of_tests_is_imported() -> None:
    """What several of them need has a module of its own, or is a fixture of conftest.py."""
    wrong = [
        f"{file.relative_to(ROOT)}, line {line}: {name}"
        for file in TESTS
        for line, name in imports(file.read_text())
        if ".test_" in f".{name}"
    ]
    assert not wrong


def test_files_can_be_read_in_one_sitting() -> None:
    lines = {file: len(file.read_text().splitlines()) for file in LONGEST}
    long = {str(file.relative_to(ROOT)): lines[file] for file, most in LONGEST.items() if lines[file] > most}
    assert not long


def test_the_walk_sees_every_kind_of_import() -> None:
    source = "import a.b, c\ndef f():\n    from d.e import g\n    from . import h\n"
    assert {name for _, name in imports(source)} == {"a.b", "c", "d.e.g", "a relative import"}
    assert {file.relative_to(ROOT).parts[0] for file in FILES} == set(PACKAGES)
