"""Thoughts: where they begin and end in what a model writes, and how many there may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from shared.protocol import Delta


class Stage(Enum):
    """Where an answer is."""

    OPEN = auto()
    """At a place where thoughts may begin."""
    THOUGHTS = auto()
    CONTENT = auto()


@dataclass(frozen=True, slots=True)
class Tags:
    """What a model writes around its thoughts, each with the white space that its template has there."""

    begin: str
    """Before them; empty where nobody knows, because the template always writes it."""
    end: str
    """Between them and the content."""
    begun: str
    """How a prompt ends in which the template has begun them."""
    header: str = ""
    """What may stand within `end`, for there the content is a turn of its own: it begins so, and more thoughts may."""

    @property
    def closing(self) -> str:
        """What ends the thoughts, whatever comes after it."""
        return (self.end.partition(self.header)[0] if self.header else self.end).strip()

    @property
    def opening(self) -> str:
        """What begins the content, also where there are no thoughts; mostly nothing."""
        return self.end.partition(self.header)[2].strip() if self.header else ""

    @property
    def doors(self) -> dict[str, Stage]:
        """Where an answer is after one of these, at a place where thoughts may begin."""
        doors = {self.begin.strip(): Stage.THOUGHTS, self.opening: Stage.CONTENT}
        doors |= {self.header + text: stage for text, stage in doors.items() if self.header and text}
        return {text: doors[text] for text in sorted(doors, key=len, reverse=True) if text}

    def stage(self, prompt: str) -> Stage:
        """Of the answer to a prompt, before its first token."""
        written = prompt.rstrip()
        if written.endswith(self.begun.strip()):
            return Stage.THOUGHTS
        return Stage.CONTENT if written.endswith(self.end.strip()) else Stage.OPEN


@dataclass(frozen=True, slots=True)
class Thinking:
    """How one answer is to think. Without `tags` it does not, or nobody knows how its thoughts are told."""

    tags: Tags | None = None
    stage: Stage = Stage.CONTENT
    """Before its first token."""
    budget: int | None = None
    """Tokens of thoughts at most."""
    closing: tuple[int, ...] = ()
    """Tokens that end the thoughts when there are so many."""
    told: bool = False
    """The prompt has some text of that stage, and the answer goes on with it."""
    specials: tuple[str, ...] = ()
    """What the tags consist of; among it are special tokens, which the engine may have to be told to tell."""

    def after(self, pieces: Sequence[Delta]) -> Stage:
        """Where the answer is after these."""
        if not self.tags or self.stage is Stage.CONTENT or not all(piece.reasoning for piece in pieces):
            return Stage.CONTENT
        return Stage.THOUGHTS if pieces else self.stage

    def left(self, pieces: Sequence[Delta]) -> int | None:
        """How many more tokens of thoughts there may be after these; None: any number, or it does not think now."""
        if self.budget is None or self.after(pieces) is not Stage.THOUGHTS:
            return None
        return max(0, self.budget - sum(len(piece.tokens) for piece in pieces))

    def write(self, pieces: Sequence[Delta]) -> list[str]:
        """What the model has written, as far as these pieces tell: tags and texts in turn, a tag first."""
        thoughts = "".join(piece.text for piece in pieces if piece.reasoning)
        content = "".join(piece.text for piece in pieces if not piece.reasoning)
        thought = any(piece.reasoning for piece in pieces)
        if not self.tags or not (thought or self.stage is Stage.THOUGHTS):
            return ["", content]
        begin = self.tags.begin if self.stage is Stage.OPEN else ""
        over = self.after(pieces) is Stage.CONTENT
        return [begin, thoughts, *([self.tags.end, content] if over else [])]
