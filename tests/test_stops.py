"""Stop strings, and the text of an answer as it may be sent. A token is a byte here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InvalidRequest
from shared.protocol import Delta, TokenLogprob
from worker.engines.stops import LARGEST_STOPS, Piece, Spelling, StopStrings, Token, stop_strings

few = st.text("ab", min_size=1, max_size=5)


def spell(text: bytes, *stops: str, before: str = "") -> tuple[Spelling, list[tuple[str, tuple[Token, ...]] | None]]:
    """What each byte lets out."""
    spelling = Spelling(StopStrings(stops), before)
    pieces = [spelling.add(bytes([byte]), byte) for byte in text]
    return spelling, [(piece.text, piece.tokens) if piece else None for piece in pieces]


def first(text: str, stops: Sequence[str]) -> int | None:
    """Where the stop string begins that ends first, found by looking everywhere."""
    ends = [(end, -len(stop)) for end in range(len(text) + 1) for stop in stops if text[:end].endswith(stop)]
    return sum(min(ends)) if ends else None


@given(st.lists(few, max_size=4), st.text("ab", max_size=30), st.integers(0, 30))
def test_they_are_found_as_by_looking_everywhere(stops: list[str], text: str, cut: int) -> None:
    automaton = StopStrings(stops)
    assert automaton.follow(text)[1] == first(text, stops)
    state, start = automaton.follow(text[:cut])
    if start is None:
        begun = [stop[:size] for stop in stops for size in range(1, len(stop)) if text[:cut].endswith(stop[:size])]
        assert automaton.begun(state) == max(map(len, begun), default=0)
        found = automaton.follow(text[cut:], state)[1]
        assert (None if found is None else found + min(cut, len(text))) == first(text, stops)


@given(st.lists(few, max_size=4), st.text("abé", max_size=30))
def test_nothing_of_a_stop_string_is_sent_and_nothing_else_is_kept(stops: list[str], text: str) -> None:
    spelling = Spelling(StopStrings(stops))
    sent: list[Piece] = []
    for at, byte in enumerate(text.encode()):
        if spelling.stopped:
            break
        if piece := spelling.add(bytes([byte]), at):
            sent.append(piece)
    sent.append(spelling.rest())
    assert "".join(piece.text for piece in sent) == text[: first(text, stops)]
    tokens = [token for piece in sent for token in piece.tokens]
    assert tokens == list(range(len(tokens)))
    assert len(spelling) == 0


def test_the_first_stop_string_cuts() -> None:
    stops = StopStrings(("two", "one"))
    assert stops.follow("zero one two")[1] == len("zero ")
    assert stops.follow("one")[1] == 0
    assert stops.follow("zero")[1] is None
    assert StopStrings(()).follow("zero")[1] is None


class CountedSteps(dict[int, int]):
    """Counts how often it is asked."""

    def __init__(self, steps: dict[int, int]) -> None:
        super().__init__(steps)
        self.counts = Counter[str]()

    def get(self, key: int, default: int | None = None) -> int | None:  # type: ignore[override]  # it takes no other default
        self.counts["get"] += 1
        return super().get(key, default)


@pytest.mark.parametrize(
    ("stops", "letters"),
    [
        (["a" * 10_000 + "b"], "a" * 20_000),
        (["a" * size + "b" for size in range(1, 300)], "a" * 20_000),
        (["ab" * 5_000 + "c", "ba" * 5_000 + "c"], "abb" * 7_000),
        ([chr(0x4E00 + number) for number in range(5_000)], "一丁a" * 7_000),
    ],
    ids=["one long", "many", "two", "short"],
)
def test_a_character_is_looked_at_twice_at_most_whatever_the_stop_strings(stops: list[str], letters: str) -> None:
    automaton = StopStrings(stops)
    steps = automaton._steps = CountedSteps(automaton._steps)
    state = 0
    for letter in letters:
        state, _ = automaton.follow(letter, state)
    assert 0 < steps.counts["get"] <= 2 * len(letters)


def test_they_have_a_bound() -> None:
    StopStrings(("a" * LARGEST_STOPS,))
    with pytest.raises(InvalidRequest, match=f"more than {LARGEST_STOPS} characters") as refusal:
        StopStrings(("a" * LARGEST_STOPS, "b"))
    assert refusal.value.param == "stop"


def test_whole_characters() -> None:
    assert spell("aé😀".encode())[1] == [
        ("a", (97,)),
        None,
        ("é", (0xC3, 0xA9)),
        *[None] * 3,
        ("😀", (0xF0, 0x9F, 0x98, 0x80)),
    ]


def test_what_is_no_utf8_is_not_waited_for() -> None:
    assert spell(b"\xf0a")[1] == [None, ("\ufffda", (0xF0, 97))]


def test_stop_strings_are_waited_for() -> None:
    assert spell(b"xabz", "abc")[1] == [("x", (120,)), None, None, ("abz", (97, 98, 122))]


def test_no_more_waits_than_may_belong_to_a_stop_string() -> None:
    assert spell(b"aaaa", "aab")[1] == [None, None, ("a", (97,)), ("a", (97,))]


def test_an_answer_ends_before_a_stop_string() -> None:
    spelling, pieces = spell(b"xyab", "yab", "b")
    assert pieces == [("x", (120,)), None, None, None]
    assert spelling.stop == "yab"
    assert spelling.rest() == Piece("", (121, 97, 98))
    assert spell(b"xab", "b")[0].stop == "b"
    assert not spell(b"xa", "b")[0].stopped


def test_the_stop_string_is_told_that_ends_first() -> None:
    spelling = Spelling(StopStrings(("bcd", "abc")))
    assert spelling.say("xabcd", 1) is None
    assert spelling.stop == "abc"
    assert spell(b"xabc", "bc", "", "c", "abc")[0].stop == "abc"
    assert spell(b"c", "bcd", "bc", before="xab")[0].stop == "bc"


def test_what_was_sent_may_begin_a_stop_string() -> None:
    spelling, pieces = spell(b"c", "abc", before="xab")
    assert spelling.stopped
    assert pieces == [None]
    assert spelling.rest().text == ""


def test_the_rest_is_without_the_character_that_is_not_whole() -> None:
    spelling, pieces = spell(b"ab\xc3", "abc")
    assert pieces == [None] * 3
    assert len(spelling) == 3
    spelling.hold(2)
    assert spelling.rest() == Piece("ab", (97, 98, 0xC3, 2))
    assert len(spelling) == 0


def test_a_token_without_text_goes_out_with_the_next() -> None:
    spelling = Spelling(StopStrings(()))
    first, second = TokenLogprob(1, b"", -1.0), TokenLogprob(2, b"a", -0.5)
    assert spelling.add(b"", first) is None
    piece = spelling.add(b"a", second)
    assert piece == Piece("a", (first, second))
    assert piece.tell("stop") == Delta("a", (1, 2), finish_reason="stop", logprobs=(first, second))


def test_all_choices_of_a_job_have_one_automaton() -> None:
    assert stop_strings(("a", "b")) is stop_strings(("a", "b"))
