"""One word for each thing: class names are not used twice, and the glossary names what there is."""

from __future__ import annotations

import ast
import functools
import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("inferq", "gateway", "worker", "shared")
TWICE: set[str] = set()
"""Names that still stand for two things."""


@functools.cache
def classes() -> dict[str, list[str]]:
    """The places of each class name; one underscore more or less makes no other word.

    Classes within classes are not words of their own: marshmallow wants a `Meta` of many.
    """
    found: defaultdict[str, list[str]] = defaultdict(list)
    for file in (file for package in PACKAGES for file in (ROOT / package).rglob("*.py")):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.ClassDef):
                found[node.name.strip("_")].append(f"{file.relative_to(ROOT)}:{node.lineno}")
    return found


def rows() -> list[tuple[str, str]]:
    """The words of the glossary, and where it says that they are."""
    text = (ROOT / "docs" / "glossary.md").read_text()
    found = re.findall(r"^\| ([^|]+) \| [^|]+ \| ([^|]+) \|$", text, re.MULTILINE)
    return [(word, where) for word, where in found if word != "word"]


def test_a_class_name_stands_for_one_thing() -> None:
    twice = {name: places for name, places in classes().items() if len(places) > 1}
    assert not {name: places for name, places in twice.items() if name not in TWICE}
    assert twice.keys() == TWICE, "no longer used twice: take it off the list"


def test_what_the_glossary_names_is_there() -> None:
    known = classes()
    for word, where in rows():
        names = re.findall(r"`([^`]+)`", where)
        assert names or where == "-", word
        for name in names:
            assert (ROOT / name).is_file() if "/" in name else name in known, f"{word}: there is no {name}"


def test_a_word_is_listed_once() -> None:
    words = [word for word, _ in rows()]
    assert len(words) == len(set(words)) > 40
