"""Chats of llama.cpp: what the model's template makes of a conversation, and what of its answer ends the turn."""

from __future__ import annotations

import json
from typing import Any

from msgspec.structs import replace

from shared.cancellation import Cancellable
from shared.catalogue import Model
from shared.protocol import Chat, FineChat, Sampling
from worker.chat_formats import stops
from worker.engines.llama_cpp_server import LlamaServer
from worker.engines.messages import Dictionaries, render_chat
from worker.engines.special_texts import Specials


class Chats:
    """Of one model, which has a chat template."""

    def __init__(self, server: LlamaServer, model: Model, specials: Specials) -> None:
        self._server, self._model, self._specials = server, model, specials

    def render(self, task: Chat, execution: Cancellable) -> list[str]:
        """The prompt, in texts that follow each other: no special token is made of what is not the template's own.

        Raises InvalidRequest where the template refuses the conversation.
        """
        body: dict[str, Any] = {}
        if isinstance(task, FineChat) and task.template_kwargs:
            body["chat_template_kwargs"] = json.loads(task.template_kwargs)

        def apply_template(messages: Dictionaries) -> str:
            answer = self._server.ask("/apply-template", body | {"messages": messages}, execution, "messages")
            return str(answer["prompt"])

        return render_chat(task, self._specials, apply_template)

    def sampling(self, task: Chat) -> Sampling:
        """How its tokens are chosen: what begins the next turn ends the answer."""
        sampling = task.sampling
        return replace(sampling, stop=(*sampling.stop, *stops(self._model.chat_format)))
