"""A card's digest differs where the same token ids may mean something else."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

from shared.catalogue import Model
from shared.config import Config
from tests.tiny import TINY, tiny
from worker.engines.llama_cpp import LlamaCppEngine
from worker.formats.identity import digest, identity


def of(model: Model) -> str:
    with closing(LlamaCppEngine(model, Config(slots=1, threads=1))) as engine:
        return engine.card.digest


def test_other_weights_and_other_rope_settings_are_another_model(tmp_path: Path) -> None:
    content = bytearray(TINY.read_bytes())
    content[-1] ^= 1
    (tmp_path / "other.gguf").write_bytes(content)
    assert len({of(tiny()), of(tiny(tmp_path / "other.gguf")), of(replace(tiny(), rope_freq_scale=0.5))}) == 3


def test_a_vocabulary_counts_also_where_no_sample_of_the_file_is_taken(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    content = bytearray(64 << 20)
    first.write_bytes(content)
    content[100_000:100_005] = b"other"
    second.write_bytes(content)
    assert identity([first]) == identity([second])
    assert digest(identity([first]), first.read_bytes()) != digest(identity([second]), second.read_bytes())
