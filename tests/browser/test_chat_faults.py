"""Answers outlive what happens to those who make them, bring them and read them. One slot, as slow as a model."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator

import httpx2 as httpx
import pytest
from playwright.sync_api import expect

from tests.browser.chats import answer, ask, begun, button, ended, many, say
from tests.browser.conftest import Open
from tests.stack import KEYS, Stack, children, running, wait_for

WORDS = many(60)
FOREVER = many(3000, "long")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("chat"), lease=2, max_queue=1) as stack:
        stack.start_gateway()
        stack.start_worker("echo", slots=1, echo_rate=20, echo_prefill_ms=100)
        yield stack


@pytest.fixture(autouse=True)
def idle(stack: Stack) -> Iterator[None]:
    """Nothing of one test is left for the next one."""
    yield
    for job, state in stack.jobs().items():
        if state in ("queued", "in_progress"):
            cancel(stack, job)


def cancel(stack: Stack, job: str) -> None:
    httpx.delete(f"{stack.url}/v1/jobs/{job}")


def fill(stack: Stack) -> str:
    """A job of somebody else's, which does not end."""
    request = {"model": "echo", "messages": [{"role": "user", "content": FOREVER}]}
    told = httpx.post(f"{stack.url}/v1/chat/completions", json=request, headers={"Prefer": "respond-async"})
    return str(told.json()["id"])


def test_stop_frees_the_slot(stack: Stack, open_page: Open) -> None:
    with open_page(stack.url) as page:
        say(page, FOREVER)
        begun(page)
        page.keyboard.press("Escape")
        expect(page.get_by_text("Stopped", exact=True)).to_be_visible()
        assert set(stack.jobs().values()) == {"cancelled"}
        assert FOREVER.startswith(answer(page).inner_text())
        assert ask(page, "next") == "next"


def test_a_stopped_answer_goes_on(stack: Stack, open_page: Open) -> None:
    with open_page(stack.url) as page:
        say(page, WORDS)
        begun(page)
        page.get_by_role("button", name="Stop").click()
        button(page, "Continue").click()
        assert ended(page) == WORDS
        expect(page.locator(".message")).to_have_count(2)


def test_a_reloaded_page_goes_on_exactly(stack: Stack, open_page: Open) -> None:
    before = set(stack.jobs())
    with open_page(stack.url) as page:
        say(page, WORDS)
        for words in (5, 15):
            begun(page, words)
            page.reload()
        assert ended(page) == WORDS
    assert len(set(stack.jobs()) - before) == 1


def test_a_killed_gateway_is_waited_for(stack: Stack, open_page: Open) -> None:
    with open_page(stack.url) as page:
        say(page, WORDS)
        begun(page)
        for pid in (stack.gateway.pid, *children(stack.gateway)):
            os.kill(pid, signal.SIGKILL)
        stack.gateway.wait()
        expect(page.get_by_text("Connection lost")).to_be_visible()
        stack.start_gateway()
        assert ended(page) == WORDS


def test_a_killed_worker_is_followed_by_another(stack: Stack, open_page: Open) -> None:
    with open_page(stack.url) as page:
        say(page, WORDS)
        begun(page)
        stack.worker.kill()
        stack.start_worker("echo", slots=1, echo_rate=20)
        assert ended(page) == WORDS


def test_the_place_in_the_queue_is_told(stack: Stack, open_page: Open) -> None:
    first = fill(stack)
    wait_for(lambda: stack.state(first) == "in_progress", "its turn")
    with open_page(stack.url) as page:
        say(page, "patient")
        expect(page.get_by_text("Position 1 in the queue")).to_be_visible()
        cancel(stack, first)
        assert ended(page) == "patient"


def test_a_full_queue_is_told_and_tried_again(stack: Stack, open_page: Open) -> None:
    jobs = [fill(stack)]
    wait_for(lambda: stack.state(jobs[0]) == "in_progress", "its turn")
    jobs.append(fill(stack))
    with open_page(stack.url) as page:
        say(page, "given up")
        expect(page.get_by_text(re.compile(r"Trying again in \d+ s"))).to_be_visible()
        page.get_by_role("button", name="Stop").click()
        expect(page.get_by_text("Stopped", exact=True)).to_be_visible()
        say(page, "at last")
        expect(page.get_by_text(re.compile(r"Trying again in \d+ s"))).to_be_visible()
        for job in jobs:
            cancel(stack, job)
        assert ended(page) == "at last"


def test_a_forgotten_answer_is_told(stack: Stack, open_page: Open) -> None:
    with open_page(stack.url) as page:
        say(page, WORDS)
        begun(page)
        page.goto("about:blank")
        stack.redis.delete(*stack.redis.keys("iq:*chatcmpl*"))
        page.goto(stack.url)
        page.get_by_role("link", name="w0").click()
        expect(page.get_by_text("This answer is no longer there")).to_be_visible()
        button(page, "Answer again").click()
        assert ended(page) == WORDS


def test_two_tabs_show_one_answer(stack: Stack, open_page: Open) -> None:
    before = set(stack.jobs())
    with open_page(stack.url) as page:
        other = page.context.new_page()
        other.goto(stack.url)
        say(page, WORDS)
        other.get_by_role("link", name="w0").click()
        begun(other)
        page.close()
        assert ended(other) == WORDS
        other.reload()
        assert ended(other) == WORDS
        expect(other.locator(".message")).to_have_count(2)
    assert len(set(stack.jobs()) - before) == 1


def test_another_tab_stops_the_answer(stack: Stack, open_page: Open) -> None:
    with open_page(stack.url) as page:
        say(page, FOREVER)
        begun(page)
        other = page.context.new_page()
        other.goto(page.url)
        begun(other)
        other.get_by_role("button", name="Stop").click()
        expect(page.get_by_text("Stopped", exact=True)).to_be_visible()
        expect(other.get_by_text("Stopped", exact=True)).to_be_visible()


def test_a_wrong_key_is_told_and_a_right_one_is_kept(stack: Stack, open_page: Open) -> None:
    port = stack.port + 1
    gateway = stack._inferq("gateway", port=port, api_keys=f"alice:{KEYS['alice']}")
    url = f"http://127.0.0.1:{port}"
    wait_for(lambda: _answers(url), "the gateway's answer", 60)
    with open_page(url) as page:
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("API key", exact=True).fill("sk-wrong")
        page.keyboard.press("Enter")
        expect(dialog.get_by_role("alert")).to_have_text("The gateway does not know this key.")
        dialog.get_by_label("API key", exact=True).fill(KEYS["alice"])
        page.keyboard.press("Enter")
        expect(dialog).to_have_count(0)
        assert ask(page, "let in") == "let in"
        page.reload()
        assert ask(page, "still") == "still"
        page.get_by_role("button", name="Appearance and key").click()
        page.get_by_role("menuitem", name="Change or forget it").click()
        dialog.get_by_role("button", name="Forget the key").click()
        expect(dialog).to_be_visible()  # it is asked for again
    gateway.kill()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz").status_code == 200
    except httpx.TransportError:
        return False
