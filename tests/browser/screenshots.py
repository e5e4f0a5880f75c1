"""Pictures of the page for the README and the docs: `make screenshots`. Everything in them runs and is measured.

The overview shows the last hour: give it `--minutes 30` of traffic for a picture that has something to show.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import threading
import time
from pathlib import Path

from openai import OpenAI, OpenAIError
from playwright.sync_api import Browser, Page, expect

from tests.beside import Helper
from tests.browser.browser import chromium, opened
from tests.stack import Stack, running

PLACE = Path(__file__).parents[2] / "docs" / "pictures"
QUESTION = "Write a Python function that reverses a list, and explain it in two sentences."
THEMES = ("light", "dark")
_PROMPTS = ("Name three rivers.", "Why is the sky blue?", "Write a haiku about rain.", "Explain what a queue is.")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=2.0, help="of traffic before the overview is taken")
    given = parser.parse_args()
    PLACE.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="t-", dir="/tmp") as folder,  # sockets have short paths
        running(Path(folder)) as stack,
        chromium() as browser,
    ):
        stack.start_gateway(processes=2)
        stack.start_worker("smollm2", slots=4)
        stack.start_worker("minilm")
        for theme in THEMES:
            take_chat(stack, browser, theme)
        over = threading.Event()
        helpers = [Helper(ask, stack.client(), number, over) for number in range(6)]
        time.sleep(given.minutes * 60)
        for theme in THEMES:
            take_overview(stack, browser, theme)
        over.set()
        for helper in helpers:
            helper.finish(120)


def take_chat(stack: Stack, browser: Browser, theme: str) -> None:
    with opened(browser, stack.url, color_scheme=theme, viewport={"width": 1280, "height": 800}) as page:
        page.get_by_label("Ask something").fill(QUESTION)
        page.keyboard.press("Enter")
        expect(page.locator(".numbers")).to_be_visible(timeout=120_000)
        keep(page, f"chat-{theme}")


def take_overview(stack: Stack, browser: Browser, theme: str) -> None:
    with opened(browser, f"{stack.url}/overview", color_scheme=theme, viewport={"width": 1280, "height": 1000}) as page:
        expect(page.locator(".chart canvas")).to_have_count(4)
        page.wait_for_timeout(4_000)  # two further moments
        keep(page, f"overview-{theme}")


def keep(page: Page, name: str) -> None:
    page.mouse.move(0, 0)
    page.wait_for_timeout(500)
    page.screenshot(path=PLACE / f"{name}.png")
    print(f"docs/pictures/{name}.png")


def ask(client: OpenAI, number: int, over: threading.Event) -> None:
    """A client of several: some chat, one embeds, one is in no hurry."""
    draw = random.Random(number)
    while not over.wait(draw.expovariate(1 / 8)):
        try:
            if number == 0:
                client.embeddings.create(model="minilm", input=[*_PROMPTS])
                continue
            messages = [{"role": "user", "content": draw.choice(_PROMPTS)}]
            tier = "flex" if number == 1 else "default"
            client.chat.completions.create(
                model="smollm2", messages=messages, max_tokens=draw.randint(20, 150), service_tier=tier
            )  # type: ignore[call-overload]  # plain dicts
        except OpenAIError as exc:
            print(f"{type(exc).__name__}: {exc}")


if __name__ == "__main__":
    main()
