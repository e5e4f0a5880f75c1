"""`vllm bench serve`, the client that measures: without vLLM's own server, and with a tokenizer of words made here."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from checks import SEPARATORS, URL, WORDS, check, equal, run, run_command
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

os.environ |= {"VLLM_NO_USAGE_STATS": "1", "VLLM_TARGET_DEVICE": "cpu"}
ASKED, AT_ONCE = 48, 12
"""More at once than the worker has slots, so that some wait."""
TOLD = [f"{WORDS} {number}" for number in range(ASKED)]
words = Tokenizer(models.WordLevel({"[UNK]": 0, **{f"word{number}": number + 1 for number in range(20)}}, "[UNK]"))
words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]").save_pretrained("words")  # noqa: S106 - a word, no password
Path("config.json").write_text("{}")


def bench(backend: str, path: str, told: list[str], *more: str) -> dict[str, Any]:
    """What it measured; each prompt is asked once."""
    lines = [json.dumps({"prompt": text, "output_tokens": 64}) for text in told]
    Path("prompts.jsonl").write_text("".join(line + "\n" for line in lines))
    command = ["vllm", "bench", "serve", "--backend", backend, "--base-url", URL, "--endpoint", path]
    command += ["--model", "echo", "--tokenizer", str(Path("words").resolve()), "--skip-chat-template"]
    command += ["--dataset-name", "custom", "--dataset-path", "prompts.jsonl", "--custom-output-len", "64"]
    command += ["--num-prompts", str(len(told)), "--max-concurrency", str(AT_ONCE), "--disable-shuffle"]
    command += ["--save-result", "--save-detailed", "--result-filename", "result.json", *more]
    run_command(*command, seconds=600)
    result: dict[str, Any] = json.loads(Path("result.json").read_text())
    assert result["failed"] == 0, result["errors"]
    return result


@check
def chats() -> None:
    result = bench("openai-chat", "/v1/chat/completions", TOLD, "--ready-check-timeout-sec", "60")
    equal(result["completed"], ASKED)
    equal(sorted(result["generated_texts"]), sorted(TOLD))
    equal(result["output_lens"], [21] * ASKED)
    equal([len(gaps) > 3 for gaps in result["itls"]], [True] * ASKED)


@check
def completions() -> None:
    result = bench("openai", "/v1/completions", TOLD)
    equal(result["completed"], ASKED)
    equal(sorted(result["generated_texts"]), sorted(TOLD))
    equal(result["output_lens"], [21] * ASKED)


@check
def log_probabilities() -> None:
    """What is told of tokens changes neither their texts nor their number."""
    chat = {"logprobs": True, "top_logprobs": 5}
    for backend, path, more in (
        ("openai", "/v1/completions", ["--logprobs", "5"]),
        ("openai-chat", "/v1/chat/completions", ["--extra-body", json.dumps(chat)]),
    ):
        result = bench(backend, path, TOLD[:12], *more)
        equal(sorted(result["generated_texts"]), sorted(TOLD[:12]))
        equal(result["output_lens"], [21] * 12)


@check
def line_separators() -> None:
    equal(bench("openai-chat", "/v1/chat/completions", [SEPARATORS])["generated_texts"], [SEPARATORS])


run()
