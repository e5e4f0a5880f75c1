"""The page as such: it asks nobody else for anything, is quickly there, and says each thing in every language."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from gateway.ui.site import FOLDER
from tests.browser.chats import ask
from tests.browser.conftest import Open
from tests.browser.panels import panel
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


def check(page: Page) -> None:
    """Axe finds nothing serious in what is shown."""
    page.wait_for_timeout(300)  # what fades in
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate("axe.run().then(({violations}) => violations)")
    serious = [
        (each["id"], [node["html"][:200] for node in each["nodes"]])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
    assert not serious, serious


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_for_everybody(stack: Stack, open_page: Open, place: str, scheme: str) -> None:
    with open_page(stack.url + place, color_scheme=scheme, bypass_csp=True) as page:
        loaded(page)
        check(page)


RICH = """# Title

A **word**, a [link](https://a.org), `code`, ~~gone~~ and $x^2$.

> quoted

- [x] done
- item

| a | b |
|---|---|
| 1 | 2 |

```python
# comment
class Name(Base):
    def method(self, other: int = 3) -> str:
        return f"text {other}"
```

```diff
+ added
- removed
```

$$\\int_0^1 x$$
"""


@pytest.mark.parametrize(("scheme", "width"), [("light", 1440), ("dark", 1440), ("dark", 360)])
def test_an_answer_and_all_that_opens_is_for_everybody(stack: Stack, open_page: Open, scheme: str, width: int) -> None:
    options = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
    with open_page(stack.url, bypass_csp=True, **options) as page:
        ask(page, RICH)
        expect(page.locator(".answer figure.coloured")).to_have_count(2)
        check(page)
        for menu in ("Model: echo", "Appearance and key"):
            page.get_by_role("button", name=menu).click()
            check(page)
            page.keyboard.press("Escape")
        panel(page, "Sampling", "Tools")
        check(page)
        page.get_by_role("button", name="View as code").click()
        expect(page.get_by_role("dialog", name="View as code")).to_be_visible()
        check(page)
