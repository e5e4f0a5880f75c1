"""The `anthropic` package for Python."""

from __future__ import annotations

import json
from typing import Any, Literal

from anthropic import Anthropic, APIStatusError, AsyncAnthropic, BadRequestError, NotFoundError, beta_tool
from checks import OSLO, QUESTION, SEPARATORS, URL, WORDS, at_least, calling, check, equal, run
from pydantic import BaseModel, Field

client = Anthropic(base_url=URL, api_key="none", max_retries=0, timeout=60)
THOUGHTFUL = "<think>First this. Then that.</think>Done at last."
GREEDY = {"temperature": 0}
"""No parameter of the client's own any more."""
ADAPTIVE = {"type": "adaptive"}


def asked(*texts: str, **more: Any) -> dict[str, Any]:
    """Turns of the user and the assistant, one after the other."""
    turns = [{"role": ("user", "assistant")[number % 2], "content": text} for number, text in enumerate(texts)]
    return {"model": "echo", "max_tokens": 300, "messages": turns, **more}


def create(*texts: str, **more: Any) -> Any:
    return client.messages.create(**asked(*texts, **more))


def streamed(*texts: str, **more: Any) -> tuple[list[Any], Any]:
    """The events of the stream's helper, and the message that it makes of them."""
    with client.messages.stream(**asked(*texts, **more)) as stream:
        return list(stream), stream.get_final_message()


def said(message: Any) -> list[tuple[str, ...]]:
    """Its content."""
    values = {"text": ("text",), "thinking": ("thinking",), "tool_use": ("name", "input")}
    return [(block.type, *(getattr(block, name) for name in values[block.type])) for block in message.content]


@check
def models() -> None:
    assert {"echo", "smollm2"} <= {model.id for model in client.models.list()}
    equal(client.models.retrieve("echo").type, "model")


@check
def answer() -> None:
    message = create(WORDS, system="Be brief.")
    equal(
        (message.type, message.role, message.model, said(message)), ("message", "assistant", "echo", [("text", WORDS)])
    )
    equal((message.stop_reason, message.stop_sequence), ("end_turn", None))
    equal((message.usage.input_tokens, message.usage.output_tokens), (22, 20))
    equal(create(WORDS, max_tokens=3).stop_reason, "max_tokens")
    raw = client.messages.with_raw_response.create(**asked("hello"))
    equal(raw.headers["request-id"][:4], "req_")


@check
def stream() -> None:
    events = list(client.messages.create(**asked(WORDS, stream=True)))
    kinds = [event.type for event in events if event.type != "ping"]
    equal(kinds[:2], ["message_start", "content_block_start"])
    equal(kinds[-3:], ["content_block_stop", "message_delta", "message_stop"])
    equal("".join(event.delta.text for event in events if event.type == "content_block_delta"), WORDS)
    at_least(kinds.count("content_block_delta"), 5)


@check
def stream_helper() -> None:
    events, message = streamed(WORDS)
    equal((said(message), message.stop_reason, message.usage.output_tokens), ([("text", WORDS)], "end_turn", 20))
    equal([event.snapshot for event in events if event.type == "text"][-1], WORDS)
    with client.messages.stream(**asked(WORDS)) as stream:
        at_least(len(pieces := list(stream.text_stream)), 5)
    equal("".join(pieces), WORDS)


@check
async def asynchronous() -> None:
    async with AsyncAnthropic(base_url=URL, api_key="none", max_retries=0, timeout=60) as client:
        equal(said(await client.messages.create(**asked(WORDS))), [("text", WORDS)])
        async with client.messages.stream(**asked(WORDS)) as stream:
            equal("".join([piece async for piece in stream.text_stream]), WORDS)
            equal((await stream.get_final_message()).usage.output_tokens, 20)


@check
def message_sent_back() -> None:
    message = create("first")
    for content in (
        message.content,
        [block.model_dump() for block in message.content],
        [b.to_dict() for b in message.content],
    ):
        turns = [
            *asked("first")["messages"],
            {"role": "assistant", "content": content},
            {"role": "user", "content": "second"},
        ]
        again = create(messages=turns)
        equal((said(again), again.usage.input_tokens), ([("text", "second")], 3))


@check
def answer_begun() -> None:
    equal(said(create("one two three", "one two")), [("text", " three")])


@check
def stop_sequences() -> None:
    events, message = streamed(WORDS, stop_sequences=[" word7", "nothing"])
    for each in (message, create(WORDS, stop_sequences=[" word7", "nothing"])):
        equal((each.stop_reason, each.stop_sequence), ("stop_sequence", " word7"))
        equal(said(each), [("text", WORDS.partition(" word7")[0])])
    assert "word7" not in "".join(event.text for event in events if event.type == "text")


@check
def line_separators() -> None:
    equal(said(create(SEPARATORS)), [("text", SEPARATORS)])
    equal(said(streamed(SEPARATORS)[1]), [("text", SEPARATORS)])


@check
def thinking() -> None:
    wanted = [("thinking", "First this. Then that."), ("text", "Done at last.")]
    for config in (ADAPTIVE, {"type": "enabled", "budget_tokens": 1024}):
        more: dict[str, Any] = {"thinking": config, "output_config": {"effort": "high"}, "max_tokens": 2048}
        events, message = streamed(THOUGHTFUL, **more)
        for each in (message, create(THOUGHTFUL, **more)):
            equal(said(each), wanted)
            assert each.content[0].signature
        at_least(sum(event.type == "thinking" for event in events), 3)
        equal(sum(event.type == "signature" for event in events), 1)
        turns = [*asked("first")["messages"], {"role": "assistant", "content": message.content}]
        equal(said(create(messages=[*turns, {"role": "user", "content": "second"}])), [("text", "second")])
    equal(said(create(THOUGHTFUL, thinking={"type": "disabled"})), [("text", THOUGHTFUL)])


class River(BaseModel):
    name: str = Field(max_length=20)
    length: int


class City(BaseModel):
    name: str = Field(max_length=20)
    size: Literal["small", "big"]
    rivers: list[River] = Field(max_length=2)


class Verdict(BaseModel):
    """What stays short without `max_length`, which the client keeps to itself."""

    size: Literal["small", "big"]
    old: bool


TOOLS = [
    {"name": kind.__name__, "description": f"A {kind.__name__}.", "input_schema": kind.model_json_schema()}
    for kind in (City, River)
]
TIBER = {"name": "Tiber", "length": 405}
CALLS = calling(("City", OSLO), ("River", TIBER))
CALLED = [("tool_use", "City", OSLO), ("tool_use", "River", TIBER)]


@check
def tools() -> None:
    events, message = streamed(CALLS, tools=TOOLS)
    for each in (message, create(CALLS, tools=TOOLS)):
        equal((said(each), each.stop_reason), (CALLED, "tool_use"))
        equal(len({block.id for block in each.content}), 2)
    inputs = [event for event in events if event.type == "input_json"]
    at_least(len(inputs), 4)
    equal(inputs[-1].snapshot, TIBER)
    results = [
        {"type": "tool_result", "tool_use_id": block.id, "content": [{"type": "text", "text": block.name}]}
        for block in message.content
    ]
    turns = [*asked(CALLS)["messages"], {"role": "assistant", "content": message.content}]
    again = create(messages=[*turns, {"role": "user", "content": results}], tools=TOOLS)
    equal((said(again), again.stop_reason), ([("text", "City\nRiver")], "end_turn"))


@check
def choice_of_tools() -> None:
    def names(text: str = "hello", **choice: Any) -> list[str]:
        return [
            block.name for block in create(text, tools=TOOLS, tool_choice=choice).content if block.type == "tool_use"
        ]

    equal(names(CALLS, type="auto", disable_parallel_tool_use=True), ["City"])
    equal(names(CALLS, type="none"), [])
    equal(names(type="auto"), [])
    equal(names(type="any"), ["City"])
    equal(names(type="tool", name="River"), ["River"])


@check
def tool_runner() -> None:
    """Its loop of calls and results, whole and streamed; one of the tools fails."""
    known: list[tuple[str, int]] = []

    @beta_tool
    def get_weather(city: str, days: int = 1) -> str:
        """The weather.

        Args:
            city: where
            days: for how long
        """
        known.append((city, days))
        if city == "Rome":
            raise ValueError("no weather there")
        return f"cold in {city}"

    @beta_tool
    def get_next() -> str:
        """What echo is to do next."""
        return calling(("get_weather", {"city": "Rome"}), ("get_weather", {"city": "Bonn"}))

    body = asked(calling(("get_weather", {"city": "Oslo", "days": 2})), tools=[get_weather, get_next])
    equal(said(client.beta.messages.tool_runner(**body).until_done()), [("text", "cold in Oslo")])
    body |= asked(calling(("get_next", {})))
    messages = list(client.beta.messages.tool_runner(**body))
    equal([message.stop_reason for message in messages], ["tool_use", "tool_use", "end_turn"])
    [(_, last)] = said(messages[-1])
    equal(("no weather there" in last, last.splitlines()[-1]), (True, "cold in Bonn"))
    turns = [stream.get_final_message() for stream in client.beta.messages.tool_runner(**body, stream=True)]
    equal([said(message) for message in turns], [said(message) for message in messages])
    equal(known, [("Oslo", 2), *[("Rome", 1), ("Bonn", 1)] * 2])


@check
def parsed_answer() -> None:
    body = asked(json.dumps(OSLO), output_format=City)
    equal(client.messages.parse(**body).parsed_output, City(**OSLO))
    with client.messages.stream(**body) as stream:
        equal(stream.get_final_message().parsed_output, City(**OSLO))


@check
def count_tokens() -> None:
    body = asked(WORDS, system="Be brief.")
    del body["max_tokens"]
    equal(client.messages.count_tokens(**body).input_tokens, 22)
    for model in ("smollm2", "echo"):
        body = asked("one", "two", "three", model=model, max_tokens=1, tools=TOOLS, system="Be brief.")
        usage = client.messages.create(**body).usage
        del body["max_tokens"]
        counted = client.messages.count_tokens(**body).input_tokens
        equal(counted, usage.input_tokens + (usage.cache_read_input_tokens or 0))


@check
def errors() -> None:
    def refused(kind: type[APIStatusError], **more: Any) -> APIStatusError:
        try:
            create("hello", **more)
        except kind as exc:
            return exc
        raise AssertionError(f"{more} was taken")

    def told(exc: Any) -> tuple[str, str]:
        return exc.body["type"], exc.body["error"]["type"]

    many, strange = refused(BadRequestError, max_tokens="many"), refused(NotFoundError, model="nobody")
    equal((told(many), told(strange)), (("error", "invalid_request_error"), ("error", "not_found_error")))
    equal(("max_tokens" in many.message, (many.request_id or "")[:4]), (True, "req_"))


@check
def a_real_model_in_a_form() -> None:
    more: dict[str, Any] = {"model": "smollm2", "extra_body": GREEDY}
    assert client.messages.parse(**asked("Tell me of Oslo.", output_format=Verdict, **more)).parsed_output
    choice = {"type": "any", "disable_parallel_tool_use": True}
    [block] = create("Tell me of Oslo.", tools=TOOLS, tool_choice=choice, **more).content
    kinds: dict[str, type[BaseModel]] = {"City": City, "River": River}
    kinds[block.name].model_validate(block.input)


@check
def a_real_model() -> None:
    more: dict[str, Any] = {"model": "smollm2", "extra_body": GREEDY}
    for message in (create(QUESTION, **more), streamed(QUESTION, **more)[1]):
        assert "Paris" in message.content[0].text, message.content


run()
