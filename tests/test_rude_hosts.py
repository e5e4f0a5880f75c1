"""What a worker asks of a host that was taken over, or is busy for long: it ends with its job, and little is held."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shared.cancellation import Cancellable, Cancellation
from shared.errors import HostDied, JobCancelled, ModelLoadError
from tests.fixtures.rude_host import BLOCK
from worker.engines.ctransformers_client import Evaluator
from worker.engines.host import EngineHost
from worker.engines.host_on_demand import HostOnDemand
from worker.engines.llama_cpp_score import Scorer
from worker.engines.llama_cpp_server import LARGEST_ANSWER, LONGEST_LINE, LlamaServer
from worker.engines.llama_cpp_text import LlamaText

ROOT = Path(__file__).resolve().parent.parent
Question = Callable[[EngineHost, Cancellable], object]


@contextlib.contextmanager
def rude(answer: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[EngineHost]:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with contextlib.closing(EngineHost("tests.fixtures.rude_host", "rude", {"answer": answer})) as host:
        yield host


def ask(host: EngineHost, work: Cancellable) -> object:
    return LlamaServer(host, "key").ask("/apply-template", {"messages": []}, work)


def stream(host: EngineHost, work: Cancellable) -> object:
    return list(LlamaServer(host, "key").stream("/completion", {}, work))


def tokenize(host: EngineHost, work: Cancellable) -> object:
    return LlamaText(LlamaServer(host, "key"), spaced=False).tokens("a", work)


def score(host: EngineHost, work: Cancellable) -> object:
    scorer = Scorer(
        "",
        {"slots": 1},
        lambda *_: [],
        [b""] * 8,
        context=8,
        batch=8,
        unchanged=lambda: None,
        threads=lambda: 1,
        takes=lambda: 0,
    )
    scorer.host = HostOnDemand(lambda: host)
    return list(scorer.score([1, 2], 1, work))


def evaluate(host: EngineHost, work: Cancellable) -> object:
    with Evaluator(host, 8).open(work) as evaluation:
        return evaluation


@pytest.mark.parametrize("question", [ask, stream, tokenize, score, evaluate])
def test_whatever_a_host_is_busy_with_its_question_ends_with_the_job(
    question: Question, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, other = Cancellation(), Cancellation()
    ended = threading.Event()

    def wait(host: EngineHost) -> None:
        with pytest.raises(JobCancelled):
            question(host, work)
        ended.set()

    with rude("mute", monkeypatch) as host:
        monkeypatch.setattr("worker.engines.llama_cpp_server.LONGEST_LEAVING", 0.1)
        monkeypatch.setattr(host.pulse, "look", lambda elapsed: 0.0)  # else its silence ends the host, and the question
        threading.Thread(target=wait, args=(host,), daemon=True).start()
        assert not ended.wait(0.3)
        work.cancel()
        assert ended.wait(30)
        other.cancel()
        with pytest.raises(JobCancelled):
            question(host, other)
    assert not work._callbacks
    assert not other._callbacks


def test_one_that_stops_in_the_middle_of_its_first_word_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.engines.host._PATIENCE", 2.0)
    with pytest.raises(ModelLoadError, match="was not ready after 2 s"), rude("half a word", monkeypatch):
        pass


@pytest.mark.parametrize("question", [ask, stream])
@pytest.mark.parametrize("answer", ["deep", "endless"])
def test_an_answer_that_cannot_be_is_the_hosts_end_and_is_not_held(
    question: Question, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Cancellation()
    with rude(answer, monkeypatch) as host:
        with pytest.raises(HostDied):
            question(host, work)
        if answer == "endless":
            sent = int((host.directory / "sent").read_text())
            assert BLOCK <= sent <= (LARGEST_ANSWER if question is ask else LONGEST_LINE) + 8 * BLOCK
    assert not work._callbacks, "a connection is kept that nobody needs"
