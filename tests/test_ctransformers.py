"""The engine ctransformers: legacy files as they are, in a host that may die."""

from __future__ import annotations

import json
import os
import shutil
import signal
import struct
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from openai import BadRequestError
from safetensors.numpy import load_file, save_file

from shared.catalogue import Model
from shared.config import Config
from shared.errors import ContextLengthExceeded, JobCancelled, ModelFileError
from shared.protocol import Accepted, Chat, Completion, Done, FineSampling, Message, Progress, Prompt, Sampling
from shared.tickets import Tickets
from tests.answers import Running, deltas, logprobs, run, text, tokens
from tests.calls import said
from tests.fixtures.make_legacy import FOLDERS, MODELS, REFERENCE, write
from tests.stack import Stack, wait_for
from tests.tiny import TINY
from worker import chat_formats
from worker.engines.ctransformers import CtransformersEngine
from worker.engines.ctransformers_text import LegacyText
from worker.formats.legacy import read_legacy

IDS = tuple(REFERENCE["ids"])


def loaded(path: Path, chat_format: str = "", **settings: Any) -> closing[CtransformersEngine]:
    model = Model("tiny", "", path, "ctransformers", None, chat_format=chat_format)
    return closing(CtransformersEngine(model, Config(**{"threads": 1, **settings})))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write("gptj", "F16", tmp_path_factory.mktemp("legacy") / "tiny-gptj.bin")


@pytest.fixture(scope="module")
def engine(file: Path) -> Iterator[CtransformersEngine]:
    with loaded(file, "plain") as engine:
        yield engine


def completion(prompt: Prompt = IDS, **sampling: Any) -> Completion:
    return Completion("tiny", (prompt,), Sampling(**{"seed": 1, "max_tokens": 16, "ignore_eos": True, **sampling}))


@pytest.mark.parametrize("architecture", ["gpt2", "gptj", "gptneox", "mpt"])
def test_greedy_tokens_are_those_of_transformers(architecture: str, tmp_path: Path) -> None:
    with loaded(write(architecture, "F16", tmp_path / "model.bin")) as engine:
        assert engine.card.architecture == architecture
        assert tokens(run(engine, completion(temperature=0))) == REFERENCE[FOLDERS[architecture]]["greedy"]
        assert engine.tokenize(REFERENCE["prompt"]) == REFERENCE["ids"]
        assert engine.detokenize(REFERENCE["ids"]).decode() == REFERENCE["prompt"]


def test_llama_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ctransformers derives the inner width of Llama's blocks, 341 for this one; rows of zeros change nothing."""
    folder, inner = tmp_path / "llama", 341
    shutil.copytree(MODELS / "llama", folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": inner}))
    weights = load_file(folder / "model.safetensors")
    for name, values in weights.items():
        if ".mlp." in name:
            axis = 1 if "down_proj" in name else 0
            more = [(0, inner - values.shape[axis] if i == axis else 0) for i in range(2)]
            weights[name] = np.pad(values, more)
    save_file(weights, folder / "model.safetensors")
    monkeypatch.setitem(FOLDERS, "llama", str(folder))
    with loaded(write("llama", "F16", tmp_path / "model.bin")) as engine:
        assert tokens(run(engine, completion(temperature=0))) == REFERENCE["llama"]["greedy"]


@pytest.mark.parametrize(("architecture", "alike"), [("dolly-v2", "gptneox"), ("starcoder", "gpt2")])
def test_architectures_that_llama_cpp_lacks(architecture: str, alike: str, tmp_path: Path) -> None:
    """They compute as others do, of which there are references."""
    model = Model("tiny", "", write(alike, "F16", tmp_path / "model.bin"), "ctransformers", None, architecture)
    with closing(CtransformersEngine(model, Config(threads=1))) as engine:
        assert engine.card.architecture == architecture
        assert tokens(run(engine, completion(temperature=0))) == REFERENCE[FOLDERS[alike]]["greedy"]


def test_blocks_of_an_old_layout_are_refused(tmp_path: Path) -> None:
    """Q5_0 had the same size and another order, so that only the number of the version tells."""
    data = write("gptj", "Q5_0", tmp_path / "old.bin").read_bytes()
    version_1, version_2 = (struct.pack("<i", 1000 * version + 8) for version in (1, 2))
    (tmp_path / "old.bin").write_bytes(data.replace(version_2, version_1, 1))
    with pytest.raises(ModelFileError, match="quantised in version 1"):
        loaded(tmp_path / "old.bin")


def test_what_it_cannot_run_is_refused(tmp_path: Path, file: Path) -> None:
    with pytest.raises(ModelFileError, match="no bloom"):
        loaded(write("bloom", "F16", tmp_path / "model.bin"))
    with pytest.raises(ModelFileError, match=r"GGUF files are run by the engine llama\.cpp"):
        loaded(TINY)
    with pytest.raises(ModelFileError, match="does not read gptj in files of the kind ggjt"):
        loaded(write("gptj", "F16", tmp_path / "ggjt.bin", "ggjt"))
    (tmp_path / "cut.bin").write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ModelFileError, match="truncated"):
        loaded(tmp_path / "cut.bin")
    with pytest.raises(ModelFileError, match="No such file"):
        loaded(tmp_path / "none.bin")


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_an_answer_goes_on_as_if_nothing_had_happened(engine: CtransformersEngine, temperature: float) -> None:
    task = completion(temperature=temperature, max_tokens=24)
    whole = run(engine, task)
    pieces = deltas(whole)
    for cut in (1, len(pieces) // 2, len(pieces) - 1):
        rest = run(engine, task, pieces[:cut])
        assert tokens(pieces[:cut]) + tokens(rest) == tokens(whole)
        assert text(pieces[:cut]) + text(rest) == text(whole)
        assert isinstance(rest[-1], Done)
        assert rest[-1].usage.completion_tokens == 24


def test_pieces_are_whole_characters_and_tell_every_token(engine: CtransformersEngine) -> None:
    """At a high temperature the model says bytes at random, most of them no character."""
    events = run(engine, completion(temperature=2.0, max_tokens=200))
    assert len(tokens(events)) == 200
    assert text(events) == engine.detokenize(tokens(events)).decode(errors="replace")
    assert [d.finish_reason for d in deltas(events) if d.finish_reason] == ["length"]


def test_a_stop_string_ends_the_answer_before_it_also_across_tokens(engine: CtransformersEngine) -> None:
    said_ = text(run(engine, completion(temperature=0)))
    middle = len(said_) // 2
    stop = said_[middle : middle + 8]
    events = run(engine, completion(temperature=0, stop=(stop, "never said")))
    assert text(events) == said_[: said_.index(stop)]
    assert deltas(events)[-1].finish_reason == "stop"


def test_the_end_token_ends_the_answer(engine: CtransformersEngine) -> None:
    (end,) = engine._text.ends
    biased = completion(temperature=0, ignore_eos=False, logit_bias=((end, 1000.0),))
    events = run(engine, biased)
    assert (text(events), deltas(events)[-1].finish_reason) == ("", "stop")
    ignoring = completion(temperature=0, logit_bias=((end, 1000.0),))
    assert end not in tokens(run(engine, ignoring))


def test_scores_are_the_log_probabilities_of_what_follows(engine: CtransformersEngine) -> None:
    events = run(engine, completion(temperature=0, logprobs=0))
    told = logprobs(events)
    scores = engine.scorer.score([*IDS, *tokens(events)], after=len(IDS))
    assert told == pytest.approx([score.logprob for score in scores], abs=1e-3)


def test_a_chat_is_written_in_the_models_format(engine: CtransformersEngine) -> None:
    sampling = Sampling(seed=1, max_tokens=8, temperature=0, ignore_eos=True)
    events = run(engine, Chat("tiny", (Message("user", "def main"),), sampling))
    same = run(engine, completion("User: def main\nAssistant:", temperature=0, max_tokens=8))
    assert tokens(events) == tokens(same)
    begun = Chat("tiny", (Message("user", "def main"), Message("assistant", " re")), sampling, continue_final=True)
    assert tokens(run(engine, begun)) == tokens(
        run(engine, completion("User: def main\nAssistant: re", temperature=0, max_tokens=8))
    )


def test_what_begins_the_next_turn_ends_a_chats_answer(
    engine: CtransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = Chat("tiny", (Message("user", "def main"),), Sampling(seed=1, max_tokens=16, temperature=0, ignore_eos=True))
    whole = text(run(engine, chat))
    turn = whole[len(whole) // 2 :][:4]
    monkeypatch.setitem(chat_formats._STOPS, "plain", (turn,))
    events = run(engine, chat)
    assert text(events) == whole[: whole.index(turn)]
    assert deltas(events)[-1].finish_reason == "stop"


@pytest.mark.parametrize(
    "prompt",
    ["\U0001f600" * 5000, "a" * 200_000, "\0" * 100, "word " * 200_000, "", "x", "\r\n\t ", "￾￿"],
    ids=["emoji", "a long word", "NUL", "a megabyte", "empty", "short", "space", "no characters"],
)
def test_hostile_prompts_are_answered_or_refused(engine: CtransformersEngine, prompt: str) -> None:
    if len(prompt) < 1000:
        assert isinstance(run(engine, completion(prompt, max_tokens=2))[-1], Done)
    else:
        with pytest.raises(ContextLengthExceeded):
            run(engine, completion(prompt, max_tokens=2))
    assert tokens(run(engine, completion(temperature=0))) == REFERENCE["gptj"]["greedy"]


def test_a_cancel_in_the_prompt_is_heeded_between_two_steps(engine: CtransformersEngine) -> None:
    execution = Running()
    events = engine.run(completion(tuple([5, 6, 7, 8, 9, 10] * 40)), execution)
    assert isinstance(next(events), Progress)
    execution.cancelled = True
    with pytest.raises(JobCancelled):
        list(events)
    assert tokens(run(engine, completion(temperature=0))) == REFERENCE["gptj"]["greedy"]


def test_what_was_read_before_is_not_read_again(engine: CtransformersEngine) -> None:
    long = (*range(20, 120),)
    run(engine, completion(long, max_tokens=1))
    done = run(engine, completion((*long, 5), max_tokens=1))[-1]
    assert isinstance(done, Done)
    assert done.usage.cached_tokens >= 100


def test_two_at_once_take_turns(engine: CtransformersEngine) -> None:
    found: list[list[int]] = []
    threads = [
        threading.Thread(target=lambda: found.append(tokens(run(engine, completion(temperature=0))))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == [REFERENCE["gptj"]["greedy"]] * 4


def test_through_the_gateway_with_the_openai_client(file: Path, tmp_path: Path) -> None:
    stack = Stack(tmp_path)
    try:
        stack.start_gateway()
        stack.start_worker(str(file), "--engine", "ctransformers", threads=1, slots=4)
        client = stack.client()
        answer = client.completions.create(
            model=file.stem, prompt=list(IDS), max_tokens=16, temperature=0, extra_body={"ignore_eos": True}
        )
        reference = REFERENCE["gptj"]["text"]
        assert answer.choices[0].text == reference
        stream = client.completions.create(
            model=file.stem,
            prompt=REFERENCE["prompt"],
            max_tokens=16,
            temperature=0,
            stream=True,
            extra_body={"ignore_eos": True},
        )
        assert "".join(chunk.choices[0].text for chunk in stream) == reference
        with pytest.raises(BadRequestError, match=f"--chat-format .*{', '.join(chat_formats.NAMES)}"):
            client.chat.completions.create(model=file.stem, messages=said("Hello"))
        two = client.completions.create(model=file.stem, prompt=["def", "main"], n=2, max_tokens=4)
        assert len(two.choices) == 4

        client.models.list()  # the gateway reads the card, which it may have known in outline only
        known, off = stack.jobs(), {"mirostat_tau": 5, "xtc_probability": 0, "dry_multiplier": 0}
        with pytest.raises(BadRequestError, match=r"ctransformers, .* does not support 'mirostat'") as refusal:
            client.completions.create(model=file.stem, prompt="def", extra_body={**off, "mirostat_mode": 2})
        assert refusal.value.param == "mirostat"
        assert stack.jobs().keys() <= known.keys()
        assert client.completions.create(model=file.stem, prompt="def", extra_body={**off, "min_tokens": 16}).usage
        job_id, task = f"cmpl-{uuid4().hex}", Completion(file.stem, ("def",), FineSampling(1, xtc_probability=1.0))
        Tickets(stack.redis).submit(job_id, Accepted(task, 1), reply="", max_queue=10, wait=600, keep=600)
        wait_for(lambda: stack.state(job_id) == "failed", "a worker that a gateway has not asked refuses too")
        assert stack.http().get(f"/v1/jobs/{job_id}").json()["error"]["param"] == "xtc_probability"
    finally:
        stack.close()


def test_replits_spaces_and_the_ends_of_dolly(file: Path) -> None:
    vocabulary = ["<unk>", "▁def", "▁", "x", "### End", "### Instruction:", "d", "e", "f", "de", "def"]
    legacy = replace(
        read_legacy(file),
        architecture="replit",
        vocabulary=tuple(word.encode() for word in vocabulary),
        scores=tuple(-float(i) for i in range(len(vocabulary))),
    )
    text = LegacyText(legacy)
    assert text.tokens(" def x") == [1, 2, 3]
    assert b"".join(map(text.bytes_of, (1, 2, 3))) == b" def x"
    assert text.tokens("x### Instruction:x") == [3, 5, 3]
    assert text.ends == {4}


def test_a_text_that_goes_on_gets_no_space_before_it(file: Path) -> None:
    legacy = replace(
        read_legacy(file),
        architecture="llama",
        vocabulary=(b"<unk>", b"<s>", b"</s>", b" d", b"d", b" "),
        scores=(0.0, 0.0, 0.0, -1.0, -2.0, -3.0),
    )
    text = LegacyText(legacy)
    assert text.tokens("d")[-1:] == [3]
    assert text.more("d") == [4]
    assert text.more("") == []


def test_a_cancel_wakes_an_engine_whose_host_hangs(file: Path) -> None:
    with loaded(file) as engine:
        execution = Running()
        events = engine.run(completion(max_tokens=200), execution)
        next(events)
        assert engine.host_pid
        os.kill(engine.host_pid, signal.SIGSTOP)
        threading.Timer(0.2, execution.cancel).start()
        with pytest.raises(JobCancelled):
            list(events)
        os.kill(engine.host_pid, signal.SIGCONT)
        assert tokens(run(engine, completion(temperature=0))) == REFERENCE["gptj"]["greedy"]
