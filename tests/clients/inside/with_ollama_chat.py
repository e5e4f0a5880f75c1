"""The web page `ollama-chat`, which speaks to nothing but Ollama, by what its page sends to its server."""

from __future__ import annotations

import os
import socket
import time
from typing import Any

from checks import QUESTION, SEPARATORS, URL, WORDS, check, equal, fetch, run, serving

with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    PORT = probe.getsockname()[1]
UI = f"http://127.0.0.1:{PORT}"
os.environ["OLLAMA_HOST"] = URL


def answer_to(begun: Any) -> dict[str, Any]:
    """The last exchange of a conversation, once it is whole."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        told = fetch(f"{UI}/getConversation?id={begun['id']}")["conversation"]
        if not told["generating"]:
            last: dict[str, Any] = told["exchanges"][-1]
            return last
        time.sleep(0.2)
    raise AssertionError("the answer has no end")


@check
def models() -> None:
    listed = {model["id"]: model for model in fetch(f"{UI}/getModels")["models"]}
    assert {"echo:latest", "smollm2:latest"} <= listed.keys(), listed
    assert listed["smollm2:latest"]["parameters"] > 100_000_000, listed


@check
def conversation() -> None:
    for text in (WORDS, SEPARATORS):
        begun = fetch(f"{UI}/startConversation", {"model": "echo:latest", "user": text})
        equal(answer_to(begun)["model"], text)
    fetch(f"{UI}/replyConversation", {"id": begun["id"], "user": "And then?"})
    equal(answer_to(begun)["model"], "And then?")


@check
def thoughts() -> None:
    begun = fetch(f"{UI}/startConversation", {"model": "echo:latest", "user": "<think>First.</think>Done."})
    told = answer_to(begun)
    equal((told["thinking"], told["model"]), ("First.", "Done."))


@check
def pull() -> None:
    fetch(f"{UI}/downloadModel", {"model": "echo:latest"})
    end = time.monotonic() + 30
    while (told := fetch(f"{UI}/getModels"))["downloading"] and time.monotonic() < end:
        time.sleep(0.2)
    equal((told["downloading"], told.get("downloadError")), ([], None))


@check
def a_real_model() -> None:
    begun = fetch(f"{UI}/startConversation", {"model": "smollm2:latest", "user": QUESTION})
    assert "Paris" in answer_to(begun)["model"]


with serving("ollama-chat", "-n", "-q", "-p", str(PORT), "-c", "chat.json", at=UI):
    run()
