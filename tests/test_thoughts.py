"""Thoughts and content, as they come out of what a model writes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from worker.engines.splitter import Splitter
from worker.engines.stops import Piece, stop_strings
from worker.engines.thoughts import Stage, Tags, Thinking

THINK = Tags("<think>\n", "\n</think>\n\n", "<think>")
CHANNELS = Tags(
    "<|channel|>analysis<|message|>",
    "<|end|><|start|>assistant<|channel|>final<|message|>",
    "<|channel|>analysis<|message|>",
    header="<|start|>assistant",
)
STOPS = stop_strings(("STOP", "\n\n\n"))


def read(splitter: Splitter, text: str, cuts: list[int], first: int = 0) -> list[Piece]:
    """What it says of a text whose tokens, numbered from `first`, end at the cuts."""
    said, at = [], 0
    for number, cut in enumerate([*cuts, len(text)], first):
        said += splitter.say(text[at:cut], number)
        at = cut
        if splitter.stopped:
            break
    return said + splitter.rest()


def parts(pieces: list[Piece]) -> tuple[str, str]:
    return tuple("".join(p.text for p in pieces if p.reasoning is kind) for kind in (True, False))  # type: ignore[return-value]  # two of them


def expected(text: str, tags: Tags, stage: Stage) -> tuple[str, str]:
    """The same, of the whole text at once."""
    thoughts, trims = "", stage is not Stage.OPEN
    while stage is not Stage.CONTENT:
        if stage is Stage.OPEN:
            door = next((d for d in tags.doors if text.lstrip().startswith(d)), None)
            if door is None:
                break
            text, stage, trims = text.lstrip().removeprefix(door), tags.doors[door], True
        else:
            part, tag, text = text.partition(tags.closing)
            part, trims = part.rstrip(), True
            thoughts += part.lstrip()
            stage = (Stage.OPEN if tags.header else Stage.CONTENT) if tag else Stage.CONTENT
    content = text.lstrip() if trims else text
    ends = [i for i in (content.find("STOP"), content.find("\n\n\n")) if i >= 0]
    return thoughts, content[: min(ends)] if ends else content


WORDS = ["<think>", "</think>", "<", "</th", "think>", "\n", " ", "STOP", "ST", "a", "é", "Paris"]
CHANNEL_WORDS = [*CHANNELS.doors, "<|end|>", "<|start|>assistant", "<|en", "<|", "\n", "STOP", "b", "ß"]


@given(st.data())
def test_however_a_text_is_cut_it_has_the_same_thoughts_and_content(data: st.DataObject) -> None:
    tags, words = data.draw(st.sampled_from([(THINK, WORDS), (CHANNELS, CHANNEL_WORDS)]))
    stage = data.draw(st.sampled_from(Stage))
    text = "".join(data.draw(st.lists(st.sampled_from(words), max_size=12)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = read(Splitter(Thinking(tags, stage), STOPS), text, cuts)
    assert parts(pieces) == expected(text, tags, stage)
    told = [token for piece in pieces for token in piece.tokens]
    assert told == list(range(len(told)))
    # Whoever goes on after a part of the pieces comes to the same: what was held back is written anew.
    # (A token that has both thoughts and content, or a part of the tag between them, is told with the thoughts. Of
    # models that think the tag is a token.)
    ends = [*cuts, len(text)]
    whole = [i for i, piece in enumerate(pieces) if piece.tokens and _is_whole(pieces[:i], text, ends)]
    keep = data.draw(st.sampled_from([0, *whole]))
    past = [piece.tell() for piece in pieces[:keep]]
    count = sum(len(p.tokens) for p in past)
    at = ends[count - 1] if count else 0
    rest = (
        read(Splitter(Thinking(tags, stage), STOPS, past), text[at:], [c - at for c in cuts[count:]], count)
        if count < len(ends)
        else []
    )
    assert parts(pieces[:keep] + rest) == parts(pieces)


def _is_whole(past: list[Piece], text: str, ends: list[int]) -> bool:
    """Whether the tokens of these pieces end where their text does."""
    told = sum(len(piece.tokens) for piece in past)
    written = text[: ends[told - 1]].rstrip() if told else ""
    return not past or not past[-1].reasoning or written.endswith(past[-1].text.rstrip())
