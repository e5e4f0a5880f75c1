"""Chromium, driven by Playwright: a fresh profile each time, and nothing of the page's faults goes unseen."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Page, expect, sync_playwright

_FLAGS = [
    "--no-sandbox",  # CI is root in a container
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

_PATIENCE = 30_000
"""Milliseconds: for a machine that has other work to do."""
expect.set_options(timeout=_PATIENCE)


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("INFERQ_CHROMIUM", "/usr/bin/chromium"), args=_FLAGS
        )
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, url: str, **options: Any) -> Iterator[Page]:
    """A page in a profile of its own. Fails where the page has thrown an error, or the policy has blocked something.

    What the server refuses (`Failed to load resource`) a test looks at itself.
    """
    context = browser.new_context(**{"locale": "en-GB", "viewport": {"width": 1440, "height": 900}, **options})
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if _is_fault(said.type, said.text) else None)
    page.set_default_timeout(_PATIENCE)
    page.goto(url)
    yield page
    context.close()
    assert not faults, faults


def _is_fault(kind: str, text: str) -> bool:
    return kind in ("error", "warning") and "Failed to load resource" not in text
