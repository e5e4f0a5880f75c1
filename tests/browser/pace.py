"""How soon the page is there, how steadily it is drawn, in the browser's own numbers: `python -m tests.browser.pace`.

Beside each stands a page of the same gateway that has next to nothing in it, in turns, so that a busy machine shows.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect

from tests.browser.browser import chromium, opened
from tests.browser.chats import begun, ended, many, say
from tests.pace import slowness
from tests.stack import Stack, running

BLANK = "/nothing"
"""Where the gateway has no page: a browser shows a line of JSON."""
PLACES = (BLANK, "/", "/overview")
SIGNS = ("first paint", "takes text", "sends")
_WATCH = """
  window.times = { long: [] };
  new PerformanceObserver((list) => list.getEntries().forEach(({ duration }) => times.long.push(duration)))
    .observe({ type: 'longtask', buffered: true });
  const look = () => {
    const field = document.getElementById('composer');
    if (field && !times.text) {
      field.value = 'Hello';
      field.dispatchEvent(new InputEvent('input', { bubbles: true }));
      times.text = performance.now();
    }
    const send = document.querySelector('.composer button.main');
    if (send && !send.disabled) times.sends ??= performance.now();
  };
  new MutationObserver(look).observe(document, { subtree: true, childList: true, attributes: true });
"""
"""Writes into the question's field as soon as it is there, and notes when what is written can be sent."""
_READ = """async (chat) => {
  const there = () => performance.getEntriesByName('first-contentful-paint').length && (!chat || times.sends);
  while (!there()) await new Promise((resolve) => setTimeout(resolve, 50));
  return {
    'response': performance.getEntriesByType('navigation')[0].responseEnd,
    'first paint': performance.getEntriesByName('first-contentful-paint')[0].startTime,
    'takes text': times.text,
    'sends': times.sends,
    'long tasks': times.long.reduce((sum, each) => sum + each, 0),
  };
}"""
_FRAMES = """(seconds) => new Promise((resolve) => {
  const gaps = [];
  let before = performance.now();
  const first = before;
  const draw = (now) => {
    gaps.push(now - before);
    before = now;
    if (now - first < 1000 * seconds) requestAnimationFrame(draw);
    else resolve(gaps.slice(1));
  };
  requestAnimationFrame(draw);
})"""
"""Milliseconds between each two frames."""

TALK = [
    {
        "id": str(number),
        "parent": str(number - 1) if number else None,
        "role": "assistant" if number % 2 else "user",
        "content": f"## Part {number}\n\n{many(90)}\n\n- one\n- **two**\n\n| a | b |\n|---|---|\n| 1 | $x^2$ |\n",
    }
    for number in range(100)
]
"""10,000 words."""


def load(browser: Browser, url: str, place: str) -> dict[str, float]:
    """The times of one first visit, in milliseconds since it began."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.add_init_script(_WATCH)
    page.goto(url + place)
    times: dict[str, float] = page.evaluate(_READ, place == "/")
    context.close()
    return {name: value for name, value in times.items() if value is not None}


def loads(browser: Browser, url: str, rounds: int) -> dict[str, list[dict[str, float]]]:
    """Of each place in turns."""
    told: dict[str, list[dict[str, float]]] = {place: [] for place in PLACES}
    for _ in range(rounds):
        for place in PLACES:
            told[place].append(load(browser, url, place))
    return told


def frames(page: Page, seconds: float = 3.0) -> list[float]:
    gaps: list[float] = page.evaluate(_FRAMES, seconds)
    return gaps


def bring(page: Page, messages: list[dict[str, Any]]) -> None:
    """A conversation of these messages, by import, and open."""
    page.get_by_role("button", name="Settings of this chat").click()
    text = json.dumps({"format": "inferq.conversations", "version": 1, "conversations": [{"messages": messages}]})
    page.locator(".panel input[type=file]").set_input_files(
        {"name": "chats.json", "mimeType": "application/json", "buffer": text.encode()}
    )
    expect(page.locator(".message")).to_have_count(len(messages))
    page.get_by_role("button", name="Settings of this chat").click()


def streams(browser: Browser, stack: Stack) -> tuple[list[float], list[float]]:
    """Frames of an empty page, and of one on which an answer comes at the end of 10,000 words."""
    with opened(browser, stack.url) as empty:
        still = frames(empty)
    with opened(browser, stack.url) as page:
        bring(page, TALK)
        say(page, f"# More\n\n{many(2_000)}")
        begun(page)
        moving = frames(page)
        ended(page)
    return still, moving


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7, help="loads of each page")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="t-", dir="/tmp") as folder,  # sockets have short paths
        running(Path(folder)) as stack,
        chromium() as browser,
    ):
        stack.start_gateway(processes=2)
        stack.start_worker("echo", echo_rate=200)
        print(f"Chromium {browser.version} on {platform.machine()}, {slowness():.1f} times as slow as a quiet EPYC\n")
        print("| median of first visits, ms (least to most) | the line of JSON | the chat | the overview |")
        print("|---|---|---|---|")
        told = loads(browser, stack.url, given.rounds)
        for name in ("response", *SIGNS, "long tasks"):
            cells = [_cell([each[name] for each in told[place] if name in each]) for place in PLACES]
            print(f"| {name} | {' | '.join(cells)} |")
        print("\n| frames in 3 s | median, ms | worst of 100, ms | longest, ms |\n|---|---|---|---|")
        for name, gaps in zip(("empty page", "an answer after 10,000 words"), streams(browser, stack), strict=True):
            worst = statistics.quantiles(gaps, n=100)[98]
            print(f"| {name}: {len(gaps)} | {statistics.median(gaps):.0f} | {worst:.0f} | {max(gaps):.0f} |")


def _cell(values: list[float]) -> str:
    if not values:
        return "-"
    return f"{statistics.median(values):.0f} ({min(values):.0f} to {max(values):.0f})"


if __name__ == "__main__":
    main()
