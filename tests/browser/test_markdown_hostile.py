"""What a model may write to hurt: nothing of it runs, asks for anything, or takes the page away from who uses it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Dialog, Page, expect

from tests.browser.chats import answer, say
from tests.browser.conftest import Open
from tests.browser.room import Room, opened_room
from tests.stack import Stack

RUN = [
    "<script>ran++</script>",
    "<img src=x onerror=ran++>",
    "<svg onload=ran++><svg/onload=ran++>",
    "</textarea></title></style><svg/onload=ran++>",
    "<iframe srcdoc='<script>parent.ran++</script>'></iframe><object data=javascript:ran++><embed src=//evil.example>",
    "<form action=javascript:ran++><input autofocus onfocus=ran++><button>go</button></form>",
    "<details open ontoggle=ran++>a</details><video><source onerror=ran++></video><marquee onstart=ran++>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=ran++&gt;'>",
    "<svg></p><style><a id='</style><img src=1 onerror=ran++>'>",
    "<noscript><p title='</noscript><img src=x onerror=ran++>'>",
    "<form><math><mtext></form><form><mglyph><style></math><img src onerror=ran++>",
    "<b id=root name=body><i id=location></i><img name=getElementById></b><base href=//evil.example/>",
    "<b style='background:url(//evil.example/a)' onclick=ran++>b</b><link rel=stylesheet href=//evil.example/b>",
    "<meta http-equiv=refresh content='0;url=//evil.example'><style>@import '//evil.example/c'</style>",
    "![a](https://evil.example/a.png) ![b](data:image/svg+xml,<svg/onload=ran++>) ![](//evil.example/c)",
    "![x](https://evil.example/'onerror='ran++) ![\" onerror=ran++ x=\"](https://evil.example/d)",
    '[a](https://b.org/ "x\\" onmouseover=ran++ y=\\"") [b](https://b.org/"onclick="ran++)',
    '```js"><img/src/onerror=ran++>\nlet a\n```\n\n```<script>ran++</script>\na\n```',
    "`<img src=x onerror=ran++>`\n\n    <script>ran++</script>",
    "$\\href{javascript:ran++}{a}$ $\\htmlStyle{color:red}{a}$ $\\includegraphics{https://evil.example/e.png}$",
    "$\\pmb a$ $\\errmessage{a}$ $\\fcolorbox{red}{blue}{a}$",
    "$<img src=x onerror=ran++>$ $$\\text{<script>ran++</script>}$$ $\\html@mathml{<b>}{<img src onerror=ran++>}$",
    "|<img src=x onerror=ran++>|\n|-|\n|[a](javascript:ran++)|",
    "nul \0 in <scr\0ipt>ran++</scr\0ipt>, alone \ud800 and \udc00, &#0; &#x110000;",
]
LINKS = [
    "javascript:ran++",
    "JaVaScRiPt:ran++",
    "java\tscript:ran++",
    "&#106;avascript:ran++",
    "&#x6A&#x61vascript&colon;ran++",
    "\u0001javascript:ran++",
    "javascript&Tab;:ran++",
    "java%0Ascript:ran++",
    "vbscript:ran++",
    "data:text/html,<script>opener.ran++</script>",
    "data:text/html;base64,PHNjcmlwdD5vcGVuZXIucmFuKys8L3NjcmlwdD4=",
    "file:///etc/passwd",
    "blob:null/1",
    "//evil.example",
    "/v1/models",
    "#root",
    "intent://a#Intent;end",
]
LONG = {
    "a line": "a" * 1_000_000,
    "words": "some words " * 100_000,
    "ticks": "`" * 1_000_000,
    "open ticks": "`a " * 300_000,
    "stars": "*" * 1_000_000,
    "open stars": "*a **b " * 100_000,
    "brackets": "[" * 500_000 + "]" * 500_000,
    "links": "[a](" * 250_000,
    "dollars": "$a$$ " * 200_000,
    "entities": "&#1" * 300_000,
    "addresses": "a@b.c_www." * 100_000,
    "quotes": ">" * 10_000 + " a",
    "spaced quotes": "> " * 10_000 + "a",
    "lists": "- " * 10_000 + "a\n" + "1. " * 10_000 + "b",
    "steps": "".join(" " * (2 * depth) + "- a\n" for depth in range(1_000)),
    "table": "|" + "a|" * 50 + "\n|" + "-|" * 50 + "\n" + ("|" + "1|" * 50 + "\n") * 2_000,
    "wide table": "|" + "a|" * 4_000 + "\n|" + "-|" * 4_000 + "\n" + "|\n" * 300_000,
    "items": "- a\n" * 250_000,
    "fences": "```\n" * 250_000,
    "code": "```js\n" + "let a = 1;\n" * 90_000,
    "letters": ("a" + "\u0300" * 100) * 1_000,
    "formulas": "$" + "{" * 900 + "$ ",
    "macros": "$\\def\\a{\\a\\a}\\a$ " * 2_000,
}


@pytest.fixture
def room(stack: Stack, open_page: Open) -> Iterator[Room]:
    with opened_room(open_page, stack) as room:
        yield room


def watched(page: Page, url: str) -> list[str]:
    """What the page does that it should not: windows, dialogs, requests to others."""
    seen: list[str] = []

    def refuse(dialog: Dialog) -> None:
        seen.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", refuse)
    page.on("request", lambda request: None if request.url.startswith(url) else seen.append(request.url))
    page.on("popup", lambda popup: seen.append(popup.url))
    return seen


def test_nothing_runs(room: Room, stack: Stack) -> None:
    seen = watched(room.page, stack.url)
    for text in [*RUN, "\n\n".join(RUN)]:
        cuts = list(range(1, len(text), 3))
        shown = room.show(text, cuts)
        room.ask("() => settled()")
        bad = room.place.locator(
            "script, style, img, svg, iframe, object, embed, form, input, base, meta, link, video, [style], [id]"
        )
        assert bad.count() == 0, (text, shown)
        handlers = "e => [...e.querySelectorAll('*')].some(n => [...n.attributes].some(a => /^on/i.test(a.name)))"
        assert not room.place.evaluate(handlers), (text, shown)
    room.place.hover()
    assert room.ask("() => ran") == 0
    assert not seen
    assert room.ask("() => location.href").startswith(stack.url)


def test_links_lead_nowhere_else(room: Room, stack: Stack) -> None:
    seen = watched(room.page, stack.url)
    for url in LINKS:
        room.show(f"[a]({url}) ![b]({url}) [c](<{url}>) [d][e] <{url}>\n\n[e]: {url}\n")
        hrefs = room.place.locator("a").evaluate_all("links => links.map(link => link.href)")
        assert not [href for href in hrefs if not href.startswith(("http://", "https://", "mailto:"))], url
        assert not [href for href in hrefs if href.startswith(stack.url)], url
    assert room.ask("() => ran") == 0
    assert not seen


@pytest.mark.parametrize("name", LONG)
def test_the_page_stays_usable(room: Room, name: str) -> None:
    """A long text is shown bit by bit, the page does other things between, and what stands there has a bound."""
    text = LONG[name]
    turns = """async (text) => {
      const place = document.querySelector('#tried > div');
      const stream = window.stream;
      stream.write(text, false);
      let turns = 0;
      for (; stream.frame; turns++) await new Promise((resolve) => setTimeout(resolve));
      stream.write(text, true);
      for (; stream.frame; turns++) await new Promise((resolve) => setTimeout(resolve));
      return [turns, place.querySelectorAll('*').length, place.textContent.length];
    }"""
    room.show("", [0])
    turned, elements, length = room.ask(turns, text)
    assert turned > 0
    assert elements < 32_000
    assert length > 0
    assert room.ask("() => document.documentElement.scrollWidth <= innerWidth")


def test_letters_stay_in_their_box_and_turn_only_their_own_text(room: Room) -> None:
    room.show("a" + "\u0300" * 2_000 + "\n\n\u202eturned\n\nafter")
    assert room.place.locator(".markdown").evaluate("e => getComputedStyle(e).overflow") == "clip"
    for paragraph in room.place.locator("p").all():
        assert paragraph.evaluate("e => getComputedStyle(e).unicodeBidi") in ("isolate", "plaintext")


def test_what_echo_repeats_runs_nothing(stack: Stack, open_page: Open) -> None:
    with open_page(stack.url) as page:
        page.evaluate("window.ran = 0")
        seen = watched(page, stack.url)
        text = "\n\n".join(RUN).replace("\0", "").replace("\ud800", "").replace("\udc00", "")
        links = "\n\n".join(f"[a]({url})" for url in LINKS)
        say(page, f"{text}\n\n{links}\n\nthe end of it")
        expect(answer(page)).to_contain_text("the end of it")
        expect(answer(page).locator("math").first).to_be_visible()
        assert page.evaluate("ran") == 0
        assert not seen
