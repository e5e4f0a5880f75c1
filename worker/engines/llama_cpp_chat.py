"""Answers in a template's own form of tools, which llama.cpp's chat endpoint renders and reads."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import structs

from shared.cancellation import Cancellable, check
from shared.context import Room
from shared.errors import InvalidRequest
from shared.protocol import Caching, Chat, Event, FineChat, Tool
from worker.engines import with_prompt
from worker.engines.cells import Cells
from worker.engines.llama_cpp_chat_answer import ChatAnswer
from worker.engines.llama_cpp_dialect import Dialect, find_dialect, try_dialect
from worker.engines.llama_cpp_prefixes import LlamaPrefixes
from worker.engines.llama_cpp_schemas import answer_texts, are_cheap, keeps_schema
from worker.engines.llama_cpp_seats import Seats
from worker.engines.llama_cpp_server import LlamaServer
from worker.engines.llama_cpp_text import LlamaText
from worker.engines.llama_cpp_thoughts import Thoughts
from worker.engines.llama_cpp_turns import adapt, write_tools
from worker.engines.messages import make_messages, make_variables
from worker.engines.special_texts import Specials

_TRIAL = 1024
"""Tokens that the trial of a dialect may have."""

_NOBODYS = Caching(owner="\0")
"""Whose it is."""

_PATIENCE = 0.1
"""Seconds between two looks whether who waits for a trial is still wanted."""


class NativeTools:
    """Of one model: what of its chats it can answer in its template's own form, and the answers."""

    def __init__(
        self,
        server: LlamaServer,
        text: LlamaText,
        cells: Cells,
        seats: Seats,
        prefixes: LlamaPrefixes,
        specials: Specials,
        thoughts: Thoughts,
        *,
        context: int,
        batch: int,
    ) -> None:
        self._server, self._text, self._cells = server, text, cells
        self._seats, self._prefixes = seats, prefixes
        self._specials, self._thoughts = specials, thoughts
        self._context, self._batch = context, batch
        self._finding = threading.Lock()
        self._found = False
        self._dialect: Dialect | None = None

    def answer(
        self, task: Chat, choosing: Mapping[str, Any], execution: Cancellable, until: float
    ) -> Iterator[Event] | None:
        """The answer to a task with tools, or with calls. None where it cannot hold what is asked for, which
        inferq's own form can.

        `choosing` is how llama.cpp chooses tokens, in its own terms. The first task has to wait while the template is
        tried.
        """
        task = _fine(task)
        found = self.read(task, execution, Room(self._context, "messages"))
        if found is None:
            return None
        prompt, tokens = found
        told, count = self._write(task, execution), len(tokens)

        def events() -> Iterator[Event]:
            with self._seats.take(tokens, task.sampling.caching) as seat:
                yield from self._prefixes.provide(seat, task, [prompt], tokens, execution, until)
                answer = ChatAnswer(
                    seat, self._cells, task, prompt, count, choosing, told, self._batch, execution, until
                )
                yield from answer.events(self._context)

        return with_prompt(events(), tokens, ids=False)

    def read(self, task: Chat, work: Cancellable, room: Room, *, opens: bool = True) -> tuple[str, list[int]] | None:
        """The prompt of a task that it can answer, and its tokens; None of any other. `opens`: see `Encoding`.

        Raises ContextLengthExceeded.
        """
        task = _fine(task)
        if not self._serves(task, work):
            return None
        try:
            prompt = self.render(task, work, opens=opens)
        except InvalidRequest:  # of the conversation, or of the tools: they may be too much for the template
            return None
        return prompt, self._text.tokens([prompt], work, room=room)

    def _serves(self, task: FineChat, work: Cancellable) -> bool:
        """Its answers do not tell their tokens, end with a call's end whatever is to end them, and keep their arguments
        to no schema but the tools'."""
        sampling = task.sampling
        if task.token_ids or sampling.logprobs is not None:
            return False
        if sampling.stop_token_ids or sampling.min_tokens or sampling.ignore_eos or sampling.grammar:
            return False
        if task.thinking is False and self._thoughts.tags and not self._thoughts.switches:
            return False
        if any(tool.custom or not self._plain(tool) for tool in task.tools):
            return False
        if not are_cheap(tool.parameters for tool in task.tools):
            return False
        dialect = self.dialect(work)
        if dialect is None or not (dialect.opener if task.must_call else dialect.marked):
            return False
        return all(dialect.exact and keeps_schema(tool.parameters) for tool in task.tools if tool.strict)

    def render(self, task: FineChat, work: Cancellable, *, opens: bool = True) -> str:
        """The prompt. Raises InvalidRequest where the template refuses the conversation."""
        told = self._write(task if opens else structs.replace(task, must_call=False), work)
        told = told if opens else told | {"add_generation_prompt": False}
        return str(self._server.ask("/apply-template", told, work, "messages")["prompt"])

    def dialect(self, work: Cancellable) -> Dialect | None:
        """Of the template; None where it has none that can be used."""
        while not self._finding.acquire(timeout=_PATIENCE):
            check(work)
        try:
            if not self._found:
                found = find_dialect(self._server, work)
                self._dialect = found if found and (not found.opener or self._try(found, work)) else None
                self._found = True
            return self._dialect
        finally:
            self._finding.release()

    def _try(self, dialect: Dialect, work: Cancellable) -> bool:
        with self._seats.take((), _NOBODYS) as seat:
            seat.share.tokens = seat.share.most = seat.cells = _TRIAL
            self._cells.enter(seat.share, work)
            return try_dialect(seat.server, dialect, work)

    def _plain(self, tool: Tool) -> bool:
        """Whether no text that its calls may have would be broken, see `special_texts`."""
        return all(self._specials.break_specials(text) == text for text in (tool.name, *answer_texts(tool.parameters)))

    def _write(self, task: FineChat, work: Cancellable) -> dict[str, Any]:
        """The conversation, and what may be called, as llama.cpp is told."""
        dialect = self.dialect(work)
        assert dialect is not None, "see _serves()"
        write = self._specials.break_specials
        turns = make_messages(adapt(task.messages, dialect.ids), write)
        begun = turns.pop()["content"] if task.continue_final else ""
        if task.must_call:
            begun += dialect.opener
        told: dict[str, Any] = {"messages": turns, **self._think(task)}
        if task.tools:
            told["tools"] = write_tools(task.tools, write)
        told["tool_choice"] = "required" if task.must_call else "auto"
        if not task.parallel_calls:
            told["parallel_tool_calls"] = False
        if begun:
            turns.append({"role": "assistant", "content": begun})
            told |= {"continue_final_message": "content", "add_generation_prompt": False}
        return told

    def _think(self, task: FineChat) -> dict[str, Any]:
        """What the task says of thinking, as llama.cpp is told."""
        given: dict[str, Any] = json.loads(task.template_kwargs) if task.template_kwargs else {}
        variables = make_variables(given, self._specials.break_specials) | self._thoughts.variables(task)
        told: dict[str, Any] = {"chat_template_kwargs": variables} if variables else {}
        if task.thinking_budget is not None:
            told["thinking_budget_tokens"] = task.thinking_budget
        return told


def _fine(task: Chat) -> FineChat:
    return task if isinstance(task, FineChat) else FineChat(**structs.asdict(task))
