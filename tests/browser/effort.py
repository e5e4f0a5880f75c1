"""What the page takes of a core, told by the browser's own trace: seconds that a loaded machine does not stretch."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Page

_TASK = "ThreadControllerImpl::RunTask"
_TURN = "turn"
_TIMER = f"window.turns ??= setInterval(() => console.timeStamp('{_TURN}'), 50)"

SHOW = """async (text) => {
  const node = document.createElement('p');
  node.className = 'typed';
  node.textContent = text;
  document.querySelector('main').append(node);
  await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve, 100)));
  node.remove();
}"""
"""Shows a text as it is, in one go, and takes it away again."""


class Effort:
    """Milliseconds of a core, on the page's main thread."""

    longest = 0.0
    """Of one task: nothing else of the page happens meanwhile."""
    between = 0.0
    """Of all tasks from one turn of a timer of 50 ms to its next."""

    def read(self, trace: bytes) -> None:
        events = sorted(json.loads(trace)["traceEvents"], key=lambda event: float(event.get("ts", 0)))
        mains = {_thread(each) for each in events if each.get("args", {}).get("name") == "CrRendererMain"}
        tasks = [each for each in events if each["name"] == _TASK and _thread(each) in mains]
        took = Counter[tuple[int, int]]()
        for task in tasks:
            took[_thread(task)] += task.get("tdur", 0)
        busiest = took.most_common(1)[0][0]
        self.longest = max(task.get("tdur", 0) for task in tasks if _thread(task) == busiest) / 1000
        since = 0.0
        for event in events:
            if _thread(event) != busiest:
                continue
            if event["name"] == "TimeStamp" and event["args"]["data"]["message"] == _TURN:
                since = 0.0
            elif event["name"] == _TASK:
                since += event.get("tdur", 0) / 1000
                self.between = max(self.between, since)


def _thread(event: dict[str, Any]) -> tuple[int, int]:
    return event["pid"], event["tid"]


@contextmanager
def watched(page: Page) -> Iterator[Effort]:
    """What the page takes within; read it when that has ended."""
    effort = Effort()
    page.evaluate(_TIMER)
    browser = page.context.browser
    assert browser
    browser.start_tracing(page=page, categories=["toplevel", "devtools.timeline"])
    try:
        yield effort
    finally:
        trace = browser.stop_tracing()
    effort.read(trace)
