"""A text that comes in pieces: in the end it stands there as the whole text does, and what had ended was left alone."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open
from tests.browser.room import Room, opened_room
from tests.stack import Stack

BLOCKS = [
    "# A *title* with `code`",
    "A paragraph with **bold**, *slanted ~~gone~~* and ***both***,\nin two lines; 2 * 3 * 4, snake_case_name.",
    "Title\n=====\ntext\n---\nmore",
    "- a\n- b\n  - c\n\n    d\n- e",
    "1. one\n\n2. two\n   ```py\n   x = 1\n\n   y = 2\n   ```\n3. three",
    "10) ten\n* other\n+ third",
    "| a | b |\n|---|--:|\n| 1 | **2** |\n| `3|` | 4",
    "text before\n| a | b |\n|---|---|\n| 1 | 2 |",
    "> quote *with\n> stars*\nlazy\n\n> > deep\n> - list",
    "```python\ndef f():\n\n    return '```'\n```",
    "~~~ js run\nlet a;\n```\n~~~",
    "  ```\n  indented\n    more\n  ```",
    "````\n```\ninner\n```\n````",
    "    code by spaces\n\n    goes on\n\nand ends",
    "$$\n\\int_0^1 x\n= 1\n$$",
    "so \\[\na_1 + b\n\\] and \\(c*d*e\\) and $f*g$ cost $5",
    "---\n***\n- - -",
    "[a](https://b.org/c_d_e) ![f](https://g.org/h.png) <https://i.org> www.j.org k@l.org [m]",
    "<div>\n*a*\n\n</div> <br> H<sub>2</sub>O <script>alert(1)</script>",
    "hard  \nbreak\\\nand &amp; &lt; \\* escaped \\_",
    "emoji 👩‍👩‍👧 שלום, \u202eback\u202c é\u0301",
    "tab\tand\r\nlines\rends",
    "```",
    "unfinished **bold and `code",
    "line\n```sh\nls\n```\nline\n- item\n```\nx\n```\n- item",
]


@pytest.fixture
def room(stack: Stack, open_page: Open) -> Iterator[Room]:
    with opened_room(open_page, stack) as room:
        yield room


def test_a_text_in_pieces_is_as_the_whole(room: Room) -> None:
    draw = random.Random(7)
    for number in range(150):
        text = draw.choice(["\n\n", "\n\n", "\n"]).join(draw.choices(BLOCKS, k=draw.randint(1, 5)))
        text += draw.choice(["", "\n", " ", "\n\n"])
        size = draw.choice([1, 4, 40])
        cuts = sorted({draw.randint(0, len(text)) for _ in range(len(text) // size)})
        assert room.show(text, cuts) == room.show(text), (number, text, cuts)
    plain = "a *b*\n\n```py\nc\n```\n  d"
    assert room.show(plain, list(range(len(plain))), plain=True) == room.show(plain, plain=True)


def test_long_blocks_are_cut_alike(room: Room) -> None:
    rows = "|a|b|\n|-|-|\n" + "|some words|and *more* of them|\n" * 900
    items = "".join(f"{number}. an item that says something\n" for number in range(1, 700))
    for text in (rows, items, "word " * 6_000, "x" * 30_000, "```\n" + "code = 1\n" * 4_000 + "```", "a\n" * 9_000):
        cuts = list(range(0, len(text), 997))
        assert room.show(text, cuts) == room.show(text), text[:40]
        shown = room.ask("() => document.querySelector('#tried').textContent")
        assert len(shown) > 0.4 * len(text)


def test_what_has_ended_is_left_alone(room: Room) -> None:
    room.show("one\n\ntwo\n\n```js\nlet a = 1;\n```\n\nthree $x$\n\n", [3])
    same = """async () => {
      const place = document.querySelector('#tried > div');
      const text = 'one\\n\\n| a |\\n|---|\\n| 1 |\\n\\n$x$ and $y$';
      const stream = window.stream;
      stream.write(text.slice(0, 5), false);
      stream.work();
      const first = place.firstChild;
      let table = null;
      for (let end = 6; end <= text.length; end++) {
        stream.write(text.slice(0, end), false);
        stream.due = 0;
        stream.work();
        const found = place.querySelector('table');
        if (table && table !== found) return 'another table';
        table = found;
      }
      stream.write(text, true);
      return place.firstChild === first && place.querySelector('table') === table;
    }"""
    assert room.ask(same) is True
    expect(room.place.locator("math")).to_have_count(2)


@pytest.mark.parametrize(
    ("text", "never"),
    [
        ("so **bold words** and `code words` end", "*"),
        ("so **bold words** and `code words` end", "`"),
        ("see [the docs](https://example.org/docs) now", "["),
        ("see [the docs](https://example.org/docs) now", "http"),
        ("text\n\n```python\nx = 1\n```\n\nmore", "`"),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "|"),
        ("# title\n\n- a\n- b", "#"),
        ("- a\n- b\n\n1. c", "-"),
        ("so\n\n$$\nx = 1\n$$\n\nand \\(y\\)", "$"),
    ],
)
def test_half_signs_do_not_show(room: Room, text: str, never: str) -> None:
    seen = """([text]) => {
      const seen = [];
      const stream = window.stream;
      for (let end = 1; end <= text.length; end++) {
        stream.write(text.slice(0, end), false);
        stream.due = 0;
        stream.work();
        const place = document.querySelector('#tried > div').cloneNode(true);
        for (const each of place.querySelectorAll('.math, button')) each.remove();
        seen.push(place.textContent);
      }
      return seen;
    }"""
    room.show("", [0])
    assert not [shown for shown in room.ask(seen, [text]) if never in shown]
