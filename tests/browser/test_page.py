"""The page as such: it asks nobody else for anything, is quickly there, and says each thing in every language."""

from __future__ import annotations

import re
import statistics

import pytest
from playwright.sync_api import Browser, Page, expect

from gateway.ui.site import FOLDER
from tests.browser.conftest import Open
from tests.browser.pace import BLANK, loads
from tests.stack import Stack

PLACES = ("/", "/overview")


def loaded(page: Page) -> None:
    expect(page.locator("main")).to_be_visible()


@pytest.mark.parametrize("place", PLACES)
def test_it_asks_this_gateway_alone_and_is_quickly_there(stack: Stack, open_page: Open, place: str) -> None:
    with open_page("about:blank") as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(stack.url + place)
        loaded(page)
        page.wait_for_timeout(500)
        assert len(asked) > 5
        assert all(url.startswith((stack.url, "data:", "blob:")) for url in asked), asked
        sizes = page.evaluate("performance.getEntriesByType('resource').map((each) => each.encodedBodySize)")
        assert sum(sizes) < 250_000
        hinted = page.locator("link[rel=modulepreload], script").evaluate_all("all => all.map(e => e.href || e.src)")
        modules = [url for url in asked if url.endswith(".js")]
        assert sorted(hinted) == sorted(modules), "each module is asked for at once, and once"


def test_it_is_usable_soon(stack: Stack, browser: Browser) -> None:
    """Compared with a line of JSON of the same gateway, in turns: seventy modules take a dozen times as long."""
    told = loads(browser, stack.url, 5)
    blank = statistics.median(each["first paint"] for each in told[BLANK])
    assert statistics.median(each["sends"] for each in told["/"]) < 40 * blank, told
    assert statistics.median(each["first paint"] for each in told["/overview"]) < 40 * blank, told


def test_each_thing_is_said_once_and_in_every_language() -> None:
    """Tables of words are merged: a word in two of them would silently be the last one's."""
    words: list[str] = []
    for table in (FOLDER / "words").glob("*.js"):
        if table.name == "index.js":
            continue
        for word, rest in re.findall(r'^  "([^"]+)": \[(.*)\],$', table.read_text("utf-8"), re.M):
            words.append(word)
            texts = re.findall(r'"((?:[^"\\]|\\.)*)"', rest)
            assert len(texts) == 2, word
            english, german = (sorted(re.findall(r"\{(\w+)\}", text)) for text in texts)
            assert english == german, word
    assert len(words) > 50
    assert sorted(set(words)) == sorted(words)
