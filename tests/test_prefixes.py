"""What a model has read of prompts outlives it, for their owners alone."""

from __future__ import annotations

import os
import signal
import stat
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from shared.cancellation import Cancellation
from shared.config import Config
from shared.errors import JobCancelled
from shared.protocol import Chat, Completion, Message, Progress, Sampling
from tests.answers import Running, finish, host_of, run, tokens
from tests.prefix_proof import prove
from tests.prefixes import LONG, ask, cached, draw, keeping, snapshots, told
from tests.stack import wait_for
from tests.tiny import roomy, tiny
from worker.engines.llama_cpp import LlamaCppEngine
from worker.engines.llama_cpp_files import check_files, host_parameters
from worker.formats.gguf import read_header
from worker.prefixes.chain import BLOCK, link
from worker.prefixes.fitness import why_not
from worker.prefixes.snapshot import begin

PROMPT = draw(LONG + 7)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return roomy(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def known(model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[int, float | None]]]:
    """A folder with a snapshot of PROMPT, and what was told of its answer without one."""
    folder = tmp_path_factory.mktemp("prefixes")
    with keeping(folder, model) as engine:
        answer = told(engine, ask(PROMPT))
    assert len(snapshots(folder)) == 1
    return folder, answer


@pytest.fixture
def folder(known: tuple[Path, object], tmp_path: Path) -> Path:
    """A copy of that."""
    for path in known[0].rglob("*"):
        copied = tmp_path / path.relative_to(known[0])
        copied.mkdir() if path.is_dir() else copied.write_bytes(path.read_bytes())
        os.utime(copied)
    return tmp_path


def test_what_was_read_outlives_all_processes_and_changes_no_answer(
    model: Path, known: tuple[Path, list[tuple[int, float | None]]]
) -> None:
    folder, answer = known
    (path,) = snapshots(folder)
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((folder / "secret").stat().st_mode) == 0o600
    with keeping(folder, model) as engine:
        assert [round(chance or 0, 4) for _, chance in told(engine, ask(PROMPT))] == [
            round(chance or 0, 4) for _, chance in answer
        ]
        assert cached(engine, ask(draw(LONG + 7)[: LONG - BLOCK] + draw(9, 5))) >= LONG - BLOCK, "half of it"


def test_a_context_that_has_come_out_otherwise_finds_it_too(
    known: tuple[Path, list[tuple[int, float | None]]], model: Path, folder: Path
) -> None:
    """As much memory as at the last start there never is. Where RoPE looks at the context it counts, as far as that."""
    with keeping(folder, model, context=4096) as engine:
        assert cached(engine, ask(PROMPT)) == LONG
    with keeping(folder, model, context=2048) as engine:
        answers = told(engine, ask(PROMPT)), known[1]
        one, other = ([(token, round(chance or 0, 4)) for token, chance in each] for each in answers)
        assert one == other
    files, lengths = check_files(tiny(model)), (0, 2048, 4096)
    short = {**files.header.metadata, "llama.rope.scaling.original_context_length": 2048}
    for header, kinds in ((files.header, 1), (replace(files.header, metadata=short), 2)):
        found = replace(files, header=header)
        asked = (host_parameters(tiny(model), found, Config(context=length), 128, "") for length in lengths)
        assert len({found.describe(each) for each in asked}) == kinds


def test_guesses_from_a_text_that_was_not_read_again_change_no_token(model: Path, tmp_path: Path) -> None:
    few = tuple((token, 100.0) for token in (5, 6, 7))  # so that a part of the text comes again, and is guessed
    sampling = Sampling(1, max_tokens=60, temperature=0.0, ignore_eos=True, logit_bias=few)
    asked = Completion("tiny", (PROMPT,), sampling)
    answers = []
    for folder, speculation in (
        ("a", ""),
        ("a", "ngram"),
        ("b", "ngram"),
        ("b", "ngram"),
    ):  # the last is kept by guesses
        with keeping(tmp_path / folder, model, slots=1, speculation=speculation) as engine:
            events = run(engine, asked)
            answers.append((tuple(tokens(events)), finish(events)[1].usage.cached_tokens))
    assert len({made for made, _ in answers}) == 1
    assert [reused >= LONG - BLOCK for _, reused in answers] == [False, True, False, True]


def test_it_is_its_owners_alone(model: Path, folder: Path) -> None:
    with keeping(folder, model, slots=3, public_prefixes="all, ours") as engine:
        assert cached(engine, ask(PROMPT, owner="alice")) == 0 < cached(engine, ask(PROMPT, owner="alice"))
        assert cached(engine, ask(PROMPT, owner="bob")) == cached(engine, ask(PROMPT, owner="bob", key="a")) == 0
        assert cached(engine, ask(PROMPT)) >= LONG
        assert cached(engine, ask(PROMPT, owner="alice", key="ours")) == 0
        assert cached(engine, ask(PROMPT, owner="bob", key="ours")) >= LONG
    assert len({path.parent for path in snapshots(folder)}) == 4


def test_it_is_kept_for_as_long_as_is_asked(model: Path, folder: Path) -> None:
    other = draw(LONG, 1)
    with keeping(folder, model, prefix_hours=1) as engine:
        cached(engine, ask(other, kept=False))
        (path,) = snapshots(folder)
        os.utime(path, (0, time.time() - 3601))
        cached(engine, ask((*other[: LONG - 1], 7)))
        assert [each != path for each in snapshots(folder)] == [True]


@pytest.mark.parametrize("fault", ["cut", "spoiled", "empty", "foreign"])
def test_what_is_spoiled_is_read_again(model: Path, folder: Path, fault: str) -> None:
    (path,) = snapshots(folder)
    content = path.read_bytes()
    middle = len(content) // 2
    other = bytes([content[middle] ^ 1])
    spoiled = {"cut": content[:-9000], "spoiled": content[:middle] + other + content[middle + 1 :], "empty": b""}
    path.write_bytes(spoiled.get(fault, content))
    if fault == "foreign":
        path.rename(path.with_name("0" * 32))
    with keeping(folder, model) as engine:
        pid = host_of(engine)
        assert cached(engine, ask(PROMPT)) == (0 if fault != "foreign" else LONG)
        assert host_of(engine) == pid
    assert any(each.read_bytes() == content for each in snapshots(folder)) or fault != "foreign"
    with keeping(folder, model) as engine:
        assert cached(engine, ask(PROMPT)) == LONG, "it has been made anew"


def test_other_weights_have_snapshots_of_their_own(folder: Path, model: Path, tmp_path: Path) -> None:
    content = bytearray(model.read_bytes())
    content[-1] ^= 1
    other = tmp_path / "other.gguf"
    other.write_bytes(content)
    with keeping(folder, other) as engine:
        assert cached(engine, ask(PROMPT)) == 0
    assert len(snapshots(folder)) == 2


def test_there_is_a_bound_and_whoever_holds_most_makes_room(model: Path, tmp_path: Path) -> None:
    with keeping(tmp_path, model) as engine:
        cached(engine, ask(draw(LONG, 1), owner="bob"))
    (bobs,) = snapshots(tmp_path)
    with keeping(tmp_path, model, prefix_bytes=int(bobs.stat().st_size * 3.5)) as engine:
        for seed in range(5):
            cached(engine, ask(draw(LONG, 10 + seed), owner="alice"))
        assert len(snapshots(tmp_path)) == 3
        assert bobs.exists()
        assert cached(engine, ask(draw(LONG, 14), owner="alice")) > 0
    with keeping(tmp_path, model, prefix_bytes=1000) as engine:
        cached(engine, ask(draw(LONG, 20), owner="alice"))
    assert len(snapshots(tmp_path)) == 3, "what is too large takes nobody's place"


def test_longer_ones_replace_their_beginnings_unless_others_go_on_from_them(model: Path, tmp_path: Path) -> None:
    begin = draw(LONG)
    with keeping(tmp_path, model, slots=1) as engine:
        cached(engine, ask((*begin, 7)))
        assert cached(engine, ask((*begin, *draw(300, 1)))) >= LONG
        assert len(snapshots(tmp_path)) == 1
        assert cached(engine, ask((*begin, *draw(300, 2)))) >= LONG
        assert len(snapshots(tmp_path)) == 2
        assert cached(engine, ask((*begin, *draw(3, 1)))) >= LONG
        assert len(snapshots(tmp_path)) == 2


def chat(system: str, question: str) -> Chat:
    return Chat("tiny", (Message("system", system), Message("user", question)), Sampling(1, max_tokens=3))


def test_those_who_come_at_once_wait_for_one_reading(model: Path, tmp_path: Path) -> None:
    system = " ".join(["green blue thirteen sixteen main red"] * 60)
    questions = ["ten nine", "tree six", "eleven", "twelve ten"]
    counts: list[tuple[int, int]] = []

    def count(engine: LlamaCppEngine, question: str) -> None:
        usage = finish(run(engine, chat(system, question)))[1].usage
        counts.append((usage.cached_tokens, usage.prompt_tokens))

    def together(engine: LlamaCppEngine) -> None:
        counts.clear()
        threads = [threading.Thread(target=count, args=(engine, question)) for question in questions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    with keeping(tmp_path, model, slots=4) as engine:
        together(engine)
        size = counts[0][1]
        # The token that comes out of the reading may be the next of the prompt: then it is known too.
        assert sum(known <= 1 for known, _ in counts) == 1, counts
        assert sum(known >= 0.9 * size for known, _ in counts) == 3, counts
    with keeping(tmp_path, model, slots=4) as engine:
        together(engine)
        assert all(known >= 0.9 * size for known, _ in counts), counts


def test_runs_that_wait_for_cells_give_up_what_their_seats_still_have(
    model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    prompts = [draw(320 + 10 * number, number) for number in range(8)]  # of which five have room
    counts = dict[int, int]()

    def count(engine: LlamaCppEngine, number: int, turn: int) -> None:
        prompt = (*prompts[number], *draw(7 * (turn % 5), number))
        counts[number] = cached(engine, ask(prompt, owner=str(number)))

    with keeping(tmp_path, model, slots=8, context=2048) as engine:
        for turn in range(15):
            counts.clear()
            threads = [threading.Thread(target=count, args=(engine, number, turn)) for number in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len(counts) == 8
            assert turn == 0 or min(counts.values()) >= 288, counts
    assert "refused" not in caplog.text
    assert "is not kept" not in caplog.text, "llama.cpp had no cells"


def test_who_is_cancelled_while_reading_leaves_it_to_others(model: Path, tmp_path: Path) -> None:
    prompt = draw(4000)
    with keeping(tmp_path, model, batch_size=32) as engine:
        work = Cancellation()
        events = engine.run(ask(prompt), work)
        assert isinstance(next(events), Progress)
        assert list(tmp_path.glob("*/*.part"))
        others: list[int] = []
        thread = threading.Thread(target=lambda: others.append(cached(engine, ask(prompt))))
        thread.start()
        work.cancel()
        with suppress(JobCancelled):
            list(events)
        thread.join()
        assert others
        assert len(snapshots(tmp_path)) == 1
        assert not list(tmp_path.glob("*/*.part"))


def test_a_host_that_is_killed_fails_as_without(model: Path, tmp_path: Path) -> None:
    prompt = draw(4000)
    with keeping(tmp_path, model, batch_size=32) as engine:
        events = engine.run(ask(prompt), Running())
        assert isinstance(next(events), Progress)
        os.kill(host_of(engine), signal.SIGKILL)
        with pytest.raises(Exception, match="killed by SIGKILL"):
            list(events)
        assert not list(tmp_path.glob("*/*.part"))
        assert cached(engine, ask(prompt)) == 0
        os.kill(pid := host_of(engine), signal.SIGKILL)
        wait_for(lambda: host_of(engine) != pid and not engine.trouble, "another host")
        assert cached(engine, ask(prompt)) >= 3900, "of the snapshot"


def test_a_reader_that_has_died_or_stands_still_is_not_waited_for(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.prefixes.folder.LONGEST_SILENCE", 0.2)
    with keeping(tmp_path, model) as engine:
        folder = engine._prefixes._folder
        assert folder
        place, seed = folder.place(""), folder.seed("chain", engine._prefixes._identity, "", "")
        with folder.promise(place, link(seed, PROMPT), 0, BLOCK) as promise:
            assert cached(engine, ask(PROMPT)) == 0
            os.utime(promise.lock.fd, (ahead := time.time() + 1000, ahead))
            assert cached(engine, ask((*PROMPT[:-1], 7))) > 0, "the clock was set back, and its seat has it"
        assert snapshots(tmp_path) == []
        (place / "dead.part").write_bytes(begin(link(seed, PROMPT)))
        assert cached(engine, ask(PROMPT)) > 0
        assert len(snapshots(tmp_path)) == 1
        assert not list(tmp_path.glob("*/*.part"))


def test_which_models_are_trusted(model: Path) -> None:
    header = read_header(model)
    assert why_not(header, None) == ""
    assert "draft" in why_not(header, model)
    for name, word in (("llama.attention.sliding_window", "window"), ("llama.ssm.state_size", "recurrent")):
        assert word in why_not(replace(header, metadata={**header.metadata, name: 64}), None)
    assert "nobody" in why_not(replace(header, architecture="new"), None)


@pytest.mark.parametrize("mischief", [False, True])
def test_no_answer_differs_whatever_is_saved_and_restored_at_once(tmp_path: Path, mischief: bool) -> None:
    proof = prove(tmp_path, 15, seed=7, mischief=mischief)
    assert proof.wrong == []
    assert proof.restored >= 15
