"""`inferq chat`: a conversation."""

from __future__ import annotations

from typing import Any

import click

from inferq.commands import chat_format_flag
from inferq.terminal import echo
from inferq.tools.options import check_encodable, model_flag, model_flags, sampling, sampling_flags
from inferq.tools.source import gateway_flags, open_answers
from shared.errors import ContextLengthExceeded, InferqError


@click.command()
@model_flag
@gateway_flags
@click.option("--system", metavar="TEXT", default="", help="what the model is told before anything else")
@click.option("--plain", is_flag=True, help="print answers as they are written, and no more")
@chat_format_flag
@model_flags
@sampling_flags
def chat(model: str | None, system: str, plain: bool, **flags: Any) -> None:
    """Talk with a model, here or at a running gateway.

    It is the model -m, or that of the gateway at --url, and sees the whole conversation. /help lists the commands. A
    terminal shows its Markdown; elsewhere answers are printed as they are written.
    """
    from inferq.tools.dialogue import Command, hold
    from inferq.tools.terminal import exit_quietly
    from inferq.tools.views import choose_view
    from shared.protocol import Chat, Message

    history: list[Message] = []
    told = check_encodable(system, "--system")

    def task(text: str) -> Chat:
        first = (Message("system", told),) if told else ()
        return Chat(answers.model, (*first, *history, Message("user", text)), sampling(flags))

    def heard(asked: str, answered: str) -> None:
        if answered:
            history.extend((Message("user", asked), Message("assistant", answered)))

    def reset(_: str) -> None:
        history.clear()

    def tell(text: str) -> None:
        nonlocal told
        if text:
            told = text
        else:
            echo(told)

    def way_out(error: InferqError) -> str:
        full = history and error.code == ContextLengthExceeded.code
        return " /reset forgets the conversation, which counts too." if full else ""

    commands = {
        "reset": Command("forget the conversation", reset),
        "system": Command("TEXT: tell the model something before anything else; alone: show it", tell),
    }
    with exit_quietly(), open_answers(model, flags) as answers:
        hold(answers, task, commands, heard, choose_view(plain=plain), way_out)
