"""The `ollama` package for Python."""

from __future__ import annotations

import json
from typing import Any, Literal

from checks import OSLO, QUESTION, SEPARATORS, URL, WORDS, at_least, calling, check, equal, run
from ollama import AsyncClient, Client, ResponseError
from pydantic import BaseModel, Field

client = Client(host=URL, timeout=180)
THOUGHTFUL = "<think>First this. Then that.</think>Done at last."


class City(BaseModel):
    name: str = Field(max_length=20)
    size: Literal["small", "large"]


def said(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def look(at: str) -> str:
    """Look somewhere.

    Args:
      at: where to look
    """
    return f"{at} is blue."


@check
def models() -> None:
    names = {model.model for model in client.list().models}
    assert {"echo:latest", "smollm2:latest", "minilm:latest"} <= names, names
    assert names >= {model.model for model in client.ps().models}
    shown = client.show("smollm2")
    assert shown.modelinfo is not None
    at_least(shown.modelinfo["llama.context_length"], 2048)
    assert "completion" in (shown.capabilities or ())


@check
def chat_whole_and_streamed() -> None:
    for text in (WORDS, SEPARATORS):
        whole = client.chat("echo", said(text))
        equal((whole.message.content, whole.done, whole.done_reason), (text, True, "stop"))
        parts = list(client.chat("echo", said(text), stream=True))
        equal("".join(part.message.content or "" for part in parts), text)
        equal([part.done for part in parts], [False] * (len(parts) - 1) + [True])
        equal((parts[-1].eval_count, parts[-1].prompt_eval_count), (whole.eval_count, whole.prompt_eval_count))
    at_least(len(list(client.chat("echo", said(WORDS), stream=True))), 5)


@check
def options() -> None:
    cut = client.chat("echo", said(WORDS), options={"num_predict": 3, "num_ctx": 4096, "temperature": 0, "top_k": 1})
    equal((cut.message.content, cut.done_reason, cut.eval_count), ("word0 word1 word2", "length", 3))
    stopped = client.chat("echo", said(WORDS), options={"stop": ["word2"]}, keep_alive="10m")
    equal(stopped.message.content, "word0 word1 ")


@check
def generate() -> None:
    first = client.generate("echo", WORDS, system="Be brief.")
    equal(first.response, WORDS)
    parts = list(client.generate("echo", WORDS, stream=True, context=first.context))
    equal("".join(part.response or "" for part in parts), WORDS)
    at_least(parts[-1].prompt_eval_count or 0, 60)
    equal(client.generate("echo", "a b", raw=True).response, "a b")
    equal(client.generate("echo", keep_alive=60).done_reason, "load")


@check
def tools() -> None:
    told = calling(("look", {"at": "the sky"}))
    history = said(told)
    for stream in (False, True):
        parts = client.chat("echo", history, tools=[look], stream=stream)
        calls = [call for part in (parts if stream else [parts]) for call in part.message.tool_calls or ()]
        equal([(call.function.name, call.function.arguments) for call in calls], [("look", {"at": "the sky"})])
    answer = client.chat("echo", history, tools=[look]).message
    result = {"role": "tool", "content": look("the sky"), "tool_name": "look"}
    equal(client.chat("echo", [*history, answer, result], tools=[look]).message.content, "the sky is blue.")


@check
def thoughts() -> None:
    whole = client.chat("echo", said(THOUGHTFUL), think=True).message
    equal((whole.thinking, whole.content), ("First this. Then that.", "Done at last."))
    parts = [part.message for part in client.chat("echo", said(THOUGHTFUL), think=True, stream=True)]
    equal("".join(part.thinking or "" for part in parts), whole.thinking)


@check
def a_form() -> None:
    answer = client.chat("echo", said(json.dumps(OSLO)), format=City.model_json_schema())
    equal(City.model_validate_json(answer.message.content or "").name, "Oslo")
    real = client.chat("smollm2", said("Oslo is a small city."), format=City.model_json_schema())
    City.model_validate_json(real.message.content or "")


@check
def likelihoods() -> None:
    entries = client.chat("echo", said("one two"), logprobs=True, top_logprobs=2).logprobs or ()
    equal([(entry.token, len(entry.top_logprobs or ())) for entry in entries], [("one", 2), (" two", 2)])


@check
def vectors() -> None:
    several = client.embed("minilm", ["A fox.", "A hound."]).embeddings
    equal([len(vector) for vector in several], [384, 384])
    equal(list(client.embeddings("minilm", "A fox.").embedding), list(several[0]))


@check
def pull() -> None:
    equal([part.status for part in client.pull("smollm2", stream=True)][-1], "success")


@check
def errors() -> None:
    for ask, status in (
        (lambda: client.chat("none", said("a")), 404),
        (lambda: list(client.chat("none", said("a"), stream=True)), 404),
        (lambda: client.chat("echo", said("a"), options={"temperature": "hot"}), 400),
        (lambda: client.delete("echo"), 501),
    ):
        try:
            ask()
        except ResponseError as exc:
            if exc.status_code != status:
                raise
        else:
            raise AssertionError(f"there was no {status}")


@check
async def asynchronously() -> None:
    there = AsyncClient(host=URL, timeout=60)
    equal((await there.chat("echo", said(WORDS))).message.content, WORDS)
    parts = [part.message.content or "" async for part in await there.chat("echo", said(WORDS), stream=True)]
    equal("".join(parts), WORDS)


@check
def a_real_model() -> None:
    answer = client.chat("smollm2", said(QUESTION), options={"temperature": 0})
    assert "Paris" in (answer.message.content or ""), answer.message.content
    at_least(answer.eval_duration or 0, 1)


run()
