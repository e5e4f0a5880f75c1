"""instructor, in every mode that it has for OpenAI's chats."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, Literal

import instructor
from checks import OSLO, URL, at_least, calling, check, equal, run
from instructor import Mode
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel, Field, field_validator

ADDRESS: dict[str, Any] = {"base_url": f"{URL}/v1", "api_key": "none", "max_retries": 0, "timeout": 120}


class River(BaseModel):
    name: str = Field(max_length=20)
    length: int = Field(ge=0, le=10_000)


class City(BaseModel):
    """A city and its rivers."""

    name: str = Field(max_length=40)
    size: Literal["small", "big"]
    rivers: list[River] = Field(max_length=2)


class Checked(City):
    @field_validator("name")
    @classmethod
    def is_another(cls, name: str) -> str:
        assert name != "Oslo", "not Oslo"
        return name


CITY = City(**OSLO)
ANSWERS = {
    Mode.JSON: json.dumps(OSLO),
    Mode.JSON_SCHEMA: json.dumps(OSLO),
    Mode.JSON_O1: json.dumps(OSLO),
    Mode.MD_JSON: f"It is this one:\n```json\n{CITY.model_dump_json(indent=1)}\n```\nThat is all.",
}


def asked(mode: Mode, client: Any = OpenAI, kind: Any = City, name: str = "City", **more: Any) -> Any:
    """What an answer in a mode parses as; without `text` echo is told the city as the mode has it."""
    messages = [{"role": "user", "content": more.pop("text", ANSWERS.get(mode, calling((name, OSLO))))}]
    asking = {"model": "echo", "response_model": kind, "max_retries": 0, "messages": messages, **more}
    chats = instructor.from_openai(client(**ADDRESS), mode=mode).chat.completions
    return chats.create_partial(**asking) if name.startswith("Partial") else chats.create(**asking)


def modes(*chosen: Mode) -> Callable[[Callable[[Mode], Any]], Callable[[Mode], Any]]:
    """One check for each mode."""

    def add(function: Callable[[Mode], Any]) -> Callable[[Mode], Any]:
        for mode in chosen:

            def one(mode: Mode = mode) -> Any:
                return function(mode)

            one.__name__ = f"{function.__name__} {mode.name}"
            check(one)
        return function

    return add


@modes(Mode.TOOLS, Mode.TOOLS_STRICT, Mode.FUNCTIONS, Mode.JSON, Mode.JSON_SCHEMA, Mode.JSON_O1, Mode.MD_JSON)
def create(mode: Mode) -> None:
    equal(asked(mode).model_dump(), OSLO)


@modes(Mode.TOOLS, Mode.TOOLS_STRICT, Mode.FUNCTIONS, Mode.JSON, Mode.JSON_SCHEMA, Mode.MD_JSON)
def partial(mode: Mode) -> None:
    seen = [city.model_dump() for city in asked(mode, name="PartialCity", stream=True)]
    equal(seen[-1], OSLO)
    at_least(len(seen), 3)


@check
def parallel_tools() -> None:
    text = calling(("City", OSLO), ("River", OSLO["rivers"][0]))
    cities = list(asked(Mode.PARALLEL_TOOLS, kind=Iterable[City | River], text=text))
    equal([city.model_dump() for city in cities], [OSLO, OSLO["rivers"][0]])


@modes(Mode.TOOLS, Mode.JSON_SCHEMA)
async def asynchronous(mode: Mode) -> None:
    equal((await asked(mode, client=AsyncOpenAI)).model_dump(), OSLO)


@modes(Mode.TOOLS, Mode.FUNCTIONS, Mode.JSON_SCHEMA)
def asked_again(mode: Mode) -> None:
    """What does not validate is sent back, with the call that it was and the reason; echo then answers with that."""
    text = None if mode in ANSWERS else calling(("Checked", OSLO))
    city = asked(mode, kind=Checked, name="Checked", max_retries=2, **({"text": text} if text else {}))
    assert city.name != "Oslo", city


@check
async def responses() -> None:
    """Its own `responses`, whose answers are calls of a function."""
    said: Any = {"model": "echo", "input": calling(("City", OSLO)), "response_model": City, "max_retries": 0}
    client: Any = instructor.from_openai(OpenAI(**ADDRESS), mode=Mode.RESPONSES_TOOLS)
    equal(client.responses.create(**said).model_dump(), OSLO)
    seen = [
        city.model_dump()
        for city in client.responses.create_partial(**{**said, "input": calling(("PartialCity", OSLO))})
    ]
    equal(seen[-1], OSLO)
    at_least(len(seen), 3)
    client = instructor.from_openai(AsyncOpenAI(**ADDRESS), mode=Mode.RESPONSES_TOOLS)
    equal((await client.responses.create(**said)).model_dump(), OSLO)


@check
def responses_asked_again() -> None:
    client: Any = instructor.from_openai(OpenAI(**ADDRESS), mode=Mode.RESPONSES_TOOLS)
    text = calling(("Checked", OSLO))
    city = client.responses.create(model="echo", input=text, response_model=Checked, max_retries=2)
    assert city.name != "Oslo", city


@modes(Mode.TOOLS, Mode.TOOLS_STRICT, Mode.FUNCTIONS, Mode.JSON_SCHEMA)
def real_model(mode: Mode) -> None:
    city = asked(mode, text="Tell me of Oslo.", model="smollm2", max_tokens=300, temperature=0)
    equal(City.model_validate(city.model_dump()).model_dump(), city.model_dump())


run()
