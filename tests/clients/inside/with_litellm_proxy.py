"""The proxy of litellm between a client and inferq."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

from checks import QUESTION, SEPARATORS, URL, WORDS, at_least, check, equal, fetch, run, serving
from openai import OpenAI

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    PORT = probe.getsockname()[1]
KEY = {"Authorization": "Bearer sk-proxy"}
PROXY = f"http://127.0.0.1:{PORT}"
Path("config.yaml").write_text(
    f"""
model_list:
  - model_name: echo
    litellm_params: {{model: openai/echo, api_base: "{URL}/v1", api_key: none}}
  - model_name: echo-vllm
    litellm_params: {{model: hosted_vllm/echo, api_base: "{URL}/v1", api_key: none}}
  - model_name: smollm2
    litellm_params: {{model: openai/smollm2, api_base: "{URL}/v1", api_key: none}}
general_settings: {{master_key: sk-proxy}}
litellm_settings: {{num_retries: 0}}
"""
)
client = OpenAI(base_url=f"{PROXY}/v1", api_key="sk-proxy", max_retries=0, timeout=60)


def create(text: str, model: str = "echo", **more: Any) -> Any:
    return client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}], **more)


@check
def chat() -> None:
    for model in ("echo", "echo-vllm"):
        answer = create(WORDS, model)
        equal(answer.choices[0].message.content, WORDS)
        equal((answer.usage.prompt_tokens, answer.usage.completion_tokens), (20, 20))


@check
def stream() -> None:
    for model in ("echo", "echo-vllm"):
        chunks = list(create(WORDS, model, stream=True, stream_options={"include_usage": True}))
        equal("".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices), WORDS)
        equal(chunks[-1].usage.completion_tokens, 20)
        at_least(len(chunks), 5)


@check
def message_sent_back() -> None:
    message = create("first").choices[0].message
    turns: Any = [{"role": "user", "content": "first"}, message.model_dump(), {"role": "user", "content": "second"}]
    answer = client.chat.completions.create(model="echo", messages=turns)
    equal(answer.choices[0].message.content, "second")


@check
def line_separators() -> None:
    chunks = list(create(SEPARATORS, stream=True))
    equal("".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices), SEPARATORS)


@check
def health_of_the_models() -> None:
    health = fetch(f"{PROXY}/health", headers=KEY)
    equal((health["healthy_count"], health["unhealthy_count"]), (3, 0))


@check
def messages_of_anthropic() -> None:
    body = {"model": "echo-vllm", "max_tokens": 64, "messages": [{"role": "user", "content": WORDS}]}
    answer = fetch(f"{PROXY}/v1/messages", body, KEY)
    equal("".join(part["text"] for part in answer["content"] if part["type"] == "text"), WORDS)


@check
def a_real_model() -> None:
    text = create(QUESTION, "smollm2", temperature=0).choices[0].message.content
    assert "Paris" in text, text


command = ("litellm", "--config", "config.yaml", "--host", "127.0.0.1", "--port", str(PORT))
with serving(*command, at=f"{PROXY}/health/liveliness", seconds=400):
    run()
