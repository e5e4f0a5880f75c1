"""The command line `llm`, with inferq's models in its extra-openai-models.yaml."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from checks import OSLO, QUESTION, SEPARATORS, URL, WORDS, calling, check, equal, run, run_command

os.environ["LLM_USER_PATH"] = "llm"
Path("llm").mkdir(exist_ok=True)
ABLE = f'api_base: "{URL}/v1", api_key_name: none, supports_tools: true, supports_schema: true'
Path("llm/extra-openai-models.yaml").write_text(
    f"""
- {{model_id: echo, model_name: echo, {ABLE}}}
- {{model_id: smollm2, model_name: smollm2, {ABLE}}}
- {{model_id: echo-responses, model_name: echo, {ABLE}, responses: true}}
- {{model_id: echo-completion, model_name: echo, api_base: "{URL}/v1", api_key_name: none, completion: true}}
"""
)
Path("llm/keys.json").write_text('{"none": "none", "openai": "none"}')

PLUGIN = """
import llm
from llm.default_plugins.openai_models import OpenAIEmbeddingModel

@llm.hookimpl
def register_embedding_models(register):
    register(OpenAIEmbeddingModel("echo", "echo"))
"""
Path("plugin/llm_inferq-1.dist-info").mkdir(parents=True)
Path("plugin/llm_inferq.py").write_text(PLUGIN)
Path("plugin/llm_inferq-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: llm-inferq\nVersion: 1\n")
Path("plugin/llm_inferq-1.dist-info/entry_points.txt").write_text("[llm]\ninferq = llm_inferq\n")
os.environ |= {"PYTHONPATH": "plugin", "OPENAI_BASE_URL": f"{URL}/v1"}


def llm(*words: str, told: str = "") -> str:
    return run_command("llm", *words, told=told).rstrip("\n")


def last() -> dict[str, Any]:
    """What was logged of the last answer."""
    logged: list[dict[str, Any]] = json.loads(llm("logs", "list", "--json", "-n", "1"))
    return logged[0]


@check
def prompt() -> None:
    equal(llm("-m", "echo", WORDS), WORDS)
    equal((last()["input_tokens"], last()["output_tokens"]), (20, 20))


@check
def prompt_without_stream() -> None:
    equal(llm("-m", "echo", "--no-stream", "-s", "Be brief.", WORDS), WORDS)
    equal((last()["input_tokens"], last()["output_tokens"]), (22, 20))


@check
def continued_conversation() -> None:
    llm("-m", "echo", "first")
    equal(llm("-c", "second"), "second")
    equal(last()["input_tokens"], 3)


@check
def chat() -> None:
    printed = llm("chat", "-m", "echo", told="alpha beta\ngamma delta\nexit\n")
    assert "alpha beta" in printed, printed
    assert "gamma delta" in printed, printed
    equal((last()["response"], last()["input_tokens"]), ("gamma delta", 6))


@check
def completion_model() -> None:
    equal(llm("-m", "echo-completion", "-o", "max_tokens", "3", WORDS), "word0 word1 word2")


@check
def line_separators() -> None:
    llm("-m", "echo", SEPARATORS)
    equal(last()["response"], SEPARATORS)


@check
def embed() -> None:
    """By the plugin above, and where OPENAI_BASE_URL leads."""
    vector = json.loads(llm("embed", "-m", "echo", "-c", "the red fox"))
    equal((len(vector), round(sum(number**2 for number in vector), 5)), (64, 1.0))
    Path("texts.json").write_text(
        json.dumps([{"id": "a", "text": "the red fox"}, {"id": "b", "text": "something else"}])
    )
    llm("embed-multi", "texts", "texts.json", "-m", "echo", "--store")
    equal(json.loads(llm("similar", "texts", "-c", "fox red the", "-n", "1"))["id"], "a")


SCHEMA = "name: a river, length int"


@check
def schema() -> None:
    river = OSLO["rivers"][0]
    for more in ((), ("--no-stream",)):
        equal(json.loads(llm("-m", "echo", *more, "--schema", SCHEMA, json.dumps(river))), river)


@check
def tools() -> None:
    """Python functions that `llm` calls, until the model has no more calls."""
    function = "def add(a: int, b: int) -> int:\n    'Adds numbers.'\n    return a + b\n"
    for more in ((), ("--no-stream",)):
        text = calling(("add", {"a": 2, "b": 40}), ("add", {"a": 1, "b": 1}))
        equal(llm("-m", "echo", *more, "--functions", function, text), "42\n2")
    equal(llm("-c", "second"), "second")


@check
def a_tool_of_its_own() -> None:
    assert llm("-m", "echo", "-T", "llm_version", calling(("llm_version", {}))).startswith("0."), "no version"


@check
def responses() -> None:
    equal(llm("-m", "echo-responses", WORDS), WORDS)
    equal((last()["input_tokens"], last()["output_tokens"]), (20, 20))
    equal(llm("-c", "second"), "second")
    river = json.dumps(OSLO["rivers"][0])
    equal(llm("-m", "echo-responses", "--no-stream", "--schema", SCHEMA, river), river)
    function = "def add(a: int, b: int) -> int:\n    'Adds numbers.'\n    return a + b\n"
    equal(llm("-m", "echo-responses", "--functions", function, calling(("add", {"a": 2, "b": 40}))), "42")


@check
def a_real_model_in_a_schema() -> None:
    said = llm("-m", "smollm2", "-o", "temperature", "0", "-o", "max_tokens", "200", "--schema", SCHEMA, "A river.")
    equal({"length", "name"} - json.loads(said).keys(), set())  # it may have others


@check
def a_real_model() -> None:
    text = llm("-m", "smollm2", "-o", "temperature", "0", QUESTION)
    assert "Paris" in text, text


run()
