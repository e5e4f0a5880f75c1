"""The reader of legacy files: what is sound is read, all else is refused in words."""

from __future__ import annotations

import random
import struct
import tracemalloc
from math import prod
from pathlib import Path

import pytest

from shared.errors import ModelFileError
from tests.fixtures.make_legacy import FOLDERS, GENUINE, MODELS, vocabulary, write
from worker.formats.architectures import ARCHITECTURES
from worker.formats.ggml import BLOCKS
from worker.formats.legacy import read_legacy
from worker.formats.repack import repack


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("legacy")
    return {name: write(name, "Q4_0", folder / name).read_bytes() for name in FOLDERS}


@pytest.mark.parametrize("architecture", FOLDERS)
def test_the_architecture_is_found_from_the_file(architecture: str, tmp_path: Path) -> None:
    legacy = read_legacy(write(architecture, "F16", tmp_path / "model.bin"))
    assert legacy.architecture == architecture
    assert list(legacy.vocabulary) == vocabulary(MODELS / FOLDERS[architecture])
    assert legacy.hyper.layers == 2


@pytest.mark.parametrize("path", GENUINE, ids=[path.stem for path in GENUINE])
def test_genuine_files(path: Path) -> None:
    legacy = read_legacy(path)
    assert legacy.architecture == path.name.partition("-")[0].partition("_")[0]
    assert (legacy.container, legacy.version, legacy.quantisation_version) == ("ggjt", 3, 2)
    assert len(legacy.vocabulary) == 512


def test_an_architecture_can_be_given(tmp_path: Path) -> None:
    path = write("gptj", "F16", tmp_path / "model.bin")
    assert read_legacy(path, "gptj").architecture == "gptj"
    with pytest.raises(ModelFileError, match=str(path)):
        read_legacy(path, "gpt2")
    with pytest.raises(ModelFileError, match="there are bloom, gpt2"):
        read_legacy(path, "gpt5")


def test_starcoder_is_told_from_gpt2_by_its_tokens(tmp_path: Path) -> None:
    data = write("gpt2", "F16", tmp_path / "model.bin").read_bytes()
    token = next(token for token in vocabulary(MODELS / "gpt2") if len(token) > 3)
    fim = b"<fim_prefix>"
    old, new = (struct.pack("<I", len(text)) + text for text in (token, fim))
    (tmp_path / "star.bin").write_bytes(data.replace(old, new, 1))
    assert read_legacy(tmp_path / "star.bin").architecture == "starcoder"


@pytest.mark.parametrize("architecture", FOLDERS)
def test_truncated_anywhere_it_says_where(architecture: str, files: dict[str, bytes], tmp_path: Path) -> None:
    data, path = files[architecture], tmp_path / "model.bin"
    for length in (5, 8, 20, 40, 100, 2000, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(ModelFileError, match=r"at byte \d+"):
            read_legacy(path)


@pytest.mark.parametrize("value", [0, 1, 7, 2**20, 2**31 - 1, 2**31, 2**32 - 1])
@pytest.mark.parametrize("architecture", FOLDERS)
def test_numbers_out_of_range_are_refused(
    architecture: str, value: int, files: dict[str, bytes], tmp_path: Path
) -> None:
    start = 8 if architecture == "llama" else 4
    path = tmp_path / "model.bin"
    for i, name in enumerate(ARCHITECTURES[architecture].layout):
        if name not in ("n_vocab", "n_embd", "n_layer", "ftype"):
            continue  # of the others some of these values are possible
        data = bytearray(files[architecture])
        data[start + 4 * i : start + 4 * i + 4] = struct.pack("<I", value)
        if name == "ftype" and value in (0, 1, 7):
            continue  # these exist
        path.write_bytes(data)
        with pytest.raises(ModelFileError, match=r"at byte \d+"):
            read_legacy(path, architecture)


def test_what_is_no_legacy_file(tmp_path: Path) -> None:
    for content in (b"", b"ggm", b"GGUF" + bytes(100), bytes(1000), b"lmgg" + b"\xff" * 1000, b"tjgg" + bytes(1000)):
        (tmp_path / "model.bin").write_bytes(content)
        with pytest.raises(ModelFileError, match=r"model\.bin"):
            read_legacy(tmp_path / "model.bin")
    with pytest.raises(ModelFileError, match="cannot be read"):
        read_legacy(tmp_path / "nothing.bin")


@pytest.mark.parametrize("architecture", FOLDERS)
def test_mutations_are_read_or_refused_and_take_little_memory(
    architecture: str, files: dict[str, bytes], tmp_path: Path
) -> None:
    source, path = random.Random(architecture), tmp_path / "model.bin"
    tracemalloc.start()
    refused = 0
    for _ in range(60):
        data = bytearray(files[architecture])
        for _ in range(source.randint(1, 4)):
            place = source.randrange(4, 8000 if source.random() < 0.7 else len(data) - 4)
            data[place : place + 4] = source.choice((b"\xff\xff\xff\xff", bytes(4), source.randbytes(4)))
        path.write_bytes(data)
        try:
            read_legacy(path)
        except ModelFileError:
            refused += 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refused > 20
    assert peak < 50_000_000


def other(architecture: str, container: str, kind: int, file_type: int, tokens: list[bytes]) -> bytes:
    """A file of zeros of an architecture that no checkpoint here is of."""
    described = ARCHITECTURES[architecture]
    numbers = {"n_vocab": len(tokens), "n_ctx": 64, "n_embd": 256, "n_head": 4, "n_head_kv": 1, "n_layer": 2}
    numbers |= {"n_rot": 16, "par_res": 1, "falcon_type": 7, "ftype": file_type}
    data = bytearray({"ggml": b"lmgg", "ggcc": b"ccgg" + struct.pack("<I", 10)}[container])
    data += b"".join(struct.pack("<i", numbers[name]) for name in described.layout)
    scored = described.scored or container != "ggml"
    words = b"".join(struct.pack("<I", len(t)) + t + struct.pack("<f", -1.0) * scored for t in tokens)
    merges = struct.pack("<II1sI2s", 1, 1, b"a", 2, b"bc")
    data += words if container == "ggml" else struct.pack("<I", 1) + words + merges
    sizes = described.legacy_hyper(numbers, Everything()).sizes
    for weight in described.tensors(2):
        if "ln_mlp" in weight.legacy or "ln_attn" in weight.legacy:
            continue
        if not weight.legacy or (weight.optional and "input_layernorm" not in weight.legacy):
            continue
        shape, number = weight.extent(sizes), kind if len(weight.shape) > 1 else 0
        data += struct.pack(f"<{3 + len(shape)}i", len(shape), len(weight.legacy), number, *shape)
        data += weight.legacy.encode()
        data += bytes(-len(data) % 32 if container == "ggcc" else 0)
        block, width = BLOCKS[number]
        data += bytes(prod(shape) // block * width)
    return bytes(data)


class Everything(dict[str, tuple[int, ...]]):
    """Has whatever is looked for."""

    def __contains__(self, _: object) -> bool:
        return True


TOKENS = [b"%d" % i for i in range(32)]


@pytest.mark.parametrize(
    ("architecture", "container", "kind", "file_type", "tokens"),
    [
        ("starcoder", "ggml", 2, 2002, [*TOKENS, b"<fim_prefix>"]),
        ("dolly-v2", "ggml", 8, 2007, [*TOKENS, b"### Response:"]),
        ("replit", "ggml", 1, 1, TOKENS),
        ("falcon", "ggml", 1, 1, TOKENS),
        ("falcon", "ggcc", 12, 15, TOKENS),
    ],
)
def test_what_ctransformers_alone_computes(
    architecture: str, container: str, kind: int, file_type: int, tokens: list[bytes], tmp_path: Path
) -> None:
    data, path = other(architecture, container, kind, file_type, tokens), tmp_path / "model.bin"
    path.write_bytes(data)
    legacy = read_legacy(path)
    assert (legacy.architecture, legacy.container) == (architecture, container)
    assert list(legacy.vocabulary) == tokens
    assert bool(legacy.scores) == (architecture == "replit" or container == "ggcc")
    assert {tensor.kind for tensor in legacy.tensors} == {0, kind}
    path.write_bytes(data[:-1])
    with pytest.raises(ModelFileError, match="truncated"):
        read_legacy(path)
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match="cannot be repacked; the engine ctransformers"):
        repack(path, tmp_path / "model.gguf")
