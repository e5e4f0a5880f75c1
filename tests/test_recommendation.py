"""The sampling that a model recommends: whose word counts, on which way, and what a hostile file gains by it."""

from __future__ import annotations

import json
import logging
import struct
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from gateway.directory import Directory
from shared import registry
from shared.card import Card
from shared.catalogue import Model
from shared.config import Config
from shared.loops import Loops
from shared.protocol import Completion, Sampling
from shared.recommendation import RANGES, complete
from shared.registry import Kind
from shared.tickets import Tickets
from tests.answers import run, text
from tests.calls import said
from tests.commands import output
from tests.fixtures.make_legacy import write
from tests.stack import Stack, running
from tests.tiny import TINY, loaded, tiny
from worker.engines.ctransformers import CtransformersEngine
from worker.engines.defaults import DEFAULTS
from worker.engines.echo import EchoEngine
from worker.formats.gguf import read_header

KINDS = {bool: (7, "<?"), int: (5, "<i"), float: (6, "<f")}
PREFIX = "general.sampling."
COLD = {"temperature": 0.2}


def recommending(target: Path, **values: Any) -> Path:
    """The tiny model, whose file recommends these values and no others."""
    header, content = read_header(TINY), TINY.read_bytes()
    start, end = header.pairs[f"{PREFIX}temp"]
    pairs = b"".join(_pair(PREFIX + key, value) for key, value in values.items())
    # The tensors have to stay where they are, after the next multiple of 32.
    room = -(len(pairs) - (end - start) + len(_pair("test.padding", ""))) % 32
    pairs += _pair("test.padding", " " * room)
    (count,) = struct.unpack_from("<Q", content, 16)
    head = content[:16] + struct.pack("<Q", count + len(values))
    target.write_bytes(head + content[24:start] + pairs + content[end:])
    return target


def _pair(key: str, value: Any) -> bytes:
    if isinstance(value, str):
        kind, data = 8, struct.pack("<Q", len(value)) + value.encode()
    else:
        kind, layout = KINDS[type(value)]
        data = struct.pack(layout, value)
    return struct.pack("<Q", len(key)) + key.encode() + struct.pack("<I", kind) + data


def drawn(engine: Any, **sampling: Any) -> list[str]:
    """What a few seeds give."""
    tasks = [Completion("tiny", ("a",), Sampling(seed, 12, ignore_eos=True, **sampling)) for seed in range(3)]
    return [text(run(engine, task)) for task in tasks]


def test_every_value_is_one_of_a_request_and_has_a_default_of_openais() -> None:
    assert set(RANGES) <= set(DEFAULTS)
    assert set(RANGES) <= set(Sampling.__struct_fields__)


def test_a_request_goes_before_a_recommendation_parameter_by_parameter() -> None:
    told = complete(Sampling(seed=1, temperature=1.0), {"temperature": 0.2, "top_p": 0.9, "top_k": 7, "min_p": 0})
    assert told == Sampling(seed=1, temperature=1.0, top_p=0.9, top_k=7, min_p=0)


def test_a_temperature_of_0_takes_the_likeliest_token_whatever_is_recommended() -> None:
    greedy = Sampling(seed=1, temperature=0.0)
    assert complete(greedy, {"temperature": 0.2, "repeat_penalty": 1.1}) == greedy


def test_what_another_version_recommends_and_this_one_does_not_know_is_passed_over() -> None:
    wild: Any = {"mood": 1, "seed": 5, "temperature": "hot", "top_p": 7, "top_k": 1.5}
    assert complete(Sampling(seed=1), wild) == Sampling(seed=1)


def test_the_task_carries_it_for_whoever_goes_on_with_the_answer(empty: Stack) -> None:
    """Another worker, also of another version, chooses as the first did."""
    registry._announce(empty.redis, Kind.MODELS, "m", 60, Card("m", "", "", 8, 1, 0, ("completion",), sampling=COLD))
    directory = Directory(empty.redis, Tickets(empty.redis), Loops(), Config())
    for given, wanted in ((None, 0.2), (1.0, 1.0)):
        task = directory.admit(Completion("m", ((1,),), Sampling(seed=1, max_tokens=1, temperature=given)))
        assert isinstance(task, Completion)
        assert task.sampling.temperature == wanted


def test_a_card_tells_it_and_may_lack_it(empty: Stack) -> None:
    card = Card("m", "echo", "echo", 8, 1, 0, sampling=COLD)
    for fields in (asdict(card), {k: v for k, v in asdict(card).items() if k != "sampling"}):
        script = ["models", "m", 60_000, json.dumps(fields), ""]
        registry._script(empty.redis, "announce")(keys=[], args=script)
        found = registry.models(empty.redis)["m"]
        assert found.sampling == fields.get("sampling", {})


@pytest.fixture(scope="module")
def greedy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A worker whose models.toml says 0, and whose file says 0.5."""
    folder = tmp_path_factory.mktemp("greedy")
    toml = f'[[model]]\nid = "tiny"\nsource = "{TINY}"\nsampling = {{ temperature = 0 }}\nslots = 1\n'
    (folder / "models.toml").write_text(toml)
    with running(folder) as stack:
        stack.start_gateway()
        stack.start_worker("tiny", models=str(folder / "models.toml"))
        yield stack


class TestLlamaCpp:
    def test_the_file_then_the_catalogue_then_the_request(self, tmp_path: Path) -> None:
        path = recommending(tmp_path / "a.gguf", temp=0.0, top_p=0.9, top_k=20)
        with loaded(path) as engine:
            assert engine.card.sampling == {"temperature": 0.0, "top_p": 0.9, "top_k": 20}
            assert len(set(drawn(engine))) == 1
            assert len(set(drawn(engine, temperature=1.0))) == 3
        with loaded(path, sampling={"temperature": 2.0}) as engine:
            assert engine.card.sampling == {"temperature": 2.0, "top_p": 0.9, "top_k": 20}
            assert drawn(engine) == drawn(engine, temperature=2.0, top_p=0.9, top_k=20)
            assert len(set(drawn(engine))) == 3

    def test_bad_values_of_a_file_are_told_and_passed_over(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Also those that llama.cpp would heed by itself: the window of the penalties would take 8 GB."""
        plain = recommending(tmp_path / "plain.gguf")
        with loaded(plain) as engine:
            assert engine.card.sampling == {}
            wanted = drawn(engine, repeat_penalty=1.3)
        bad = {"temp": float("nan"), "top_p": -1.0, "top_k": True, "min_p": "\x1b[2J", "penalty_repeat": 1e30}
        own = {"penalty_last_n": 2**31 - 1, "sequence": "top_k", "mirostat": 2, "xtc_probability": 1.0}
        with caplog.at_level(logging.WARNING), loaded(recommending(tmp_path / "bad.gguf", **bad, **own)) as engine:
            assert engine.card.sampling == {}
            assert drawn(engine, repeat_penalty=1.3) == wanted
        for key in bad:
            assert f"{PREFIX}{key} is passed over" in caplog.text
        assert "\x1b" not in caplog.text


def test_ctransformers_takes_the_catalogues(tmp_path: Path) -> None:
    path = write("gptj", "F16", tmp_path / "tiny-gptj.bin")
    model = Model("tiny", "", path, "ctransformers", None, sampling={"temperature": 0.0})
    with closing(CtransformersEngine(model, Config(threads=1))) as engine:
        assert engine.card.sampling == {"temperature": 0.0}
        assert len(set(drawn(engine))) == 1
        assert len(set(drawn(engine, temperature=1.0))) == 3


def test_echo_tells_the_catalogues() -> None:
    model = Model("talker", "", None, "echo", None, sampling={"top_k": 3})
    assert EchoEngine(model, Config()).card.sampling == {"top_k": 3}
    assert tiny().sampling == {}


class TestServed:
    def test_a_silent_client_gets_it_and_one_that_speaks_does_not(self, greedy: Stack) -> None:
        client = greedy.client()

        def ask(seed: int, **more: Any) -> str:
            answer = client.chat.completions.create(
                model="tiny", messages=said("a"), seed=seed, max_tokens=12, extra_body={"ignore_eos": True}, **more
            )
            return str(answer.choices[0].message.content)

        assert len({ask(seed) for seed in range(3)}) == 1
        assert len({ask(seed, temperature=1) for seed in range(3)}) == 3

    def test_llm_ui_gets_it(self, greedy: Stack) -> None:
        http = greedy.http()
        assert len({http.get("/api/chat", params={"prompt": "a", "model": "tiny"}).text for _ in range(3)}) == 1

    def test_chat_on_a_gateway_sends_none_of_its_own(self, greedy: Stack) -> None:
        def ask(*flags: str) -> str:
            return output("chat", "--url", greedy.url, "-n", "12", "--ignore-eos", *flags, given="a\n")

        assert ask("--seed", "1") == ask("--seed", "2")
        assert ask("--seed", "1", "--temperature", "1") != ask("--seed", "2", "--temperature", "1")
