"""What Markdown looks like on the page: what is in its nodes, and what its parts do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open
from tests.browser.room import Room, opened_room
from tests.stack import Stack


@pytest.fixture
def room(stack: Stack, open_page: Open) -> Iterator[Room]:
    with opened_room(open_page, stack) as room:
        yield room


@pytest.mark.parametrize(
    ("text", "selector", "shown"),
    [
        ("# A *b*", "h1 em", "b"),
        ("one\ntwo", "p:has(br)", "onetwo"),
        ("3. a\n4. b", "ol[start='3'] li:nth-child(2)", "b"),
        ("- a\n  - b", "ul ul li", "b"),
        ("- [x] done", "li.task", "☑ done"),
        ("~~a~~", "del", "a"),
        ("|a|b|\n|-|-:|\n|1|2|", ".table[tabindex='0'] td[align=right]", "2"),
        ("> a\n> b", "blockquote p", "ab"),
        ("see www.example.org.", "a[href='http://www.example.org']", "www.example.org"),
        ("[a](https://b.org/c 'd')", "a[target=_blank][rel='noopener noreferrer nofollow']", "a"),
        ("![a cat](https://b.org/c.png)", "a.picture[href='https://b.org/c.png']", "a cat"),
        ("[![a cat](https://b.org/c.png)](https://d.org)", "a[href='https://d.org']", "a cat"),
        ("H<sub>2</sub>O", "sub", "2"),
        ("<details>a</details>", "p", "<details>a</details>"),
        ("<!-- a -->", "p", "<!-- a -->"),
        ("a & b &amp; c", "p", "a & b & c"),
        ("שלום **עולם**", "p[dir=auto] strong", "עולם"),
    ],
)
def test_markdown_becomes_nodes(room: Room, text: str, selector: str, shown: str) -> None:
    room.show(text)
    expect(room.place.locator(selector)).to_have_text(shown, use_inner_text=False)


@pytest.mark.parametrize(
    "text", ["$x^2$", r"\(x^2\)", "$$x^2$$", "\\[\nx^2\n\\]", "- a\n\n  $$\n  x^2\n  $$", "so $x^2$."]
)
def test_formulas_become_mathml(room: Room, text: str) -> None:
    room.show(text)
    expect(room.place.locator("math msup")).to_have_count(1)


@pytest.mark.parametrize(
    "text",
    [
        "$5 and $10",
        "from $5-$10",
        "costs $5, or about 10$ a day",
        "$HOME/$USER",
        "`$x^2$`",
        "```\n$x^2$\n```",
        r"\$x\$",
        "a $ b $ c",
    ],
)
def test_prices_and_code_are_no_formulas(room: Room, text: str) -> None:
    room.show(text)
    expect(room.place.locator(".math")).to_have_count(0)


@pytest.mark.parametrize(
    "text", [r"$\frac{a$", r"$\pmb{a}$", r"$\errmessage{a}$", r"$\href{javascript:ran++}{a}$", "$" + "{" * 1500 + "$"]
)
def test_a_formula_that_cannot_be_set_stays_as_it_was_written(room: Room, text: str) -> None:
    room.show("$a^2$ " + text)
    expect(room.place.locator("math").first).to_be_visible()
    assert text in room.place.inner_text() or room.place.locator("a").count() == 0


def test_code_is_named_coloured_and_copied(room: Room) -> None:
    room.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    room.show("```python\ndef f():\n    return 1\n```\n\nand\n\n1. a\n   ```js\n   let b = 2;\n   ```")
    first, second = room.place.locator("figure.code").all()
    expect(first.locator("figcaption span")).to_have_text("python")
    expect(first.locator(".hljs-keyword")).to_have_count(2)
    expect(second.locator(".hljs-keyword")).to_have_text("let")
    button = first.get_by_role("button")
    button.focus()
    room.page.keyboard.press("Enter")
    expect(button).to_have_text("Copied")
    assert room.ask("() => navigator.clipboard.readText()") == "def f():\n    return 1"
    expect(button).to_have_text("Copy")


def test_long_code_has_no_colours_and_scrolls_in_its_own_box(room: Room) -> None:
    room.page.set_viewport_size({"width": 360, "height": 740})
    code = "let a = 1; // " + "x" * 400 + "\n"
    room.show(f"```js\n{code * 150}```\n\n```js\n{code}```")
    expect(room.place.locator(".hljs-keyword")).to_have_count(1)
    assert room.place.locator("code").first.text_content() == (code * 150).rstrip("\n")
    assert room.ask("() => document.documentElement.scrollWidth") <= 360


def test_what_a_person_types_is_shown_as_typed_but_for_code(room: Room) -> None:
    room.show("*a*  b\nc <b>d</b>\n\n# e\n```py\nf = 1\n```", plain=True)
    expect(room.place.locator("p")).to_have_text(["*a* b c <b>d</b>", "# e"])
    assert room.place.locator("p").first.text_content() == "*a*  b\nc <b>d</b>"
    expect(room.place.locator("figure.code code")).to_have_text("f = 1")
