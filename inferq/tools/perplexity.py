"""`inferq perplexity`: how well a model foresees a text."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from inferq.commands import arch_flag, engine_flag, models_flag
from inferq.terminal import echo
from inferq.tools.flags import json_flag, model_flag


@click.command()
@model_flag
@click.option("-f", "--file", type=click.Path(path_type=Path), required=True, metavar="TEXT", help="a text in UTF-8")
@click.option("--context", type=click.IntRange(8), default=512, metavar="N", help="tokens of a window  [512]")
@click.option("--stride", type=click.IntRange(1), metavar="N", help="tokens from one window to the next  [half of one]")
@engine_flag
@arch_flag
@models_flag
@json_flag
def perplexity(model: str, file: Path, context: int, stride: int | None, as_json: bool, **flags: Any) -> None:
    """Print how well a model foresees a text.

    That is its perplexity with the standard error; the lower the better. The text is read in windows of N
    tokens. Each token is judged once, after what its window has before it.
    """
    from tqdm import tqdm

    from inferq.tools.options import load_engine, template
    from inferq.tools.terminal import exit_quietly
    from shared.errors import InvalidRequest

    text = template(file) or ""
    with exit_quietly(), load_engine(model, {"context": context, **flags}) as engine:
        begin = engine.tokenize("")  # what every text begins with, so every window too
        tokens = engine.tokenize(text)[len(begin) :]
        first = 0 if begin else 1
        if len(tokens) <= first:
            raise InvalidRequest("the text has no second token, which could be foreseen", param="--file")
        room = min(context, engine.card.context) - len(begin)
        step = room // 2 if stride is None else stride
        if step >= room:
            raise InvalidRequest(f"must be less than the context, {room}", param="--stride")
        scores: list[float] = []
        with tqdm(total=len(tokens) - first, unit="tok", disable=None, leave=False) as bar:
            for start, end, judged in windows(len(tokens), first, room, step):
                for each in engine.scorer.score(begin + tokens[start:end], len(begin) + judged - start):
                    assert each.logprob is not None, "it comes after others"
                    scores.append(each.logprob)
                    bar.update()
                bar.set_postfix(perplexity=f"{_perplexity(scores)[0]:.3f}")
    value, error = _perplexity(scores)
    if as_json:
        echo(json.dumps({"perplexity": value, "standard_error": error, "tokens": len(scores)}))
    else:
        echo(f"perplexity {value:.4f} +/- {error:.4f} over {len(scores)} tokens")


def windows(count: int, first: int, room: int, stride: int) -> Iterator[tuple[int, int, int]]:
    """(first, one after the last, first judged) of each window; every token from `first` on is judged once."""
    start, judged = 0, first
    while judged < count:
        end = min(start + room, count)
        yield start, end, judged
        start, judged = start + stride, end


def _perplexity(scores: Sequence[float]) -> tuple[float, float]:
    """The value, and its standard error by the delta method: that of the mean, times the value."""
    value = math.exp(-statistics.fmean(scores))
    error = statistics.stdev(scores) / math.sqrt(len(scores)) if len(scores) > 1 else 0.0
    return value, value * error
