"""lm-eval: its tasks, which are local, against the tiny model; what transformers says of that is in reference.json."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from checks import URL, check, equal, run, run_command
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

TASKS = Path(__file__).resolve().parent / "tasks"
REFERENCE = json.loads((TASKS / "reference.json").read_text("utf-8"))
LENGTH = 256
"""The model's context."""
NEAR = 1e-3
os.chdir(TASKS)  # beneath which the tasks' documents lie


def near(seen: float, wanted: float) -> None:
    assert abs(seen - wanted) <= NEAR, f"{seen} is not {wanted}"


def evaluate(tasks: list[str], model: str = "local-completions", **more: Any) -> dict[str, Any]:
    """Its results, and each task's samples in the order of the documents."""
    path = "chat/completions" if model == "local-chat-completions" else "completions"
    chats = {"apply_chat_template": True} if model == "local-chat-completions" else {}
    arguments = {"model": "tiny", "base_url": f"{URL}/v1/{path}", "max_length": LENGTH, "max_retries": 1, **more}
    manager = TaskManager(include_path=str(TASKS), include_defaults=False)
    told: dict[str, Any] = simple_evaluate(
        model=model, model_args=arguments, tasks=tasks, task_manager=manager, bootstrap_iters=0, **chats
    )
    for samples in told["samples"].values():
        samples.sort(key=lambda sample: sample["doc_id"])
    return told


def judge(told: dict[str, Any]) -> None:
    """Of the choices and the texts."""
    wanted = REFERENCE["choices"]
    for name in ("acc", "acc_norm"):
        near(told["results"]["choices"][f"{name},none"], wanted[name])
    for sample, choices in zip(told["samples"]["choices"], wanted["likelihoods"], strict=True):
        for [[value, greedy]], (likelihood, likeliest) in zip(sample["resps"], choices, strict=True):
            near(float(value), likelihood)
            equal(str(greedy), str(likeliest))
    seen = [float(sample["resps"][0][0]) for sample in told["samples"]["texts"]]
    for value, likelihood in zip(seen, REFERENCE["texts"], strict=True):
        near(value, likelihood)


def texts(told: dict[str, Any], task: str) -> list[str]:
    return [sample["resps"][0][0] for sample in told["samples"][task]]


@check
def remote_tokenizer() -> None:
    """What it finds out by itself, and then sends as ids."""
    told = evaluate(["choices", "texts", "continuations"])
    judge(told)
    equal(texts(told, "continuations"), REFERENCE["continuations"])


@check
def batches() -> None:
    judge(evaluate(["choices", "texts"], tokenizer_backend="remote", batch_size=4))


@check
def several_at_once() -> None:
    told = evaluate(["choices", "texts", "continuations"], tokenizer_backend="remote", num_concurrent=4)
    judge(told)
    equal(texts(told, "continuations"), REFERENCE["continuations"])


@check
def requests_as_texts() -> None:
    more: dict[str, Any] = {"tokenizer_backend": "remote", "tokenized_requests": False}
    judge(evaluate(["choices", "texts"], **more))
    equal(texts(evaluate(["continuations"], **more), "continuations"), REFERENCE["continuations"])


@check
def no_tokenizer() -> None:
    told = evaluate(["continuations"], tokenizer_backend=None)
    equal(texts(told, "continuations"), REFERENCE["continuations"])


@check
def chats() -> None:
    equal(texts(evaluate(["chats"], "local-chat-completions"), "chats"), REFERENCE["chats"])


@check
def command() -> None:
    """As a user runs it."""
    place = os.environ["HOME"]
    arguments = f"model=tiny,base_url={URL}/v1/completions,max_length={LENGTH},num_concurrent=2"
    words = ["lm-eval", "run", "--model", "local-completions", "--model_args", arguments, "--tasks", "choices"]
    run_command(*words, "--include_path", str(TASKS), "--output_path", place)
    [file] = Path(place).rglob("results_*.json")
    near(json.loads(file.read_text())["results"]["choices"]["acc,none"], REFERENCE["choices"]["acc"])


run()
