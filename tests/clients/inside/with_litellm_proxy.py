"""The proxy of litellm between a client and inferq."""

from __future__ import annotations

import json
import os
import socket
import urllib.request
from pathlib import Path
from typing import Any

from checks import QUESTION, SEPARATORS, URL, WORDS, at_least, calling, check, equal, fetch, run, serving
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


CALL = calling(("get_weather", {"city": "Oslo"}))
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"name": "get_weather", "description": "The weather.", "input_schema": CITY}


def stream_messages(body: Any) -> list[Any]:
    """The events of a message that the proxy streams."""
    request = urllib.request.Request(
        f"{PROXY}/v1/messages", json.dumps(body).encode(), {"Content-Type": "application/json", **KEY}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return [json.loads(line.removeprefix(b"data:")) for line in answer if line.startswith(b"data:")]


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
    """By `openai/` the proxy asks for a response, and by `hosted_vllm/` for a chat."""
    for model in ("echo", "echo-vllm"):
        body: Any = {"model": model, "max_tokens": 64, "messages": [{"role": "user", "content": WORDS}]}
        answer = fetch(f"{PROXY}/v1/messages", {**body, "system": "Be brief."}, KEY)
        equal("".join(part["text"] for part in answer["content"] if part["type"] == "text"), WORDS)
        equal((answer["stop_reason"], answer["usage"]["output_tokens"]), ("end_turn", 20))
        events = stream_messages({**body, "stream": True})
        pieces = [event["delta"]["text"] for event in events if event.get("delta", {}).get("type") == "text_delta"]
        equal("".join(pieces), WORDS)
        at_least(len(pieces), 5)


@check
def tools_of_anthropic() -> None:
    for model in ("echo", "echo-vllm"):
        body: Any = {
            "model": model,
            "max_tokens": 300,
            "tools": [TOOL],
            "messages": [{"role": "user", "content": CALL}],
        }
        answer = fetch(f"{PROXY}/v1/messages", body, KEY)
        [use] = [part for part in answer["content"] if part["type"] == "tool_use"]
        equal((use["name"], use["input"], answer["stop_reason"]), ("get_weather", {"city": "Oslo"}, "tool_use"))
        result = {"type": "tool_result", "tool_use_id": use["id"], "content": "cold in Oslo"}
        turns = [{"role": "assistant", "content": answer["content"]}, {"role": "user", "content": [result]}]
        answer = fetch(f"{PROXY}/v1/messages", {**body, "messages": body["messages"] + turns}, KEY)
        equal("".join(part["text"] for part in answer["content"] if part["type"] == "text"), "cold in Oslo")


@check
def responses() -> None:
    for model in ("echo", "echo-vllm"):
        answer = client.responses.create(model=model, input=WORDS)
        equal(answer.output_text, WORDS)
        events: Any = list(client.responses.create(model=model, input=WORDS, stream=True))
        equal("".join(event.delta for event in events if event.type == "response.output_text.delta"), WORDS)
        equal(events[-1].type, "response.completed")


@check
def stored_responses() -> None:
    """Its ids name the model, so that it finds what is stored again."""
    answer = client.responses.create(model="echo", input=WORDS)
    equal(client.responses.create(model="echo", input="second", previous_response_id=answer.id).output_text, "second")
    equal(client.responses.retrieve(answer.id).output_text, WORDS)
    client.responses.delete(answer.id)


@check
def a_real_model() -> None:
    text = create(QUESTION, "smollm2", temperature=0).choices[0].message.content
    assert "Paris" in text, text


command = ("litellm", "--config", "config.yaml", "--host", "127.0.0.1", "--port", str(PORT))
with serving(*command, at=f"{PROXY}/health/liveliness", seconds=400):
    run()
