"""`inferq tokens`: the tokens that a model reads a prompt as."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from inferq.commands import arch_flag, engine_flag, models_flag
from inferq.terminal import echo
from inferq.tools.flags import json_flag, model_flag


@click.command()
@model_flag
@click.option("-p", "--prompt", metavar="TEXT", help="the prompt; without it, what comes on stdin")
@click.option("-f", "--prompt-file", type=click.Path(path_type=Path), metavar="FILE", help="a file with the prompt")
@engine_flag
@arch_flag
@models_flag
@json_flag
def tokens(model: str, prompt: str | None, prompt_file: Path | None, as_json: bool, **flags: Any) -> None:
    """Print the tokens of a prompt.

    That is the id and the text of each, as the model's engine reads it.
    """
    from inferq.tools.options import check_encodable, load_engine, template
    from inferq.tools.prompt import read_all
    from inferq.tools.terminal import exit_quietly

    text = prompt if prompt is not None else template(prompt_file)
    text = read_all() if text is None else check_encodable(text, "--prompt")
    with exit_quietly(), load_engine(model, flags) as engine:
        ids = engine.tokenize(text)
        pieces = [engine.detokenize([token]) for token in ids]
    if as_json:
        echo(json.dumps([_as_object(token, piece) for token, piece in zip(ids, pieces, strict=True)]))
        return
    for token, piece in zip(ids, pieces, strict=True):
        echo(f"{token:>7} {_shown(piece)}")


def _as_object(token: int, piece: bytes) -> dict[str, Any]:
    return {"id": token, "text": piece.decode(errors="replace"), "bytes": list(piece)}


def _shown(piece: bytes) -> str:
    try:
        return repr(piece.decode())
    except UnicodeDecodeError:
        return repr(piece)  # a part of a character
