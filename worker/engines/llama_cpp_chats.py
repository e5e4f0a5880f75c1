"""Chats of llama.cpp: what the model's template makes of a conversation, and what of its answer ends the turn."""

from __future__ import annotations

from msgspec.structs import replace

from shared.cancellation import Cancellable
from shared.catalogue import Model
from shared.protocol import Chat, Sampling
from worker.chat_formats import stops
from worker.engines.llama_cpp_server import LlamaServer


class Chats:
    """Of one model, which has a chat template."""

    def __init__(self, server: LlamaServer, model: Model) -> None:
        self._server, self._model = server, model

    def render(self, task: Chat, execution: Cancellable) -> str:
        """The prompt. Raises InvalidRequest where the template refuses the conversation.

        llama.cpp drops the template's BOS here when its tokenizer adds one: there is never a second.
        """
        turns = task.messages[:-1] if task.continue_final else task.messages
        messages = [{"role": message.role, "content": message.content} for message in turns]
        rendered = self._server.ask("/apply-template", {"messages": messages}, execution, "messages")
        begun = task.messages[-1].content if task.continue_final else ""
        return str(rendered["prompt"]) + begun

    def sampling(self, task: Chat) -> Sampling:
        """How its tokens are chosen: what begins the next turn ends the answer."""
        sampling = task.sampling
        return replace(sampling, stop=(*sampling.stop, *stops(self._model.chat_format)))
