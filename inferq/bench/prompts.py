"""Prompts of a wished length: none begins as another does, or all but their ends are the same."""

from __future__ import annotations

import random

_TEXT = """
able above across after again air all along also always and animal answer any apple area arm around ask away back ball
bank base bear beat bed before begin behind best better between big bird black blue boat body book both bottom box boy
bread bridge bright bring brown build burn busy buy call came can car care carry case catch cause chair change child
city class clean clear climb clock close cloud coat cold color come cook cool copy corn count country cover cross cry
cut dance dark day deep desk dog door down draw dream dress drink drive drop dry dust each early earth east easy eat
edge egg end even ever every eye face fact fall family far farm fast father fear feel few field fight fill find fine
fire fish five floor flower fly follow food foot force forest form four free friend from front fruit full game garden
gate girl give glass gold good grass great green ground group grow half hand happy hard hat head hear heart heat heavy
help here high hill hold home horse hot hour house ice idea inside iron island job join jump keep key kind king know
lake land large last late laugh lead leaf learn leave left leg less letter life light line list little long look lost
love low machine make
"""
_WORDS = _TEXT.split()
_TAIL = 8
"""Words that differ after what is shared."""
STORY = "Tell a long story in which all of the above words come."
QUOTE = "Write all of the above words down once more, in the same order."
"""What an answer is to be made of, as of a text that is corrected or put into another form."""


class PromptMaker:
    """Of one length, for one bench."""

    def __init__(self, words: int, *, cached: bool) -> None:
        """`cached`: each begins with the same words, which a server with a cache of prefixes reads once."""
        self._words = max(1, words)
        self._shared = self._draw(max(1, words - _TAIL)) if cached else ""

    def make(self, task: str = STORY) -> str:
        drawn = f"{self._shared} {self._draw(_TAIL)}" if self._shared else self._draw(self._words)
        return f"{drawn}\n{task}"

    @staticmethod
    def _draw(count: int) -> str:
        return " ".join(random.choices(_WORDS, k=count))
