"""A chat as such: said, answered, answered again, edited, kept, removed."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.chats import answer, ask, begun, button, ended, many, say
from tests.browser.conftest import Open
from tests.browser.panels import call, panel
from tests.pace import slowness
from tests.stack import Stack, wait_for


def test_a_conversation_is_kept(stack: Stack, open_page: Open) -> None:
    with open_page(stack.url) as page:
        assert ask(page, "one two three") == "one two three"
        assert ask(page, "four") == "four"
        expect(page.locator(".numbers").last).to_contain_text("1 tokens")
        page.reload()
        expect(page.locator(".message")).to_have_count(4)
        page.get_by_role("button", name="New chat").first.click()
        expect(page.locator(".message")).to_have_count(0)
        page.get_by_role("link", name="one two three").click()
        expect(answer(page)).to_have_text("four")


TITLES = {
    "## What is **bold**, *slanted* and ~~gone~~?": "What is bold, slanted and gone?",
    "\n- see [the docs](https://a.org/x_y) of `snake_case`": "see the docs of snake_case",
    "```python\nprint(2 * 3 * 4, a_b_c)\n```": "print(2 * 3 * 4, a_b_c)",
    "1. > __init__ and 2*3*4": "init and 2*3*4",
    "?!": "?!",
    "*a **b " * 100_000: "a **b " + "*a **b " * 7 + "*a…",
}


def test_a_title_is_plain_words(stack: Stack, open_page: Open) -> None:
    with open_page(stack.url) as page:
        assert [call(page, "chat/tree.js", "titleOf", text) for text in TITLES] == [*TITLES.values()]


def test_a_draft_is_kept(stack: Stack, open_page: Open) -> None:
    with open_page(stack.url) as page:
        page.get_by_label("Ask something").fill("not yet")
        page.reload()
        expect(page.get_by_label("Ask something")).to_have_value("not yet")
        page.keyboard.press("Shift+Enter")
        page.keyboard.type("sent")
        page.keyboard.press("Enter")
        assert ended(page).split() == ["not", "yet", "sent"]
        expect(page.get_by_label("Ask something")).to_have_value("")


def test_what_is_sent_before_the_models_are_known_is_sent_then(stack: Stack, open_page: Open) -> None:
    with open_page(stack.url) as page:
        held: list[Route] = []
        page.route("**/v1/models", lambda route: held.append(route))
        page.reload()
        page.get_by_label("Ask something").fill("early bird")
        page.keyboard.press("Enter")
        expect(page.get_by_label("Ask something")).to_have_value("early bird")
        assert held
        for route in held:
            route.continue_()
        assert ended(page) == "early bird"
        expect(page.get_by_label("Ask something")).to_have_value("")


def test_what_was_edited_is_a_branch(stack: Stack, open_page: Open) -> None:
    with open_page(stack.url) as page:
        ask(page, "first")
        ask(page, "second")
        page.locator(".message.user").first.get_by_role("button", name="Edit").click()
        page.get_by_label("Edit your message").fill("other")
        page.keyboard.press("Enter")
        assert ended(page) == "other"
        expect(page.locator(".message")).to_have_count(2)
        page.get_by_role("button", name="Previous version").click()
        expect(page.locator(".message")).to_have_count(4)
        expect(answer(page)).to_have_text("second")
        page.reload()
        expect(answer(page)).to_have_text("second")
        page.get_by_role("button", name="Next version").click()
        expect(answer(page)).to_have_text("other")


def test_what_is_answered_again_is_a_branch(stack: Stack, open_page: Open) -> None:
    with open_page(stack.url) as page:
        ask(page, "again")
        button(page, "Answer again").click()
        expect(page.get_by_label("2 of 2")).to_be_visible()
        assert ended(page) == "again"
        button(page, "Delete").click()
        expect(page.get_by_label("2 of 2")).to_have_count(0)
        page.get_by_role("button", name="Undo").click()
        expect(page.get_by_label("2 of 2")).to_be_visible()


def test_a_conversation_is_renamed_and_removed(stack: Stack, open_page: Open) -> None:
    with open_page(stack.url) as page:
        ask(page, "its title")
        page.get_by_role("button", name="More for").click()
        page.get_by_role("menuitem", name="Rename").click()
        page.get_by_label("Title").fill("another title")
        page.keyboard.press("Enter")
        page.get_by_role("button", name="More for “another title”").click()
        page.get_by_role("menuitem", name="Delete").click()
        expect(page.get_by_role("link", name="another title")).to_have_count(0)
        expect(page.locator(".message")).to_have_count(0)
        page.get_by_role("button", name="Undo").click()
        page.get_by_role("link", name="another title").click()
        expect(answer(page)).to_have_text("its title")


def test_it_is_used_with_the_keyboard_alone(stack: Stack, open_page: Open) -> None:
    with open_page(stack.url) as page:
        expect(page.get_by_label("Ask something")).to_be_focused()
        page.keyboard.type("by keys")
        page.keyboard.press("Enter")
        assert ended(page) == "by keys"
        expect(page.locator("#said")).to_contain_text("Answer: by keys")
        tab_to(page, "Answer again")
        page.keyboard.press("Enter")
        expect(page.get_by_label("2 of 2")).to_be_visible()
        ended(page)
        tab_to(page, "Previous version")
        page.keyboard.press("Space")
        expect(page.get_by_label("1 of 2")).to_be_visible()
        tab_to(page, "Model: echo")
        page.keyboard.press("Enter")
        expect(page.get_by_role("menuitemradio")).to_be_focused()
        page.keyboard.press("Escape")
        tab_to(page, "Appearance and key")
        page.keyboard.press("Enter")
        expect(page.get_by_role("menuitemradio", name="As the system")).to_be_focused()
        page.keyboard.press("d")
        page.keyboard.press("Enter")
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def tab_to(page: Page, name: str) -> None:
    for _ in range(60):
        page.keyboard.press("Shift+Tab")
        if page.evaluate("document.activeElement.getAttribute('aria-label')") == name:
            return
    raise AssertionError(f"no way to {name}")


@pytest.mark.parametrize("width", [360, 1440])
def test_nothing_is_wider_than_the_page(stack: Stack, open_page: Open, width: int) -> None:
    with open_page(stack.url, viewport={"width": width, "height": 800}, locale="de-DE") as page:
        assert overflow(page) == []
        page.get_by_label("Frag etwas").fill("x" * 500 + " " + many(100))
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Senden")).to_be_visible()
        page.get_by_role("button", name="Modell: echo").click()
        assert overflow(page) == []


def overflow(page: Page) -> list[str]:
    """What stands out of the page, sideways."""
    found: list[str] = page.evaluate("""() => {
        const hidden = (element) => element.closest('[inert], .unseen, svg, pre');
        const isOut = ({ width, left, right }) => width > 0 && (left < -1 || right > innerWidth + 1);
        const all = [...document.querySelectorAll('body *')].filter((element) => !hidden(element));
        const out = all.filter((element) => isOut(element.getBoundingClientRect()));
        const page = document.documentElement.scrollWidth > innerWidth ? ['page'] : [];
        return [...out.map((element) => element.outerHTML.slice(0, 100)), ...page];
    }""")
    return found


def test_without_a_store_it_says_so(stack: Stack, open_page: Open) -> None:
    with open_page(stack.url) as page:
        page.add_init_script("""{
            const refuse = () => { throw new DOMException('no', 'SecurityError'); };
            IDBFactory.prototype.open = refuse;
            Object.defineProperty(window, 'localStorage', { get: refuse });
        }""")
        page.reload()
        expect(page.get_by_role("alert")).to_contain_text("keeps nothing")
        assert ask(page, "kept in memory") == "kept in memory"
        page.get_by_role("button", name="New chat").first.click()
        page.get_by_role("link", name="kept in memory").click()
        expect(answer(page)).to_have_text("kept in memory")


def test_a_model_answers(smollm2: Stack, open_page: Open) -> None:
    with open_page(smollm2.url) as page:
        sampling = panel(page, "Sampling")
        sampling.get_by_label("Temperature", exact=True).fill("0")  # else it says something else each time
        sampling.get_by_label("Length at most", exact=True).fill("40")
        page.keyboard.press("Escape")
        assert "Paris" in ask(page, "What is the capital city of France? Answer in one word.")
        assert ask(page, "Now tell me about that city in five sentences, please.")  # no answer that comes in one piece
        expect(page.locator(".numbers").last).to_contain_text("tokens/s")
        expect(page.locator(".numbers").last).to_contain_text("from the cache")


def test_stop_frees_a_models_slot_at_once(smollm2: Stack, open_page: Open) -> None:
    with open_page(smollm2.url) as page:
        before = set(smollm2.jobs())
        say(page, "Tell me a very long story of a river, with all its villages.")
        begun(page)
        [job] = set(smollm2.jobs()) - before
        pace = slowness()
        pressed = time.monotonic()
        page.get_by_role("button", name="Stop").click()
        wait_for(lambda: smollm2.state(job) == "cancelled", "the end of the job")
        assert time.monotonic() - pressed < 0.5 * pace
