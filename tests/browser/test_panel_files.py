"""Conversations as files, and found again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Download, Page, expect

from tests.browser.conftest import Open
from tests.browser.panels import call, panel, say
from tests.stack import Stack

HOSTILE = '<img src=x onerror="window.harmed = 1"><script>window.harmed = 1</script> [x](javascript:window.harmed=1)'


def conversation(**parts: Any) -> dict[str, Any]:
    said = {"id": "a", "parent": None, "role": "user", "content": "hello"}
    answer = {"id": "b", "parent": "a", "role": "assistant", "content": HOSTILE}
    return {"id": "__proto__", "title": HOSTILE, "messages": [said, answer], "unknown": {"x": 1}, **parts}


def file(*conversations: dict[str, Any], **parts: Any) -> str:
    return json.dumps({"format": "inferq.conversations", "version": 1, "conversations": conversations, **parts})


def bring(page: Page, text: str, name: str = "chats.json") -> None:
    page.locator(".panel input[type=file]").set_input_files(
        {"name": name, "mimeType": "application/json", "buffer": text.encode()}
    )


def saved(page: Page, button: str) -> Download:
    with page.expect_download() as loaded:
        page.get_by_role("button", name=button).click()
    return loaded.value


def text_of(download: Download) -> str:
    return Path(download.path()).read_text()


def kept(message: dict[str, Any]) -> dict[str, Any]:
    """What of a message is the same after it has gone through a file: its place is under another name."""
    return {name: value for name, value in message.items() if name not in ("id", "parent", "usage")}


def listed(page: Page) -> int:
    return len(call(page, "chat/state.js", "heads"))


def test_what_is_exported_comes_back_as_it_was(stack: Stack, open_page: Open) -> None:
    with open_page(stack.url) as page:
        settings = panel(page)
        settings.get_by_label("Instructions").fill("Be brief.")
        say(page, "first **question**")
        page.get_by_role("button", name="Answer again").click()
        expect(page.get_by_text("2/2")).to_be_visible()
        expect(page.locator("[aria-busy=true]")).to_have_count(0)
        download = saved(page, "Export (JSON)")
        assert download.suggested_filename == "first-question.json"
        [told] = json.loads(text_of(download))["conversations"]
        assert [message["role"] for message in told["messages"]] == ["user", "assistant", "assistant"]
        markdown = text_of(saved(page, "Export (Markdown)"))
        assert markdown.startswith("# first question\n")
        assert "> Be brief.\n\n## You\n\nfirst **question**\n\n## echo\n\nfirst **question**\n" in markdown
        page.get_by_role("button", name="New chat").first.click()
        bring(page, file(told, told))
        expect(page.get_by_text("Conversations imported: 2.")).to_be_visible()
        assert listed(page) == 3
        [*_, again] = json.loads(text_of(saved(page, "Export all")))["conversations"]
        assert {**again, "id": 0, "leaf": 0, "messages": 0} == {**told, "id": 0, "leaf": 0, "messages": 0}
        assert list(map(kept, again["messages"])) == list(map(kept, told["messages"]))
    with open_page(stack.url) as page:
        panel(page)
        bring(page, file(told))
        expect(page.get_by_text("2/2")).to_be_visible()
        expect(page.get_by_label("Instructions")).to_have_value("Be brief.")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "is no JSON"),
        ("[]", "JSON has to be: object"),
        (file(version=2), "newer version"),
        (file(format="other"), "format has to be: inferq.conversations"),
        (file(conversation(), conversation(title=1)), "conversations[1].title has to be: string"),
        (
            file({"messages": [{"id": "a", "role": "system"}]}),
            "conversations[0].messages[0].role has to be: user | assistant | tool",
        ),
        (file(conversation(settings={"temperature": 300})), "conversations[0].settings.temperature"),
        (file(conversation(settings={"tools": [{"name": "a b"}]})), "conversations[0].settings.tools[0].name"),
        (file(conversation(leaf="z")), "conversations[0].leaf"),
        (file({"messages": [{"id": "a", "parent": "a", "role": "user", "content": ""}]}), "messages[0].parent"),
        ("[" * 200_000, "is no JSON"),
        (
            file(conversation(settings={"responseFormat": json.loads('{"a":' * 90 + "1" + "}" * 90)})),
            "settings.responseFormat",
        ),
    ],
)
def test_a_file_that_is_wrong_is_refused_in_all(stack: Stack, open_page: Open, text: str, told: str) -> None:
    with open_page(stack.url) as page:
        panel(page)
        bring(page, text)
        expect(page.locator(".panel .files")).to_contain_text(told)
        assert listed(page) == 0


def test_hostile_conversations_are_harmless(stack: Stack, open_page: Open) -> None:
    with open_page(stack.url) as page:
        data = page.evaluate_handle(
            "text => { const data = new DataTransfer(); data.items.add(new File([text], 'x.json')); return data }",
            file(conversation()),
        )
        page.dispatch_event("main", "dragover", {"dataTransfer": data})
        expect(page.get_by_text("Drop a file of exported conversations here")).to_be_visible()
        page.dispatch_event("main", "drop", {"dataTransfer": data})
        expect(page.get_by_text("Conversations imported: 1.")).to_be_visible()
        expect(page.locator(".message")).to_have_count(2)
        assert say(page, "and now?")["messages"][1]["content"] == HOSTILE
        assert page.evaluate("window.harmed") is None
        page.reload()
        expect(page.locator(".message")).to_have_count(4)
        assert page.evaluate("window.harmed") is None


def test_a_thousand_conversations_are_searched_in_titles_and_texts(stack: Stack, open_page: Open) -> None:
    def messages(number: int) -> list[dict[str, Any]]:
        return [
            {"id": str(i), "parent": str(i - 1) if i else None, "role": "user", "content": f"Wort{number} {'x ' * 200}"}
            for i in range(20)
        ]

    many = [{"title": f"About {number}", "messages": messages(number)} for number in range(1000)]
    many[500]["title"] = "Über Köln"
    with open_page(stack.url) as page:
        panel(page)
        bring(page, file(*many))
        expect(page.get_by_text("Conversations imported: 1000.")).to_be_visible(timeout=90_000)
        search = page.get_by_label("Search conversations")
        search.fill("koln")
        expect(page.get_by_text("1 found")).to_be_attached(timeout=60_000)
        search.fill("WORT777 about")
        expect(page.get_by_text("1 found")).to_be_attached()
        found = page.locator(".side").get_by_text("About 777")
        expect(found).to_be_visible()
        found.click()
        say(page, "zebra")
        search.fill("zebra")
        expect(page.get_by_text("1 found")).to_be_attached()
        search.fill("nowhere")
        expect(page.get_by_text("Nothing found", exact=True)).to_be_attached()
        search.press("Escape")
        expect(search).to_have_value("")
