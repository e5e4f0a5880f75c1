"""The page as such: it is there, it answers, and it asks nobody else for anything."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import Open
from tests.stack import Stack


def test_a_question_is_answered(stack: Stack, open_page: Open) -> None:
    with open_page(stack.url) as page:
        page.get_by_label("Ask something").fill("one two three")
        page.get_by_role("button", name="Send").click()
        expect(page.locator(".answer")).to_contain_text("one two three")


def test_the_overview_is_there(stack: Stack, open_page: Open) -> None:
    with open_page(f"{stack.url}/overview") as page:
        expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
