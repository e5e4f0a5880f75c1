"""An answer as it is told while it comes: its thoughts, then its content.

All of it takes a time that grows with the text.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from shared.protocol import Delta
from worker.engines.stops import Letters, Piece, StopStrings, Token, go_on, join, stop_strings
from worker.engines.thoughts import Stage, Thinking


class Splitter:
    """Takes an answer token by token: its thoughts, then its content, which ends before the first stop string.

    Tokens are held back until their text ends with a whole character, and no part of it can belong to a tag, to a stop
    string, or to the white space around the thoughts, which is dropped. All go out in their order: those of the tag
    that begins the thoughts with these, those of the one that ends them with the content.
    """

    def __init__(self, thinking: Thinking, stops: StopStrings, pieces: Sequence[Delta] = (), least: int = 0) -> None:
        """Of what comes after these pieces; see also `go_on`."""
        self.stage = thinking.after(pieces)
        self._doors: dict[str, Stage] = {}
        if tags := thinking.tags:
            self._doors, self._again, self._end = tags.doors, bool(tags.header), stop_strings((tags.closing,))
            self._size = len(tags.closing)
        told = any(piece.text for piece in pieces if piece.reasoning is (self.stage is Stage.THOUGHTS))
        told = told or (thinking.told and self.stage is thinking.stage)
        thought = thinking.stage is not Stage.OPEN or any(piece.reasoning for piece in pieces)
        self._trims = bool(tags) and thought and not told
        """White space at the beginning is dropped."""
        self._content = go_on(stops, pieces, least)
        self._letters = Letters()
        self._count = 0  # of the tokens that are held
        self._loose: list[Token] = []  # those whose text has not come
        self._word = ""  # the beginning of that text
        self._held = deque[Piece]()  # of the beginning, or of the thoughts
        self._start = ""  # their text, where it may become a tag that begins
        self._state = 0  # of the tag that ends them
        self._tag = ""  # the part of it that is there
        self._length = self._solid = 0  # characters held, and how many of them are surely thoughts

    def __len__(self) -> int:
        """How many tokens are held back."""
        return self._count

    @property
    def stop(self) -> str:
        """The stop string that has come; what was before it is the `rest`."""
        return self._content.stop

    @property
    def stopped(self) -> bool:
        """A stop string has come."""
        return self._content.stopped

    def hold(self, *tokens: Token) -> None:
        """Tokens without a text of their own come: they go out with the next that has one."""
        self._loose += tokens
        self._count += len(tokens)

    def add(self, text: bytes, token: Token) -> list[Piece]:
        """A token comes, with its text. What can be sent now."""
        return self.say(self._letters.read(text), token)

    def say(self, text: str, *tokens: Token) -> list[Piece]:
        """As `add`, for tokens whose text consists of characters."""
        self.hold(*tokens)
        self._word += text
        if not self._letters.whole or not self._word:
            return []
        return self._send(self._go_on(self._close()))

    def rest(self) -> list[Piece]:
        """What is held back, at the end or where the answer is parted; a character that is not whole is lost."""
        pieces = self._go_on(self._close()) if self._word else []
        if self.stage is Stage.THOUGHTS:
            held = join(self._held)
            pieces.append(Piece(self._trim(held.text.rstrip()), held.tokens, reasoning=True))
        elif self.stage is Stage.OPEN:
            pieces += self._settle()
        self._held.clear()
        self._length = self._solid = 0
        pieces.append(self._content.rest())
        loose = self._close()
        pieces.append(Piece(loose.text, loose.tokens, reasoning=self.stage is Stage.THOUGHTS))
        return self._send([piece for piece in pieces if piece.text or piece.tokens])

    def _send(self, pieces: list[Piece]) -> list[Piece]:
        self._count -= sum(len(piece.tokens) for piece in pieces)
        return pieces

    def _close(self) -> Piece:
        piece = Piece(self._word, tuple(self._loose))
        self._word, self._loose = "", []
        return piece

    def _go_on(self, piece: Piece) -> list[Piece]:
        match self.stage:
            case Stage.OPEN:
                return self._begin(piece)
            case Stage.THOUGHTS:
                return self._think(piece)
            case Stage.CONTENT:
                return self._answer(piece)

    def _begin(self, piece: Piece) -> list[Piece]:
        """Thoughts may begin, after white space."""
        self._held.append(piece)
        self._start = (self._start + piece.text).lstrip()
        door = next((door for door in self._doors if self._start.startswith(door)), None)
        if door is not None:
            held, text = join(self._held), self._start.removeprefix(door)
            self._held.clear()
            self.stage, self._trims, self._start = self._doors[door], True, ""
            return self._go_on(Piece(text, held.tokens))
        if any(door.startswith(self._start) for door in self._doors):
            return []
        return self._settle()

    def _settle(self) -> list[Piece]:
        """There are no thoughts, or no more."""
        held, self._start, self.stage = list(self._held), "", Stage.CONTENT
        self._held.clear()
        return [said for piece in held for said in self._answer(piece)]

    def _think(self, piece: Piece) -> list[Piece]:
        before = self._length
        self._held.append(piece)
        self._length += len(piece.text)
        self._state, start = self._end.follow(piece.text, self._state)
        if start is not None:
            return self._conclude(before + start)
        text = self._tag + piece.text
        begun = self._end.begun(self._state)
        text, self._tag = text[: len(text) - begun], text[len(text) - begun :]
        if solid := text.rstrip():
            self._solid = self._length - begun - len(text) + len(solid)
        ripe = []
        while self._held and len(self._held[0].text) <= self._solid:
            ripe.append(self._held.popleft())
            self._solid -= len(ripe[-1].text)
            self._length -= len(ripe[-1].text)
        said = join(ripe)
        return [Piece(self._trim(said.text), said.tokens, reasoning=True)] if ripe else []

    def _conclude(self, start: int) -> list[Piece]:
        """The tag that ends the thoughts begins there."""
        text = "".join(piece.text for piece in self._held)
        thoughts, content = text[:start].rstrip(), text[start + self._size :]
        last, at = list[Piece](), 0
        while at < len(thoughts):
            last.append(self._held.popleft())
            at += len(last[-1].text)
        said, tag = join(last), join(self._held)
        self._held.clear()
        pieces = [Piece(self._trim(thoughts), said.tokens, reasoning=True)] if last else []
        self._state, self._tag, self._length, self._solid = 0, "", 0, 0
        self.stage, self._trims = Stage.OPEN if self._again else Stage.CONTENT, True
        return pieces + self._go_on(Piece(content, tag.tokens))

    def _answer(self, piece: Piece) -> list[Piece]:
        said = self._content.say(self._trim(piece.text), *piece.tokens)
        return [said] if said else []

    def _trim(self, text: str) -> str:
        """The text, without the white space that a part begins with."""
        if self._trims and (text := text.lstrip()):
            self._trims = False
        return text
