"""llm-comply: what it asks for of answers, errors and streams, in Anthropic's words and in OpenAI's."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from checks import URL, at_least, check, run

ANTHROPIC = ["--auth-header", "x-api-key", "--no-bearer", "-H", "anthropic-version:2023-06-01"]
IMAGES = {"anth-image-input", "chat-image-input"}
"""Which no model here reads."""


def comply(form: str, *more: str) -> None:
    command = ["llm-comply", "--json", "--format", form, "-u", f"{URL}/v1", "-k", "none", "-m", "echo", *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)  # 1, for the images
    results: list[dict[str, Any]] = json.loads(done.stdout)["results"]
    failed = {result["id"]: result["errors"] for result in results if result["status"] == "failed"}
    assert failed.keys() <= IMAGES, failed
    at_least(sum(result["status"] == "passed" for result in results), 7)


@check
def messages_of_anthropic() -> None:
    comply("anthropic", *ANTHROPIC)


@check
def chats_of_openai() -> None:
    comply("openai-chat")


run()
