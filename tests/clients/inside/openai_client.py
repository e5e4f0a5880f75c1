"""The client that most checks of `openai` use, and what they ask."""

from __future__ import annotations

from typing import Any

from checks import URL
from openai import OpenAI

client = OpenAI(base_url=f"{URL}/v1", api_key="none", max_retries=0, timeout=60)


def asked(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "echo", "messages": [{"role": "user", "content": text}], **more}


def create(**body: Any) -> Any:
    return client.chat.completions.create(**body)
