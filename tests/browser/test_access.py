"""The page is for everybody: axe finds nothing serious, keys alone do all, and readers of screens are told once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chats import answer, ask, begun, ended, many, say
from tests.browser.conftest import Open
from tests.browser.panels import panel
from tests.stack import Stack, running

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
LOOKS = [("light", 1440), ("dark", 1440), ("light", 360), ("dark", 360)]
HEARD = """() => {
  window.heard = [];
  const said = document.getElementById('said');
  const note = () => heard.push(said.textContent);
  new MutationObserver(note).observe(said, { childList: true, characterData: true, subtree: true });
}"""
"""Notes what a reader of screens is told."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One on which what is long comes slowly enough to be stopped."""
    with running(tmp_path_factory.mktemp("access")) as stack:
        stack.start_gateway()
        stack.start_worker("echo", echo_rate=100)
        yield stack


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


def look(scheme: str, width: int) -> dict[str, Any]:
    return {"viewport": {"width": width, "height": 800}, "color_scheme": scheme, "bypass_csp": True}


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


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_an_answer_and_all_that_opens_is_for_everybody(stack: Stack, open_page: Open, scheme: str, width: int) -> None:
    with open_page(stack.url, **look(scheme, width)) as page:
        expect(page.locator("main")).to_be_visible()
        check(page)
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
        page.keyboard.press("Escape")
        page.locator(".scroller").focus()
        page.keyboard.press("?")
        expect(page.get_by_role("dialog")).to_be_visible()
        check(page)
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Appearance and key").click()
        page.get_by_role("menuitem", name="Enter the API key").click()
        expect(page.get_by_label("API key", exact=True)).to_be_focused()
        check(page)


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_an_overview_with_jobs_and_failures_is_for_everybody(
    stack: Stack, open_page: Open, scheme: str, width: int
) -> None:
    failure: dict[Any, Any] = {
        "job": "chatcmpl-x",
        "model": "echo",
        "worker": "w",
        "code": "engine_error",
        "message": "It broke.",
    }
    stack.redis.xadd("iq:failures", failure)
    body = {"model": "echo", "messages": [{"role": "user", "content": many(5_000)}]}
    job = stack.http().post("/v1/chat/completions", json=body, headers={"Prefer": "respond-async"}).json()["id"]
    with open_page(f"{stack.url}/overview", **look(scheme, width)) as page:
        expect(page.locator("section[aria-labelledby=jobs-title]").get_by_role("button")).not_to_have_count(0)
        expect(page.locator("section[aria-labelledby=failures-title]")).to_contain_text("It broke.")
        check(page)
    stack.http().delete(f"/v1/jobs/{job}")


def test_an_answer_is_stopped_edited_and_turned_by_keys(stack: Stack, open_page: Open) -> None:
    with open_page(stack.url) as page:
        field = page.get_by_label("Ask something")
        expect(field).to_be_focused()
        say(page, many(3_000))
        begun(page)
        page.keyboard.press("Escape")
        ended(page)
        expect(field).to_be_focused()
        go_to(page, "Edit")
        page.keyboard.press("Enter")
        expect(page.get_by_label("Edit your message")).to_be_focused()
        page.keyboard.press("Control+a")
        page.keyboard.type("other words")
        page.keyboard.press("Enter")
        expect(field).to_be_focused()
        assert ended(page) == "other words"
        go_to(page, "Previous version")
        page.keyboard.press("Enter")
        expect(answer(page)).to_contain_text("w0 w1")


def test_what_opens_by_keys_gives_the_focus_back(stack: Stack, open_page: Open) -> None:
    with open_page(stack.url) as page:
        ask(page, "some words")
        for name in ("Appearance and key", "Settings of this chat"):
            go_to(page, name)
            page.keyboard.press("Enter")
            page.keyboard.press("Escape")
            expect(page.get_by_role("button", name=name)).to_be_focused()
        go_to(page, "Appearance and key")
        page.keyboard.press("Enter")
        page.keyboard.press("ArrowUp")
        page.keyboard.press("End")
        page.keyboard.press("Enter")
        expect(page.get_by_label("API key", exact=True)).to_be_focused()
        page.keyboard.press("Escape")
        expect(page.get_by_role("button", name="Appearance and key")).to_be_focused()
        for key in ("?", "c"):
            for close in ("Escape", "Enter"):  # the button that closes is the first thing in it
                page.keyboard.press(key)
                expect(page.get_by_role("dialog")).to_be_visible()
                page.keyboard.press(close)
                expect(page.get_by_role("button", name="Appearance and key")).to_be_focused()


def go_to(page: Page, name: str) -> None:
    for _ in range(60):
        page.keyboard.press("Shift+Tab")
        if page.evaluate("document.activeElement.getAttribute('aria-label')") == name:
            return
    raise AssertionError(f"no way to {name}")


def test_a_reader_of_screens_is_told_the_beginning_and_the_end(stack: Stack, open_page: Open) -> None:
    """Each once, and no token between them; nothing else on the way of the words is a live region."""
    with open_page(stack.url) as page:
        ask(page, "before")
        page.evaluate(HEARD)
        text = many(300)
        assert ask(page, text) == text
        expect(page.locator("#said")).to_contain_text("w299")
        begins, ends = page.evaluate("heard")
        assert "w0" not in begins
        assert ends.endswith(text)
        live = page.locator(".message").locator("[aria-live]:not(.copy), [role=status], [role=alert], [role=log]")
        expect(live).to_have_count(0)
