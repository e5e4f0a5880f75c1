"""Stop strings, and the text of an answer as it may be sent. A token is a byte here."""

from __future__ import annotations

from worker.engines.stops import Piece, Spelling, StopStrings


def spell(text: bytes, *stops: str) -> tuple[Spelling, list[tuple[str, tuple[int, ...]] | None]]:
    """What each byte lets out."""
    spelling = Spelling(StopStrings(stops))
    pieces = [spelling.add(bytes([byte]), byte) for byte in text]
    return spelling, [(piece.text, piece.tokens) if piece else None for piece in pieces]


def test_the_first_stop_string_cuts() -> None:
    stops = StopStrings(("two", "one"))
    assert stops.cut("zero one two") == "zero "
    assert stops.cut("one") == ""
    assert stops.cut("zero") is None
    assert StopStrings(()).cut("zero") is None


def test_what_may_become_a_stop_string() -> None:
    stops = StopStrings(("\n\n", "END"))
    assert [text for text in ("a", "a\n", "an E", "an EN", "an ENd", "") if stops.may_follow(text)] == [
        "a\n",
        "an E",
        "an EN",
    ]


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


def test_an_answer_ends_before_a_stop_string() -> None:
    spelling, pieces = spell(b"xyab", "yab", "b")
    assert pieces == [("x", (120,)), None, None, None]
    assert spelling.stopped
    assert spelling.rest() == Piece("", (121, 97, 98), 0.0)
    assert spell(b"xab", "b")[0].stopped
    assert not spell(b"xa", "b")[0].stopped


def test_the_rest_is_without_the_character_that_is_not_whole() -> None:
    spelling, pieces = spell(b"ab\xc3", "abc")
    assert pieces == [None] * 3
    assert len(spelling) == 3
    spelling.hold(2)
    assert spelling.rest() == Piece("ab", (97, 98, 0xC3, 2), 0.0)
    assert len(spelling) == 0


def test_a_token_without_text_goes_out_with_the_next() -> None:
    spelling = Spelling(StopStrings(()))
    assert spelling.add(b"", 1, -1.0) is None
    assert spelling.add(b"a", 2, -0.5) == Piece("a", (1, 2), -1.5)
