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
from worker.engines.llama_cpp_thoughts import Thoughts
from worker.engines.messages import ApplyTemplate, Dictionaries, render
from worker.engines.special_texts import Specials
from worker.engines.thoughts import Thinking


class Chats:
    """Of one model, which has a chat template."""

    def __init__(self, server: LlamaServer, model: Model, specials: Specials, thoughts: Thoughts) -> None:
        self._server, self._model, self._specials, self._thoughts = server, model, specials, thoughts

    def render(self, task: Chat, execution: Cancellable) -> tuple[list[str], Thinking]:
        """The prompt, in texts that follow each other: no special token is made of what is not the template's own. And
        how the answer to it is to think.

        Raises InvalidRequest where the template refuses the conversation.
        """
        turns = task.messages[:-1] if task.continue_final else task.messages
        texts = render(turns, self._specials, self.template(execution), self._variables(task))
        begun, thinking = self._thoughts.begin(task, texts[-1])
        return self._specials.go_on(texts, begun), thinking

    def transcribe(self, task: Chat, work: Cancellable) -> list[str]:
        """The same as it ends with the last message, and not where the answer to it begins."""
        variables = self._variables(task)
        return render(task.messages, self._specials, self.template(work, opens=False), variables)

    def _variables(self, task: Chat) -> dict[str, Any]:
        given = json.loads(task.template_kwargs) if isinstance(task, FineChat) and task.template_kwargs else {}
        return {**given, **self._thoughts.variables(task)}

    def template(self, execution: Cancellable, *, opens: bool = True) -> ApplyTemplate:
        """The model's, as llama.cpp renders it. llama.cpp leaves out a BOS that the tokenizer adds."""

        def apply_template(messages: Dictionaries, variables: dict[str, Any]) -> str:
            body = {"messages": messages, "chat_template_kwargs": variables, "add_generation_prompt": opens}
            return str(self._server.ask("/apply-template", body, execution, "messages")["prompt"])

        return apply_template

    def sampling(self, task: Chat) -> Sampling:
        """How its tokens are chosen: what begins the next turn ends the answer."""
        sampling = task.sampling
        return replace(sampling, stop=(*sampling.stop, *stops(self._model.chat_format)))
