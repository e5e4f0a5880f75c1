"""What a model's template knows of thoughts, as llama.cpp takes it apart: it knows some thirty families of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shared.card import Ability
from shared.errors import InferqError
from shared.protocol import Chat, FineChat, FineMessage
from worker.engines.llama_cpp_server import LlamaServer
from worker.engines.llama_cpp_text import LlamaText
from worker.engines.thoughts import Stage, Tags, Thinking

_QUESTION, _THOUGHT, _ANSWER = "Question 1", "Thought 1", "Answer 1"
"""Texts that no template has."""
_SWITCHES = ("enable_thinking", "thinking")
"""What templates call it."""
_EFFORT = "reasoning_effort"


@dataclass(frozen=True, slots=True)
class Thoughts:
    """Of one model; without `tags` it has none that could be told apart."""

    tags: Tags | None = None
    switches: bool = False
    """The template can be told not to think."""
    effort: bool = False
    """The template can be told how much to think."""
    closing: tuple[int, ...] = ()
    """The tokens of the tag that ends them."""
    specials: tuple[str, ...] = ()
    """What the tags consist of: special tokens among it are no text unless llama.cpp is told so."""

    @property
    def abilities(self) -> tuple[Ability, ...]:
        return ((Ability.REASONING,) if self.tags else ()) + ((Ability.EFFORT,) if self.effort else ())

    def variables(self, task: Chat) -> dict[str, Any]:
        """What the template is told."""
        variables: dict[str, Any] = {}
        if isinstance(task, FineChat):
            if task.thinking is not None:
                variables |= dict.fromkeys(_SWITCHES, task.thinking)
            if task.effort:
                variables[_EFFORT] = task.effort
            if task.thinking_budget is not None:
                variables["thinking_budget"] = task.thinking_budget
        return variables

    def begin(self, task: Chat, prompt: str) -> tuple[list[str], Thinking]:
        """What the answer begins with, after a prompt with this end: tags and texts in turn, a tag first."""
        last = task.messages[-1]
        content = last.content if task.continue_final else ""
        if not self.tags:
            return ["", content], Thinking()
        stage, tags = self.tags.stage(prompt), self.tags
        refused, budget = (
            (task.thinking is False, task.thinking_budget) if isinstance(task, FineChat) else (False, None)
        )
        if refused and not self.switches and stage is not Stage.CONTENT:
            return [self._opener(stage) + tags.end, content], self._thinking(Stage.CONTENT, told=bool(content))
        thoughts = last.reasoning if task.continue_final and isinstance(last, FineMessage) else ""
        if thoughts and stage is not Stage.CONTENT:
            begun = [self._opener(stage), thoughts, *([tags.end, content] if content else [])]
            return begun, self._thinking(Stage.CONTENT if content else Stage.THOUGHTS, budget, told=True)
        if content:
            return [tags.end if stage is Stage.THOUGHTS else "", content], self._thinking(Stage.CONTENT, told=True)
        return [], self._thinking(stage, budget)

    def _thinking(self, stage: Stage, budget: int | None = None, *, told: bool = False) -> Thinking:
        return Thinking(self.tags, stage, budget, self.closing, told, self.specials)

    def _opener(self, stage: Stage) -> str:
        assert self.tags
        return self.tags.begin if stage is Stage.OPEN else ""


def learn_thoughts(server: LlamaServer, text: LlamaText, vocabulary: Sequence[bytes]) -> Thoughts:
    """Asks llama.cpp how it would go on with an answer that has thoughts.

    A template that it can make nothing of has none.
    """
    try:
        plain = _render(server)
        begun = _render(server, add_generation_prompt=False)
        going_on = _render(server, _THOUGHT, add_generation_prompt=False, continue_final_message="content")
        tags = find_tags(plain, begun, going_on)
        if not tags:
            return Thoughts()
        switched = {_render(server, chat_template_kwargs=dict.fromkeys(_SWITCHES, on)) for on in (True, False)}
        efforts = {_render(server, chat_template_kwargs={_EFFORT: effort}) for effort in ("low", "high")}
        closing = text.tokens([tags.end], begins=False)
        known = {
            vocabulary[token].decode(errors="replace") for token in text.tokens([tags.begin], begins=False) + closing
        }
        specials = sorted(piece for piece in known if piece.strip() and piece in tags.begin + tags.end)
        return Thoughts(tags, len(switched) > 1, len(efforts) > 1, tuple(closing), tuple(specials))
    except InferqError:
        return Thoughts()


def find_tags(plain: str, turns: str, going_on: str) -> Tags | None:
    """From what is made of a question: the prompt; the question alone; and the prompt with a begun answer."""
    before, found, content = going_on.rpartition(_ANSWER)[0].rpartition(_THOUGHT)
    if not found or not content.strip():
        return None
    header = plain[len(turns) :] if plain.startswith(turns) else plain.rpartition(_QUESTION)[2]
    written, name = plain.rstrip(), content.strip()
    if before.startswith(written) and before[len(written) :].strip():  # the model begins them
        begin = before[len(plain if before.startswith(plain) else written) :]
        header = header.strip()
        return Tags(begin, content, begin, header=header if header and header in content else "")
    # The template has begun them. The model may do so where it has not, with what mostly is the end's counterpart.
    for twin in (name.replace("/", "", 1), name.replace("END", "START", 1)):
        if twin != name and twin in header:
            begin = header[header.rindex(twin) :]
            begin = twin if begin.strip() != twin else begin
            return Tags(begin, content, begin)
    return Tags("", content, header)


def _render(server: LlamaServer, thought: str = "", **options: Any) -> str:
    messages: list[dict[str, Any]] = [{"role": "user", "content": _QUESTION}]
    if thought:
        messages.append({"role": "assistant", "reasoning_content": thought, "content": _ANSWER})
    return str(server.ask("/apply-template", {"messages": messages, **options})["prompt"])
