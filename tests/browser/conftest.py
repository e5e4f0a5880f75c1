"""One browser for all tests of a process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.browser import chromium, opened

Open = Callable[..., AbstractContextManager[Page]]


expect.set_options(timeout=30_000)  # for machines that are busy; what is there at once takes no longer


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def open_page(browser: Browser) -> Callable[[str], Any]:
    """Opens a URL in a profile of its own: `with open_page(stack.url) as page`."""
    return partial(opened, browser)
