"""The text of an answer as it may be sent: whole characters, and nothing that may become a stop string.

All of it takes a time that grows with the text and the stop strings, never with their product, whatever they are.
"""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from shared.errors import InvalidRequest
from shared.protocol import Delta, FinishReason, TokenLogprob

LARGEST_STOPS = 65_536
"""Characters of all stop strings of a job together; each takes about 300 bytes while the answer is computed."""
_KEPT = 4
"""How many are remembered: a job's choices all have the same, which may take milliseconds to make."""
_CHARACTERS = 21
"""Bits of a character's number."""

Token = int | TokenLogprob
"""One of an answer: its id, or also how likely it was. All of an answer are the same of both."""


class StopStrings:
    """What ends an answer: Aho and Corasick's automaton, which looks at each character once.

    A state stands for the longest end of a text that a stop string begins with; 0 for none.

    They count only before the first `opener`, if there is one to look for.

    Raises InvalidRequest where they are larger than `LARGEST_STOPS`.
    """

    def __init__(self, stops: Sequence[str], opener: str = "") -> None:
        if sum(map(len, stops)) > LARGEST_STOPS:
            raise InvalidRequest(f"the stop strings have more than {LARGEST_STOPS} characters together", param="stop")
        self._steps: dict[int, int] = {}  # from a state and a character to the state of one more
        self._shorter = [0]  # of each state, the one of the next shorter end
        self._complete = [""]  # and the longest stop string that ends there
        self._lengths = [0]
        # All of one length before the next: what `_step` needs is there when a state is made.
        alive, length = [(stop, 0) for stop in (*stops, opener) if stop] if any(stops) else [], 0
        while alive:
            grown = [(stop, self._grow(state, ord(stop[length]))) for stop, state in alive]
            length += 1
            for stop, state in grown:
                if len(stop) == length:
                    self._complete[state] = stop
            alive = [(stop, state) for stop, state in grown if len(stop) > length]
        over = 0
        for character in opener:
            over = self._step(over, ord(character))
        self._over = over or -1  # once it is in this state, it stays there

    def follow(self, text: str, state: int = 0) -> tuple[int, int | None]:
        """Go on from a state with a text: to which state; and where in the text the stop string begins that ends first.

        That is None where none ends, and negative for one that had begun before this text. Of those that end at one
        place the longest counts. After it nothing is looked at.
        """
        if self._steps and state != self._over:
            for end, character in enumerate(text, 1):
                state = self._step(state, ord(character))
                if state == self._over:
                    break
                if stop := self._complete[state]:
                    return state, end - len(stop)
        return state, None

    def ended(self, state: int) -> str:
        """The stop string that has ended there; empty where none has."""
        return self._complete[state]

    def begun(self, state: int) -> int:
        """How many characters of a stop string there are already."""
        return self._lengths[state] if state != self._over else 0

    def _step(self, state: int, character: int) -> int:
        while (found := self._steps.get(state << _CHARACTERS | character)) is None and state:
            state = self._shorter[state]
        return found or 0

    def _grow(self, state: int, character: int) -> int:
        key = state << _CHARACTERS | character
        if key not in self._steps:
            shorter = self._step(self._shorter[state], character) if state else 0
            self._steps[key] = len(self._lengths)
            self._shorter.append(shorter)
            self._complete.append(self._complete[shorter])
            self._lengths.append(self._lengths[state] + 1)
        return self._steps[key]


@lru_cache(_KEPT)
def stop_strings(stops: tuple[str, ...], opener: str = "") -> StopStrings:
    """The automaton of a job's stop strings, which nobody changes. Raises InvalidRequest, see there."""
    return StopStrings(stops, opener)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the answer that can be sent, and the tokens that it is made of."""

    text: str
    tokens: tuple[Token, ...]
    reasoning: bool = False
    """It is of the thoughts."""

    def tell(self, finish_reason: FinishReason | None = None, stop: str = "") -> Delta:
        """As it is sent. `stop` is what has ended the answer, see `Delta.stop`."""
        logprobs = tuple(token for token in self.tokens if isinstance(token, TokenLogprob))
        return Delta(
            self.text,
            tuple(token if isinstance(token, int) else token.token for token in self.tokens),
            finish_reason=finish_reason,
            reasoning=self.reasoning,
            logprobs=logprobs,
            stop=stop,
        )


class Letters:
    """Takes the bytes of tokens, which may be parts of characters."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def read(self, text: bytes) -> str:
        """The characters that are whole now."""
        return self._decoder.decode(text)

    @property
    def whole(self) -> bool:
        """No part of a character is there."""
        return not self._decoder.getstate()[0]


class Spelling:
    """Takes an answer token by token, and ends it before the first stop string.

    Tokens are held back until their text ends with a whole character, and no part of it can belong to a stop string.
    """

    def __init__(self, stops: StopStrings, before: str = "") -> None:
        """`before` is what of the answer was sent already."""
        self.stop = ""
        """The stop string that has come; what was before it is the `rest`."""
        self._stops = stops
        self._state, _ = stops.follow(before)
        self._letters = Letters()
        self._held: deque[Piece] = deque()  # these are whole
        self._text: list[str] = []  # of the tokens after them, whose text is not
        self._tokens: list[Token] = []
        self._characters = self._count = 0  # of all that is held back

    def __len__(self) -> int:
        """How many tokens are held back."""
        return self._count

    @property
    def stopped(self) -> bool:
        """A stop string has come."""
        return bool(self.stop)

    def hold(self, *tokens: Token) -> None:
        """Tokens without a text of their own come: they go out with the next that has one."""
        self._tokens += tokens
        self._count += len(tokens)

    def add(self, text: bytes, token: Token) -> Piece | None:
        """A token comes, with its text. What can be sent now; None while nothing can."""
        return self.say(self._letters.read(text), token)

    def say(self, text: str, *tokens: Token) -> Piece | None:
        """As `add`, for tokens whose text consists of characters."""
        self.hold(*tokens)
        self._text.append(text)
        self._state, start = self._stops.follow(text, self._state)
        if start is not None:
            self.stop, self._characters = self._stops.ended(self._state), max(0, self._characters + start)
            return None
        self._characters += len(text)
        if not self._letters.whole or not any(self._text):
            return None
        self._close()
        sent = []
        while self._held and self._characters - len(self._held[0].text) >= self._stops.begun(self._state):
            sent.append(self._held.popleft())
            self._characters -= len(sent[-1].text)
        piece = join(sent)
        self._count -= len(piece.tokens)
        return piece if sent else None

    def rest(self) -> Piece:
        """What is held back, at the end; a character that is not whole is lost."""
        self._close()
        piece = join(self._held)
        self._held.clear()
        kept, self._characters, self._count = self._characters, 0, 0
        return Piece(piece.text[:kept], piece.tokens)

    def _close(self) -> None:
        self._held.append(Piece("".join(self._text), tuple(self._tokens)))
        self._text, self._tokens = [], []


def go_on(stops: StopStrings, pieces: Iterable[Delta], least: int = 0) -> Spelling:
    """Of what comes after these pieces of an answer, whose content may end it from `least` tokens on."""
    count, counting = 0, list[str]()
    for piece in pieces:
        if count >= least:
            counting.append("" if piece.reasoning else piece.text)
        count += len(piece.tokens)
    return Spelling(stops if count >= least else stop_strings(()), "".join(counting))


def join(pieces: Iterable[Piece]) -> Piece:
    """Of one part of an answer."""
    return Piece(
        "".join(piece.text for piece in pieces),
        tuple(token for piece in pieces for token in piece.tokens),
    )
