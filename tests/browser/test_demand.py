"""Models that are loaded when they are asked for, as who chats sees them: the list, the wait, and what fails."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.chats import ended, say
from tests.browser.conftest import Open
from tests.up import up


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A model that takes seconds to be there, for its worker has to be started, and one that cannot be loaded."""
    folder: Path = tmp_path_factory.mktemp("demand")
    (folder / "models").mkdir()
    (folder / "models" / "models.toml").write_text('[[model]]\nid = "red"\nengine = "echo"\n')
    (folder / "models" / "broken.gguf").write_bytes(b"GGUF" + b"\xff" * 60)
    with up(folder / "data", "--models", str(folder / "models"), "--port", "0", INFERQ_THREADS="1") as running:
        yield running.ready()


def test_a_model_is_loaded_while_its_answer_waits(url: str, open_page: Open) -> None:
    with open_page(url) as page:
        picker = page.get_by_role("button", name="Model:")
        expect(picker).not_to_contain_text("broken")  # it is the first in the alphabet
        picker.click()
        expect(page.get_by_role("menuitemradio", name=re.compile(r"^broken.*failed.*GGUF"))).to_be_visible()
        page.get_by_role("menuitemradio", name=re.compile(r"^red.*not loaded")).click()
        say(page, "one two three")
        expect(page.get_by_text("red is being loaded. Position 1 in the queue")).to_be_visible()
        assert ended(page) == "one two three"
        picker.click()
        expect(page.get_by_role("menuitemradio", name="red ready")).to_be_visible()


def test_what_cannot_be_loaded_says_why_and_is_not_asked_again(url: str, open_page: Open) -> None:
    with open_page(url) as page:
        page.get_by_role("button", name="Model:").click()
        page.get_by_role("menuitemradio", name=re.compile("^broken")).click()
        say(page, "one")
        expect(page.get_by_role("alert")).to_contain_text("broken")
        expect(page.get_by_role("button", name="Send")).to_be_visible()
