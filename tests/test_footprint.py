"""What a model takes of the memory, before it is loaded; the context that fits, and what is said where none does."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from shared.config import Config
from shared.memory import MemoryBudget
from tests.commands import inferq
from tests.fixtures.make_legacy import write
from tests.load.kinds import recurrent, sliding
from tests.tiny import TINY, tiny
from worker import engines
from worker.engines.llama_cpp_files import check_files, host_parameters
from worker.memory import DoesNotFit, fit_context, footprint, llama_needs, share
from worker.memory.sizes import CELL

LONG = 1 << 20
CONFIG = Config(slots=4, batch_size=128)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def long(tmp_path: Path) -> Path:
    """The tiny model, with a context of a million tokens in its header: a gigabyte of cells."""
    data, key = TINY.read_bytes(), b"llama.context_length"
    at = data.index(key) + len(key) + 4
    path = tmp_path / "long.gguf"
    path.write_bytes(data[:at] + LONG.to_bytes(4, "little") + data[at + 4 :])
    return path


def there(size: int) -> MemoryBudget:
    return MemoryBudget(size << 20, 0, "of a test")


def test_llama_cpp_tells_what_it_takes(long: Path, tmp_path: Path) -> None:
    found = footprint(tiny(long), CONFIG)
    assert found.measured
    assert found.context == LONG
    assert footprint(tiny(long), replace(CONFIG, context=1000)).cache == 0  # nothing to go back to
    assert found.cells == LONG * (2 * 4 * 32 * 2 * 2 + CELL)  # layers, heads, their length, keys and values, bytes
    assert abs(found.weights - TINY.stat().st_size) < 32_768
    assert found.total == sum(size for _, size in found.parts())
    (record,) = (tmp_path / "cache/inferq/footprints").glob("*.json")
    record.write_text("nonsense")
    assert footprint(tiny(long), CONFIG) == found


def test_where_it_does_not_tell_it_is_an_upper_bound(long: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = footprint(tiny(long), CONFIG)
    monkeypatch.setattr(llama_needs, "survey", lambda *_, **__: None)  # as a library of another version
    found = footprint(tiny(long), CONFIG)
    assert not found.measured
    assert told.total <= found.total <= 2 * told.total


def test_the_context_is_what_fits(long: Path) -> None:
    fitted = fit_context(tiny(long), CONFIG, there(400))
    assert 100_000 < fitted.footprint.context < LONG
    assert fitted.footprint.total <= 400 << 20
    more = fit_context(tiny(long), Config(slots=4, batch_size=128, context=fitted.footprint.context), there(400))
    assert more.said == ""
    assert "--context or INFERQ_CONTEXT" in fitted.said
    assert "400 MiB free of 400 MiB (of a test)" in fitted.said
    assert fit_context(tiny(long), CONFIG, there(4000)).footprint.context == LONG


def test_what_cannot_fit_is_refused_with_both_numbers_and_what_helps(long: Path) -> None:
    named = Config(slots=4, batch_size=128, context=LONG)
    with pytest.raises(DoesNotFit, match=r"with a context of 1,048,576 tokens it needs .* GiB") as refused:
        fit_context(tiny(long), named, there(400))
    assert "there are 400 MiB free" in str(refused.value)
    (helps,) = re.findall(r"--context (\d+)", str(refused.value))
    assert fit_context(tiny(long), Config(slots=4, batch_size=128, context=int(helps)), there(400)).said == ""
    with pytest.raises(DoesNotFit, match="a smaller model or quantisation, or more memory"):
        fit_context(tiny(long), CONFIG, there(50))


def test_a_worker_starts_with_what_it_may_have(long: Path) -> None:
    started = engines.fit(tiny(long), Config(threads=1, batch_size=128, memory="300MiB"))
    assert 1024 <= started.context < LONG
    with pytest.raises(DoesNotFit, match="INFERQ_MEMORY=50MB"):
        engines.fit(tiny(long), Config(threads=1, batch_size=128, memory="50MB"))


def test_more_than_the_models_own_context_takes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """llama.cpp gives no conversation more: cells for it would be nobody's."""
    own, much = footprint(tiny(), CONFIG), replace(CONFIG, context=1 << 20)
    assert footprint(tiny(), much) == own
    assert engines.fit(tiny(), replace(much, threads=1, memory="300MiB")).context == own.context
    assert f"the context is {own.context} tokens, which is the model's own, and not {1 << 20}" in caplog.text
    assert host_parameters(tiny(), check_files(tiny()), much, 128, "")["context"] == own.context
    forked = host_parameters(tiny(), check_files(tiny()), replace(much, llama_server="/a/fork"), 128, "")
    assert forked["context"] == 1 << 20, "it may do otherwise"


def test_several_models_share(long: Path) -> None:
    small, large = share([tiny(), tiny(long)], CONFIG, there(600))
    needed = footprint(tiny(), CONFIG).total
    assert needed <= small < needed + (1 << 20)  # who wants less leaves the rest to the other
    assert small + large <= 600 << 20
    assert fit_context(tiny(long), CONFIG, MemoryBudget(large, 0, "")).footprint.context > 100_000
    with pytest.raises(
        DoesNotFit, match=r"the models do not fit together: tiny needs .*, tiny needs .*, and there are"
    ):
        share([tiny(), tiny(long)], CONFIG, there(150))
    with pytest.raises(DoesNotFit, match=r"tiny does not fit: .* What helps: a context of [\d,]+ fits: --context \d+"):
        share([tiny(long)], replace(CONFIG, context=LONG), there(400))


def test_ctransformers_is_bounded(tmp_path: Path) -> None:
    file = write("gpt2", "F16", tmp_path / "old.bin")
    model = tiny(file)
    found = footprint(replace(model, engine="ctransformers", architecture="gpt2"), CONFIG)
    assert not found.measured
    more = replace(CONFIG, context=100_000)  # which it does not get
    assert footprint(replace(model, engine="ctransformers", architecture="gpt2"), more) == found
    assert found.copies > 0.9 * file.stat().st_size - 100_000


def test_info_tells_it(long: Path) -> None:
    told = inferq("info", str(long), INFERQ_MEMORY="300MiB")
    assert re.search(r"^memory +.* with a context of [\d,]+ and 4 slots; there are 300 MiB free", told.stdout, re.M)
    found = json.loads(inferq("info", "--json", str(long)).stdout)["memory"]
    assert found["bytes"] == sum(found["parts"].values())


def test_info_tells_it_as_models_toml_has_it(long: Path, tmp_path: Path) -> None:
    given = tmp_path / "models.toml"
    given.write_text(f'[[model]]\nid = "long"\nsource = "{long}"\ncontext = 2048\nslots = 2\n')
    told = inferq("info", "long", "--models", str(given)).stdout
    assert "with a context of 2,048 and 2 slots; there are" in told


def test_states_to_go_back_to_are_counted(tmp_path: Path) -> None:
    """Also of a model that has nothing else: its cells do not grow."""
    found = footprint(tiny(recurrent(tmp_path / "mamba.gguf")), replace(CONFIG, context=4096))
    assert found.cells < 10 << 20
    assert found.cache == 8 * found.cells
    alone = replace(CONFIG, context=4096, slots=1)
    assert footprint(tiny(tmp_path / "mamba.gguf"), alone).cache == 7 * found.cells // 4  # slots


def test_a_state_of_a_sliding_window_is_as_long_as_the_window(tmp_path: Path) -> None:
    """However long a step is, for which the window has cells beside; a draft's has all that it has read."""
    model = tiny(sliding(tmp_path / "window.gguf", window=512, layers=6))
    config = replace(CONFIG, context=8192)
    short, long = (footprint(model, replace(config, batch_size=size)) for size in (32, 512))
    assert short.cells < long.cells
    assert short.cache == long.cache == 8 * 4 * 512 * (5 * 2 * 256 * 2 * 2)  # slots, window; layers, heads and so on
    draft = footprint(replace(model, draft=TINY), config)
    assert draft.cache == short.cache + 8 * 8192 * (2 * 4 * 32 * 2 * 2)


def test_plain_attention_has_its_weights_twice(long: Path) -> None:
    """In 32 bits, of which llama.cpp tells, and in those of the values."""
    found = footprint(tiny(long), replace(CONFIG, context=16_384, attention="plain"))
    assert 128 * 16_384 * 4 * (4 + 2) <= found.compute < 128 * 16_384 * 4 * (4 + 2) * 1.2  # step, context, heads


def test_a_cache_of_8_bits_takes_half(long: Path) -> None:
    whole, half = (footprint(tiny(long), replace(CONFIG, kv_cache=kind)) for kind in ("", "q8_0"))
    assert 0.5 < half.cells / whole.cells < 0.6


def test_a_step_may_be_longer_than_the_smallest_context_that_is_asked_for(long: Path) -> None:
    assert footprint(tiny(long), replace(CONFIG, batch_size=512)).measured
