"""Text is placed by where it belongs: never a gap, never a repeat, whatever executions and numbers it comes with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import gevent
import pytest

from gateway.agreement import Conflict
from gateway.mailbox import LARGEST_MAILBOX, ClientGone, EndBox, Mailbox
from shared.errors import WorkerLost
from shared.protocol import Delta, Done, Encoded, Event, Failed, Progress, StartOver, TokenLogprob, Usage

END = Done(Usage(1, 3))


def taken(box: Mailbox) -> Iterator[Event]:
    while (event := box.take(0)) is not None:
        yield event


def text(box: Mailbox, index: int = 0) -> str:
    return "".join(event.text for event in taken(box) if isinstance(event, Delta) and event.index == index)


def test_events_come_once_and_in_order() -> None:
    box = Mailbox("a", parts=True)
    box.put(1, "x", [Progress(0, 3), Delta("one", (1,))])
    box.put(1, "x", [Progress(0, 3), Delta("one", (1,)), Delta(" two", (2,), offset=3)])
    assert list(taken(box)) == [Progress(0, 3), Delta("one", (1,)), Delta(" two", (2,), offset=3)]
    assert box.place == (3, "x")


def test_what_follows_is_told_by_number_and_execution() -> None:
    box = Mailbox("a", parts=True)
    assert box.follows(1, "x")
    assert not box.follows(2, "x")
    box.put(1, "x", [Delta("one")])
    assert box.has(1, "x")
    assert box.follows(2, "x")
    assert not box.follows(3, "x")
    assert not box.follows(2, "y")  # it may have gone on from something else
    assert not box.has(1, "y")


def test_unknown_events_keep_their_numbers() -> None:
    box = Mailbox("a", parts=True)
    box.put(1, "x", [None, Delta("one"), None])
    assert box.follows(4, "x")
    assert list(taken(box)) == [Delta("one")]
    box.put(4, "x", [Delta(" two", offset=3)])  # what was between took nothing away
    assert list(taken(box)) == [Delta(" two", offset=3)]


def test_an_answer_may_begin_anew_unsaid() -> None:
    """As where a record was cut back so far that an execution found nothing to go on from."""
    box = Mailbox("a", parts=True)
    box.put(1, "x", [Delta("one"), Delta(" two", offset=3), Delta("one t"), Delta("wo three", offset=5)])
    assert text(box) == "one two three"
    with pytest.raises(Conflict):
        box.put(5, "x", [Delta("one two and more")])


class TestAnotherExecution:
    """Redis lost the last second of the first one, and with it what numbers it had given."""

    @pytest.fixture
    def box(self) -> Mailbox:
        box = Mailbox("a", parts=True)
        box.put(1, "x", [Progress(0, 2), Progress(2, 2), Delta("one", (1,)), Delta(" two", (2,), offset=3)])
        box.realign()
        return box

    def test_fills_in_what_is_missing(self, box: Mailbox) -> None:
        box.put(1, "y", [Delta("one", (1,)), Delta(" two", (2,), offset=3), Delta(" three", (3,), offset=7), END])
        assert text(box) == "one two three"
        assert box.ended

    def test_may_cut_its_pieces_elsewhere(self, box: Mailbox) -> None:
        box.put(1, "y", [Delta("on"), Delta("e two th", offset=2), Delta("ree", offset=10, finish_reason="stop")])
        assert text(box) == "one two three"

    def test_is_refused_where_it_says_something_else(self, box: Mailbox) -> None:
        with pytest.raises(Conflict):
            box.put(1, "y", [Delta("one"), Delta(" tWo", offset=3)])
        assert text(box) == "one two"

    def test_is_refused_where_it_leaves_a_gap(self, box: Mailbox) -> None:
        with pytest.raises(Conflict):
            box.put(1, "y", [Delta("three", offset=9)])

    def test_is_refused_where_it_ends_earlier(self, box: Mailbox) -> None:
        with pytest.raises(Conflict):
            box.put(1, "y", [Delta("one", finish_reason="stop")])

    def test_ends_a_choice_once(self, box: Mailbox) -> None:
        box.put(1, "y", [Delta("one two"), Delta(offset=7, finish_reason="stop")])
        box.realign()
        box.put(1, "z", [Delta("one two"), Delta(offset=7, finish_reason="stop"), END])
        ends = [event for event in taken(box) if isinstance(event, Delta) and event.finish_reason]
        assert ends == [Delta(offset=7, finish_reason="stop")]
        box.ended = False
        with pytest.raises(Conflict):
            box.put(9, "z", [Delta(" more", offset=7)])

    def test_is_refused_where_ids_of_tokens_are_told(self) -> None:
        box = Mailbox("a", parts=True)
        box.exact = True
        box.put(1, "x", [Delta("one", (1,))])
        with pytest.raises(Conflict):
            box.realign()

    def test_is_refused_where_it_would_cut_what_is_told_of_tokens(self, box: Mailbox) -> None:
        with pytest.raises(Conflict):
            box.put(1, "y", [Delta("one two three", (1,), logprobs=(TokenLogprob(1, b"one two three", -1.0),))])

    def test_choices_are_placed_apart(self) -> None:
        box = Mailbox("a", parts=True)
        box.put(1, "x", [Delta("a", index=0), Delta("b", index=1), Delta("a", index=0, offset=1)])
        box.realign()
        box.put(1, "y", [Delta("bb", index=1), Delta("aaa", index=0)])
        pieces = [event for event in taken(box) if isinstance(event, Delta)]
        assert ["".join(p.text for p in pieces if p.index == i) for i in (0, 1)] == ["aaa", "bb"]


class TestStartingOver:
    def test_is_told_to_who_waits_for_the_whole(self) -> None:
        box = Mailbox("a")
        box.put(1, "x", [Delta("one")])
        box.put(2, "0", [StartOver()])
        box.put(3, "y", [Delta("other"), END])
        assert list(taken(box)) == [Delta("one"), StartOver(), Delta("other"), END]

    def test_is_nothing_to_who_has_read_a_part(self) -> None:
        """What is computed anew has to be the same for him."""
        box = Mailbox("a", parts=True)
        box.put(1, "x", [Delta("one")])
        box.put(2, "0", [StartOver()])
        box.put(3, "y", [Delta("one two")])
        assert text(box) == "one two"
        with pytest.raises(Conflict):
            box.put(4, "y", [Delta("otherwise")])

    def test_by_the_mailbox_itself(self) -> None:
        box = Mailbox("a")
        box.put(1, "x", [Delta("one")])
        box.start_over()
        box.put(1, "y", [Delta("other")])
        assert list(taken(box)) == [Delta("one"), StartOver(), Delta("other")]


def test_a_failure_is_the_last_event() -> None:
    box = Mailbox("a")
    box.fail(WorkerLost("gone"))
    box.fail(WorkerLost("again"))
    box.put(1, "x", [Delta("late")])
    assert list(taken(box)) == [Failed("worker_lost", "gone")]
    assert box.last == Failed("worker_lost", "gone")


def test_leaving_is_learnt_by_whoever_takes() -> None:
    box = Mailbox("a")
    box.leave()
    with pytest.raises(ClientGone):
        box.take(1)


class TestWhoTellsForHimWhoWaits:
    """`Mailbox.tell`, as `gateway/sse.py` sets it."""

    def wait(self, tell: Callable[[Delta], bool], events: Sequence[Event]) -> tuple[Mailbox, list[Event | None]]:
        """What one takes who waits while these come at one time, numbered from 1."""
        box, took = Mailbox("a", parts=True), list[Event | None]()
        box.tell = tell
        box.put(1, "x", [Delta("zero")])
        assert box.take(0) == Delta("zero"), "nobody waits for it yet, so it is taken"
        waiting = gevent.spawn(lambda: took.append(box.take(5)))
        gevent.sleep(0)  # it waits
        box.put(2, "x", events)
        waiting.join(0.1)
        waiting.kill()
        return box, took

    @staticmethod
    def note(told: list[Delta], enough: bool, piece: Delta) -> bool:
        told.append(piece)
        return enough

    def test_tells_pieces_alone_and_in_order(self) -> None:
        told, end = list[Delta](), Delta(offset=11, finish_reason="stop")
        pieces = [Delta(" one", offset=4), Delta("...", offset=8)]
        box, took = self.wait(partial(self.note, told, True), [*pieces, end])
        assert (told, took, box.place) == (pieces, [end], (4, "x"))

    def test_has_him_go_on_where_the_client_does_not_read_fast_enough(self) -> None:
        told, rest = list[Delta](), Delta("...", offset=8)
        box, took = self.wait(partial(self.note, told, False), [Delta(" one", offset=4), rest])
        assert (told, took) == ([Delta(" one", offset=4)], [None]), "he is woken, for what was left of that piece"
        assert list(taken(box)) == [rest]

    def test_leaves_to_him_what_is_much_at_one_time(self) -> None:
        told, burst = list[Delta](), [Delta("much", offset=4 * number) for number in range(1, 21)]
        box, took = self.wait(partial(self.note, told, True), burst)
        assert (told, took, list(taken(box))) == ([], burst[:1], burst[1:])

    def test_leaves_to_him_what_cannot_be_told(self) -> None:
        _, took = self.wait(lambda piece: bool(1 / 0), [Delta(" one", offset=4)])
        assert took == [Delta(" one", offset=4)]


class TestAClientThatReadsSlowly:
    def test_has_what_it_lacks_read_once_there_is_room(self) -> None:
        box, asked = Mailbox("a", parts=True), list[int]()
        box.refill = lambda box: asked.append(box.arrived_at.number)
        piece = "x" * 1000
        number = 0
        while not box.full:
            number += 1
            box.put(number, "x", [Delta(piece, offset=1000 * (number - 1))])
        assert 100 < number < LARGEST_MAILBOX / 1000
        box.behind = True  # something came, and was passed over
        for taken_ in range(1, number + 1):
            assert box.take(0) is not None
            assert bool(asked) == (taken_ > number // 2), "too soon, or too late"
        assert asked == [number], "once"

    def test_may_read_the_ids_of_a_long_prompt(self) -> None:
        box = Mailbox("a", parts=True)
        box.put(1, "x", [Delta("one", prompt_tokens=(1,) * 100_000)])
        assert [box.full, bool(box.take(0)), box.full] == [True, True, False]

    @pytest.mark.parametrize("told", [Encoded("", (1,) * 10_000), Encoded("", (1,), (b"x" * 300_000,))])
    def test_may_read_the_tokens_of_a_long_text(self, told: Encoded) -> None:
        box = Mailbox("a")
        box.put(1, "x", [told])
        assert [box.full, box.take(0), box.full] == [True, told, False]


def test_a_piece_that_comes_again_out_of_its_order_is_refused() -> None:
    """Of what has come only a digest is kept: a piece by itself cannot be compared."""
    box = Mailbox("a", parts=True)
    box.put(1, "x", [Delta("one"), Delta(" two", offset=3)])
    box.realign()
    with pytest.raises(Conflict):
        box.put(1, "y", [Delta(" two", offset=3)])


def test_a_long_text_that_comes_again_is_the_same_or_is_refused() -> None:
    words = [f"word{index} é " for index in range(3000)]
    for change in (None, 0, 1500, 2999):
        box = Mailbox("a", parts=True)
        box.put(1, "x", [Delta(word, offset=len("".join(words[:index]))) for index, word in enumerate(words[:100])])
        whole = "".join(words)
        box.put(101, "x", [Delta("".join(words[100:]), offset=len("".join(words[:100])))])
        box.realign()
        again = whole if change is None else whole.replace(words[change], words[change].upper())
        assert len(again) == len(whole)
        if change is None:
            box.put(1, "y", [Delta(again[:7000]), Delta(again[7000:] + "more", offset=7000)])
            assert text(box) == whole + "more"
        else:
            with pytest.raises(Conflict):
                box.put(1, "y", [Delta(again[:7000]), Delta(again[7000:] + "more", offset=7000)])
            assert text(box) == whole


def test_who_waits_for_the_end_is_given_nothing_else() -> None:
    box = EndBox("a")
    box.put(7, "x", [Delta("late", offset=500), StartOver(), Delta("one", finish_reason="stop"), END])
    assert list(taken(box)) == [END]
    assert box.ended
