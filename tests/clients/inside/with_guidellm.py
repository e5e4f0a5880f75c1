"""guidellm: its check before the start, and short benchmarks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from checks import URL, WORDS, at_least, check, equal, run, run_command

ASKED, AT_ONCE = 48, 12
"""More at once than the worker has slots, so that some wait."""


def benchmark(path: str, **body: Any) -> dict[str, Any]:
    """The metrics of a benchmark; every request has a prompt of its own, and these parameters."""
    lines = [json.dumps({"prompt": f"{WORDS} {number}"}) for number in range(4 * ASKED)]
    Path("prompts.jsonl").write_text("".join(line + "\n" for line in lines))
    command = ["guidellm", "run", "--disable-progress", "--profile", f"kind=concurrent,streams={AT_ONCE}"]
    backend = {"kind": "openai_http", "target": URL, "model": "echo", "request_format": path}
    command += ["--backend", json.dumps({**backend, "extras": {"body": body}})]
    command += ["--constraint", f"kind=max_requests,count={ASKED}", "--constraint", "kind=max_duration,seconds=60"]
    command += ["--data", "kind=json_file,path=prompts.jsonl", "--output", "kind=json,path=report.json"]
    run_command(*command, seconds=400)
    [measured] = json.loads(Path("report.json").read_text())["benchmarks"]
    metrics: dict[str, Any] = measured["metrics"]
    return metrics


def judge(metrics: dict[str, Any], tokens: int) -> None:
    totals = metrics["request_totals"]
    equal((totals["successful"], totals["errored"]), (ASKED, 0))
    equal(metrics["output_token_count"]["successful"]["total_sum"], float(ASKED * tokens))
    at_least(metrics["output_tokens_per_second"]["successful"]["count"], 1)


@check
def chats_after_its_check_of_the_server() -> None:
    judge(benchmark("/v1/chat/completions"), 21)


@check
def completions() -> None:
    judge(benchmark("/v1/completions"), 16)  # OpenAI's default of tokens


@check
def log_probabilities() -> None:
    """What is told of tokens does not change their number."""
    judge(benchmark("/v1/chat/completions", logprobs=True, top_logprobs=5), 21)
    judge(benchmark("/v1/completions", logprobs=5), 16)


run()
