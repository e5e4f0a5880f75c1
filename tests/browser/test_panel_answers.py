"""Answers that are no plain text: JSON of a schema, and calls whose results somebody gives."""

from __future__ import annotations

import json
import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.panels import panel, say, sent
from tests.stack import Stack

WEATHER = {"name": "get_weather", "arguments": {"city": "Oslo"}}
SUM = {"name": "calculate", "arguments": {"expression": "2 * 21"}}


def offer(page: Page, *tools: str) -> None:
    for tool in tools:
        page.get_by_label("Add a tool").select_option(label=tool)


def test_an_answer_of_a_schema_is_shown_as_json(stack: Stack, open_page: Open) -> None:
    with open_page(stack.url) as page:
        settings = panel(page, "Form of the answer")
        settings.get_by_role("combobox", name="Form of the answer").select_option("json_schema")
        settings.get_by_label("Example").select_option(label="A classification")
        body = say(page, "how nice")
        assert body["response_format"]["json_schema"]["schema"]["properties"].keys() == {"label", "confidence"}
        expect(page.locator(".answer")).to_contain_text('"label": "positive"')
        expect(page.get_by_text("which the gateway has kept to the schema")).to_be_visible()
        editor = settings.get_by_label("JSON Schema", exact=True)
        editor.fill('{"type": "object"')
        expect(settings.get_by_text("This is no JSON")).to_be_visible()
        assert say(page, "the same")["response_format"] == body["response_format"]
        editor.fill('{"const": {"its": "own"}}')
        assert say(page, "another")["response_format"]["json_schema"]["schema"] == {"const": {"its": "own"}}
        expect(page.locator(".answer").last).to_contain_text('"its": "own"')
        editor.fill(json.dumps({"pattern": "(?=x)"}))
        say(page, "refused")
        expect(page.locator(".message").last).to_contain_text("response_format")
        settings.get_by_role("combobox", name="Form of the answer").select_option("text")
        assert "response_format" not in say(page, "plain")


def test_json_that_was_cut_says_so(stack: Stack, open_page: Open) -> None:
    with open_page(stack.url) as page:
        settings = panel(page, "Form of the answer", "Sampling")
        settings.get_by_role("combobox", name="Form of the answer").select_option("json_object")
        settings.get_by_label("Length at most", exact=True).fill("1")
        say(page, '{"a": [1, 2]}')
        expect(page.get_by_text("Cut off: only the beginning of the JSON")).to_be_visible()


def test_calls_wait_for_all_their_results_and_then_the_answer_goes_on(stack: Stack, open_page: Open) -> None:
    with open_page(stack.url) as page:
        settings = panel(page, "Tools")
        offer(page, "Weather", "Calculator")
        body = say(page, json.dumps([WEATHER, SUM]))
        assert [tool["function"]["name"] for tool in body["tools"]] == ["get_weather", "calculate"]
        expect(page.get_by_label("Calls get_weather")).to_contain_text('"city": "Oslo"')
        page.get_by_label("Result of get_weather").fill("It's “warm”: 30 °C")
        with page.expect_request("**/v1/chat/completions") as asked:
            page.get_by_role("button", name="Send the results").click()
        calls, *results = sent(asked.value)["messages"][1:]
        assert [json.loads(call["function"]["arguments"]) for call in calls["tool_calls"]] == [
            WEATHER["arguments"],
            SUM["arguments"],
        ]
        assert [(each["role"], each["content"]) for each in results] == [("tool", "It's “warm”: 30 °C"), ("tool", "42")]
        assert [each["tool_call_id"] for each in results] == [call["id"] for call in calls["tool_calls"]]
        expect(page.locator(".answer")).to_contain_text(re.compile("It's “warm”: 30 °C\\s*42"))
        expect(page.get_by_role("button", name="Send the results")).to_have_count(0)
        expect(page.get_by_role("article", name="Result of calculate")).to_contain_text("42")
        settings.get_by_role("combobox", name="May it call them?").select_option("function:calculate")
        body = say(page, "how much is it?")
        assert body["tool_choice"] == {"type": "function", "function": {"name": "calculate"}}
        with page.expect_request("**/v1/chat/completions") as asked:
            page.get_by_role("button", name="Send the result", exact=True).click()
        assert "tool_choice" not in sent(asked.value), "it has called"
        page.evaluate("localStorage.setItem('inferq.language', 'de')")
        page.reload()
        expect(page.locator(".call-head").first).to_have_text("Ruft get_weather auf")


def test_a_prepared_result_is_given_by_itself_but_not_for_ever(stack: Stack, open_page: Open) -> None:
    with open_page(stack.url) as page:
        settings = panel(page, "Tools")
        offer(page, "Weather")
        settings.get_by_label("Answer with it automatically").check()
        say(page, json.dumps(WEATHER))
        expect(page.locator(".answer")).to_contain_text('"sky": "clear"')
        settings.get_by_label("Prepared result").fill(json.dumps(WEATHER))  # so that its answer is the next call
        say(page, json.dumps(WEATHER))
        expect(page.get_by_role("button", name="Send the result")).to_be_visible()
        expect(page.get_by_label("Calls get_weather")).to_have_count(1 + 9)
        page.reload()
        expect(page.get_by_role("button", name="Send the result")).to_be_visible()
        assert "tools" in say(page, "something else"), "calls without a result are left behind"


def test_what_is_wrong_with_a_tool_is_told(stack: Stack, open_page: Open) -> None:
    with open_page(stack.url) as page:
        settings = panel(page, "Tools")
        offer(page, "Weather", "Weather")
        expect(settings.get_by_text("get_weather_2", exact=True)).to_be_visible()
        name = settings.get_by_label("Name", exact=True).last
        name.fill("get_weather")
        expect(settings.get_by_text("There is another tool of this name.")).to_be_visible()
        name.fill("what is it")
        expect(settings.get_by_text("Letters, digits, _ and - only")).to_be_visible()
        name.fill("forecast")
        settings.get_by_label("Parameters (JSON Schema)").last.fill("[]")
        expect(settings.get_by_text("This has to be a JSON object")).to_be_visible()
        body = say(page, "hello")
        assert [tool["function"]["name"] for tool in body["tools"]] == ["get_weather", "forecast"]
        settings.get_by_role("button", name="Remove forecast").click()
        assert len(say(page, "hello")["tools"]) == 1
