"""`ChatOllama` and its like of langchain-ollama."""

from __future__ import annotations

from checks import QUESTION, URL, WORDS, at_least, calling, check, equal, run
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_ollama import ChatOllama, OllamaEmbeddings, OllamaLLM
from pydantic import BaseModel

chat = ChatOllama(base_url=URL, model="echo", validate_model_on_init=True)


class City(BaseModel):
    """A city."""

    name: str


@tool  # type: ignore[untyped-decorator]  # its packages are in an environment of their own
def look(at: str) -> str:
    """Look somewhere."""
    return f"{at} is blue."


@check
def invoke() -> None:
    answer = chat.invoke(WORDS)
    equal(answer.content, WORDS)
    equal((answer.usage_metadata["input_tokens"], answer.usage_metadata["output_tokens"]), (20, 20))
    equal(answer.response_metadata["done_reason"], "stop")


@check
def stream() -> None:
    chunks = list(chat.stream(WORDS))
    equal("".join(str(chunk.content) for chunk in chunks), WORDS)
    at_least(len(chunks), 5)


@check
def tools() -> None:
    able = chat.bind_tools([look])
    history = [HumanMessage(calling(("look", {"at": "the sky"})))]
    answer = able.invoke(history)
    assert isinstance(answer, AIMessage)
    [call] = answer.tool_calls
    equal((call["name"], call["args"]), ("look", {"at": "the sky"}))
    result = look.invoke(call)
    assert isinstance(result, ToolMessage)
    equal(able.invoke([*history, answer, result]).content, "the sky is blue.")


@check
def a_form() -> None:
    equal(chat.with_structured_output(City).invoke('{"name": "Oslo"}'), City(name="Oslo"))


@check
def thoughts() -> None:
    answer = ChatOllama(base_url=URL, model="echo", reasoning=True).invoke("<think>First.</think>Done.")
    equal((answer.additional_kwargs["reasoning_content"], answer.content), ("First.", "Done."))


@check
def a_text() -> None:
    equal(OllamaLLM(base_url=URL, model="echo").invoke(WORDS), WORDS)


@check
def vectors() -> None:
    made = OllamaEmbeddings(base_url=URL, model="minilm").embed_documents(["A fox.", "A hound."])
    equal([len(vector) for vector in made], [384, 384])


@check
def a_real_model() -> None:
    answer = ChatOllama(base_url=URL, model="smollm2", temperature=0, num_predict=30).invoke(QUESTION)
    assert "Paris" in str(answer.content), answer.content


run()
