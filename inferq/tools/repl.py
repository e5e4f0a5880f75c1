"""`inferq repl`: prompt after prompt, each alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from inferq.tools.options import MARK, model_flag, model_flags, sampling, sampling_flags, template
from inferq.tools.source import gateway_flags, open_answers
from shared.errors import InvalidRequest


@click.command()
@model_flag
@gateway_flags
@click.option(
    "-f",
    "--prompt-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help=f"a file whose {MARK} becomes what you type",
)
@model_flags
@sampling_flags
def repl(model: str | None, prompt_file: Path | None, **flags: Any) -> None:
    """Go on from prompt after prompt, each alone.

    It is the model -m, or that of the gateway at --url, and sees no prompt but the last. /help lists the commands.
    """
    from inferq.tools.dialogue import hold
    from inferq.tools.terminal import exit_quietly
    from shared.protocol import Completion

    form = template(prompt_file) or MARK
    if MARK not in form:
        raise InvalidRequest(f"{prompt_file} has no {MARK}", param="--prompt-file")

    def task(text: str) -> Completion:
        return Completion(answers.model, (form.replace(MARK, text),), sampling(flags))

    with exit_quietly(), open_answers(model, flags) as answers:
        hold(answers, task, {})
