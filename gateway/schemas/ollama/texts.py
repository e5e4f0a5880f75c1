"""The formats of /api/chat and /api/generate, Ollama's: other ways to ask for a text, and to tell it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from msgspec.structs import replace

from gateway.schemas.format import NDJSON, Format, Frames
from gateway.schemas.ollama import answer
from gateway.schemas.ollama.context import remember
from gateway.schemas.ollama.failure import render_failure
from gateway.schemas.ollama.options import PARAMETERS, USUAL, make
from gateway.schemas.ollama.request import GenerateSchema, OllamaChatSchema
from gateway.schemas.ollama.words import LOAD, NAME, TURNS, UNLOAD, tell_thoughts
from gateway.schemas.reasoning import thinking
from shared.config import Config
from shared.errors import InferqError
from shared.protocol import (
    Accepted,
    Completion,
    Encoding,
    Event,
    FineChat,
    FineCompletion,
    Message,
    Options,
    Sampling,
    Task,
)


class OllamaFormat(Format):
    """What the two have in common."""

    parameters: Mapping[str, str] = MappingProxyType(PARAMETERS)
    stream_media = NDJSON
    usual_sampling = USUAL

    @abstractmethod
    def say(self, content: str, thoughts: str, calls: Sequence[Any]) -> dict[str, Any]:
        """What an object says, of a text, of thoughts and of whole calls."""

    def render(self, job_id: str, accepted: Accepted, events: Iterable[Event]) -> dict[str, Any]:
        return answer.render(job_id, accepted, events, self.say)

    def render_frames(self, job_id: str, accepted: Accepted, options: Options) -> Frames:
        return answer.AnswerStream(job_id, accepted, self.parameters, self.say).frames

    def render_failure(self, error: InferqError, status: int) -> dict[str, Any]:
        return render_failure(error, status)


class OllamaChatFormat(OllamaFormat):
    """`Format` of Ollama's chats."""

    name = "ollama.chat"
    id_prefix = "ochat-"
    schema = OllamaChatSchema()

    def say(self, content: str, thoughts: str, calls: Sequence[Any]) -> dict[str, Any]:
        made = {"tool_calls": list(calls)} if calls else {}
        return {"message": {"role": "assistant", "content": content, **tell_thoughts(thoughts), **made}}

    def parse(self, body: object, seed: int, config: Config) -> tuple[Task, Options]:
        given = self.schema.read(body, config)
        if not given["messages"]:
            return load(given)
        task = _chat(given, _sampling(given, seed, config), tuple(given["messages"]), tuple(given.get("tools", ())))
        return replace(task, continue_final=given["continue_final"]).simplest(), _options(given)


class GenerateFormat(OllamaFormat):
    """`Format` of Ollama's completions, most of which are chats of one message."""

    name = "ollama.generate"
    id_prefix = "ogen-"
    parameters = MappingProxyType({**PARAMETERS, "messages": "prompt"})
    schema = GenerateSchema()

    def say(self, content: str, thoughts: str, calls: Sequence[Any]) -> dict[str, Any]:
        return {"response": content, **tell_thoughts(thoughts)}

    def parse(self, body: object, seed: int, config: Config) -> tuple[Task, Options]:
        given = self.schema.read(body, config)
        model, prompt, options = given["model"], given["prompt"], _options(given)
        if not prompt:
            return load(given)
        sampling = _sampling(given, seed, config)
        if given["suffix"]:
            return FineCompletion(model, (prompt,), sampling, suffix=given["suffix"], trims=given["truncate"]), options
        if given["raw"]:
            return Completion(model, (prompt,), sampling), options
        said = _said(given)
        turns = remember(said)
        asked = {**options.asked, TURNS: turns} if turns else options.asked
        return _chat(given, sampling, said).simplest(), replace(options, asked=asked)


def load(given: Mapping[str, Any]) -> tuple[Encoding, Options]:
    """What is asked where nothing is said: a task that needs the model, and computes nothing."""
    asked = {NAME: given["model"], LOAD: UNLOAD if given.get("keep_alive") == 0 else "load"}
    return Encoding(given["model"], ""), Options(given.get("stream", False), asked=asked, stay=given.get("keep_alive"))


def _chat(
    given: Mapping[str, Any], sampling: Sampling, messages: tuple[Message, ...], tools: tuple[Any, ...] = ()
) -> FineChat:
    asked = {} if given.get("think") is None else thinking({"think": given["think"]})
    return FineChat(given["model"], messages, sampling, tools=tools, trims=given["truncate"], **asked)


def _said(given: Mapping[str, Any]) -> tuple[Message, ...]:
    """The conversation, of which the request tells the last message, and may tell the first."""
    before: list[Message] = given["context"]
    if given["system"]:
        spoken = before[1:] if before and before[0].role == "system" else before
        before = [Message("system", given["system"]), *spoken]
    return (*before, Message("user", given["prompt"]))


def _sampling(given: Mapping[str, Any], seed: int, config: Config) -> Sampling:
    told = given.get("top_logprobs", 0) if given["logprobs"] else None
    return make(given["options"], seed, config, grammar=given["format"], logprobs=told)


def _options(given: Mapping[str, Any]) -> Options:
    hides, stay = given.get("think") is False, given.get("keep_alive")
    return Options(given["stream"], hides_reasoning=hides, asked={NAME: given["model"]}, stay=stay)
