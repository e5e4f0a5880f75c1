"""The tiny model with other vocabularies: byte-level BPE or SentencePiece, special tokens, a BOS or none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf

from shared.protocol import Completion, FineChat, Message, Prompt, Sampling, TextTask
from tests.answers import deltas, run
from tests.tiny import TINY
from worker.engines import Engine
from worker.formats.vocabulary import TokenKind

IM_START, IM_END, THINK, UNTHINK, START = "<|im_start|>", "<|im_end|>", "<think>", "</think>", "<|start|>"
KINDS = {
    "<s>": TokenKind.CONTROL,
    "</s>": TokenKind.CONTROL,
    IM_START: TokenKind.CONTROL,
    IM_END: TokenKind.NORMAL,  # llama.cpp knows better, by its name
    THINK: TokenKind.USER_DEFINED,
    UNTHINK: TokenKind.USER_DEFINED,
    START: TokenKind.CONTROL,  # which llama.cpp parses whatever it is told
    "<pad>": TokenKind.CONTROL,
}
REPO, FILE, PAD = "<|repo_name|>", "<|file_sep|>", "<|fim_pad|>"
GAPS = {
    "<s>": TokenKind.CONTROL,
    "</s>": TokenKind.CONTROL,
    "<|fim_prefix|>": TokenKind.USER_DEFINED,  # as Qwen's are, which llama.cpp knows by their names
    "<|fim_suffix|>": TokenKind.USER_DEFINED,
    "<|fim_middle|>": TokenKind.USER_DEFINED,
    PAD: TokenKind.CONTROL,
    REPO: TokenKind.CONTROL,
    FILE: TokenKind.CONTROL,
}
"""A vocabulary with infill tokens."""
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}{{ m.content }}"
    "{% for c in m.tool_calls or [] %}call {{ c.function.name }} {{ c.function.arguments | tojson }}{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SAMPLING = Sampling(seed=1, max_tokens=1, temperature=0.0, ignore_eos=True)
_WORDS = ["▁h", "he", "ll", "▁he", "llo", "▁hello", "▁<", "|>", "im", "▁a", "▁b"]


def ids(special: Mapping[str, TokenKind] = KINDS) -> dict[str, int]:
    """Of the special tokens: the last of the vocabulary."""
    return {word: 512 - len(special) + i for i, word in enumerate(special)}


def write(
    path: Path,
    model: str = "gpt2",
    *,
    template: str = CHATML,
    special: Mapping[str, TokenKind] = KINDS,
    **more: Any,
) -> Path:
    """The tiny model with special tokens, its tokenizer a `gpt2` or a `llama`.

    `more` are further facts of its tokenizer (`bos_token_id`, `add_bos_token`); what is None is left out.
    """
    reader = gguf.GGUFReader(TINY)
    writer = gguf.GGUFWriter(path, "llama")
    for field in reader.fields.values():
        if not field.name.startswith(("GGUF.", "tokenizer.", "general.architecture", "general.sampling")):
            writer.add_key_value(field.name, field.contents(), field.types[0])
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    kinds = reader.fields["tokenizer.ggml.token_type"].contents()
    if model == "llama":
        tokens = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), *_WORDS]
        tokens += [chr(code) for code in range(0x20, 0x7F)] + ["▁", "\n"]
        tokens.remove(" ")
        kinds = [TokenKind.UNKNOWN, *[TokenKind.BYTE] * 256] + [TokenKind.NORMAL] * (len(tokens) - 257)
        tokens += [f"word{i}" for i in range(512 - len(tokens))]
        kinds += [TokenKind.NORMAL] * (512 - len(kinds))
        writer.add_token_scores([-float(i) for i in range(512)])
    else:
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_merges(reader.fields["tokenizer.ggml.merges"].contents()[: -len(special)])
    first = 512 - len(special)
    writer.add_tokenizer_model(model)
    writer.add_token_list([*tokens[:first], *special])
    writer.add_token_types([int(kind) for kind in (*kinds[:first], *special.values())])
    for key, value in {"bos_token_id": ids(special)["<s>"], "eos_token_id": ids(special)["</s>"], **more}.items():
        if isinstance(value, bool):
            writer.add_bool(f"tokenizer.ggml.{key}", value)
        elif value is not None:
            writer.add_uint32(f"tokenizer.ggml.{key}", value)
    if template:
        writer.add_chat_template(template)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def prompt_of(engine: Engine, task: TextTask) -> list[int]:
    """The tokens of the prompt of a task that tells them."""
    events = run(engine, task)
    return [token for delta in deltas(events) for token in delta.prompt_tokens]


def asked(engine: Engine, *turns: tuple[str, str] | Message, **more: Any) -> list[int]:
    """The tokens that a chat becomes."""
    messages = tuple(turn if isinstance(turn, Message) else Message(*turn) for turn in turns)  # type: ignore[arg-type]  # a role and a text
    return prompt_of(engine, FineChat("tiny", messages, SAMPLING, token_ids=True, **more))


def completed(engine: Engine, prompt: Prompt) -> list[int]:
    return prompt_of(engine, Completion("tiny", (prompt,), SAMPLING, token_ids=True))


def specials(tokens: list[int]) -> list[str]:
    """Which of the special tokens are among them, in order; without those that begin a text."""
    names = {number: word for word, number in ids().items()}
    return [names[token] for token in tokens if names.get(token, "<s>") != "<s>"]
