"""What engines keep to that make vectors: see `worker.engines.Pooler`."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from shared.cancellation import Cancellation
from shared.card import Ability
from shared.catalogue import Model
from shared.config import Config
from shared.errors import ContextLengthExceeded, EngineError, HostDied, InvalidRequest, JobCancelled
from shared.protocol import Embedding, Encoding, Reranking
from tests.answers import host_of
from tests.engines import chat
from tests.pooling_models import ask_server, loaded, tiny_bert, tiny_last, vectors
from worker import engines
from worker.engines import Engine, pulse
from worker.formats.pooling import PoolingKind

TEXTS = ("red fox", "", "sea", "[SEP] red", "blue\0sea", "\N{FOX FACE} light", "green boat " * 9, "a b", "[ sep ] red")


@pytest.fixture(scope="module", params=["echo", "llama.cpp"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    if request.param == "llama.cpp":
        path = tiny_bert(tmp_path_factory.mktemp("model") / "model.gguf", PoolingKind.MEAN)
        with loaded(path) as engine:
            yield engine
    else:
        with closing(engines.load(Model("tiny", "", None, "echo", None), Config(context=64))) as engine:
            yield engine


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with loaded(tiny_bert(tmp_path_factory.mktemp("bert") / "model.gguf", PoolingKind.CLS)) as engine:
        yield engine


def test_each_input_has_its_own_vector_whatever_shares_its_batch(engine: Engine) -> None:
    card = engine.card
    assert Ability.EMBEDDING in card.abilities
    found = vectors(engine, Embedding("tiny", TEXTS))
    backwards = vectors(engine, Embedding("tiny", TEXTS[::-1]))[::-1]
    many = vectors(engine, Embedding("tiny", TEXTS * 30))
    for place, text in enumerate(TEXTS):
        (alone,) = vectors(engine, Embedding("tiny", (text,)))
        assert len(alone) == card.embedding
        assert np.linalg.norm(alone) == pytest.approx(1, abs=1e-5) or not text
        for other in (found[place], backwards[place], many[place], many[-len(TEXTS) + place]):
            assert other == pytest.approx(alone, abs=1e-4)


def test_parts_are_all_inputs_once(engine: Engine) -> None:
    task = Embedding("tiny", ("red fox " * 9, "sea") * 700)
    parts = [*engine.pooler.divide(task)]
    assert [place for part in parts for place in part] == [*range(1400)]
    assert engine.pooler.width >= 1


def test_what_is_too_long_is_named_before_anything_is_computed_or_cut_off(bert: Engine) -> None:
    longest = "red " * (bert.card.context - 2)
    assert len(vectors(bert, Embedding("tiny", (longest, "sea")))) == 2
    with pytest.raises(ContextLengthExceeded, match="has 65 tokens") as refused:
        next(iter(bert.pooler.divide(Embedding("tiny", ("sea",) * 200 + (longest + "red",)))))
    assert refused.value.param == "inputs[200]"
    with pytest.raises(ContextLengthExceeded):
        next(iter(bert.pooler.divide(Embedding("tiny", ("red " * 100_000,)))))
    cut, whole = vectors(bert, Embedding("tiny", ("red " * 100_000, longest), cut=0))
    assert cut == pytest.approx(whole, abs=1e-4)
    three, red = vectors(bert, Embedding("tiny", ("red fox", (2, 4, 3)), cut=3))
    assert three == pytest.approx(red, abs=1e-4)


def test_tokens_are_an_input_and_what_is_none_is_named(bert: Engine) -> None:
    text, tokens = vectors(bert, Embedding("tiny", ("red fox", tuple(bert.tokenize("red fox")))))
    assert text == pytest.approx(tokens, abs=1e-4)
    for wrong in ((4, 999), ()):
        with pytest.raises(InvalidRequest) as refused:
            next(iter(bert.pooler.divide(Embedding("tiny", ("red", wrong)))))
        assert refused.value.param == "inputs[1]"


def test_its_tokenizer_tells_what_is_read(bert: Engine) -> None:
    told = bert.tokenizer.encode(Encoding("tiny", "red fox", pieces=True))
    assert told.tokens == (2, 4, 7, 3)
    assert bert.tokenizer.encode(Encoding("tiny", "red fox", special=False)).tokens == (4, 7)
    assert bert.tokenizer.describe()["tokenizer_class"] == "BertTokenizerFast"
    assert bert.detokenize((4, 7)) == b" red fox"


def test_names_of_special_tokens_are_text(bert: Engine) -> None:
    named, spelled, none = vectors(bert, Embedding("tiny", ("[SEP] red", "[ sep ] red", "red")))
    assert named == pytest.approx(spelled, abs=1e-4)
    assert named @ none < 0.999


@pytest.mark.parametrize("kind", [PoolingKind.MEAN, PoolingKind.CLS, PoolingKind.LAST])
def test_vectors_are_those_of_llama_cpps_own_server(kind: PoolingKind, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    causal = kind is PoolingKind.LAST
    _ = tiny_last(path) if causal else tiny_bert(path, kind)
    texts = ["red fox", "sea", "green boat " * 20, "thirteen green blue sixteen eleven main twelve " * 3]
    with loaded(path) as engine:
        found = vectors(engine, Embedding("tiny", tuple(texts)))
    (answer,) = ask_server(path, [{"input": texts}])
    for vector, told in zip(found, answer["data"], strict=True):
        theirs = np.array(told["embedding"])
        assert vector @ theirs / np.linalg.norm(theirs) > 0.9999


@pytest.mark.parametrize("template", ["", "[CLS] light {query} [SEP] house {document} [SEP]"], ids=["usual", "own"])
def test_ranks_are_those_of_llama_cpps_own_server(template: str, tmp_path: Path) -> None:
    path = tiny_bert(tmp_path / "model.gguf", PoolingKind.RANK, template)
    query, documents = "red fox", ["red", "sea boat", "", "blue " * 20, "fox red"]
    with loaded(path) as engine:
        assert engine.card.abilities == {Ability.RERANK}
        found = vectors(engine, Reranking("tiny", query, tuple(documents)))
        with pytest.raises(ContextLengthExceeded) as refused:
            next(iter(engine.pooler.divide(Reranking("tiny", query, ("red", "sea " * 70)))))
        assert refused.value.param == "documents[1]"
        with pytest.raises(ContextLengthExceeded) as refused:
            next(iter(engine.pooler.divide(Reranking("tiny", "red " * 70, ("red",)))))
        assert refused.value.param == "query"
        cut, short = vectors(engine, Reranking("tiny", query, ("sea boat " * 70, "sea boat"), cut=2))
        assert cut == pytest.approx(short, abs=1e-4)
    (answer,) = ask_server(path, [{"query": query, "documents": documents}], rank=True)
    theirs = {told["index"]: told["relevance_score"] for told in answer["results"]}
    assert [vector.tolist() for vector in found] == [pytest.approx([theirs[i]], abs=1e-3) for i in range(5)]


def test_a_short_input_does_not_wait_for_all_long_ones_and_a_cancel_is_heeded(bert: Engine) -> None:
    work, seen = Cancellation(), []

    def compute() -> None:
        task = Embedding("tiny", ("red " * 60,) * 64)
        while True:  # far longer than any other could wait
            try:
                bert.pooler.pool(task, range(64), work)
                seen.append("told")
            except JobCancelled:
                seen.append("cancelled")
                return

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        for _ in range(3):
            assert len(vectors(bert, Embedding("tiny", ("sea",)))) == 1
    finally:
        work.cancel()
        thread.join(60)
    assert seen[-1] == "cancelled"
    assert len(vectors(bert, Embedding("tiny", ("sea",)))) == 1


def test_a_host_that_dies_is_missed_at_once_and_replaced(tmp_path: Path) -> None:
    with loaded(tiny_bert(tmp_path / "model.gguf", PoolingKind.MEAN)) as engine:
        before, task = host_of(engine), Embedding("tiny", ("sea",))
        (vector,) = vectors(engine, task)
        os.kill(before, signal.SIGSTOP)
        killer = threading.Timer(0.3, os.kill, (before, signal.SIGKILL))
        killer.start()
        with pytest.raises(HostDied, match=r"(?s)killed by SIGKILL; its log ends:.*loading .*model\.gguf"):
            engine.pooler.pool(task, range(1))
        assert vectors(engine, task) == [pytest.approx(vector, abs=1e-4)]
        assert host_of(engine) != before


def test_a_host_that_hangs_is_ended_and_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "STILL", 3.0)
    with loaded(tiny_bert(tmp_path / "model.gguf", PoolingKind.MEAN)) as engine:
        before, task = host_of(engine), Embedding("tiny", ("sea",))
        os.kill(before, signal.SIGSTOP)
        with pytest.raises(HostDied, match=r"was silent for [4-9] s while it had work, and was killed; its log ends:"):
            engine.pooler.pool(task, range(1))
        assert len(vectors(engine, task)) == 1
        assert host_of(engine) != before


def test_what_makes_vectors_makes_no_text(bert: Engine) -> None:
    with pytest.raises(InvalidRequest):
        next(iter(bert.run(chat("red"), Cancellation())))


def test_a_text_that_is_no_numbers_fails_alone(tmp_path: Path) -> None:
    """Of those who share its batch each has its vector, and the host lives."""
    with loaded(tiny_bert(tmp_path / "model.gguf", PoolingKind.MEAN, broken="sea")) as engine:
        pid = host_of(engine)
        good, bad = Embedding("tiny", ("red fox", "blue")), Embedding("tiny", ("red sea", "boat"))
        first = vectors(engine, good)
        failures = []

        def ask() -> None:
            for _ in range(20):
                try:
                    vectors(engine, bad)
                except EngineError as exc:
                    failures.append(exc)

        thread = threading.Thread(target=ask)
        thread.start()
        for _ in range(20):
            assert np.array(vectors(engine, good)) == pytest.approx(np.array(first), abs=1e-4)
        thread.join()
        assert len(failures) == 20
        assert not any(isinstance(failure, HostDied) for failure in failures)
        assert host_of(engine) == pid


def test_a_query_is_read_with_each_document(tmp_path: Path) -> None:
    """So a part of a long one has few of them: others have their turn in between."""
    with loaded(tiny_last(tmp_path / "model.gguf")) as engine:
        many = Reranking("tiny", "hello " * 60, ("b",) * 64)
        parts = [*engine.pooler.divide(many)]
        assert max(map(len, parts)) < 64
        assert [place for part in parts for place in part] == [*range(64)]
