"""Chats of llama.cpp: what the model's template makes of a conversation, and what of its answer ends the turn."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from shared.cancellation import Cancellable
from shared.catalogue import Model
from shared.protocol import Chat, FineChat, Message, Sampling
from worker.chat_formats import stops
from worker.engines.llama_cpp_messages import make_messages
from worker.engines.llama_cpp_server import LlamaServer
from worker.engines.special_texts import Specials, append, choose_mark


class Chats:
    """Of one model, which has a chat template."""

    def __init__(self, server: LlamaServer, model: Model, specials: Specials) -> None:
        self._server, self._model, self._specials = server, model, specials

    def render(self, task: Chat, execution: Cancellable) -> list[str]:
        """The prompt, in texts that follow each other: no special token is made of what is not the template's own.

        Raises InvalidRequest where the template refuses the conversation.
        """
        turns = task.messages[:-1] if task.continue_final else task.messages
        messages, mark = self._mark(turns)
        body: dict[str, Any] = {"messages": messages}
        if isinstance(task, FineChat) and task.template_kwargs:
            body["chat_template_kwargs"] = json.loads(task.template_kwargs)
        rendered: str = self._server.ask("/apply-template", body, execution, "messages")["prompt"]
        texts = rendered.split(mark)
        if task.continue_final:
            return append(texts, self._specials.cut(task.messages[-1].content, "assistant"))
        return texts

    def _mark(self, turns: Sequence[Message]) -> tuple[list[dict[str, Any]], str]:
        """The messages with a mark wherever they are to be cut, and the mark."""
        texts: list[str] = []

        def note(text: str, role: str) -> str:
            texts.append(text)
            return text

        make_messages(turns, note)
        mark = choose_mark(texts)
        return make_messages(turns, lambda text, role: mark.join(self._specials.cut(text, role))), mark

    def sampling(self, task: Chat) -> Sampling:
        """How its tokens are chosen: what begins the next turn ends the answer."""
        sampling = task.sampling
        return replace(sampling, stop=(*sampling.stop, *stops(self._model.chat_format)))
