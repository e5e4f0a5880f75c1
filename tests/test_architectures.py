"""The six architectures over HTTP: what was converted or repacked says the same tokens as where it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.make_legacy import FOLDERS, MODELS, REFERENCE, write
from tests.stack import Stack, running
from worker.formats.checkpoint import convert


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("stack"), log_level="warning", slots=1, threads=1) as stack:
        stack.start_gateway()
        yield stack


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def tokens(stack: Stack, file: Path, *flags: str) -> list[int]:
    """The 16 likeliest tokens after the prompt, from a worker of its own."""
    worker = stack.start_worker(str(file), *flags)
    answer = stack.client().completions.create(
        model=file.stem,
        prompt=REFERENCE["ids"],
        max_tokens=16,
        temperature=0,
        extra_body={"ignore_eos": True, "return_token_ids": True},
    )
    worker.terminate()
    worker.wait(20)
    found: list[int] = (answer.choices[0].model_extra or {})["token_ids"]
    return found


@pytest.mark.parametrize("architecture", FOLDERS)
def test_a_checkpoint(architecture: str, stack: Stack, tmp_path: Path) -> None:
    convert(MODELS / FOLDERS[architecture], tmp_path / f"new-{architecture}.gguf")
    assert tokens(stack, tmp_path / f"new-{architecture}.gguf") == REFERENCE[FOLDERS[architecture]]["greedy"]


@pytest.mark.parametrize("architecture", FOLDERS)
def test_a_legacy_file(architecture: str, stack: Stack, tmp_path: Path) -> None:
    file = write(architecture, "F16", tmp_path / f"old-{architecture}.bin")
    assert tokens(stack, file) == REFERENCE[FOLDERS[architecture]]["greedy"]


@pytest.mark.parametrize("architecture", ["gpt2", "gptj", "gptneox", "mpt"])
def test_a_legacy_file_as_it_is(architecture: str, stack: Stack, tmp_path: Path) -> None:
    file = write(architecture, "F16", tmp_path / f"native-{architecture}.bin")
    assert tokens(stack, file, "--engine", "ctransformers") == REFERENCE[FOLDERS[architecture]]["greedy"]
