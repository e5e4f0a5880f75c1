"""The page as such: it asks nobody else for anything, is quickly there, and says each thing in every language."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from gateway.ui.site import FOLDER
from tests.browser.conftest import Open
from tests.stack import Stack

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
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


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_for_everybody(stack: Stack, open_page: Open, place: str, scheme: str) -> None:
    """Axe finds nothing serious."""
    with open_page(stack.url + place, color_scheme=scheme, bypass_csp=True) as page:
        loaded(page)
        page.wait_for_timeout(300)
        page.evaluate(AXE.read_text("utf-8"))
        found = page.evaluate("axe.run().then(({violations}) => violations)")
        serious = [
            (each["id"], [node["html"][:200] for node in each["nodes"]])
            for each in found
            if each["impact"] in ("serious", "critical")
        ]
        assert not serious, serious
