"""The rules of the layout: who may import whom, what is declared, and how long a file may be."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("inferq", "gateway", "worker", "shared")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
WEB = {"flask", "marshmallow"}
TESTS = sorted((ROOT / "tests").rglob("*.py"))
LONGEST = {**dict.fromkeys(FILES, 250), **{file: 320 for file in TESTS if file.name.startswith("test_")}}
ONE_PLACE = {
    "fcntl.flock": "shared/file_lock.py",
    "os.fsync": "shared/whole_file.py",
    "XDG_": "shared/folders.py",
    "SHUT_RDWR": "shared/cancellation.py",
    "getincrementaldecoder": "worker/engines/stops.py",
}
"""What is done in one room, which the others ask."""


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


def declared() -> set[str]:
    """The distributions that installing inferq brings along by name: its dependencies and those of its extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project.get("optional-dependencies", {}).values()
    requirements = [*project["dependencies"], *(requirement for extra in extras for requirement in extra)]
    return {normal(re.split(r"[\[<>=!~; ]", requirement)[0]) for requirement in requirements}


def normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    owners = importlib.metadata.packages_distributions()
    used = set[str]()
    for file in FILES:
        for line, name in imports(file.read_text()):
            name = name.partition(".")[0]
            if name not in sys.stdlib_module_names and name not in PACKAGES:
                place = f"{file.relative_to(ROOT)}, line {line}"
                assert name in owners, f"{place}: nobody brings {name}"
                bring = {normal(owner) for owner in owners[name]}  # several, of a package that they share
                assert bring & declared(), f"{place}: {name} is not among the dependencies of pyproject.toml"
                used |= bring
    assert {"flask", "httpx2", "redis"} <= used
    # pip is run, s3fs imported by fsspec.
    assert declared() - used == {"pip", "s3fs"}, "declared, but not imported"


@pytest.mark.parametrize("what", ONE_PLACE)
def test_it_is_done_in_one_place(what: str) -> None:
    assert [str(file.relative_to(ROOT)) for file in FILES if what in file.read_text()] == [ONE_PLACE[what]]


def test_what_is_not_checked_says_why() -> None:
    bare = re.compile(r"# (type: ignore|noqa)(: [A-Z0-9, ]+|\[[a-z, -]+\])?\s*$", re.M)
    assert [str(file.relative_to(ROOT)) for file in (*FILES, *TESTS) if bare.search(file.read_text())] == []


def test_files_can_be_read_in_one_sitting() -> None:
    lines = {file: len(file.read_text().splitlines()) for file in LONGEST}
    long = {str(file.relative_to(ROOT)): lines[file] for file, most in LONGEST.items() if lines[file] > most}
    assert not long


def test_the_walk_sees_every_kind_of_import() -> None:
    source = "import a.b, c\ndef f():\n    from d.e import g\n    from . import h\n"
    assert {name for _, name in imports(source)} == {"a.b", "c", "d.e.g", "a relative import"}
    assert {file.relative_to(ROOT).parts[0] for file in FILES} == set(PACKAGES)
