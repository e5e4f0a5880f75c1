"""Chat formats: what a conversation becomes."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.config import ConfigError
from shared.errors import InvalidRequest
from worker.chat_formats import NAMES, render, stops, template

TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello"},
    {"role": "user", "content": "Who?"},
]
EXPECTED = {
    "chatml": "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello"
    "<|im_end|>\n<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\n",
    "alpaca": "Be brief.\n\n### Instruction:\nHi\n\n### Response:\nHello\n\n### Instruction:\nWho?\n\n### Response:\n",
    "vicuna": "Be brief.\n\nUSER: Hi\nASSISTANT: Hello</s>\nUSER: Who?\nASSISTANT:",
    "llama-2": "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST] Hello </s><s>[INST] Who? [/INST]",
    "gpt4all-j": "Be brief.\n### Prompt:\nHi\n### Response:\nHello\n### Prompt:\nWho?\n### Response:\n",
    "plain": "System: Be brief.\nUser: Hi\nAssistant: Hello\nUser: Who?\nAssistant:",
}


@pytest.mark.parametrize("name", NAMES)
def test_each_format(name: str) -> None:
    assert render(template(name), TALK, "<s>", "</s>") == EXPECTED[name]
    assert stops(name)


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.jinja"
    file.write_text("{{ bos_token }}{% for m in messages %}{{ m['role'][0] }}:{{ m.content }};{% endfor %}")
    assert render(template(str(file)), TALK[1:], "^", "$") == "^u:Hi;a:Hello;u:Who?;"
    assert stops(str(file)) == ()


def test_what_is_none_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'chatmml' is no chat format; there are chatml, alpaca"):
        template("chatmml")
    (tmp_path / "broken.jinja").write_text("{% for %}")
    with pytest.raises(ConfigError, match=r"broken\.jinja"):
        template(str(tmp_path / "broken.jinja"))


@pytest.mark.parametrize(
    "source",
    [
        "{{ raise_exception('roles must alternate') }}",
        "{{ messages.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{{ 1 / 0 }}",
        "{{ messages[99].content.x }}",
        "{{ nothing() }}",
    ],
)
def test_a_template_that_fails_fails_the_request_alone(source: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        render(source, TALK, "", "")
    assert refused.value.param == "messages"
