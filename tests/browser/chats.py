"""What a person does in the chat, and what he sees."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect


def say(page: Page, text: str) -> None:
    field = page.get_by_label("Ask something")
    field.fill(text)
    expect(page.get_by_role("button", name="Send")).to_be_enabled()  # a model is there
    field.press("Enter")
    expect(field).to_have_value("")


def ask(page: Page, text: str) -> str:
    """Says something, and waits for the answer's end. Returns the answer."""
    say(page, text)
    return ended(page)


def ended(page: Page) -> str:
    """The last answer, when it has ended."""
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    return answer(page).inner_text()


def answer(page: Page) -> Locator:
    """The last answer's text."""
    return page.locator(".message.assistant .answer").last


def begun(page: Page, words: int = 5) -> None:
    """The last answer has a few words, and is not at its end."""
    expect(answer(page)).to_have_text(re.compile(rf"(\S+\s+){{{words}}}"))
    expect(page.get_by_role("button", name="Stop")).to_be_visible()


def button(page: Page, name: str) -> Locator:
    """What can be done with the last message that it can be done with."""
    return page.locator(".message").get_by_role("button", name=name, exact=True).last


def many(count: int, word: str = "w") -> str:
    """Words of which each is there once, so that none is lost or doubled unseen."""
    return " ".join(f"{word}{number}" for number in range(count))
