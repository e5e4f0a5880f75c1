"""The Lua scripts, as they are put together: each has what it names of what all of them share, whatever lies around."""

from __future__ import annotations

import re
from importlib import resources

import pytest

import shared.scripts
from shared.scripts import COMMON, cut_down, text

FOLDER = resources.files(shared.scripts)
SCRIPTS = sorted(
    entry.name.removesuffix(".lua") for entry in FOLDER.iterdir() if re.fullmatch(r"[a-z]\w*\.lua", entry.name)
)
DEFINITION = re.compile(r"local (?:function )?([\w, ]+?)(?:\(| = )")


def source(name: str) -> str:
    return (FOLDER / f"{name}.lua").read_text()


def said(lua: str) -> str:
    """It without comments and strings, told apart sign by sign. Raises IndexError where a string does not end."""
    kept, at = list[str](), 0
    while at < len(lua):
        if lua.startswith("--", at):
            assert not lua.startswith("--[", at), "long comments are not known here"
            at = lua.index("\n", at)
        elif (quote := lua[at]) in "'\"":
            at += 1
            while lua[at] != quote:
                assert lua[at] != "\n"
                at += 2 if lua[at] == "\\" else 1
            at += 1
        else:
            kept.append(lua[at])
            at += 1
    return "".join(kept)


def names(lua: str) -> set[str]:
    return set(re.findall(r"\w+", said(lua)))


def definitions() -> list[str]:
    """What the scripts share, in its order."""
    found = list[str]()
    for line in "".join(map(source, COMMON)).splitlines(keepends=True):
        if DEFINITION.match(line):
            found.append(line)
        elif found:
            assert not re.match(r"\w", line) or line == "end\n", f"nothing but definitions is shared: {line}"
            found[-1] += line
    return found


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_has_all_that_it_names_however_far_from_it(name: str) -> None:
    wanted, whole = names(source(name)), "\n" + text(name)
    for piece in reversed(definitions()):
        begin = DEFINITION.match(piece)
        assert begin
        if wanted & set(re.findall(r"\w+", begin[1])):
            wanted |= names(piece)
            assert f"\n{begin[0]}" in whole


def test_what_is_named_in_words_only_is_left_out() -> None:
    common = "local one = 1\nlocal function two()\n  return one\nend\nlocal three, four = 3, 4\n"
    assert cut_down(common, "-- two\nreturn 'three'\n") == ""
    assert cut_down(common, "return two()") == common.partition("local three")[0]
    assert cut_down(common, "return four") == "local three, four = 3, 4\n"
