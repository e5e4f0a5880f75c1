"""Going on with the assistant's last message: `continue_final_message`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from shared.card import Ability
from shared.protocol import Chat, Completion, Delta, Done, Message, Sampling, TextTask
from tests.answers import Running
from tests.calls import CHATS, problem
from tests.tiny import loaded
from worker.engines.llama_cpp import LlamaCppEngine

USER, BEGUN = {"role": "user", "content": "one two three"}, {"role": "assistant", "content": "one two"}
PAIR = {"continue_final_message": True, "add_generation_prompt": False}


@pytest.fixture(scope="module")
def engine() -> Iterator[LlamaCppEngine]:
    with loaded() as engine:
        yield engine


def asked(http: httpx.Client, messages: list[dict[str, str]], **more: Any) -> str:
    response = http.post(CHATS, json={"model": "echo", "messages": messages, **more})
    assert response.status_code == 200, response.text
    return str(response.json()["choices"][0]["message"]["content"])


def test_only_what_comes_after_it_is_answered(http: httpx.Client) -> None:
    assert asked(http, [USER, BEGUN], **PAIR) == " three"
    assert asked(http, [USER, {"role": "assistant", "content": "other"}], **PAIR) == "one two three"


def test_a_last_message_of_the_assistant_is_a_turn_by_default(http: httpx.Client) -> None:
    assert asked(http, [USER, BEGUN]) == "one two three"
    assert asked(http, [USER, BEGUN], continue_final_message=False, add_generation_prompt=True) == "one two three"


@pytest.mark.parametrize(
    ("messages", "more", "param"),
    [
        ([USER], PAIR, "continue_final_message"),
        ([BEGUN, USER], PAIR, "continue_final_message"),
        ([USER, BEGUN], {"continue_final_message": True}, "add_generation_prompt"),
        ([USER, BEGUN], {"add_generation_prompt": False}, "add_generation_prompt"),
        ([USER, BEGUN], {**PAIR, "continue_final_message": 1}, "continue_final_message"),
    ],
)
def test_refusals_name_the_parameter(
    http: httpx.Client, messages: list[dict[str, str]], more: dict[str, Any], param: str
) -> None:
    response = http.post(CHATS, json={"model": "echo", "messages": messages, **more})
    assert problem(response, 400)["param"] == param


def test_llama_cpp_goes_on_where_the_message_ends(engine: LlamaCppEngine) -> None:
    sampling = Sampling(seed=1, max_tokens=12, temperature=0.0, ignore_eos=True)
    turns = (Message("user", "hi"), Message("assistant", " I think"))

    def answer(task: TextTask) -> tuple[str, int]:
        events = list(engine.run(task, Running()))
        done = events[-1]
        assert isinstance(done, Done)
        return "".join(e.text for e in events if isinstance(e, Delta)), done.usage.prompt_tokens

    going_on = answer(Chat("tiny", turns, sampling, continue_final=True))
    assert going_on == answer(Completion("tiny", ("<|endoftext|>user: hi\nassistant: I think",), sampling))
    assert going_on != answer(Chat("tiny", turns, sampling))


def test_a_chat_format_gives_a_model_its_template_and_its_stops(tmp_path: Path) -> None:
    form = tmp_path / "form.jinja"
    form.write_text("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<a>")
    with loaded(chat_format=str(form)) as engine:
        assert Ability.CHAT in engine.card.abilities
        sampling = Sampling(seed=1, max_tokens=12, temperature=0.0, ignore_eos=True)
        chat = list(engine.run(Chat("tiny", (Message("user", "hi"),), sampling), Running()))
        same = list(engine.run(Completion("tiny", ("<user>hi<a>",), sampling), Running()))
        assert [e.text for e in chat if isinstance(e, Delta)] == [e.text for e in same if isinstance(e, Delta)]
