"""The overview: what it shows is so, it goes on when something dies, and each key sees what is its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chats import answer, begun, ended, many, say
from tests.browser.conftest import Open
from tests.stack import Stack, running, wait_for

ADMIN, PLAIN = "sk-admin-0123456789", "sk-plain-0123456789"


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    keys = f"boss:{ADMIN} admin,plain:{PLAIN}"
    with running(tmp_path_factory.mktemp("overview"), api_keys=keys) as stack:
        stack.start_gateway()
        stack.start_worker("echo", echo_rate=10, slots=2)
        yield stack


def begin(stack: Stack, key: str, words: int = 3_000) -> str:
    """A job that takes long. Its id."""
    body = {"model": "echo", "messages": [{"role": "user", "content": "word " * words}], "max_tokens": words}
    answer = stack.http(key).post("/v1/chat/completions", json=body, headers={"Prefer": "respond-async"})
    assert answer.status_code == 202, answer.text
    found: str = answer.json()["id"]
    return found


def enter(page: Page, key: str) -> None:
    page.get_by_label("API key", exact=True).fill(key)
    page.get_by_role("button", name="Save").click()


def jobs(page: Page) -> list[str]:
    return page.locator("section[aria-labelledby=jobs-title] tbody tr").all_inner_texts()


def test_each_key_sees_its_own_and_an_admin_all_and_cancels_it(keyed: Stack, open_page: Open) -> None:
    mine, others = begin(keyed, PLAIN), begin(keyed, ADMIN)
    try:
        with open_page(f"{keyed.url}/overview") as page:
            enter(page, PLAIN)
            expect(page.get_by_role("button", name="Cancel")).to_have_count(1)
            expect(page.get_by_role("heading", name="Workers")).to_have_count(0)
            assert "boss" not in page.content()
        with open_page(f"{keyed.url}/overview") as page:
            enter(page, ADMIN)
            expect(page.get_by_role("button", name="Cancel")).to_have_count(2)
            assert {"plain", "boss"} <= set(" ".join(jobs(page)).split())
            expect(page.locator("section[aria-labelledby=workers-title] tbody tr")).to_have_count(1)
            page.locator("tr", has_text="plain").get_by_role("button").click()
            wait_for(lambda: keyed.state(mine) == "cancelled", "the cancellation")
            expect(page.locator("section[aria-labelledby=jobs-title] tbody tr")).to_have_count(1)
            assert keyed.state(others) == "in_progress"
    finally:
        keyed.http(ADMIN).delete(f"/v1/jobs/{others}")


def test_a_key_that_is_wrong_is_tried_once_and_its_dialog_stays_closed(keyed: Stack, open_page: Open) -> None:
    with open_page(f"{keyed.url}/overview") as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url) if "overview/events" in request.url else None)
        dialog = page.get_by_role("dialog")
        expect(dialog).to_be_visible()
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
        page.wait_for_timeout(3_000)  # in which it would have been tried again twice
        assert len(asked) <= 1
        expect(dialog).to_have_count(0)


def test_a_worker_that_dies_is_seen_and_the_chat_goes_on_without_a_seam(
    tmp_path_factory: pytest.TempPathFactory, open_page: Open
) -> None:
    text = many(200)
    with running(tmp_path_factory.mktemp("deaths"), lease=2) as stack:
        stack.start_gateway()
        first = stack.start_worker("echo", echo_rate=10, slots=1)
        with open_page(stack.url) as chat, open_page(f"{stack.url}/overview") as overview:
            workers = overview.locator("section[aria-labelledby=workers-title] tbody tr")
            row = overview.locator("section[aria-labelledby=jobs-title] tbody tr")
            expect(workers).to_have_count(1)
            expect(row).to_have_count(0)
            before = workers.inner_text()
            say(chat, text)
            begun(chat)
            expect(row).to_contain_text("running")
            first.kill()
            expect(row).to_contain_text("waiting")
            written = answer(chat).inner_text()
            assert text.startswith(written)
            assert written != text
            stack.start_worker("echo", echo_rate=100, slots=1)
            assert ended(chat) == text
            expect(chat.locator(".message")).to_have_count(2)
            expect(row).to_have_count(0, timeout=60_000)
            assert list(stack.jobs().values()) == ["completed"]
            expect(workers).to_have_count(1, timeout=60_000)
            assert workers.inner_text().split()[0] != before.split()[0]


def test_it_goes_on_when_the_gateway_comes_back(tmp_path_factory: pytest.TempPathFactory, open_page: Open) -> None:
    with running(tmp_path_factory.mktemp("back")) as stack:
        stack.start_gateway()
        stack.start_worker()
        with open_page(f"{stack.url}/overview") as page:
            live = page.locator(".live")
            expect(live).to_contain_text("Live")
            stack.gateway.kill()
            stack.gateway.wait()
            expect(live).to_contain_text("does not answer")
            wait_for(stack.port_is_free, "the end of the gateway's processes")
            stack.start_gateway()
            expect(live).to_contain_text("Live", timeout=60_000)
            stack.client().chat.completions.create(model="echo", messages=[{"role": "user", "content": "one two"}])
            requests = page.locator(".sums div", has_text="Requests").locator("dd")
            expect(requests).to_have_text("1")


def test_what_failed_is_told_with_its_reason_and_only_as_text(stack: Stack, open_page: Open) -> None:
    with open_page(f"{stack.url}/overview") as page:
        stack.redis.xadd(
            "iq:failures",
            {
                "job": "chatcmpl-x",
                "model": "echo",
                "worker": "",
                "code": "engine_error",
                "message": "<img src=x onerror=alert(1)>",
            },
        )
        expect(page.locator("section[aria-labelledby=failures-title]")).to_contain_text("<img src=x onerror=alert(1)>")
        assert page.locator("section img").count() == 0


def test_the_last_hour_moves_on(stack: Stack, open_page: Open) -> None:
    """A tail that overlaps replaces what was told before, and what is older than an hour goes."""
    with open_page(f"{stack.url}/overview") as page:
        source = page.locator("script[type=module]").get_attribute("src")
        assert source
        found = page.evaluate(
            """async (source) => {
              const { moved } = await import(source);
              const models = { a: { requests: [1, 2, 3] }, gone: { requests: [4, 5, 6] } };
              const before = { step: 60, from: 600, models };
              const tail = { step: 60, from: 720, models: { a: { requests: [7, 8] }, fresh: { requests: [0, 9] } } };
              return moved(before, tail);
            }""",
            source.replace("main.js", "source.js"),
        )
    assert found["from"] == 660
    assert found["models"] == {
        "a": {"requests": [2, 7, 8]},
        "gone": {"requests": [5, None, None]},
        "fresh": {"requests": [None, 0, 9]},
    }


@pytest.mark.parametrize("width", [360, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_stands_over(stack: Stack, open_page: Open, width: int, scheme: str) -> None:
    options = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
    with open_page(f"{stack.url}/overview", **options) as page:
        expect(page.locator(".chart canvas")).to_have_count(4)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
