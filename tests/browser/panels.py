"""What stands around the chat, as tests use it."""

from __future__ import annotations

import json
from typing import Any

from playwright.sync_api import Locator, Page, Request, expect

_CALL = """async (text) => {
    const [path, name, given] = JSON.parse(text);
    const main = document.querySelector("script[type=module]").src;
    const module = await import(new URL(`../${path}`, main));
    const found = module[name];
    return typeof found === "function" ? found(...given) : (found.value ?? found);
}"""


def call(page: Page, path: str, name: str, *given: Any) -> Any:
    """What a function of one of the page's modules says, or what else it exports."""
    return page.evaluate(_CALL, json.dumps([path, name, given]))  # as values it would lose those called `__proto__`


def sent(request: Request) -> dict[str, Any]:
    """The body of a request."""
    body: dict[str, Any] = json.loads(request.post_data or "")
    return body


def say(page: Page, text: str) -> dict[str, Any]:
    """Ask something; returns what was sent, when the answer has ended."""
    with page.expect_request("**/v1/chat/completions") as asked:
        page.get_by_label("Ask something").fill(text)
        page.get_by_role("button", name="Send", exact=True).click()
    expect(page.locator("[aria-busy=true]")).to_have_count(0)
    return sent(asked.value)


def panel(page: Page, *sections: str) -> Locator:
    """The panel, open at these sections."""
    page.get_by_role("button", name="Settings of this chat").click()
    found = page.locator(".panel")
    for section in sections:
        found.get_by_role("heading", name=section).click()
    return found
