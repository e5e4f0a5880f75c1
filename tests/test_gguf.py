"""The check of GGUF headers: what is sound is read, everything else is refused in words."""

from __future__ import annotations

import random
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared.errors import ModelFileError
from tests.tiny import TINY
from worker.formats.gguf import MetadataArray, read_header

U32, BOOL, STRING, ARRAY = 4, 7, 8, 9
F16, Q4_0 = 1, 2


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def pair(key: str | bytes, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def array(kind: int, count: int, values: bytes) -> bytes:
    return struct.pack("<IQ", kind, count) + values


def words(*values: str) -> bytes:
    return array(STRING, len(values), b"".join(map(text, values)))


def tensor(name: str = "blk.0.w", shape: tuple[int, ...] = (32, 2), kind: int = F16, offset: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


ARCHITECTURE = pair("general.architecture", STRING, text("llama"))


def gguf(
    *pairs: bytes,
    tensors: tuple[bytes, ...] = (tensor(),),
    magic: bytes = b"GGUF",
    version: bytes = struct.pack("<I", 3),
    tensor_count: int | None = None,
    pair_count: int | None = None,
    data: int = 128,
) -> bytes:
    counts = struct.pack(
        "<QQ",
        len(tensors) if tensor_count is None else tensor_count,
        len(pairs) if pair_count is None else pair_count,
    )
    header = magic + version + counts + b"".join(pairs) + b"".join(tensors)
    return header + bytes(-len(header) % 32) + bytes(data)


@pytest.fixture
def save(tmp_path: Path) -> Callable[[bytes], Path]:
    def save(content: bytes) -> Path:
        path = tmp_path / "model.gguf"
        path.write_bytes(content)
        return path

    return save


def test_a_sound_file_is_read() -> None:
    header = read_header(TINY)
    assert (header.version, header.alignment, header.architecture, header.name) == (3, 32, "llama", "Tiny Llama")
    assert (header.context_length, header.vocabulary_size, header.bos) == (256, 512, 0)
    assert header.sampling == {"temperature": 0.5}
    assert header.chat_template is not None
    assert header.chat_template.startswith("{{ bos_token }}")
    tokens = header.metadata["tokenizer.ggml.tokens"]
    assert isinstance(tokens, MetadataArray)
    assert tokens.count == 512
    embeddings = next(t for t in header.tensors if t.name == "token_embd.weight")
    assert (embeddings.shape, embeddings.kind, embeddings.size) == ((128, 512), F16, 128 * 512 * 2)
    last = max(header.tensors, key=lambda t: t.offset)
    assert TINY.stat().st_size - 32 < header.data_offset + last.offset + last.size <= TINY.stat().st_size


def test_a_minimal_file_of_version_2_is_read(save: Callable[[bytes], Path]) -> None:
    header = read_header(save(gguf(ARCHITECTURE, version=struct.pack("<I", 2))))
    assert (header.version, header.name, header.chat_template, header.vocabulary_size) == (2, None, None, 0)
    assert (header.context_length, header.bos, header.sampling) == (None, None, {})


def test_a_truncated_file_is_refused_wherever_it_ends(save: Callable[[bytes], Path]) -> None:
    whole = TINY.read_bytes()
    header_end = read_header(TINY).data_offset
    offsets = [
        *range(300),
        *range(300, header_end, 97),
        header_end,
        header_end + 1,
        len(whole) // 2,
        len(whole) - 33,
    ]
    for offset in offsets:
        with pytest.raises(ModelFileError, match=r"model\.gguf: at byte \d+: "):
            read_header(save(whole[:offset]))


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.gguf", tmp_path):
        with pytest.raises(ModelFileError, match="cannot be read"):
            read_header(path)


HUGE = (1 << 64) - 1
CASES: dict[str, tuple[bytes, str]] = {
    "magic": (gguf(ARCHITECTURE, magic=b"GGML"), "at byte 0: .* not a GGUF file"),
    "version 1": (gguf(ARCHITECTURE, version=struct.pack("<I", 1)), "at byte 4: GGUF version 1 is not supported"),
    "version 4": (gguf(ARCHITECTURE, version=struct.pack("<I", 4)), "version 4 is not supported"),
    "big-endian": (gguf(ARCHITECTURE, version=struct.pack(">I", 3)), "at byte 4: this is a big-endian file"),
    "tensor count": (gguf(ARCHITECTURE, tensor_count=HUGE), f"at byte 8: the file says it has {HUGE} tensors"),
    "no tensors": (gguf(ARCHITECTURE, tensors=()), "has no tensors"),
    "pair count": (gguf(ARCHITECTURE, pair_count=HUGE), f"at byte 16: the file says it has {HUGE} metadata pairs"),
    "key length": (gguf(struct.pack("<Q", HUGE) + ARCHITECTURE[8:]), f"at byte 24: a metadata key is {HUGE} bytes"),
    "key bytes": (gguf(pair(b"\xff\xfe", U32, bytes(4))), "not UTF-8"),
    "value length": (gguf(pair("general.name", STRING, struct.pack("<Q", HUGE))), f"'general.name' is {HUGE} bytes"),
    "value type": (gguf(pair("general.name", 13, bytes(8))), "unknown type 13"),
    "key twice": (gguf(ARCHITECTURE, ARCHITECTURE), "'general.architecture' is there twice"),
    "array count": (gguf(pair("a", ARRAY, array(U32, HUGE, b""))), f"has {HUGE} elements of 'a'"),
    "array of arrays": (gguf(pair("a", ARRAY, array(ARRAY, 1, array(U32, 0, b"")))), "an array of arrays"),
    "array type": (gguf(pair("a", ARRAY, array(99, 1, bytes(8)))), "an array of the unknown type 99"),
    "string count": (gguf(pair("a", ARRAY, array(STRING, 20, text("x")))), "string|elements"),
    "string length": (gguf(pair("a", ARRAY, array(STRING, 1, struct.pack("<Q", HUGE)))), "beyond the end"),
    "no architecture": (gguf(pair("general.name", STRING, text("x"))), "general.architecture is missing"),
    "long architecture": (gguf(pair("general.architecture", STRING, text("x" * 64))), "missing or no name"),
    "architecture": (gguf(pair("general.architecture", U32, bytes(4))), "general.architecture is missing or no name"),
    "alignment 0": (gguf(ARCHITECTURE, pair("general.alignment", U32, bytes(4))), "no power of two"),
    "alignment 48": (gguf(ARCHITECTURE, pair("general.alignment", U32, b"\x30\0\0\0")), "alignment is 48"),
    "alignment type": (gguf(ARCHITECTURE, pair("general.alignment", BOOL, b"\1")), "alignment is True"),
    "no dimensions": (gguf(ARCHITECTURE, tensors=(tensor(shape=()),)), "0 dimensions"),
    "5 dimensions": (gguf(ARCHITECTURE, tensors=(tensor(shape=(1, 1, 1, 1, 1)),)), "5 dimensions"),
    "dimension 0": (gguf(ARCHITECTURE, tensors=(tensor(shape=(32, 0)),)), "impossible shape"),
    "overflow": (gguf(ARCHITECTURE, tensors=(tensor(shape=(1 << 32, 1 << 32)),)), "impossible shape"),
    "tensor type": (gguf(ARCHITECTURE, tensors=(tensor(kind=4),)), "unknown type 4"),
    "block": (gguf(ARCHITECTURE, tensors=(tensor(shape=(33, 32), kind=Q4_0),)), "rows of 33"),
    "tensor size": (gguf(ARCHITECTURE, tensors=(tensor(shape=(32, 3)),)), "it is truncated or damaged"),
    "tensor offset": (gguf(ARCHITECTURE, tensors=(tensor(offset=1 << 63),)), "it is truncated or damaged"),
    "unaligned": (gguf(ARCHITECTURE, tensors=(tensor(offset=8),)), "offset 8, which is not a multiple of 32"),
    "tensor twice": (gguf(ARCHITECTURE, tensors=(tensor(), tensor())), "'blk.0.w' is there twice"),
    "tensor name": (gguf(ARCHITECTURE, tensors=(tensor(name="x" * 64),)), "a tensor's name is 64 bytes"),
    "block count": (gguf(ARCHITECTURE, pair("llama.block_count", U32, struct.pack("<I", 100_000))), "is 100000, but"),
    "block count type": (gguf(ARCHITECTURE, pair("llama.block_count", STRING, text("2"))), "block_count is '2'"),
    "token twice": (
        gguf(ARCHITECTURE, pair("tokenizer.ggml.tokens", ARRAY, words("a", "b", "", "", "b"))),
        "the vocabulary has 'b' twice, as tokens 1 and 4",
    ),
    "token types": (
        gguf(
            ARCHITECTURE,
            pair("tokenizer.ggml.tokens", ARRAY, words("a", "b")),
            pair("tokenizer.ggml.token_type", ARRAY, array(U32, 1, bytes(4))),
        ),
        "token_type has 1 entries for 2 tokens",
    ),
    "merges": (gguf(ARCHITECTURE, pair("tokenizer.ggml.merges", ARRAY, array(U32, 1, bytes(4)))), "not an array of"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_hostile_header_is_refused_in_words(case: str, save: Callable[[bytes], Path]) -> None:
    content, message = CASES[case]
    path = save(content)
    with pytest.raises(ModelFileError, match=message) as refusal:
        read_header(path)
    assert str(refusal.value).startswith(f"{path}: at byte ")


def test_a_model_may_recommend_its_sampling(save: Callable[[bytes], Path]) -> None:
    def recommend(key: str, kind: int, layout: str, value: Any) -> bytes:
        return pair(f"general.sampling.{key}", kind, struct.pack(layout, value))

    header = read_header(
        save(
            gguf(
                ARCHITECTURE,
                recommend("temp", 6, "<f", 0.5),
                recommend("top_k", 5, "<i", 20),
                recommend("top_p", 6, "<f", float("nan")),
            )
        )
    )
    assert header.sampling == {"temperature": 0.5, "top_k": 20}


def test_no_mutation_of_the_header_gets_past_it_or_costs_memory(save: Callable[[bytes], Path]) -> None:
    whole, end = TINY.read_bytes(), read_header(TINY).data_offset
    dice = random.Random(20)
    outcomes = {"read": 0, "refused": 0}
    tracemalloc.start()
    try:
        for _ in range(400):
            mutant = bytearray(whole)
            for _ in range(dice.choice((1, 1, 2, 8))):
                at = dice.randrange(end)
                mutant[at : at + 1] = dice.choice(([dice.randrange(256)], [0xFF] * 8, [], [0] * 4))
            path = save(bytes(mutant))
            del mutant
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            try:
                read_header(path)
                outcomes["read"] += 1
            except ModelFileError:
                outcomes["refused"] += 1
            assert tracemalloc.get_traced_memory()[1] - before < len(whole)
    finally:
        tracemalloc.stop()
    assert min(outcomes.values()) > 20, outcomes
