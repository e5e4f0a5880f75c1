"""How likely tokens are: what every engine tells, and the host of llama.cpp that is there for it alone."""

from __future__ import annotations

import ctypes
import math
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.cancellation import NEVER
from shared.config import Config
from shared.errors import HostDied, HostUnavailable, JobCancelled
from shared.protocol import Completion, FineCompletion, Sampling
from tests.answers import Running, deltas, finish, run, text, tokens
from tests.commands import output
from tests.engines import ENGINES, PROMPT, WITH_MODEL, completion, load, named
from tests.fixtures.forward import true_logprobs
from tests.fixtures.make_legacy import MODELS
from tests.stack import wait_for
from tests.tiny import TINY, loaded, roomy, tiny
from tests.vocabularies import write as write_vocabulary
from worker.engines import Engine, host_on_demand, libllama, libllama_layout, llama_cpp_score
from worker.engines.llama_cpp import LlamaCppEngine
from worker.engines.llama_cpp_scoring_host import find_likeliest
from worker.formats.vocabulary import TokenKind
from worker.prompts import Prompt

LONG = [5 + i % 400 for i in range(200)]


@pytest.fixture(scope="module", params=ENGINES, ids=named)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with closing(load(request.param, tmp_path_factory.mktemp("model"))) as engine:
        yield engine


@pytest.fixture(scope="module", params=WITH_MODEL, ids=named)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with closing(load(request.param, tmp_path_factory.mktemp("model"))) as engine:
        yield engine


def test_scores_are_those_of_each_token_after_those_before_it(engine: Engine) -> None:
    ids = engine.tokenize(PROMPT)
    scores = list(engine.scorer.score(ids))
    assert [score.token for score in scores] == ids[1:]
    assert all(score.logprob is not None and score.logprob <= 0 for score in scores)
    later = [score.logprob for score in engine.scorer.score(ids, after=5)]
    assert later == pytest.approx([score.logprob for score in scores[4:]], abs=0.01)
    first, *others = engine.scorer.score_prompt(completion(), engine.scorer.read(completion()), NEVER, 0, further=False)
    assert (first.token, first.logprob, len(others)) == (ids[0], None, len(ids) - 1)


def test_a_score_tells_the_likeliest_and_its_rank_among_them(model: Engine) -> None:
    """Tokens that are parts of characters, and the one that would come next, which is what the model answers."""
    answer = tokens(run(model, completion(max_tokens=1)))
    *scores, further = model.scorer.score(model.tokenize(PROMPT + " 🙂"), top=512, further=True)
    for score in scores:
        assert len(score.top) > 300
        assert [one.logprob for one in score.top] == sorted((one.logprob for one in score.top), reverse=True)
        assert score.top[score.rank - 1].logprob == pytest.approx(score.logprob)
        assert sum(math.exp(one.logprob) for one in score.top) == pytest.approx(1, abs=1e-3)
    assert b"<|endoftext|>" in [one.text for one in scores[0].top]  # its name, for it has no text
    assert further.rank == 1
    *_, further = model.scorer.score(model.tokenize(PROMPT), further=True)
    assert [further.token] == answer


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaCppEngine]:
    """Weights of 32 bits, two slots, eight tokens a batch."""
    path = tmp_path_factory.mktemp("exact") / "exact.gguf"
    output("convert", "--type", "f32", MODELS / "llama", path)
    with closing(LlamaCppEngine(tiny(path), Config(slots=2, threads=1, batch_size=8))) as engine:
        yield engine


def logprobs(engine: Engine, ids: list[int], **more: Any) -> list[float]:
    return [score.logprob for score in engine.scorer.score(ids, **more) if score.logprob is not None]


def test_scores_are_the_true_ones_and_those_of_what_is_generated(exact: LlamaCppEngine) -> None:
    """Read in several batches, and with another sequence in between."""
    ids = exact.tokenize("def main(args): return 0\nHéllo 🙂 wörld, again and again and again.")
    between = exact.scorer.score(LONG)
    next(between)
    told = logprobs(exact, ids)
    assert len([*between]) == len(LONG) - 2
    assert told == pytest.approx(true_logprobs(ids), abs=1e-4)
    sampling = Sampling(seed=1, max_tokens=8, temperature=0.0, ignore_eos=True, logprobs=0)
    events = run(exact, Completion("tiny", (tuple(ids),), sampling))
    made = [entry.logprob for delta in deltas(events) for entry in delta.logprobs]
    assert logprobs(exact, [*ids, *tokens(events)], after=len(ids)) == pytest.approx(made, abs=1e-4)


def test_a_prompt_is_told_once_for_all_and_a_lone_token_is_not_computed_twice(
    exact: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The prompts end within a character."""
    for given in ((5,), (460, 318, 65, 263, 181), "def main 🙂"):
        sampling = Sampling(1, max_tokens=1, temperature=0.0, logprobs=2, prompt_logprobs=1)
        task = FineCompletion("tiny", (given,), sampling, token_ids=True, echo=True)
        prompt = Prompt(exact, task)
        [piece] = prompt.pieces(NEVER)
        ids = exact.scorer.read(task)
        assert piece.prompt_text == (
            given if isinstance(given, str) else exact.detokenize(ids).decode(errors="replace")
        )
        assert (piece.prompt_tokens, piece.prompt_size) == (tuple(ids), len(ids))
        assert [each.token for each in piece.prompt_logprobs] == ids
        assert [len(each.top) for each in piece.prompt_logprobs] == [0, *[1] * (len(ids) - 1)]
        with monkeypatch.context() as patch:
            patch.setattr(exact.scorer, "score", None)
            rest = [each for later in prompt.pieces(NEVER, 1) for each in later.prompt_logprobs]
            assert rest == [*piece.prompt_logprobs[1:]]
            answer = prompt.answer(NEVER)
        assert answer
        quick, slow = [*answer], run(exact, task)
        assert (tokens(quick), text(quick), finish(quick)[0]) == (tokens(slow), text(slow), "length")
        assert finish(quick)[1].usage.completion_tokens == 1
        [one], [other] = ([e for d in deltas(events) for e in d.logprobs] for events in (quick, slow))
        assert [each.token for each in one.top] == [each.token for each in other.top]
        assert one.logprob == pytest.approx(other.logprob, abs=1e-4)


def test_a_lone_token_that_is_no_character_has_the_same_text(tmp_path: Path) -> None:
    """It has none: parts of characters, and what controls a conversation, as half of this vocabulary does."""
    special = dict.fromkeys(["<s>", "</s>", *(f"<|{i}|>" for i in range(248))], TokenKind.CONTROL)
    sampling = Sampling(1, max_tokens=1, temperature=0.0, prompt_logprobs=0)
    found = set()
    with loaded(write_vocabulary(tmp_path / "special.gguf", special=special)) as engine:
        for first in range(40):
            task = FineCompletion("tiny", ((first, 72),), sampling, token_ids=True, echo=True)
            slow = run(engine, task)
            answer = Prompt(engine, task).answer(NEVER)
            if answer is not None:
                quick = [*answer]
                assert (text(quick), tokens(quick)) == (text(slow), tokens(slow))
            found.add(("control" if tokens(slow)[0] >= 262 else "part" if not text(slow) else "text", answer is None))
    assert found == {("control", True), ("part", False), ("text", False)}


def test_what_may_choose_otherwise_is_left_to_who_generates(exact: LlamaCppEngine) -> None:
    for more in ({"temperature": 1.0}, {"max_tokens": 2}, {"logit_bias": ((7, 100.0),)}, {"repeat_penalty": 2.0}):
        sampling = {"max_tokens": 1, "temperature": 0.0, "prompt_logprobs": 0, **more}
        assert Prompt(exact, completion((5, 6), ignore_eos=False, **sampling)).answer(NEVER) is None


def test_a_host_is_there_while_it_is_needed(exact: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    logprobs(exact, [5, 6])
    before = exact.scorer.host.pid
    assert before
    monkeypatch.setattr(host_on_demand, "IDLE", 0.2)
    logprobs(exact, [5, 6])
    wait_for(lambda: not Path(f"/proc/{before}").exists(), "its end", 30)
    assert exact.scorer.host.pid is None
    monkeypatch.undo()
    assert logprobs(exact, [5, 6])
    assert exact.scorer.host.pid != before


def test_a_host_that_is_killed_fails_what_it_reads_and_is_replaced(exact: LlamaCppEngine) -> None:
    ids = LONG[:100]
    truth = logprobs(exact, ids)
    scores, other = exact.scorer.score(ids), exact.scorer.score(ids)
    next(scores), next(other)
    before = exact.scorer.host.pid
    assert before
    os.kill(before, signal.SIGKILL)
    for each in (scores, other):  # the second one finds another host, which has not read its beginning
        with pytest.raises(HostDied, match="killed by SIGKILL"):
            list(each)
    assert logprobs(exact, ids) == truth
    assert exact.scorer.host.pid != before


def test_a_cancelled_scoring_ends_at_once_and_leaves_room_for_the_next(exact: LlamaCppEngine) -> None:
    """Each of them fills the context."""
    ids = [*LONG, *LONG][: exact.card.context]
    for _ in range(4):
        work = Running()
        scores = exact.scorer.score(ids, 1, work)
        for _ in range(16):  # two batches
            next(scores)
        work.cancel()
        with pytest.raises(JobCancelled):
            next(scores)
    assert len(logprobs(exact, ids)) == len(ids) - 1


def test_what_was_read_for_another_leaves_room_also_before_its_place_is_taken(
    exact: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One has the sequence of the last, and has not asked yet: the other needs the cells that the last one had."""
    begun, may_ask, step = threading.Event(), threading.Event(), llama_cpp_score.Scorer._step

    def late(scorer: Any, scored: Any, past: int, tokens: Any, *more: Any) -> Any:
        if len(tokens) == 3:
            begun.set()
            assert may_ask.wait(20)
        return step(scorer, scored, past, tokens, *more)

    wanted = list(exact.scorer.score(LONG))
    monkeypatch.setattr(llama_cpp_score.Scorer, "_step", late)
    few = threading.Thread(target=lambda: list(exact.scorer.score(LONG[:4])))
    few.start()
    try:
        assert begun.wait(20)
        assert list(exact.scorer.score(LONG)) == wanted
    finally:
        may_ask.set()
        few.join()


def test_who_waits_for_room_is_cancelled(exact: LlamaCppEngine) -> None:
    inside, work, ended = exact.scorer.score(LONG), Running(), threading.Event()
    next(inside)

    def wait() -> None:
        with pytest.raises(JobCancelled):
            list(exact.scorer.score(LONG, 1, work))
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    assert not ended.wait(0.2)
    work.cancel()
    assert ended.wait(30)
    assert len(list(inside)) == len(LONG) - 2


def test_memory_is_bounded_by_the_vocabulary_and_does_not_grow_with_prompts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama_cpp_score, "LARGEST_LOGITS", 512 * 4 * 5)
    assert llama_cpp_score.largest_batch(512, 128) == 5
    assert llama_cpp_score.largest_batch(10**9, 128) == 1
    with closing(LlamaCppEngine(tiny(roomy(tmp_path)), Config(slots=2, threads=1))) as engine:
        logprobs(engine, LONG)
        before = _anonymous(engine)
        assert len([*engine.scorer.score(LONG * 20, top=20)]) == len(LONG) * 20 - 1
        assert _anonymous(engine) - before < 8 << 20


def _anonymous(engine: LlamaCppEngine) -> int:
    """Bytes that its scoring host has for itself."""
    status = Path(f"/proc/{engine.scorer.host.pid}/status").read_text()
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("RssAnon")))


def test_adapters_and_rope_settings_count(exact: LlamaCppEngine, tmp_path: Path) -> None:
    truth = logprobs(exact, LONG)
    with loaded(exact._files.path, rope_freq_base=500.0) as engine:
        scores = logprobs(engine, LONG)
        assert scores != pytest.approx(truth, abs=0.01)
        events = run(engine, completion(tuple(LONG[:50]), logprobs=0))
        made = [entry.logprob for delta in deltas(events) for entry in delta.logprobs]
        assert logprobs(engine, [*LONG[:50], *tokens(events)], after=50) == pytest.approx(made, abs=1e-3)


def test_another_library_is_a_clear_error_and_no_crash(exact: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    import xllamacpp.xllamacpp

    path = xllamacpp.xllamacpp.__file__
    known = libllama_layout.CONTEXT
    layout = [*known[:3], ("new", ctypes.c_uint32, 0), *known[3:]]
    monkeypatch.setattr(libllama, "CONTEXT", layout)
    other = libllama_layout._structure("_", layout)
    monkeypatch.setitem(libllama._FUNCTIONS, "llama_context_default_params", (other, []))
    with pytest.raises(libllama.UnknownLibrary, match="its llama_context_params is another one: new is 1"):
        libllama.Library(path)
    monkeypatch.setitem(libllama._FUNCTIONS, "llama_no_more", (None, []))
    with pytest.raises(libllama.UnknownLibrary, match="it has no llama_no_more"):
        libllama.Library(path)


def test_a_host_that_cannot_start_is_no_fault_of_the_job(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(TINY.read_bytes())
    with loaded(path) as engine:
        away = path.rename(tmp_path / "away")
        with pytest.raises(HostUnavailable, match="cannot score with this model"):
            logprobs(engine, [5, 6])
        write_vocabulary(path)
        with pytest.raises(HostUnavailable, match="not those any more that this worker has loaded"):
            logprobs(engine, [5, 6])
        away.rename(path)
        assert logprobs(engine, [5, 6])


def test_the_likeliest_are_found_among_equals() -> None:
    draw = np.random.default_rng(1)
    for size in (1, 63, 64, 1000, 49_152):
        for count in {1, min(3, size), min(20, size), min(size, 900)}:
            row = draw.integers(0, 50, size).astype(np.float32)
            found = find_likeliest(row, count)
            assert found.tolist() == np.lexsort((np.arange(size), -row))[:count].tolist()
