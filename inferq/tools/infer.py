"""`inferq infer`: one answer, without a server."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from inferq.terminal import echo
from inferq.tools.flags import json_flag
from inferq.tools.options import MARK, check_encodable, load_engine, model_flags, sampling, sampling_flags, template
from shared.errors import InvalidRequest

if TYPE_CHECKING:
    from shared.protocol import Completion, Done
    from worker.engines import Engine


@click.command()
@click.option("-m", "--model", required=True, metavar="MODEL|FILE", help="a name out of `inferq models`, or a file")
@click.option("-p", "--prompt", metavar="TEXT", help="what to go on from")
@click.option(
    "-f",
    "--prompt-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help=f"a file with the prompt; its {MARK} becomes TEXT",
)
@model_flags
@sampling_flags
@click.option(
    "--session",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="load what was read before, if there is the file, and save it afterwards",
)
@click.option("--hide-prompt", is_flag=True, help="print only the answer")
@click.option("--stats", is_flag=True, help="print tokens and times to stderr")
@json_flag
def infer(model: str, prompt: str | None, prompt_file: Path | None, session: Path | None, **flags: Any) -> None:
    """Go on from a prompt, without a server.

    The prompt comes from -p, -f or stdin. ARCH is what a legacy file holds, where it does not tell, as `--arch`.
    """
    from inferq.tools.terminal import exit_quietly
    from shared.protocol import Completion

    with exit_quietly():
        text, choosing = _prompt(prompt, prompt_file), sampling(flags)
        started = time.monotonic()
        with load_engine(model, flags) as engine:
            load_ms = (time.monotonic() - started) * 1000
            if session:
                _load(engine, session)
            task = Completion(engine.card.id, (text,), choosing, token_ids=flags["as_json"])
            answer, tokens, finish_reason, done = _answer(engine, task, flags)
            if session:
                _save(engine, session)
        if flags["as_json"]:
            echo(json.dumps(_object(task, answer, tokens, finish_reason, done, load_ms), ensure_ascii=False))
        if flags["stats"]:
            echo(_stats(done, finish_reason, load_ms), err=True)


def _prompt(prompt: str | None, file: Path | None) -> str:
    form = template(file)
    if form is not None:
        if prompt is not None and MARK not in form:
            raise InvalidRequest(f"{file} has no {MARK} for --prompt to stand at", param="--prompt")
        if prompt is None and MARK in form:
            raise InvalidRequest(f"{file} has a {MARK}; give --prompt", param="--prompt")
        return form.replace(MARK, check_encodable(prompt or "", "--prompt"))
    if prompt is not None:
        return check_encodable(prompt, "--prompt")
    if sys.stdin.isatty():
        raise click.UsageError("Give a prompt: -p TEXT, -f FILE, or on stdin.")
    from inferq.tools.prompt import read_all

    return read_all()


def _load(engine: Engine, session: Path) -> None:
    from worker.engines.llama_cpp import LlamaCppEngine

    if not isinstance(engine, LlamaCppEngine):
        raise InvalidRequest(f"the engine {engine.card.engine} has no sessions; llama.cpp has", param="--session")
    if session.exists():
        engine.sessions.load(session)


def _save(engine: Engine, session: Path) -> None:
    from worker.engines.llama_cpp import LlamaCppEngine

    assert isinstance(engine, LlamaCppEngine)
    engine.sessions.save(session)


def _answer(engine: Engine, task: Completion, flags: dict[str, Any]) -> tuple[str, list[int], str, Done]:
    """The text, its tokens, why it ended, and what it took; prints it as it comes, unless it is to become JSON."""
    from inferq.tools.terminal import show_status
    from shared.cancellation import NEVER
    from shared.protocol import Delta, Done, Progress

    shown = not flags["as_json"]
    if shown and not flags["hide_prompt"]:
        echo(str(task.prompt[0]), nl=False)
    text, tokens, finish_reason = "", list[int](), ""
    for event in engine.run(task, NEVER):
        match event:
            case Progress():
                show_status(f"reading the prompt: {event.done}/{event.total}")
            case Delta():
                if not text:
                    show_status("")
                if shown:
                    echo(event.text, nl=False)
                text += event.text
                tokens += event.tokens
                finish_reason = event.finish_reason or finish_reason
            case Done():
                if shown:
                    echo("\n", nl=False)
                return text, tokens, finish_reason, event
    raise AssertionError("an engine ends with Done")


def _object(
    task: Completion, text: str, tokens: list[int], finish_reason: str, done: Done, load_ms: float
) -> dict[str, Any]:
    usage, timings = done.usage, done.timings
    return {
        "model": task.model,
        "text": text,
        "tokens": tokens,
        "finish_reason": finish_reason,
        "seed": task.sampling.seed,
        "usage": {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "cached_tokens": usage.cached_tokens,
        },
        "timings": {
            "load_ms": round(load_ms, 3),
            "prompt_ms": timings and timings.prompt_ms,
            "completion_ms": timings and timings.completion_ms,
        },
    }


def _stats(done: Done, finish_reason: str, load_ms: float) -> str:
    usage, timings = done.usage, done.timings
    read = usage.prompt_tokens - usage.cached_tokens
    lines = [
        f"model:  loaded in {load_ms / 1000:.2f} s",
        f"prompt: {usage.prompt_tokens} tokens, {usage.cached_tokens} of them cached"
        + (_pace(read, timings.prompt_ms) if timings else ""),
        f"answer: {usage.completion_tokens} tokens, ended by {finish_reason}"
        + (_pace(usage.completion_tokens, timings.completion_ms) if timings else ""),
    ]
    return "\n".join(lines)


def _pace(tokens: int, ms: float) -> str:
    return f"; {ms / 1000:.2f} s" + (f", {tokens / ms * 1000:.1f} tokens/s" if ms else "")
