"""What requests say of thoughts, and what a model that thinks makes of it: the real one, with templates that think."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from msgspec.structs import replace
from openai import OpenAI

from gateway.schemas.reasoning import LARGEST_VARIABLES
from shared.abilities import spare
from shared.card import Ability, Card
from shared.protocol import Chat, FineChat, Sampling
from tests.calls import CHATS, problem
from tests.parsing import CHAT, refused_chat
from tests.parsing import chat as parse_chat
from tests.stack import Stack, running, wait_for
from tests.thinking_templates import write_begun

SAID: Any = [{"role": "user", "content": "What is the capital city of France? Answer in one word."}]


class TestRequests:
    @pytest.mark.parametrize(
        ("given", "meant"),
        [
            ({"reasoning_effort": "none"}, {"thinking": False}),
            ({"reasoning_effort": "minimal"}, {"thinking": False}),
            ({"reasoning_effort": "xhigh"}, {"effort": "xhigh"}),
            ({"reasoning_effort": "auto"}, {}),
            ({"reasoning": {"effort": "high", "summary": "auto"}}, {"effort": "high"}),
            ({"reasoning": {"enabled": True, "max_tokens": 2000.0}}, {"thinking": True, "thinking_budget": 2000}),
            ({"reasoning": {"enabled": False, "max_tokens": 2000}}, {"thinking": False}),
            ({"reasoning": {}, "include_reasoning": True, "reasoning_format": "auto"}, {}),
            ({"thinking": {"type": "enabled", "budget_tokens": 64}}, {"thinking": True, "thinking_budget": 64}),
            ({"thinking": {"type": "disabled", "budget_tokens": 0}}, {"thinking": False}),
            ({"thinking": {"type": "adaptive"}}, {}),
            ({"enable_thinking": True, "think": "low"}, {"thinking": True, "effort": "low"}),
            ({"think": False}, {"thinking": False}),
            ({"thinking_budget": 0}, {"thinking": False}),
            ({"thinking_budget_tokens": -1}, {}),
            ({"reasoning_budget": 5, "thinking_token_budget": 5}, {"thinking_budget": 5}),
            (
                {"chat_template_kwargs": {"thinking": True, "reasoning_effort": "max", "persona": ["x", None]}},
                {"thinking": True, "effort": "max", "template_kwargs": '{"persona": ["x", null]}'},
            ),
            ({"chat_template_kwargs": {"enable_thinking": None}}, {}),
        ],
        ids=str,
    )
    def test_mean_one_thing(self, given: dict[str, Any], meant: dict[str, Any]) -> None:
        plain, _ = parse_chat()
        task, options = parse_chat(**given)
        names = ("thinking", "effort", "thinking_budget", "template_kwargs")
        assert {n: getattr(task, n) for n in names if getattr(task, n, None) not in (None, "")} == meant
        assert type(task) is (FineChat if meant else Chat)
        assert meant or task == plain
        assert (options.hides_reasoning, options.inlines_reasoning) == (False, False)

    @pytest.mark.parametrize(
        ("given", "param", "code"),
        [
            ({"reasoning_effort": "none", "enable_thinking": True}, "enable_thinking", "invalid_value"),
            ({"reasoning_effort": "high", "think": False}, "reasoning_effort", "invalid_value"),
            ({"reasoning_effort": "high", "reasoning": {"effort": "low"}}, "reasoning.effort", "invalid_value"),
            ({"thinking_budget": 5, "reasoning": {"max_tokens": 6}}, "thinking_budget", "invalid_value"),
            ({"enable_thinking": True, "thinking_budget": 0}, "thinking_budget", "invalid_value"),
            ({"include_reasoning": False, "reasoning_format": "none"}, "reasoning_format", "invalid_value"),
            ({"include_reasoning": True, "reasoning": {"exclude": True}}, "reasoning.exclude", "invalid_value"),
            ({"reasoning_effort": "extreme"}, "reasoning_effort", "unsupported_value"),
            ({"reasoning_format": "deepseek-legacy"}, "reasoning_format", "unsupported_value"),
            ({"thinking": {"type": "sometimes"}}, "thinking.type", "unsupported_value"),
            ({"thinking": {"budget_tokens": 0}}, "thinking.type", "missing_required_parameter"),
            ({"reasoning": {"effort": 1}}, "reasoning.effort", "invalid_type"),
            ({"reasoning": {"other": 1}}, "reasoning.other", "unknown_parameter"),
            ({"think": 1}, "think", "invalid_type"),
            ({"thinking_budget": -2}, "thinking_budget", "integer_below_min_value"),
            ({"chat_template_kwargs": {"thinking": "yes"}}, "chat_template_kwargs.thinking", "invalid_type"),
            ({"chat_template_kwargs": {"messages": []}}, "chat_template_kwargs.messages", "invalid_value"),
            ({"chat_template_kwargs": dict.fromkeys(map(str, range(65)))}, "chat_template_kwargs", "invalid_value"),
            (
                {"chat_template_kwargs": {"a": "x" * LARGEST_VARIABLES}},
                "chat_template_kwargs",
                "string_above_max_length",
            ),
        ],
        ids=str,
    )
    def test_that_say_two_things_or_what_nobody_knows_are_refused(
        self, given: dict[str, Any], param: str, code: str
    ) -> None:
        assert refused_chat(**given) == (param, code)

    def test_say_how_thoughts_are_told(self) -> None:
        for given in ({"include_reasoning": False}, {"reasoning": {"exclude": True}}, {"reasoning_format": "hidden"}):
            task, options = parse_chat(**given)
            assert (type(task), options.hides_reasoning) == (Chat, True)
        assert parse_chat(reasoning_format="none")[1].inlines_reasoning

    def test_tell_what_they_need(self) -> None:
        given = {"reasoning_effort": "low", "think": False, "chat_template_kwargs": {"thinking": False, "a": 1}}
        needs = {"think": Ability.REASONING, "chat_template_kwargs.thinking": Ability.REASONING}
        assert CHAT.schema.needs(given) == needs | {"reasoning_effort": Ability.EFFORT}
        assert CHAT.schema.needs({"messages": [], "reasoning": {}, "think": None}) == {}

    def test_are_plain_for_a_model_that_does_not_think(self) -> None:
        """Workers of release 0.2.0 know no other."""
        card = Card("m", "", "", context=8, slots=1, created=1, capabilities=("chat",))
        asking = FineChat("m", (), Sampling(1), thinking=True, effort="low", thinking_budget=5)
        assert type(spare(asking, card)) is Chat
        assert spare(asking, replace_card(card, "reasoning")) == asking
        assert spare(replace(asking, template_kwargs="{}"), card) == FineChat(
            "m", (), Sampling(1), template_kwargs="{}"
        )


def replace_card(card: Card, *abilities: str) -> Card:
    return Card(card.id, "", "", context=card.context, slots=1, created=1, capabilities=("chat", *abilities))


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("reasoning")
    with running(folder, lease=2) as stack:
        stack.start_gateway(processes=1)
        stack.start_worker("smollm2", "--chat-format", write_begun(folder), slots=1)
        yield stack


LIMITED: dict[str, Any] = {"temperature": 0, "max_tokens": 60}
FREE = {"ignore_eos": True}


class TestAnswers:
    def test_whole_and_in_pieces(self, client: OpenAI) -> None:
        more: Any = {**LIMITED, "extra_body": {**FREE, "thinking_budget": 16}}
        whole: Any = client.chat.completions.create(model="smollm2", messages=SAID, **more)
        message = whole.choices[0].message
        assert message.reasoning_content
        assert message.content
        assert whole.usage.completion_tokens_details.reasoning_tokens == 16
        assert whole.usage.completion_tokens == 60
        pieces: list[Any] = list(
            client.chat.completions.create(
                model="smollm2", messages=SAID, stream=True, stream_options={"include_usage": True}, **more
            )
        )
        told = [chunk.choices[0].delta for chunk in pieces if chunk.choices]
        assert "".join(getattr(delta, "reasoning_content", None) or "" for delta in told) == message.reasoning_content
        assert "".join(delta.content or "" for delta in told) == message.content
        assert pieces[-1].usage.completion_tokens_details == whole.usage.completion_tokens_details

    def test_hidden_and_within_the_content(self, client: OpenAI) -> None:
        def ask(**how: Any) -> Any:
            body = {**FREE, "thinking_budget": 16, **how}
            answer = client.chat.completions.create(model="smollm2", messages=SAID, **LIMITED, extra_body=body)
            assert answer.usage
            assert answer.usage.completion_tokens_details.reasoning_tokens == 16
            return answer.choices[0].message

        usual, hidden, within = ask(), ask(include_reasoning=False), ask(reasoning_format="none")
        assert (hidden.content, getattr(hidden, "reasoning_content", None)) == (usual.content, None)
        assert within.content == f"<think>\n{usual.reasoning_content}\n</think>\n\n{usual.content}"
        streamed = client.chat.completions.create(
            model="smollm2",
            messages=SAID,
            stream=True,
            **LIMITED,
            extra_body={**FREE, "thinking_budget": 16, "reasoning_format": "none"},
        )
        assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) == within.content

    def test_an_effort_that_no_template_hears_is_told(self, http: httpx.Client) -> None:
        body = {"model": "smollm2", "messages": SAID, "max_tokens": 1, "reasoning_effort": "low", "think": True}
        answer = http.post(CHATS, json=body)
        assert answer.status_code == 200
        assert answer.headers["x-inferq-ignored"] == "reasoning_effort"
        models = http.get("/v1/models").json()["data"]
        assert "reasoning" in next(model for model in models if model["id"] == "smollm2")["capabilities"]

    def test_it_goes_on_in_its_thoughts_after_its_workers_death(self, stack: Stack, client: OpenAI) -> None:
        more: Any = {"temperature": 0, "max_tokens": 200, "extra_body": {**FREE, "thinking_budget": 150}}
        whole: Any = client.chat.completions.create(model="smollm2", messages=SAID, **more)
        known = set(stack.jobs())
        chunks = client.chat.completions.create(model="smollm2", messages=SAID, stream=True, **more)
        thoughts = content = ""
        for chunk in chunks:
            delta: Any = chunk.choices[0].delta
            thoughts, content = (
                thoughts + (getattr(delta, "reasoning_content", None) or ""),
                content + (delta.content or ""),
            )
            if thoughts and known:
                [job] = set(stack.jobs()) - known
                stack.worker.kill()
                stack.worker.wait()
                assert stack.state(job) == "in_progress"
                stack.start_worker("smollm2", "--chat-format", write_begun(stack.directory), slots=1)
                known = set()
        assert not known
        assert stack.redis.hget(f"iq:job:{job}", "tries") == b"2"
        message = whole.choices[0].message
        assert (thoughts, content) == (message.reasoning_content, message.content)


def test_a_model_without_thoughts_says_so(tmp_path: Path) -> None:
    with running(tmp_path) as stack:
        stack.start_gateway(processes=1)
        stack.start_worker("smollm2", slots=1)
        models = stack.http().get
        wait_for(lambda: models("/v1/models").json()["data"][0]["max_model_len"], "the gateway's look at the card")
        more: Any = {"thinking": {"type": "enabled"}, "reasoning_effort": "high", "chat_template_kwargs": {"x": 1}}
        answer = stack.http().post(CHATS, json={"model": "smollm2", "messages": SAID, "max_tokens": 4, **more})
        assert answer.status_code == 200
        assert sorted(answer.headers["x-inferq-ignored"].split(", ")) == ["reasoning_effort", "thinking"]
        assert "reasoning_content" not in answer.json()["choices"][0]["message"]
        broken = {"messages": SAID, "model": "smollm2", "reasoning_effort": "none", "think": True}
        assert problem(stack.http().post(CHATS, json=broken), 400)["param"] == "think"
