"""The page stays smooth, whatever a model writes: what it takes of a core is compared with what plain text takes."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.browser.chats import ask, begun, ended, many, say
from tests.browser.conftest import Open
from tests.browser.effort import SHOW, watched
from tests.browser.pace import TALK, bring
from tests.browser.panels import call
from tests.stack import Stack

WORDS = "some words " * 25_000
"""Shown as it is, a browser takes some 35 ms of a core for it."""
FREEZE = 6
"""So many times that, a fifth of a second, a person does not yet take for a page that stands still."""
LONG = {
    "table": "|" + "a|" * 50 + "\n|" + "-|" * 50 + "\n" + ("|" + "1|" * 50 + "\n") * 2_000,
    "wide table": "|" + "a|" * 120 + "\n|" + "-|" * 120 + "\n" + ("|" + "1|" * 120 + "\n") * 600,
    "line": "a" * 1_000_000,
    "items": ("- " + "i" * 205 + "\n") * 2_000,
    "code": "```js\n" + ("let a='" + "c" * 200 + "'\n") * 2_000 + "```\n",
}


ENDED = """async () => {
  const last = () => document.querySelector('.message:nth-child(4) .markdown > :last-child');
  const there = () => last()?.textContent.endsWith('and its end');
  for (let look = 0; look < 1200 && !there(); look += 1) await new Promise((resolve) => setTimeout(resolve, 100));
  return there();
}"""
"""Waits for all of the second answer. Playwright's own looks would be long tasks of the page: they read it all."""
MOVED = """() => {
  window.moved = [];
  const above = ({ node }) => node && !node.parentElement?.closest('.message:last-child');
  const note = (list) => list.getEntries().forEach(({ sources }) =>
    moved.push(...sources.filter(above).map(({ node }) => (node.outerHTML ?? node.data).slice(0, 200))));
  new PerformanceObserver(note).observe({ type: 'layout-shift' });
}"""
"""Notes what is pushed about, but for what stands beneath the words that come."""


def effort(page: Page, text: str) -> float:
    """Of the longest task in which a text is shown as it is."""
    with watched(page) as plain:
        page.evaluate(SHOW, text)
    return plain.longest


@pytest.mark.parametrize("name", LONG)
def test_what_is_huge_freezes_nothing_while_it_comes(stack: Stack, open_page: Open, name: str) -> None:
    with open_page(stack.url) as page:
        ask(page, "$first$")
        bound = FREEZE * effort(page, WORDS)
        with watched(page) as answered:
            call(page, "chat/answers.js", "send", f"{LONG[name]}\n\nand its end")
            assert page.evaluate(ENDED)
        assert answered.longest < bound, (answered.longest, bound)
        assert answered.between < 2 * bound, (answered.between, bound)


def test_a_long_talk_stays_smooth(stack: Stack, open_page: Open) -> None:
    with open_page(stack.url) as page:
        bring(page, TALK)
        bound = effort(page, WORDS)
        with watched(page) as answered:
            say(page, f"# More\n\n{many(4_000)}")
            begun(page)
            page.evaluate(MOVED)
            page.wait_for_timeout(500)
        assert not page.evaluate("moved")
        ended(page)
        with watched(page) as scrolled:
            page.locator(".scroller").hover()
            for _ in range(20):
                page.mouse.wheel(0, -2_000)
                page.wait_for_timeout(50)
        assert max(answered.longest, scrolled.longest) < bound / 2, (answered.longest, scrolled.longest, bound)
