"""The settings of a conversation: what is set is what is sent, and what is wrong is told where it is."""

from __future__ import annotations

import json
from typing import Any

from playwright.sync_api import expect

from tests.browser.conftest import Open
from tests.browser.panels import call, panel, say
from tests.stack import Stack


def test_what_is_set_is_sent(stack: Stack, open_page: Open) -> None:
    with open_page(stack.url) as page:
        assert say(page, "hello") == {
            "model": "echo",
            "messages": [{"role": "user", "content": "hello"}],
            "stream": True,
        }
        settings = panel(page, "Sampling")
        settings.get_by_label("Instructions").fill("Be brief.")
        settings.get_by_label("Temperature", exact=True).fill("0,7")
        settings.get_by_label("Top k", exact=True).fill("40")
        settings.get_by_label("Stop at", exact=True).fill("END\n\\n\\n")
        expect(settings.get_by_text("3 changed")).to_be_visible()
        body = say(page, "again")
        assert body["messages"][0] == {"role": "system", "content": "Be brief."}
        assert {name: body[name] for name in ("temperature", "top_k", "stop")} == {
            "temperature": 0.7,
            "top_k": 40,
            "stop": ["END", "\n\n"],
        }
        settings.get_by_role("button", name="Reset Top k").click()
        assert "top_k" not in say(page, "once more")
        settings.get_by_role("button", name="Reset all").click()
        expect(settings.get_by_label("Temperature", exact=True)).to_have_value("")
        assert say(page, "and now").keys() == {"model", "messages", "stream"}


def test_what_is_wrong_is_told_at_its_field_as_the_api_would(stack: Stack, open_page: Open) -> None:
    with open_page(stack.url) as page:
        settings = panel(page, "Sampling")
        field = settings.get_by_label("Temperature", exact=True)
        for text, value in (("200", 200), ("-1", -1), ("warm", "warm")):
            field.fill(text)
            told = settings.locator(".wrong").first
            response = page.request.post(
                f"{stack.url}/v1/chat/completions", data={"model": "echo", "messages": [], "temperature": value}
            )
            assert (told.text_content() or "").startswith(response.json()["error"]["message"])
            expect(field).to_have_attribute("aria-invalid", "true")
        assert "temperature" not in say(page, "hello")


def test_what_only_the_gateway_knows_to_be_wrong_is_told_at_the_field_too(served: Stack, open_page: Open) -> None:
    served.start_worker()
    with open_page(served.url) as page:
        settings = panel(page, "Sampling")
        page.route("**/v1/chat/completions", _refuse)
        settings.get_by_label("Length at most", exact=True).fill("30000")
        say(page, "hello")
        expect(settings.get_by_text("must be at most 100, but is 30000")).to_be_visible()
        settings.get_by_label("Length at most", exact=True).fill("90")
        expect(settings.get_by_text("must be at most 100")).to_be_hidden()


def _refuse(route: Any) -> None:
    """As a gateway does whose operator allows fewer tokens."""
    message = "Invalid 'max_tokens': must be at most 100, but is 30000."
    error = {
        "message": message,
        "type": "invalid_request_error",
        "param": "max_tokens",
        "code": "integer_above_max_value",
    }
    route.fulfill(status=400, json={"error": error})


def test_the_bounds_are_those_of_the_api(stack: Stack, open_page: Open) -> None:
    described = stack.http().get("/openapi.json").json()
    with open_page(stack.url) as page:
        known = call(page, "chat/parameters.js", "PARAMETERS")
    schema = described["paths"]["/v1/chat/completions"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    if "$ref" in schema:
        schema = described["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    for parameter in known:
        said = json.dumps(schema["properties"][parameter["name"]])
        if parameter["kind"] != "texts" and parameter["name"] != "seed":
            assert f'"maximum": {parameter["high"]:g}' in said or f'"maximum": {parameter["high"]}' in said, (
                parameter,
                said,
            )


def test_placeholders_are_the_models_own(served: Stack, open_page: Open) -> None:
    catalogue = served.directory / "models.toml"
    catalogue.write_text('[[model]]\nid = "mild"\nengine = "echo"\nsampling = { temperature = 0.3, top_k = 20 }\n')
    served.start_worker("mild", models=catalogue)
    with open_page(served.url) as page:
        settings = panel(page, "Sampling")
        expect(settings.get_by_label("Temperature", exact=True)).to_have_attribute("placeholder", "0.3")
        expect(settings.get_by_label("Top k", exact=True)).to_have_attribute("placeholder", "20")
        expect(settings.get_by_label("Top p", exact=True)).to_have_attribute("placeholder", "1")


def test_settings_are_a_conversations_own_until_they_are_made_the_default(stack: Stack, open_page: Open) -> None:
    with open_page(stack.url) as page:
        settings = panel(page)
        settings.get_by_label("Instructions").fill("Be brief.")
        say(page, "hello")
        page.get_by_role("button", name="New chat").first.click()
        expect(settings.get_by_label("Instructions")).to_have_value("")
        page.get_by_role("link", name="hello").or_(page.get_by_role("button", name="hello", exact=True)).first.click()
        expect(settings.get_by_label("Instructions")).to_have_value("Be brief.")
        settings.get_by_role("button", name="Make default").click()
        expect(settings.get_by_text("New conversations begin like this one.")).to_be_visible()
        page.get_by_role("button", name="New chat").first.click()
        expect(settings.get_by_label("Instructions")).to_have_value("Be brief.")
        page.goto(stack.url)
        assert say(page, "later")["messages"][0] == {"role": "system", "content": "Be brief."}


def test_the_panel_closes_with_escape_and_gives_the_focus_back(stack: Stack, open_page: Open) -> None:
    for options in ({}, {"viewport": {"width": 360, "height": 740}}):
        with open_page(stack.url, **options) as page:
            settings = panel(page, "Sampling")
            settings.get_by_label("Temperature", exact=True).focus()
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            page.keyboard.press("Escape")
            expect(settings).to_have_count(0)
            expect(page.get_by_role("button", name="Settings of this chat")).to_be_focused()


def test_keys_are_told_and_work(stack: Stack, open_page: Open) -> None:
    with open_page(stack.url) as page:
        expect(page.get_by_label("Ask something")).to_be_focused()
        page.keyboard.type("?")
        expect(page.get_by_role("dialog")).to_have_count(0)
        page.keyboard.press("Control+k")
        expect(page.get_by_label("Search conversations")).to_be_focused()
        page.get_by_role("button", name="Settings of this chat").focus()
        page.keyboard.press("?")
        expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_contain_text("Esc")
        page.keyboard.press("Escape")
        page.keyboard.press("c")
        expect(page.get_by_role("dialog", name="View as code")).to_contain_text("Hello!")
        page.keyboard.press("Escape")
        page.keyboard.press("/")
        expect(page.get_by_label("Ask something")).to_be_focused()


def test_spoiled_defaults_of_a_browser_harm_nothing(stack: Stack, open_page: Open) -> None:
    with open_page(stack.url) as page:
        page.evaluate("""localStorage.setItem("inferq.settings", '{"temperature": "hot"')""")
        page.reload()
        assert "temperature" not in say(page, "hello")
