"""Seats that nobody uses: what they know comes to disk, and they are emptied for those who compute."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from tests.prefixes import LONG, ask, cached, draw, keeping, snapshots, told
from tests.stack import wait_for
from tests.tiny import roomy
from worker.engines.llama_cpp import LlamaCppEngine
from worker.engines.llama_cpp_seat import Seat
from worker.prefixes.chain import BLOCK
from worker.prefixes.snapshot import read_chain


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return roomy(tmp_path_factory.mktemp("model"))


def test_it_is_saved_with_its_answer_when_others_compute(model: Path, tmp_path: Path) -> None:
    alice, bob = draw(LONG + 9, 1), draw(LONG + 9, 2)
    with keeping(tmp_path, model, slots=3) as engine:
        answer = tuple(token for token, _ in told(engine, ask(alice, 60, owner="alice")))
        told(engine, ask(bob, 60, owner="bob", kept=False))
        (whole,) = wait_for(lambda: [each for each in snapshots(tmp_path) if _tokens(each) > LONG], "a longer one")
        seats = engine._seats._seats
        assert wait_for(lambda: sum(seat.cells > 0 for seat in seats) == 1, "an empty seat")
        told(engine, ask(draw(LONG + 9, 3), owner="carol"))
        assert [seat.holder for seat in seats if seat.cells > 0] == [("bob", ""), ("carol", "")], (
            "his is kept nowhere else"
        )
        assert cached(engine, ask((*alice, *answer, 7, 8, 9), owner="alice")) >= len(alice) + 60 - BLOCK
        assert snapshots(tmp_path).count(whole) == 1
    with keeping(tmp_path, model) as engine:
        assert cached(engine, ask((*alice, *answer, 7, 8, 9), owner="alice")) >= len(alice) + 60 - BLOCK
        assert cached(engine, ask((*alice, *answer, 7, 8, 9), owner="bob")) == 0


def _tokens(snapshot: Path) -> int:
    return len(read_chain(snapshot) or ()) * BLOCK


class Held:
    """What saves the seats of an engine, which waits until it may."""

    def __init__(self, engine: LlamaCppEngine) -> None:
        self._save, self.may, self.saved = engine._seats._save, threading.Event(), list[int]()
        engine._seats._save = self

    def __call__(self, seat: Seat) -> bool:
        self.saved.append(seat.number)
        return self.may.wait(60) and self._save(seat)


def test_nobody_waits_for_it_but_who_goes_on_from_there(model: Path, tmp_path: Path) -> None:
    alice, counts = draw(LONG + 9, 1), list[int]()
    with keeping(tmp_path, model, slots=3) as engine:
        held, seats = Held(engine), engine._seats._seats
        answer = tuple(token for token, _ in told(engine, ask(alice, 100, owner="alice")))
        cached(engine, ask(draw(LONG, 2), owner="bob"))
        cached(engine, ask(draw(LONG, 3), owner="carol"))
        assert held.saved[0] == 0
        assert seats[0].emptied, "it is being saved all the while"
        asked = ask((*alice, *answer, 7, 8), owner="alice")
        thread = threading.Thread(target=lambda: counts.append(cached(engine, asked)))
        thread.start()
        time.sleep(0.2)
        assert counts == []
        held.may.set()
        thread.join()
        assert counts[0] >= len(alice) + 100 - BLOCK


def test_what_the_disk_has_no_room_for_stays_and_is_not_tried_again(model: Path, tmp_path: Path) -> None:
    with keeping(tmp_path, model, slots=3, prefix_bytes=1000) as engine:
        held, seats = Held(engine), engine._seats._seats
        held.may.set()
        for number, name in enumerate(("alice", "bob", "carol")):
            cached(engine, ask(draw(LONG, number), owner=name))
        wait_for(lambda: 1 in held.saved and not any(seat.taken for seat in seats), "two were tried")
        assert sorted(held.saved) == [0, 1]
        assert cached(engine, ask(draw(LONG, 0), owner="alice")) >= LONG - BLOCK - 1, "its seat has it"
    assert snapshots(tmp_path) == []


def test_what_is_nearly_all_on_disk_is_not_written_again(model: Path, tmp_path: Path) -> None:
    with keeping(tmp_path, model, slots=3) as engine:
        alice = ask(draw(LONG + 1, 1), 30, owner="alice")
        cached(engine, alice)
        (path,) = snapshots(tmp_path)
        cached(engine, ask(draw(LONG, 2), owner="bob"))
        wait_for(lambda: not engine._seats._seats[0].cells, "an empty seat")
        assert sorted(_tokens(each) for each in snapshots(tmp_path)) == [LONG - BLOCK, _tokens(path)]
        assert cached(engine, alice) >= LONG


def test_an_answer_to_a_public_prompt_is_told_to_nobody(model: Path, tmp_path: Path) -> None:
    prompt = draw(LONG + 9)
    with keeping(tmp_path, model, slots=3, public_prefixes="*") as engine:
        answer = tuple(token for token, _ in told(engine, ask(prompt, 100, owner="alice")))
        right, wrong = (*prompt, *answer[:50], 7), (*prompt, *draw(50, 9), 7)
        assert cached(engine, ask(right, owner="alice")) >= len(prompt) + 50, "but his own"
        told(engine, ask(prompt, 100, owner="alice"))
        assert cached(engine, ask(right, owner="bob")) == LONG
        told(engine, ask(prompt, 100, owner="alice"))
        assert cached(engine, ask(wrong, owner="bob")) == LONG
        told(engine, ask(prompt, 100, owner="alice"))
        cached(engine, ask(draw(LONG, 2), owner="carol"))
        wait_for(lambda: sum(seat.cells > 0 for seat in engine._seats._seats) == 1, "empty seats")
        assert {_tokens(each) for each in snapshots(tmp_path)} <= {LONG, LONG - BLOCK}
        assert cached(engine, ask((*prompt, *answer, 7), owner="bob")) == LONG


def test_what_nobody_has_asked_for_goes_first(model: Path, tmp_path: Path) -> None:
    with keeping(tmp_path, model, slots=3, prefix_hours=2) as engine:
        system = draw(LONG, 1)
        cached(engine, ask((*system, 7), owner="alice"))
        cached(engine, ask((*system, *draw(300, 2)), 1, owner="alice"))
        (path,) = [each for each in snapshots(tmp_path) if _tokens(each) > LONG]
        told(engine, ask((*system, *draw(40, 3)), 60, owner="alice"))
        cached(engine, ask(draw(LONG, 4), owner="bob"))
        (other,) = wait_for(
            lambda: [each for each in snapshots(tmp_path) if LONG < _tokens(each) < _tokens(path)], "the answer"
        )
        wait_for(lambda: time.time() - other.stat().st_mtime > 3000, "it is old at once")
        assert time.time() - path.stat().st_mtime < 3000
        os.utime(path, (past := time.time() - 1000, past))
        cached(engine, ask((*system, *draw(300, 2), 7), owner="alice"))
        assert time.time() - path.stat().st_mtime < 900, "it was of use"


def test_before_a_long_prompt_also_what_is_little_but_how_prompts_begin(model: Path, tmp_path: Path) -> None:
    opening, rest = draw(40, 1), 120
    with keeping(tmp_path, model, slots=5) as engine:
        chats = [(*opening, *draw(rest, number)) for number in range(2, 5)]
        asked = [threading.Thread(target=cached, args=(engine, ask(chat, 2, owner="alice"))) for chat in chats]
        for thread in asked:
            thread.start()
        for thread in asked:
            thread.join()
        hers = [seat for seat in engine._seats._seats if seat.holder == ("alice", "")]
        cached(engine, ask(draw(BLOCK, 5), owner="bob"))
        assert [seat.cells > len(opening) + rest for seat in hers] == [True] * 3, "his prompt is short"
        cached(engine, ask(draw(600, 6), owner="bob"))
        assert [(seat.cells, tuple(seat.tokens)) for seat in hers] == [(len(opening), opening)] * 3
        assert cached(engine, ask((*opening, *draw(rest, 7)), owner="alice")) == len(opening)
        assert cached(engine, ask((*opening, *draw(rest, 7)), owner="carol")) == 0
        assert cached(engine, ask((*chats[0], 7), owner="alice")) >= len(chats[0]) - BLOCK, "of the disk"
